//! What a user chooses, as `multizone_kubernetes` renders it.

use std::collections::BTreeMap;

use multizone_kubernetes::kubeadm::{
    self, Component, ComponentSettings, Customisation, HostVolume, RefusedConfiguration,
};
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Path, Planned};

use super::{Kubeadm, KubeadmComponent, KubeadmEtcd, KubeadmPlanned, KubeadmVolume};

impl Kubeadm {
    /// What a plan or a configuration asks for; the defaults where it asks for nothing.
    pub(in crate::resources::control_plane) fn planned(planned: &Planned<KubeadmPlanned>) -> Result<Self, Diagnostics> {
        let mut planned = planned.clone();
        if let Some(given) = planned.known_mut() {
            with_defaults(given);
        }
        let given = Option::<Self>::from_planned(planned);
        let unknown = |_| Diagnostic::error("Value not known", "kubeadm has no value when it is needed.").at("kubeadm");
        Ok(given.map_err(unknown)?.unwrap_or_default())
    }

    /// The choice as kubeadm's documents have it.
    pub(in crate::resources::control_plane) fn customisation(&self) -> Result<Customisation, Diagnostics> {
        let mut components = BTreeMap::new();
        for (component, given) in [
            (Component::ApiServer, &self.api_server),
            (Component::ControllerManager, &self.controller_manager),
            (Component::Scheduler, &self.scheduler),
        ] {
            components.extend(given.as_ref().map(|given| (component, given.settings())));
        }
        components.extend(self.etcd.as_ref().map(|given| (Component::Etcd, given.settings())));
        components.retain(|_, settings| *settings != ComponentSettings::default());
        Ok(Customisation {
            components,
            patches: self.patches.clone().unwrap_or_default(),
            kubelet: read(
                "kubelet_configuration",
                self.kubelet_configuration.as_deref(),
                kubeadm::kubelet_configuration,
            )?,
            kube_proxy: read(
                "kube_proxy_configuration",
                self.kube_proxy_configuration.as_deref(),
                kubeadm::kube_proxy_configuration,
            )?,
            image_repository: self.image_repository.clone(),
            cri_socket: self.cri_socket.clone(),
        })
    }
}

/// A configuration has no defaults yet.
fn with_defaults(given: &mut KubeadmPlanned) {
    let default = |flag: &mut Planned<bool>| {
        if flag.is_null() {
            *flag = true.into();
        }
    };
    default(&mut given.control_plane_taint);
    default(&mut given.exclude_from_external_load_balancers);
    for component in [
        &mut given.api_server,
        &mut given.controller_manager,
        &mut given.scheduler,
    ] {
        let volumes = component.known_mut().and_then(|given| given.extra_volumes.known_mut());
        for volume in volumes.into_iter().flat_map(BTreeMap::values_mut) {
            if let Some(volume) = volume.known_mut() {
                default(&mut volume.read_only);
            }
        }
    }
}

fn read<T: Default>(
    attribute: &str,
    text: Option<&str>,
    read: impl Fn(&str) -> Result<T, RefusedConfiguration>,
) -> Result<T, Diagnostics> {
    text.map_or(Ok(T::default()), read).map_err(|error| {
        let path = Path::from("kubeadm").attribute(attribute);
        let text = format!("{path}: {error}.");
        Diagnostic::error("Configuration that is refused", text).at(path).into()
    })
}

impl KubeadmComponent {
    fn settings(&self) -> ComponentSettings {
        let volumes = self.extra_volumes.iter().flatten();
        ComponentSettings {
            arguments: self.extra_args.clone().unwrap_or_default(),
            volumes: volumes.map(|(name, volume)| (name.clone(), volume.volume())).collect(),
        }
    }
}

impl KubeadmEtcd {
    fn settings(&self) -> ComponentSettings {
        ComponentSettings {
            arguments: self.extra_args.clone().unwrap_or_default(),
            volumes: BTreeMap::new(),
        }
    }
}

impl KubeadmVolume {
    fn volume(&self) -> HostVolume {
        HostVolume {
            host_path: self.host_path.clone(),
            mount_path: self.mount_path.clone(),
            read_only: self.read_only,
            path_type: self.path_type.clone(),
        }
    }
}
