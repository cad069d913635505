//! What a user chooses beyond kubeadm's own settings, as the kubeadm guides have it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::arguments::{Arguments, Component, with_defaults};
use super::{extra_arguments, uses_lists};
use crate::version::KubernetesVersion;

/// Where images come from when nobody chooses another place.
pub const DEFAULT_IMAGE_REPOSITORY: &str = "registry.k8s.io";

/// What a user chooses.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Customisation {
    /// Arguments and volumes of the components.
    pub components: BTreeMap<Component, ComponentSettings>,
    /// Patches by the name of their file; see [`super::check_patch_name`].
    pub patches: BTreeMap<String, String>,
    /// Fields of the `KubeletConfiguration` of every machine; see [`super::kubelet_configuration`].
    pub kubelet: Map<String, Value>,
    /// Fields of the `KubeProxyConfiguration`; see [`super::kube_proxy_configuration`].
    pub kube_proxy: Map<String, Value>,
    /// Where the images of the control plane come from; [`DEFAULT_IMAGE_REPOSITORY`] if unset.
    pub image_repository: Option<String>,
    /// Where the masters' container runtime listens; containerd's socket if unset.
    pub cri_socket: Option<String>,
}

/// What a user chooses for one component.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ComponentSettings {
    /// Further arguments; see [`super::check_argument`].
    pub arguments: Arguments,
    /// Directories and files of the machine in the component's pod, by name.  etcd's pod has none.
    pub volumes: BTreeMap<String, HostVolume>,
}

/// A directory or a file of the machine in a component's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVolume {
    /// The path on the machine.
    pub host_path: String,
    /// The path in the pod.
    pub mount_path: String,
    /// Whether the component may only read it.
    pub read_only: bool,
    /// What the path on the machine is to be, such as `DirectoryOrCreate`; nothing is checked if unset.
    pub path_type: Option<String>,
}

/// What a volume's path may be asked to be; Kubernetes' `HostPathType`.
pub const PATH_TYPES: [&str; 7] = [
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
];

impl HostVolume {
    /// As `extraVolumes` has it.
    pub(crate) fn document(&self, name: &str) -> Value {
        let mut document = json!({
            "name": name,
            "hostPath": self.host_path,
            "mountPath": self.mount_path,
        });
        if self.read_only {
            document["readOnly"] = Value::from(true);
        }
        if let Some(path_type) = &self.path_type {
            document["pathType"] = Value::from(path_type.clone());
        }
        document
    }
}

impl Customisation {
    /// A component's arguments, with this provider's own beneath.
    pub(crate) fn arguments(&self, component: Component) -> Arguments {
        match self.components.get(&component) {
            Some(given) => with_defaults(component, &given.arguments),
            None => with_defaults(component, &Arguments::new()),
        }
    }

    /// A component's volumes, by name.
    pub(crate) fn volumes(&self, component: Component) -> BTreeMap<String, Value> {
        let given = self.components.get(&component).map(|given| &given.volumes);
        let volumes = given.into_iter().flatten();
        volumes
            .map(|(name, volume)| (name.clone(), volume.document(name)))
            .collect()
    }

    /// Adds a component's arguments and volumes to its part of a `ClusterConfiguration`.
    pub(super) fn complete(&self, component: Component, version: KubernetesVersion, part: &mut Value) {
        let arguments = self.arguments(component);
        if !arguments.is_empty() {
            part["extraArgs"] = extra_arguments(uses_lists(version), pairs(&arguments));
        }
        let volumes = self.volumes(component);
        if !volumes.is_empty() {
            part["extraVolumes"] = volumes.into_values().collect();
        }
    }

    /// What of it a master's machine is made from, as text: other texts, other machines.  Empty when nothing is chosen.
    /// kube-proxy's configuration is the cluster's alone.
    pub fn machine_text(&self) -> String {
        let chosen = Self {
            kube_proxy: Map::new(),
            ..self.clone()
        };
        chosen.text()
    }

    /// What of it the cluster keeps of itself, as text: other texts, other settings.  Empty when nothing is chosen.
    pub fn settings_text(&self) -> String {
        let chosen = Self {
            patches: BTreeMap::new(),
            kube_proxy: Map::new(),
            cri_socket: None,
            ..self.clone()
        };
        chosen.text()
    }

    /// What of it kubeadm's addons are made from, as text: other texts, other addons.  Empty when nothing is chosen.
    pub fn addons_text(&self) -> String {
        let chosen = Self {
            kube_proxy: self.kube_proxy.clone(),
            image_repository: self.image_repository.clone(),
            ..Self::default()
        };
        chosen.text()
    }

    /// All of it as text, to tell two of them apart.  Empty when nothing is chosen.
    pub fn text(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        let component = |(component, given): (&Component, &ComponentSettings)| {
            let volumes: Vec<_> = given
                .volumes
                .iter()
                .map(|(name, volume)| volume.document(name))
                .collect();
            (
                component.field().to_owned(),
                json!({ "arguments": given.arguments, "volumes": volumes }),
            )
        };
        json!({
            "components": self.components.iter().map(component).collect::<Map<_, _>>(),
            "patches": self.patches,
            "kubelet": self.kubelet,
            "kubeProxy": self.kube_proxy,
            "imageRepository": self.image_repository,
            "criSocket": self.cri_socket,
        })
        .to_string()
    }
}

/// Arguments one by one: an argument with several values comes several times.
pub(crate) fn pairs(arguments: &Arguments) -> Vec<(String, String)> {
    let of_one = |(name, values): (&String, &Vec<String>)| {
        let name = name.clone();
        values.clone().into_iter().map(move |value| (name.clone(), value))
    };
    arguments.iter().flat_map(of_one).collect()
}
