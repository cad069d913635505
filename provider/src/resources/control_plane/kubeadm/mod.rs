//! `kubeadm` of `multizone_control_plane`: what a user chooses beyond kubeadm's own settings, as the kubeadm guides have
//! it.  [`checks`] refuses what would break the cluster, with the attribute's path; [`choice`] makes of it what
//! `multizone_kubernetes` renders.

mod checks;
mod choice;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use multizone_schema::Nested;
use serde::{Deserialize, Serialize};

pub(super) use checks::check_with_version;

/// What kubeadm is told beyond its own settings.
///
/// The first master is initialised with it; further ones read it in the cluster. When it changes, the settings in the
/// cluster (kubeadm-config, kubelet-config) change first, and then the masters are replaced one by one, as with a new
/// version. `kube_proxy_configuration` alone, `control_plane_taint` and `exclude_from_external_load_balancers`
/// replace no master.
#[derive(Nested, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubeadm {
    /// kube-apiserver: further arguments, and directories or files of the machine in its pod.
    #[attribute(optional, nested, validate = checks::api_server)]
    pub api_server: Option<KubeadmComponent>,
    /// kube-controller-manager: the same.
    #[attribute(optional, nested, validate = checks::controller_manager)]
    pub controller_manager: Option<KubeadmComponent>,
    /// kube-scheduler: the same.
    #[attribute(optional, nested, validate = checks::scheduler)]
    pub scheduler: Option<KubeadmComponent>,
    /// etcd on the masters: further arguments.
    #[attribute(optional, nested, validate = checks::etcd)]
    pub etcd: Option<KubeadmEtcd>,
    /// Patches of what kubeadm writes on a master, by the name of their file, `TARGET[SUFFIX][+TYPE].yaml` or `.json`:
    /// `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `etcd` or `kubeletconfiguration`, then letters and
    /// digits that order them, then `strategic` (the default), `merge` or `json`. They are part of the machine's user data:
    /// no secrets.
    #[attribute(optional, validate = checks::patches)]
    pub patches: Option<BTreeMap<String, String>>,
    /// A `KubeletConfiguration` of `kubelet.config.k8s.io/v1beta1` in YAML, for example from `yamlencode`: fields for the
    /// kubelets of every machine that joins from then on, workers too.
    #[attribute(optional, validate = checks::kubelet_configuration)]
    pub kubelet_configuration: Option<String>,
    /// A `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1` in YAML. When it changes, the pods of kube-proxy are
    /// made anew.
    #[attribute(optional, validate = checks::kube_proxy_configuration)]
    pub kube_proxy_configuration: Option<String>,
    /// Where the images of the control plane come from, without a scheme. Defaults to `registry.k8s.io`.
    #[attribute(optional, validate = checks::image_repository)]
    pub image_repository: Option<String>,
    /// Where the container runtime of the masters listens, `unix:///PATH`, for an `image` that brings its own. Defaults to
    /// containerd's, which every machine gets.
    #[attribute(optional, validate = checks::cri_socket)]
    pub cri_socket: Option<String>,
    /// Keep pods that do not tolerate it off the masters, by the taint `node-role.kubernetes.io/control-plane`.
    #[attribute(optional, default = true)]
    pub control_plane_taint: bool,
    /// Keep load balancers of Services from sending traffic to the masters, by the label
    /// `node.kubernetes.io/exclude-from-external-load-balancers`.
    #[attribute(optional, default = true)]
    pub exclude_from_external_load_balancers: bool,
}

/// A component that kubeadm runs as a static pod.
#[derive(Nested, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeadmComponent {
    /// Arguments by name, without the leading dashes, each with its values: one, or several (from Kubernetes 1.31 on) for
    /// an argument that may be repeated.
    #[attribute(optional)]
    pub extra_args: Option<BTreeMap<String, Vec<String>>>,
    /// Directories and files of the machine in the component's pod, by a name.
    #[attribute(optional, nested)]
    pub extra_volumes: Option<BTreeMap<String, KubeadmVolume>>,
}

/// etcd, as kubeadm runs it.
#[derive(Nested, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeadmEtcd {
    /// Arguments by name, without the leading dashes, each with its values.
    #[attribute(optional)]
    pub extra_args: Option<BTreeMap<String, Vec<String>>>,
}

/// A directory or a file of the machine in a component's pod.
#[derive(Nested, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KubeadmVolume {
    /// The path on the machine.
    #[attribute(required, validate = checks::absolute)]
    pub host_path: String,
    /// The path in the pod.
    #[attribute(required, validate = checks::absolute)]
    pub mount_path: String,
    /// Whether the component may only read it.
    #[attribute(optional, default = true)]
    pub read_only: bool,
    /// What the path on the machine is to be: `DirectoryOrCreate`, `Directory`, `FileOrCreate`, `File`, `Socket`,
    /// `CharDevice` or `BlockDevice`. Nothing is checked without it.
    #[attribute(optional, validate = checks::path_type)]
    pub path_type: Option<String>,
}

impl Default for Kubeadm {
    fn default() -> Self {
        Self {
            api_server: None,
            controller_manager: None,
            scheduler: None,
            etcd: None,
            patches: None,
            kubelet_configuration: None,
            kube_proxy_configuration: None,
            image_repository: None,
            cri_socket: None,
            control_plane_taint: true,
            exclude_from_external_load_balancers: true,
        }
    }
}
