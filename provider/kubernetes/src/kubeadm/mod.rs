//! kubeadm's configuration files, for the first control-plane machine, and for masters and workers that join.
//!
//! `v1beta4` from Kubernetes 1.31 on, `v1beta3` below. The two differ where this module looks: `extraArgs` is a list of
//! names and values in `v1beta4` and a map in `v1beta3`, and the time to wait for the control plane moved.

mod arguments;
mod component_configuration;
mod customisation;
pub(crate) mod duration;
mod patches;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

pub use arguments::{
    Arguments, Component, RefusedArgument, SHUTDOWN_DELAY, STATIC_POD_GRACE_PERIOD, check_argument, check_repeated,
};
pub(crate) use component_configuration::{KUBE_PROXY_API, KUBELET_API, kubelet_fields};
pub use component_configuration::{RefusedConfiguration, kube_proxy_configuration, kubelet_configuration};
pub(crate) use customisation::pairs;
pub use customisation::{ComponentSettings, Customisation, DEFAULT_IMAGE_REPOSITORY, HostVolume, PATH_TYPES};
pub use patches::{PATCHES_DIRECTORY, RefusedPatch, check_patch, check_patch_name};

use crate::API_SERVER_PORT;
use crate::bootstrap_token::BootstrapToken;
use crate::endpoint::ControlPlaneEndpoint;
use crate::labels::{self, Taint};
use crate::version::KubernetesVersion;
use crate::yaml;

/// Where containerd listens: named, because kubeadm refuses to choose when a machine has several runtimes.
pub const CONTAINER_RUNTIME_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// How long kubeadm waits for the API server's pod, or for the cluster it joins.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a machine's pods get between the order to stop and the end, [`STATIC_POD_GRACE_PERIOD`] of it for static pods
/// and others of its rank. Compute Engine allows 90 seconds.
const SHUTDOWN_GRACE: Duration = Duration::from_mins(1);

/// How a machine registers as a node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct NodeRegistration {
    /// The node's name: the machine's.
    pub name: String,
    /// The machine's address in the cluster's network. Without it the kubelet takes the address of the default route.
    pub node_ip: Option<IpAddr>,
    /// The cloud's name for the machine, such as `gce://PROJECT/ZONE/NAME`; its zone is the node's.
    pub provider_id: String,
    /// The labels the kubelet gives itself: see [`topology_labels`] and [`labels::check_node_label`].
    pub labels: BTreeMap<String, String>,
    /// The taints at registration. `None` leaves them to kubeadm: a control-plane machine gets its taint, a worker
    /// none. An empty list on a control-plane machine lets ordinary pods run there.
    pub taints: Option<Vec<Taint>>,
    /// Where the container runtime listens; [`CONTAINER_RUNTIME_SOCKET`] if unset.
    pub cri_socket: Option<String>,
}

/// What `kubeadm init` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitSettings {
    /// The cluster's version.
    pub version: KubernetesVersion,
    /// The cluster's name.
    pub cluster_name: String,
    /// The shared endpoint. There is no way to leave it out: a cluster made without one cannot become highly available.
    pub endpoint: ControlPlaneEndpoint,
    /// The address at which this machine's API server is reached by others; kubeadm takes the default route's if unset.
    pub advertise_address: Option<IpAddr>,
    /// Further names and addresses for the API server's certificate: every replica's. The endpoint is always in it.
    pub certificate_names: Vec<String>,
    /// The pods' addresses.
    pub pod_cidr: IpNet,
    /// The services' addresses.
    pub service_cidr: IpNet,
    /// The machine as a node.
    pub node: NodeRegistration,
    /// What the user chooses beyond kubeadm's own settings.
    pub customisation: Customisation,
}

/// What `kubeadm join` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSettings {
    /// The machine's version, whose kubeadm reads the file. A master's must be of the cluster's minor.
    pub version: KubernetesVersion,
    /// The cluster's endpoint: another master or the balancer answers there.
    pub endpoint: ControlPlaneEndpoint,
    /// The token made for this join.
    pub token: BootstrapToken,
    /// The authority's hash; see [`crate::pki::ClusterPki::ca_certificate_hash`].
    pub ca_certificate_hash: String,
    /// The machine as a node.
    pub node: NodeRegistration,
    /// The machine becomes a further master; `None` makes it a worker.
    pub control_plane: Option<ControlPlaneJoin>,
    /// The machine has patches, in [`PATCHES_DIRECTORY`].
    pub patched: bool,
}

/// What makes a joining machine a master. There is no certificate key: the machine has the cluster's authorities from
/// the secret store before kubeadm starts, and kubeadm issues its certificates from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneJoin {
    /// The address at which this machine's API server and etcd member are reached by others; kubeadm takes the default
    /// route's if unset.
    pub advertise_address: Option<IpAddr>,
}

/// The labels that say where a node is; `legacy` adds the failure-domain.beta.kubernetes.io pair.
pub fn topology_labels(region: &str, zone: &str, legacy: bool) -> BTreeMap<String, String> {
    let mut keys = vec![(labels::REGION, region), (labels::ZONE, zone)];
    if legacy {
        keys.extend([(labels::LEGACY_REGION, region), (labels::LEGACY_ZONE, zone)]);
    }
    keys.into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The file for `kubeadm init --config`: four documents.
pub fn init_configuration(settings: &InitSettings) -> String {
    let mut kube_proxy = Map::from_iter([("clusterCIDR".to_owned(), Value::from(settings.pod_cidr.to_string()))]);
    kube_proxy.extend(settings.customisation.kube_proxy.clone());
    let documents = [
        init_document(settings),
        cluster_document(settings),
        // kubeadm stores both in the cluster, and every machine that joins reads them there.
        with_kind(
            KUBELET_API,
            "KubeletConfiguration",
            kubelet_fields(&settings.customisation.kubelet),
        ),
        with_kind(KUBE_PROXY_API, "KubeProxyConfiguration", kube_proxy),
    ];
    yaml::documents(&documents.map(|document| yaml::document(&document)))
}

/// A document of these fields.
pub(crate) fn with_kind(api_version: &str, kind: &str, mut fields: Map<String, Value>) -> Value {
    fields.insert("apiVersion".to_owned(), Value::from(api_version));
    fields.insert("kind".to_owned(), Value::from(kind));
    Value::from(fields)
}

/// The file for `kubeadm join --config`.
pub fn join_configuration(settings: &JoinSettings) -> String {
    let api = settings.version.kubeadm_api();
    let mut discovery = json!({
        "bootstrapToken": {
            "apiServerEndpoint": settings.endpoint.to_string(),
            "token": settings.token.expose(),
            "caCertHashes": [settings.ca_certificate_hash],
        },
    });
    let mut document = Map::new();
    if uses_lists(settings.version) {
        let mut timeouts = json!({ "discovery": go_duration(PATIENCE) });
        if settings.control_plane.is_some() {
            timeouts["controlPlaneComponentHealthCheck"] = go_duration(PATIENCE);
        }
        document.insert("timeouts".to_owned(), timeouts);
    } else {
        discovery["timeout"] = go_duration(PATIENCE);
    }
    if let Some(control_plane) = &settings.control_plane {
        let local = local_endpoint(control_plane.advertise_address);
        document.insert("controlPlane".to_owned(), json!({ "localAPIEndpoint": local }));
    }
    document.insert("apiVersion".to_owned(), Value::from(api));
    document.insert("kind".to_owned(), Value::from("JoinConfiguration"));
    document.insert("discovery".to_owned(), discovery);
    document.insert(
        "nodeRegistration".to_owned(),
        registration(settings.version, &settings.node),
    );
    if settings.patched {
        document.insert("patches".to_owned(), json!({ "directory": PATCHES_DIRECTORY }));
    }
    yaml::document(&Value::from(document))
}

fn init_document(settings: &InitSettings) -> Value {
    let local = local_endpoint(settings.advertise_address);
    let mut document = json!({
        "apiVersion": settings.version.kubeadm_api(),
        "kind": "InitConfiguration",
        // kubeadm insists on making a token and prints it: let it die at once. Joins use tokens made for them.
        "bootstrapTokens": [{ "description": "unused, made by kubeadm init", "ttl": "1m0s" }],
        "localAPIEndpoint": local,
        "nodeRegistration": registration(settings.version, &settings.node),
    });
    if uses_lists(settings.version) {
        document["timeouts"] = json!({ "controlPlaneComponentHealthCheck": go_duration(PATIENCE) });
    }
    if !settings.customisation.patches.is_empty() {
        document["patches"] = json!({ "directory": PATCHES_DIRECTORY });
    }
    document
}

fn local_endpoint(advertise_address: Option<IpAddr>) -> Value {
    let mut local = json!({ "bindPort": API_SERVER_PORT });
    if let Some(address) = advertise_address {
        local["advertiseAddress"] = Value::from(address.to_string());
    }
    local
}

fn cluster_document(settings: &InitSettings) -> Value {
    let version = settings.version;
    let mut names = vec![settings.endpoint.host.clone()];
    for name in &settings.certificate_names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut api_server = json!({ "certSANs": names });
    if !uses_lists(version) {
        api_server["timeoutForControlPlane"] = go_duration(PATIENCE);
    }
    let mut document = json!({
        "apiVersion": version.kubeadm_api(),
        "kind": "ClusterConfiguration",
        "clusterName": settings.cluster_name,
        "kubernetesVersion": format!("v{version}"),
        "controlPlaneEndpoint": settings.endpoint.to_string(),
        "networking": {
            "dnsDomain": "cluster.local",
            "podSubnet": settings.pod_cidr.to_string(),
            "serviceSubnet": settings.service_cidr.to_string(),
        },
        "apiServer": api_server,
    });
    let customisation = &settings.customisation;
    customisation.complete(Component::ApiServer, version, &mut document["apiServer"]);
    for component in [Component::ControllerManager, Component::Scheduler] {
        let mut part = json!({});
        customisation.complete(component, version, &mut part);
        if part != json!({}) {
            document[component.field()] = part;
        }
    }
    let mut etcd = json!({});
    customisation.complete(Component::Etcd, version, &mut etcd);
    if etcd != json!({}) {
        document["etcd"] = json!({ "local": etcd });
    }
    if let Some(repository) = &customisation.image_repository {
        document["imageRepository"] = Value::from(repository.clone());
    }
    document
}

fn registration(version: KubernetesVersion, node: &NodeRegistration) -> Value {
    let mut arguments = BTreeMap::from([("provider-id".to_owned(), node.provider_id.clone())]);
    if let Some(address) = node.node_ip {
        arguments.insert("node-ip".to_owned(), address.to_string());
    }
    if !node.labels.is_empty() {
        let pairs: Vec<_> = node
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        arguments.insert("node-labels".to_owned(), pairs.join(","));
    }
    let mut registration = json!({
        "name": node.name,
        "criSocket": node.cri_socket.as_deref().unwrap_or(CONTAINER_RUNTIME_SOCKET),
        "kubeletExtraArgs": extra_arguments(uses_lists(version), arguments),
    });
    if let Some(taints) = &node.taints {
        registration["taints"] = taints
            .iter()
            .map(|taint| {
                let mut entry = json!({ "key": taint.key, "effect": taint.effect.as_str() });
                if !taint.value.is_empty() {
                    entry["value"] = Value::from(taint.value.clone());
                }
                entry
            })
            .collect();
    }
    registration
}

/// Rule: extraArgs is a list in v1beta4 and a map in v1beta3.
pub(crate) fn extra_arguments(list: bool, arguments: impl IntoIterator<Item = (String, String)>) -> Value {
    let arguments = arguments.into_iter();
    if list {
        arguments
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()
    } else {
        arguments
            .map(|(name, value)| (name, Value::from(value)))
            .collect::<Map<_, _>>()
            .into()
    }
}

pub(crate) fn uses_lists(version: KubernetesVersion) -> bool {
    version.kubeadm_api().ends_with("v1beta4")
}

/// A duration as Go writes it, which is how kubeadm stores it in the cluster.
fn go_duration(duration: Duration) -> Value {
    Value::from(duration::format(duration))
}

#[cfg(test)]
mod tests;
