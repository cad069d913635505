//! What kubeadm is told about a master, with everything that follows from it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::certificates::{self, LEAF_LIFETIME};
use super::documents::{ClusterConfiguration, InitConfiguration, LocalApiEndpoint, PatchesDirectory, read_init};
use super::kubelet_files::node_name;
use super::manifests::{self, ControlPlane};
use super::patches::Patches;
use super::version::{Version, check_cluster};
use super::{go_duration, go_text};
use crate::machine::Machine;

/// The API server's port when nothing else is said.
const API_PORT: u16 = 6443;
const DEFAULT_SERVICE_CIDR: &str = "10.96.0.0/12";
const DEFAULT_DOMAIN: &str = "cluster.local";
const DEFAULT_ETCD_DIRECTORY: &str = "/var/lib/etcd";
pub(super) const DEFAULT_REPOSITORY: &str = "registry.k8s.io";

/// A machine that becomes a master: what its certificates, kubeconfigs and static pods follow from.
pub(super) struct Master {
    pub(super) cluster: ClusterConfiguration,
    pub(super) node: String,
    pub(super) cluster_name: String,
    pub(super) version: Version,
    pub(super) advertise: Ipv4Addr,
    pub(super) port: u16,
    /// Host and port of the shared endpoint.
    pub(super) endpoint: (String, u16),
    pub(super) service_cidr: IpNet,
    pub(super) service_cidr_text: String,
    pub(super) pod_cidr: Option<String>,
    pub(super) domain: String,
    pub(super) etcd_directory: String,
    pub(super) leaf_lifetime: Duration,
    pub(super) patches: Patches,
}

/// The settings of `kubeadm init`, with everything that follows from them.
pub(super) struct Init {
    pub(super) master: Master,
    pub(super) settings: InitConfiguration,
    /// The `ClusterConfiguration` as written.
    pub(super) cluster_document: Value,
    pub(super) kubelet: Option<Value>,
    pub(super) kube_proxy: Option<Value>,
}

/// Reads and completes the configuration file at `path`.
pub(super) fn load(machine: &Machine, path: &str) -> Result<Init, String> {
    let kubeadm = Version::installed(&machine.disk, "kubeadm").map_err(|error| error.to_string())?;
    let text = machine.disk.required_text(path).map_err(|error| error.to_string())?;
    let documents = read_init(&text, kubeadm).map_err(|error| format!("{path}: {error}"))?;
    let node = node_name(machine, &documents.init.node_registration);
    let local = &documents.init.local_api_endpoint;
    Ok(Init {
        master: Master::new(
            machine,
            kubeadm,
            documents.cluster,
            local,
            node,
            documents.init.patches.as_ref(),
        )?,
        settings: documents.init,
        cluster_document: documents.cluster_document,
        kubelet: documents.kubelet,
        kube_proxy: documents.kube_proxy,
    })
}

impl Master {
    /// Completes the cluster's configuration for this machine.
    pub(super) fn new(
        machine: &Machine,
        kubeadm: Version,
        cluster: ClusterConfiguration,
        local: &LocalApiEndpoint,
        node: String,
        patches: Option<&PatchesDirectory>,
    ) -> Result<Self, String> {
        if cluster.etcd.external.is_some() {
            return Err("the sandbox has no external etcd".to_owned());
        }
        if cluster
            .certificates_directory
            .as_deref()
            .is_some_and(|directory| directory != certificates::DIRECTORY)
        {
            return Err(format!(
                "the sandbox keeps certificates in {} only",
                certificates::DIRECTORY
            ));
        }
        let version = match &cluster.kubernetes_version {
            Some(version) => version.parse()?,
            None => kubeadm,
        };
        check_cluster(kubeadm, version)?;
        let advertise = match &local.advertise_address {
            None => machine.spec.address,
            Some(text) => text
                .parse()
                .map_err(|_| format!("couldn't use \"{text}\" as \"apiserver-advertise-address\""))?,
        };
        let port = local.bind_port.unwrap_or(API_PORT);
        let networking = &cluster.networking;
        let service_cidr_text = networking
            .service_subnet
            .clone()
            .unwrap_or_else(|| DEFAULT_SERVICE_CIDR.to_owned());
        let leaf_lifetime = match &cluster.certificate_validity_period {
            None => LEAF_LIFETIME,
            Some(text) => {
                go_duration(text).ok_or_else(|| format!("certificateValidityPeriod {text:?} is not a duration"))?
            }
        };
        let etcd = cluster.etcd.local.as_ref();
        Ok(Self {
            node,
            cluster_name: cluster.cluster_name.clone().unwrap_or_else(|| "kubernetes".to_owned()),
            version,
            advertise,
            port,
            endpoint: split_endpoint(&cluster.control_plane_endpoint, port)?,
            service_cidr: service_cidr_text
                .parse()
                .map_err(|_| format!("couldn't parse subnet {service_cidr_text}"))?,
            service_cidr_text,
            pod_cidr: networking.pod_subnet.clone(),
            domain: networking
                .dns_domain
                .clone()
                .unwrap_or_else(|| DEFAULT_DOMAIN.to_owned()),
            etcd_directory: etcd
                .and_then(|local| local.data_dir.clone())
                .unwrap_or_else(|| DEFAULT_ETCD_DIRECTORY.to_owned()),
            leaf_lifetime,
            patches: Patches::load(machine, patches)?,
            cluster,
        })
    }

    /// The static pods; see [`ControlPlane::joins`].
    pub(super) fn control_plane<'a>(&'a self, joins: Option<&'a str>) -> ControlPlane<'a> {
        ControlPlane {
            cluster: &self.cluster,
            version: self.version,
            node: &self.node,
            advertise: self.advertise,
            port: self.port,
            service_cidr: &self.service_cidr_text,
            pod_cidr: self.pod_cidr.as_deref(),
            etcd_directory: &self.etcd_directory,
            joins,
        }
    }

    /// The shared endpoint's URL.
    pub(super) fn endpoint_url(&self) -> String {
        format!("https://{}:{}", self.endpoint.0, self.endpoint.1)
    }

    /// Where this machine's own components find the API: since 1.33 they talk to their own API server.
    pub(super) fn own_server(&self) -> String {
        if (self.version.major, self.version.minor) >= (1, 33) {
            self.local_url()
        } else {
            self.endpoint_url()
        }
    }

    /// This machine's own API server's URL.
    pub(super) fn local_url(&self) -> String {
        format!("https://{}:{}", self.advertise, self.port)
    }

    /// The `n`th address of the service network.
    pub(super) fn service_address(&self, n: u128) -> IpAddr {
        match self.service_cidr {
            IpNet::V4(net) => {
                let base = u32::from(net.network());
                Ipv4Addr::from(base.wrapping_add(u32::try_from(n).unwrap_or_default())).into()
            }
            IpNet::V6(net) => std::net::Ipv6Addr::from(u128::from(net.network()).wrapping_add(n)).into(),
        }
    }

    /// Where images come from.
    pub(super) fn repository(&self) -> &str {
        self.cluster.image_repository.as_deref().unwrap_or(DEFAULT_REPOSITORY)
    }
}

impl Init {
    /// The cluster's kubelet configuration: the user's over kubeadm's defaults, and durations as Go writes them.
    pub(super) fn kubelet_configuration(&self) -> Value {
        let mut configuration = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "systemd",
            "healthzBindAddress": "127.0.0.1",
            "healthzPort": 10248,
            "clusterDNS": [self.master.service_address(10).to_string()],
            "clusterDomain": self.master.domain,
            "rotateCertificates": true,
            "staticPodPath": manifests::DIRECTORY,
        });
        let given = self.kubelet.as_ref().and_then(Value::as_object);
        if let (Some(given), Some(target)) = (given, configuration.as_object_mut()) {
            target.extend(given.clone());
            for field in target.values_mut() {
                if let Some(duration) = field.as_str().and_then(go_duration) {
                    *field = go_text(duration).into();
                }
            }
        }
        configuration
    }
}

fn split_endpoint(endpoint: &str, port: u16) -> Result<(String, u16), String> {
    match endpoint.rsplit_once(':') {
        None => Ok((endpoint.to_owned(), port)),
        Some((host, port)) => match port.parse() {
            Ok(port) => Ok((host.to_owned(), port)),
            Err(_) => Err(format!(
                "invalid value {endpoint:?} given for controlPlaneEndpoint: the port is no number"
            )),
        },
    }
}
