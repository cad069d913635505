//! The documents' fields. Those that change nothing here are still known, so that only unknown ones are refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct InitConfiguration {
    pub(in crate::kubeadm) bootstrap_tokens: Vec<BootstrapToken>,
    #[serde(rename = "dryRun")]
    _dry_run: bool,
    pub(in crate::kubeadm) node_registration: NodeRegistration,
    #[serde(rename = "localAPIEndpoint")]
    pub(in crate::kubeadm) local_api_endpoint: LocalApiEndpoint,
    #[serde(rename = "certificateKey")]
    _certificate_key: Option<String>,
    pub(in crate::kubeadm) skip_phases: Vec<String>,
    pub(in crate::kubeadm) patches: Option<PatchesDirectory>,
    pub(in crate::kubeadm) timeouts: Timeouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::kubeadm) struct PatchesDirectory {
    pub(in crate::kubeadm) directory: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct BootstrapToken {
    pub(in crate::kubeadm) token: Option<String>,
    pub(in crate::kubeadm) description: Option<String>,
    pub(in crate::kubeadm) ttl: Option<String>,
    pub(in crate::kubeadm) expires: Option<String>,
    pub(in crate::kubeadm) usages: Vec<String>,
    pub(in crate::kubeadm) groups: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct LocalApiEndpoint {
    pub(in crate::kubeadm) advertise_address: Option<String>,
    pub(in crate::kubeadm) bind_port: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct NodeRegistration {
    pub(in crate::kubeadm) name: Option<String>,
    pub(in crate::kubeadm) cri_socket: Option<String>,
    /// None leaves the default taint to a control-plane node; an empty list takes it away.
    pub(in crate::kubeadm) taints: Option<Vec<Taint>>,
    pub(in crate::kubeadm) kubelet_extra_args: Arguments,
    pub(in crate::kubeadm) ignore_preflight_errors: Vec<String>,
    #[serde(rename = "imagePullPolicy")]
    _image_pull_policy: Option<String>,
    #[serde(rename = "imagePullSerial")]
    _image_pull_serial: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kubeadm) struct Taint {
    pub(in crate::kubeadm) key: String,
    #[serde(default)]
    pub(in crate::kubeadm) value: String,
    pub(in crate::kubeadm) effect: String,
}

/// `extraArgs`: a list in v1beta4, a map in v1beta3.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(in crate::kubeadm) enum Arguments {
    List(Vec<Argument>),
    Map(BTreeMap<String, String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::kubeadm) struct Argument {
    pub(in crate::kubeadm) name: String,
    pub(in crate::kubeadm) value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Timeouts {
    pub(in crate::kubeadm) control_plane_component_health_check: Option<String>,
    pub(in crate::kubeadm) kubelet_health_check: Option<String>,
    #[serde(rename = "kubernetesAPICall")]
    pub(in crate::kubeadm) kubernetes_api_call: Option<String>,
    #[serde(rename = "etcdAPICall")]
    pub(in crate::kubeadm) etcd_api_call: Option<String>,
    pub(in crate::kubeadm) tls_bootstrap: Option<String>,
    pub(in crate::kubeadm) discovery: Option<String>,
    pub(in crate::kubeadm) upgrade_manifests: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct ClusterConfiguration {
    pub(in crate::kubeadm) etcd: Etcd,
    pub(in crate::kubeadm) networking: Networking,
    pub(in crate::kubeadm) kubernetes_version: Option<String>,
    pub(in crate::kubeadm) control_plane_endpoint: String,
    pub(in crate::kubeadm) api_server: Component,
    pub(in crate::kubeadm) controller_manager: Component,
    pub(in crate::kubeadm) scheduler: Component,
    pub(in crate::kubeadm) dns: Addon,
    pub(in crate::kubeadm) proxy: Addon,
    #[serde(rename = "certificatesDir")]
    pub(in crate::kubeadm) certificates_directory: Option<String>,
    pub(in crate::kubeadm) image_repository: Option<String>,
    #[serde(rename = "featureGates")]
    _feature_gates: BTreeMap<String, bool>,
    pub(in crate::kubeadm) cluster_name: Option<String>,
    #[serde(rename = "encryptionAlgorithm")]
    _encryption_algorithm: Option<String>,
    pub(in crate::kubeadm) certificate_validity_period: Option<String>,
    #[serde(rename = "caCertificateValidityPeriod")]
    _ca_certificate_validity_period: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Etcd {
    pub(in crate::kubeadm) local: Option<LocalEtcd>,
    pub(in crate::kubeadm) external: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct LocalEtcd {
    #[serde(rename = "imageRepository")]
    _image_repository: Option<String>,
    #[serde(rename = "imageTag")]
    _image_tag: Option<String>,
    pub(in crate::kubeadm) data_dir: Option<String>,
    pub(in crate::kubeadm) extra_args: Arguments,
    #[serde(rename = "extraEnvs")]
    _extra_envs: Vec<Value>,
    #[serde(rename = "serverCertSANs")]
    pub(in crate::kubeadm) server_names: Vec<String>,
    #[serde(rename = "peerCertSANs")]
    pub(in crate::kubeadm) peer_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Networking {
    pub(in crate::kubeadm) service_subnet: Option<String>,
    pub(in crate::kubeadm) pod_subnet: Option<String>,
    pub(in crate::kubeadm) dns_domain: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Component {
    pub(in crate::kubeadm) extra_args: Arguments,
    pub(in crate::kubeadm) extra_volumes: Vec<HostPathMount>,
    #[serde(rename = "extraEnvs")]
    _extra_envs: Vec<Value>,
    #[serde(rename = "certSANs")]
    pub(in crate::kubeadm) names: Vec<String>,
    pub(in crate::kubeadm) timeout_for_control_plane: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::kubeadm) struct HostPathMount {
    pub(in crate::kubeadm) name: String,
    pub(in crate::kubeadm) host_path: String,
    pub(in crate::kubeadm) mount_path: String,
    #[serde(default)]
    pub(in crate::kubeadm) read_only: bool,
    #[serde(default)]
    pub(in crate::kubeadm) path_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Addon {
    pub(in crate::kubeadm) image_repository: Option<String>,
    pub(in crate::kubeadm) image_tag: Option<String>,
    pub(in crate::kubeadm) disabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct JoinConfiguration {
    #[serde(rename = "dryRun")]
    _dry_run: bool,
    pub(in crate::kubeadm) node_registration: NodeRegistration,
    #[serde(rename = "caCertPath")]
    pub(in crate::kubeadm) ca_certificate_path: Option<String>,
    pub(in crate::kubeadm) discovery: Discovery,
    pub(in crate::kubeadm) control_plane: Option<JoinControlPlane>,
    #[serde(rename = "skipPhases")]
    pub(in crate::kubeadm) skip_phases: Vec<String>,
    pub(in crate::kubeadm) patches: Option<PatchesDirectory>,
    pub(in crate::kubeadm) timeouts: Timeouts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct JoinControlPlane {
    #[serde(rename = "localAPIEndpoint")]
    pub(in crate::kubeadm) local_api_endpoint: LocalApiEndpoint,
    pub(in crate::kubeadm) certificate_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct Discovery {
    pub(in crate::kubeadm) bootstrap_token: Option<TokenDiscovery>,
    pub(in crate::kubeadm) file: Option<Value>,
    pub(in crate::kubeadm) tls_bootstrap_token: Option<String>,
    pub(in crate::kubeadm) timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::kubeadm) struct TokenDiscovery {
    pub(in crate::kubeadm) token: String,
    pub(in crate::kubeadm) api_server_endpoint: String,
    #[serde(rename = "caCertHashes")]
    pub(in crate::kubeadm) ca_certificate_hashes: Vec<String>,
    #[serde(rename = "unsafeSkipCAVerification")]
    pub(in crate::kubeadm) skip_verification: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Arguments {
    /// The arguments in order, by name.
    pub(in crate::kubeadm) fn pairs(&self) -> Vec<(String, String)> {
        match self {
            Self::List(list) => list.iter().map(|one| (one.name.clone(), one.value.clone())).collect(),
            Self::Map(map) => map.clone().into_iter().collect(),
        }
    }
}
