//! kubeadm's configuration documents, `kubeadm.k8s.io/v1beta3` and `v1beta4`, read strictly: what a version
//! does not know is refused.

mod types;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::version::Version;
pub(super) use types::{
    Addon, BootstrapToken, ClusterConfiguration, Component, HostPathMount, InitConfiguration, JoinConfiguration,
    JoinControlPlane, LocalApiEndpoint, NodeRegistration, PatchesDirectory, Taint, TokenDiscovery,
};

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

/// Reads the `ClusterConfiguration` that the cluster keeps in the `ConfigMap` kubeadm-config.
pub(super) fn read_cluster(text: &str, kubeadm: Version) -> Result<ClusterConfiguration, DocumentError> {
    let mut documents = Documents::read(text, kubeadm)?;
    let cluster = documents.take("ClusterConfiguration")?.ok_or(DocumentError::Missing {
        kind: "ClusterConfiguration",
    })?;
    documents.nothing_left()?;
    Ok(cluster)
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
