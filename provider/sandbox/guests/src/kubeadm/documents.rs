//! kubeadm's configuration documents, `kubeadm.k8s.io/v1beta3` and `v1beta4`, read strictly: what a version
//! does not know is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::version::Version;

/// A version of kubeadm's configuration API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConfigurationApi {
    V1Beta3,
    V1Beta4,
}

/// Why a configuration file is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it is not valid YAML: {0}")]
    Yaml(String),
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind { kind: String, api_version: String },
    #[error("your configuration file uses an unsupported API version: \"{0}\"")]
    UnsupportedApi(String),
    #[error("document {kind} appears twice")]
    Twice { kind: String },
    #[error("no {kind} found in the configuration file")]
    Missing { kind: &'static str },
    #[error("strict decoding error in {kind}: {reason}")]
    Strict { kind: String, reason: String },
}

/// What `kubeadm init --config` reads.
#[derive(Debug)]
pub(super) struct InitDocuments {
    pub(super) init: InitConfiguration,
    pub(super) cluster: ClusterConfiguration,
    /// The `ClusterConfiguration` as written.
    pub(super) cluster_document: Value,
    pub(super) kubelet: Option<Value>,
    pub(super) kube_proxy: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct InitConfiguration {
    pub(super) bootstrap_tokens: Vec<BootstrapToken>,
    #[serde(rename = "dryRun")]
    _dry_run: bool,
    pub(super) node_registration: NodeRegistration,
    #[serde(rename = "localAPIEndpoint")]
    pub(super) local_api_endpoint: LocalApiEndpoint,
    #[serde(rename = "certificateKey")]
    _certificate_key: Option<String>,
    pub(super) skip_phases: Vec<String>,
    #[serde(rename = "patches")]
    _patches: Option<Value>,
    pub(super) timeouts: Timeouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct BootstrapToken {
    pub(super) token: Option<String>,
    pub(super) description: Option<String>,
    pub(super) ttl: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) usages: Vec<String>,
    pub(super) groups: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LocalApiEndpoint {
    pub(super) advertise_address: Option<String>,
    pub(super) bind_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NodeRegistration {
    pub(super) name: Option<String>,
    pub(super) cri_socket: Option<String>,
    /// None leaves the default taint to a control-plane node; an empty list takes it away.
    pub(super) taints: Option<Vec<Taint>>,
    pub(super) kubelet_extra_args: Arguments,
    pub(super) ignore_preflight_errors: Vec<String>,
    #[serde(rename = "imagePullPolicy")]
    _image_pull_policy: Option<String>,
    #[serde(rename = "imagePullSerial")]
    _image_pull_serial: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Taint {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
    pub(super) effect: String,
}

/// `extraArgs`: a list in v1beta4, a map in v1beta3.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Arguments {
    List(Vec<Argument>),
    Map(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Timeouts {
    pub(super) control_plane_component_health_check: Option<String>,
    pub(super) kubelet_health_check: Option<String>,
    #[serde(rename = "kubernetesAPICall")]
    pub(super) kubernetes_api_call: Option<String>,
    #[serde(rename = "etcdAPICall")]
    pub(super) etcd_api_call: Option<String>,
    pub(super) tls_bootstrap: Option<String>,
    pub(super) discovery: Option<String>,
    pub(super) upgrade_manifests: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClusterConfiguration {
    pub(super) etcd: Etcd,
    pub(super) networking: Networking,
    pub(super) kubernetes_version: Option<String>,
    pub(super) control_plane_endpoint: String,
    pub(super) api_server: Component,
    pub(super) controller_manager: Component,
    pub(super) scheduler: Component,
    pub(super) dns: Addon,
    pub(super) proxy: Addon,
    #[serde(rename = "certificatesDir")]
    pub(super) certificates_directory: Option<String>,
    pub(super) image_repository: Option<String>,
    #[serde(rename = "featureGates")]
    _feature_gates: BTreeMap<String, bool>,
    pub(super) cluster_name: Option<String>,
    #[serde(rename = "encryptionAlgorithm")]
    _encryption_algorithm: Option<String>,
    pub(super) certificate_validity_period: Option<String>,
    #[serde(rename = "caCertificateValidityPeriod")]
    _ca_certificate_validity_period: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Etcd {
    pub(super) local: Option<LocalEtcd>,
    pub(super) external: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LocalEtcd {
    #[serde(rename = "imageRepository")]
    _image_repository: Option<String>,
    #[serde(rename = "imageTag")]
    _image_tag: Option<String>,
    pub(super) data_dir: Option<String>,
    pub(super) extra_args: Arguments,
    #[serde(rename = "extraEnvs")]
    _extra_envs: Vec<Value>,
    #[serde(rename = "serverCertSANs")]
    pub(super) server_names: Vec<String>,
    #[serde(rename = "peerCertSANs")]
    pub(super) peer_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Networking {
    pub(super) service_subnet: Option<String>,
    pub(super) pod_subnet: Option<String>,
    pub(super) dns_domain: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Component {
    pub(super) extra_args: Arguments,
    #[serde(rename = "extraVolumes")]
    _extra_volumes: Vec<Value>,
    #[serde(rename = "extraEnvs")]
    _extra_envs: Vec<Value>,
    #[serde(rename = "certSANs")]
    pub(super) names: Vec<String>,
    pub(super) timeout_for_control_plane: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Addon {
    #[serde(rename = "imageRepository")]
    _image_repository: Option<String>,
    #[serde(rename = "imageTag")]
    _image_tag: Option<String>,
    pub(super) disabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct JoinConfiguration {
    #[serde(rename = "dryRun")]
    _dry_run: bool,
    pub(super) node_registration: NodeRegistration,
    #[serde(rename = "caCertPath")]
    pub(super) ca_certificate_path: Option<String>,
    pub(super) discovery: Discovery,
    pub(super) control_plane: Option<Value>,
    #[serde(rename = "skipPhases")]
    pub(super) skip_phases: Vec<String>,
    #[serde(rename = "patches")]
    _patches: Option<Value>,
    pub(super) timeouts: Timeouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Discovery {
    pub(super) bootstrap_token: Option<TokenDiscovery>,
    pub(super) file: Option<Value>,
    pub(super) tls_bootstrap_token: Option<String>,
    pub(super) timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct TokenDiscovery {
    pub(super) token: String,
    pub(super) api_server_endpoint: String,
    #[serde(rename = "caCertHashes")]
    pub(super) ca_certificate_hashes: Vec<String>,
    #[serde(rename = "unsafeSkipCAVerification")]
    pub(super) skip_verification: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Arguments {
    /// The arguments in order, by name.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        match self {
            Self::List(list) => list.iter().map(|one| (one.name.clone(), one.value.clone())).collect(),
            Self::Map(map) => map.clone().into_iter().collect(),
        }
    }

    /// The last value given for `name`.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.pairs()
            .into_iter()
            .rfind(|(given, _)| given == name)
            .map(|(_, value)| value)
    }
}

/// Reads the file of `kubeadm init`.
pub(super) fn read_init(text: &str, kubeadm: Version) -> Result<InitDocuments, DocumentError> {
    let mut documents = Documents::read(text, kubeadm)?;
    let init = documents.take("InitConfiguration")?.unwrap_or_default();
    let cluster_document = documents
        .found
        .get("ClusterConfiguration")
        .cloned()
        .ok_or(DocumentError::Missing {
            kind: "ClusterConfiguration",
        })?;
    let cluster: ClusterConfiguration = documents.take("ClusterConfiguration")?.unwrap_or_default();
    if cluster.control_plane_endpoint.is_empty() {
        return Err(DocumentError::Strict {
            kind: "ClusterConfiguration".to_owned(),
            reason: "controlPlaneEndpoint is required here: without it the cluster can never have a second master"
                .to_owned(),
        });
    }
    let kubelet = documents.found.remove("KubeletConfiguration");
    let kube_proxy = documents.found.remove("KubeProxyConfiguration");
    documents.nothing_left()?;
    Ok(InitDocuments {
        init,
        cluster,
        cluster_document,
        kubelet,
        kube_proxy,
    })
}

/// Reads the file of `kubeadm join`.
pub(super) fn read_join(text: &str, kubeadm: Version) -> Result<JoinConfiguration, DocumentError> {
    let mut documents = Documents::read(text, kubeadm)?;
    let join = documents.take("JoinConfiguration")?.ok_or(DocumentError::Missing {
        kind: "JoinConfiguration",
    })?;
    documents.nothing_left()?;
    Ok(join)
}

/// The documents of a file by kind.
struct Documents {
    found: BTreeMap<String, Value>,
}

impl Documents {
    fn read(text: &str, kubeadm: Version) -> Result<Self, DocumentError> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| DocumentError::Yaml(error.to_string()))?;
        let mut found = BTreeMap::new();
        for mut document in documents.into_iter().filter(|document| !document.is_null()) {
            let mut field = |name: &str| {
                let taken = document.as_object_mut().and_then(|object| object.remove(name));
                taken
                    .and_then(|value| value.as_str().map(str::to_owned))
                    .unwrap_or_default()
            };
            let (api_version, kind) = (field("apiVersion"), field("kind"));
            let known = match api_version.as_str() {
                "kubeadm.k8s.io/v1beta3" | "kubeadm.k8s.io/v1beta4" => {
                    let api = configuration_api(&api_version, kubeadm)?;
                    check_api(api, &kind, &document)?;
                    matches!(
                        kind.as_str(),
                        "InitConfiguration" | "ClusterConfiguration" | "JoinConfiguration"
                    )
                }
                "kubelet.config.k8s.io/v1beta1" => kind == "KubeletConfiguration",
                "kubeproxy.config.k8s.io/v1alpha1" => kind == "KubeProxyConfiguration",
                other if other.starts_with("kubeadm.k8s.io/") => {
                    return Err(DocumentError::UnsupportedApi(api_version));
                }
                _ => false,
            };
            if !known {
                return Err(DocumentError::UnknownKind { kind, api_version });
            }
            if found.insert(kind.clone(), document).is_some() {
                return Err(DocumentError::Twice { kind });
            }
        }
        Ok(Self { found })
    }

    fn take<T: DeserializeOwned>(&mut self, kind: &'static str) -> Result<Option<T>, DocumentError> {
        let Some(document) = self.found.remove(kind) else {
            return Ok(None);
        };
        serde_json::from_value(document)
            .map(Some)
            .map_err(|error| DocumentError::Strict {
                kind: kind.to_owned(),
                reason: error.to_string(),
            })
    }

    fn nothing_left(self) -> Result<(), DocumentError> {
        match self.found.into_keys().next() {
            None => Ok(()),
            Some(kind) => Err(DocumentError::Strict {
                reason: "this command does not read it".to_owned(),
                kind,
            }),
        }
    }
}

fn configuration_api(api_version: &str, kubeadm: Version) -> Result<ConfigurationApi, DocumentError> {
    match api_version {
        "kubeadm.k8s.io/v1beta3" => Ok(ConfigurationApi::V1Beta3),
        // v1beta4 came with kubeadm 1.31.
        _ if (kubeadm.major, kubeadm.minor) >= (1, 31) => Ok(ConfigurationApi::V1Beta4),
        _ => Err(DocumentError::UnsupportedApi(api_version.to_owned())),
    }
}

/// The fields that one version has and the other has not, as paths.
const ONLY_V1BETA4: [&str; 12] = [
    "/dryRun",
    "/timeouts",
    "/certificateValidityPeriod",
    "/caCertificateValidityPeriod",
    "/encryptionAlgorithm",
    "/proxy",
    "/dns/disabled",
    "/nodeRegistration/imagePullSerial",
    "/apiServer/extraEnvs",
    "/controllerManager/extraEnvs",
    "/scheduler/extraEnvs",
    "/etcd/local/extraEnvs",
];
const ONLY_V1BETA3: [&str; 2] = ["/apiServer/timeoutForControlPlane", "/discovery/timeout"];
const ARGUMENTS: [&str; 5] = [
    "/nodeRegistration/kubeletExtraArgs",
    "/apiServer/extraArgs",
    "/controllerManager/extraArgs",
    "/scheduler/extraArgs",
    "/etcd/local/extraArgs",
];

fn check_api(api: ConfigurationApi, kind: &str, document: &Value) -> Result<(), DocumentError> {
    let refuse = |reason: String| {
        Err(DocumentError::Strict {
            kind: kind.to_owned(),
            reason,
        })
    };
    let foreign: &[&str] = match api {
        ConfigurationApi::V1Beta3 => &ONLY_V1BETA4,
        ConfigurationApi::V1Beta4 => &ONLY_V1BETA3,
    };
    if let Some(path) = foreign.iter().find(|path| document.pointer(path).is_some()) {
        return refuse(format!("unknown field \"{}\"", path[1..].replace('/', ".")));
    }
    for path in ARGUMENTS {
        let Some(arguments) = document.pointer(path) else {
            continue;
        };
        let name = path[1..].replace('/', ".");
        match api {
            ConfigurationApi::V1Beta4 if !arguments.is_array() => {
                return refuse(format!("{name} is a list of names and values in v1beta4"));
            }
            ConfigurationApi::V1Beta3 if !arguments.is_object() => {
                return refuse(format!("{name} is a map in v1beta3"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBEADM: Version = Version {
        major: 1,
        minor: 34,
        patch: 1,
    };

    fn cluster(api: &str, rest: &str) -> String {
        format!(
            "apiVersion: kubeadm.k8s.io/{api}\nkind: ClusterConfiguration\ncontrolPlaneEndpoint: 127.1.1.1:6443\n{rest}"
        )
    }

    fn refusal(text: &str) -> String {
        read_init(text, KUBEADM).unwrap_err().to_string()
    }

    #[test]
    fn extra_arguments_are_a_list_in_v1beta4_and_a_map_in_v1beta3() {
        let list = "apiServer:\n  extraArgs:\n  - name: v\n    value: '4'\n";
        let map = "apiServer:\n  extraArgs:\n    v: '4'\n";
        for (api, arguments) in [("v1beta4", list), ("v1beta3", map)] {
            let read = read_init(&cluster(api, arguments), KUBEADM).unwrap();
            assert_eq!(
                read.cluster.api_server.extra_args.pairs(),
                [("v".to_owned(), "4".to_owned())]
            );
        }
        assert!(refusal(&cluster("v1beta3", list)).contains("is a map in v1beta3"));
        assert!(refusal(&cluster("v1beta4", map)).contains("is a list of names and values in v1beta4"));
    }

    #[test]
    fn fields_of_the_other_version_and_unknown_fields_are_refused() {
        assert!(refusal(&cluster("v1beta3", "certificateValidityPeriod: 8760h0m0s\n")).contains("unknown field"));
        assert!(refusal(&cluster("v1beta4", "apiServer: {timeoutForControlPlane: 4m0s}\n")).contains("unknown field"));
        assert!(refusal(&cluster("v1beta4", "clustername: x\n")).contains("unknown field `clustername`"));
    }

    #[test]
    fn unknown_kinds_and_versions_are_refused() {
        assert_eq!(
            refusal("apiVersion: kubeadm.k8s.io/v1beta4\nkind: Cluster\n"),
            "no kind \"Cluster\" is registered for version \"kubeadm.k8s.io/v1beta4\""
        );
        assert!(
            refusal("apiVersion: kubeadm.k8s.io/v1beta9\nkind: InitConfiguration\n")
                .contains("unsupported API version")
        );
        let old = Version {
            major: 1,
            minor: 30,
            patch: 0,
        };
        assert!(matches!(
            read_init(&cluster("v1beta4", ""), old),
            Err(DocumentError::UnsupportedApi(_))
        ));
        assert!(read_init(&cluster("v1beta3", ""), old).is_ok());
    }

    #[test]
    fn the_shared_endpoint_is_required() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: demo\n";
        assert!(refusal(text).contains("controlPlaneEndpoint is required"));
        assert!(refusal("").contains("no ClusterConfiguration found"));
    }

    #[test]
    fn init_does_not_read_join_documents() {
        let text = format!(
            "{}---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n",
            cluster("v1beta4", "")
        );
        assert!(refusal(&text).contains("does not read"));
    }
}
