//! What of a user's choice is refused before anything is made.

use multizone_kubernetes::{
    endpoint::ControlPlaneEndpoint,
    kubeadm::{
        self, Component, Customisation, InitSettings, NodeRegistration, PATH_TYPES, check_argument, check_patch,
        check_repeated, init_configuration, topology_labels,
    },
    user_data::{MasterStart, MasterUserData, PkiLocation, SECRET_MANAGER},
    version::KubernetesVersion,
};
use multizone_schema::{Diagnostics, Path, Planned, Value};

use super::{Kubeadm, KubeadmPlanned};

/// Volumes that kubeadm gives its pods.
const KUBEADMS_VOLUMES: [&str; 8] = [
    "ca-certs",
    "etc-ca-certificates",
    "etc-pki",
    "flexvolume-dir",
    "k8s-certs",
    "kubeconfig",
    "usr-local-share-ca-certificates",
    "usr-share-ca-certificates",
];

/// Directories in its pods that kubeadm fills.
const KUBEADMS_DIRECTORIES: [&str; 2] = ["/etc/kubernetes/pki", "/etc/ssl/certs"];

pub(super) fn api_server(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    component(Component::ApiServer, value, path, diagnostics);
}

pub(super) fn controller_manager(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    component(Component::ControllerManager, value, path, diagnostics);
}

pub(super) fn scheduler(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    component(Component::Scheduler, value, path, diagnostics);
}

pub(super) fn etcd(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    component(Component::Etcd, value, path, diagnostics);
}

fn component(component: Component, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (name, values) in value
        .attribute("extra_args")
        .and_then(Value::as_map)
        .into_iter()
        .flatten()
    {
        // What is unknown yet is checked once it is known.
        let Some(values) = values.as_elements().and_then(|values| {
            values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        }) else {
            continue;
        };
        if let Err(error) = check_argument(component, name, &values) {
            diagnostics.error(
                path.clone().attribute("extra_args").key(name),
                "Argument that is refused",
                format!("{component}: {error}."),
            );
        }
    }
    for (name, volume) in value
        .attribute("extra_volumes")
        .and_then(Value::as_map)
        .into_iter()
        .flatten()
    {
        let path = path.clone().attribute("extra_volumes").key(name);
        let mut refuse = |path: Path, what: &str| diagnostics.error(path, "Volume that is refused", what);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
        if name.len() > 63 || !name.bytes().all(plain) || !edge(name.bytes().next()) || !edge(name.bytes().next_back())
        {
            refuse(
                path.clone(),
                &format!(
                    "The name of a volume has up to 63 lower-case letters, digits and hyphens, a letter or digit first and \
                     last; {name:?} has not."
                ),
            );
        } else if KUBEADMS_VOLUMES.contains(&name.as_str()) {
            refuse(
                path.clone(),
                &format!("kubeadm gives {component} a volume {name} itself. Choose another name."),
            );
        }
        let mounted = volume.attribute("mount_path").and_then(Value::as_str);
        if let Some(mounted) = mounted.filter(|mounted| KUBEADMS_DIRECTORIES.contains(&mounted.trim_end_matches('/'))) {
            refuse(
                path.attribute("mount_path"),
                &format!("kubeadm fills {mounted} of {component} itself. Choose another path in the pod."),
            );
        }
    }
}

/// A path from the root.
pub(super) fn absolute(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value
        .as_str()
        .filter(|text| !text.starts_with('/') || text.contains("/../"))
    {
        diagnostics.error(
            path.clone(),
            "Path that is not absolute",
            format!("{path} is {text:?}; write a path from the root, for example /etc/kubernetes/audit."),
        );
    }
}

pub(super) fn path_type(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str().filter(|text| !PATH_TYPES.contains(text)) {
        diagnostics.error(
            path.clone(),
            "Unknown type of path",
            format!("{path}: {text:?} is none. Choose one of {}.", PATH_TYPES.join(", ")),
        );
    }
}

pub(super) fn patches(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (name, content) in value.as_map().into_iter().flatten() {
        // The name can be told while the content is unknown.
        let checked = match content.as_str() {
            Some(content) => check_patch(name, content),
            None => kubeadm::check_patch_name(name),
        };
        if let Err(error) = checked {
            diagnostics.error(path.clone().key(name), "Patch that is refused", format!("{error}."));
        }
    }
}

pub(super) fn kubelet_configuration(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(Err(error)) = value.as_str().map(kubeadm::kubelet_configuration) {
        diagnostics.error(
            path.clone(),
            "Configuration that is refused",
            format!("{path}: {error}."),
        );
    }
}

pub(super) fn kube_proxy_configuration(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(Err(error)) = value.as_str().map(kubeadm::kube_proxy_configuration) {
        diagnostics.error(
            path.clone(),
            "Configuration that is refused",
            format!("{path}: {error}."),
        );
    }
}

pub(super) fn image_repository(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    let part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let (registry, path_on_it) = text.split_once('/').unwrap_or((text, ""));
    let (host, number) = registry.split_once(':').unwrap_or((registry, "1"));
    let well_formed =
        part(host) && number.parse::<u16>().is_ok() && (!text.contains('/') || path_on_it.split('/').all(part));
    if !well_formed {
        diagnostics.error(
            path.clone(),
            "Malformed image repository",
            format!(
                "{path} cannot be {text:?}: write a registry's host and a path on it, without a scheme, a tag or a slash at \
                 the end, for example mirror.example.com/kubernetes."
            ),
        );
    }
}

pub(super) fn cri_socket(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str().filter(|text| !text.starts_with("unix:///")) {
        diagnostics.error(
            path.clone(),
            "Malformed socket",
            format!("{path} cannot be {text:?}: write unix:// and a path, for example unix:///run/crio/crio.sock."),
        );
    }
}

/// What depends on the version, and on all of it together.
pub(in crate::resources::control_plane) fn check_with_version(
    planned: &Planned<KubeadmPlanned>,
    version: &str,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let (Ok(kubeadm), Ok(version)) = (Kubeadm::planned(planned), version.parse::<KubernetesVersion>()) else {
        return diagnostics;
    };
    let Ok(customisation) = kubeadm.customisation() else {
        return diagnostics;
    };
    for (component, settings) in &customisation.components {
        let attribute = match component {
            Component::ApiServer => "api_server",
            Component::ControllerManager => "controller_manager",
            Component::Scheduler => "scheduler",
            Component::Etcd => "etcd",
        };
        for (name, values) in &settings.arguments {
            if let Err(error) = check_repeated(*component, name, values, version) {
                let path = Path::from("kubeadm").attribute(attribute);
                let path = path.attribute("extra_args").key(name);
                diagnostics.error(path, "Argument that is refused", format!("{component}: {error}."));
            }
        }
    }
    if customisation != Customisation::default()
        && let Err(error) = largest(version, &customisation).render()
    {
        let text = format!(
            "What kubeadm is told makes a master's user data too large: {error}. Larger files belong into an image of \
             your own."
        );
        diagnostics.error(Path::from("kubeadm"), "User data that no cloud takes", text);
    }
    diagnostics
}

/// A first master's user data with names as long as they may be: those of no cluster are longer.
fn largest(version: KubernetesVersion, customisation: &Customisation) -> MasterUserData {
    let name = "m".repeat(63);
    let endpoint = "255.255.255.255";
    let range = "255.255.255.0/24";
    let settings = InitSettings {
        version,
        cluster_name: name.clone(),
        endpoint: ControlPlaneEndpoint::new(endpoint),
        advertise_address: None,
        certificate_names: Vec::new(),
        pod_cidr: range.parse().unwrap_or_default(),
        service_cidr: range.parse().unwrap_or_default(),
        node: NodeRegistration {
            provider_id: format!("gce://{name}/{name}/{name}"),
            labels: topology_labels(&name, &name, true),
            cri_socket: customisation.cri_socket.clone(),
            name: name.clone(),
            ..NodeRegistration::default()
        },
        customisation: customisation.clone(),
    };
    MasterUserData {
        version,
        start: MasterStart::Init,
        kubeadm_configuration: init_configuration(&settings),
        pki: PkiLocation::SecretManager {
            url: SECRET_MANAGER.to_owned(),
            project: name.clone(),
            secret: format!("{name}{name}"),
        },
        endpoint_address: endpoint.parse().ok(),
        endpoint_name: None,
        patches: customisation.patches.clone(),
    }
}
