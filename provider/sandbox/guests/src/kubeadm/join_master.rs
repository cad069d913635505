//! The phases of `kubeadm join` that make the machine a master.

use std::time::Duration;

use super::certificates::DIRECTORY as PKI;
use super::documents::{JoinConfiguration, JoinControlPlane, read_cluster};
use super::files::{OF_THE_FIRST, make_certificates, write_etcd_manifest, write_kubeconfigs, write_manifests};
use super::kubelet_files::node_name;
use super::mark::mark_control_plane;
use super::settings::Master;
use super::version::Version;
use super::{Attempts, etcd, go_duration, preflight, say};
use crate::api::Api;
use crate::kubeconfig::Credentials;
use crate::machine::{MANIFESTS, Machine};

/// The authorities that must be there: this kubeadm downloads nothing.
const AUTHORITIES: [&str; 8] = [
    "ca.crt",
    "ca.key",
    "etcd/ca.crt",
    "etcd/ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
];
const PULL_IMAGES: Duration = Duration::from_secs(18);
const WRITE_FILES: Duration = Duration::from_secs(2);

/// A machine that joins as a master.
pub(super) struct JoiningMaster {
    master: Master,
}

impl JoiningMaster {
    pub(super) fn new(
        machine: &Machine,
        kubeadm: Version,
        configuration: &str,
        control_plane: &JoinControlPlane,
        join: &JoinConfiguration,
    ) -> Result<Self, String> {
        if control_plane.certificate_key.is_some() {
            return Err("the sandbox's kubeadm downloads no certificates: leave certificateKey out".to_owned());
        }
        let cluster = read_cluster(configuration, kubeadm).map_err(|error| format!("kubeadm-config: {error}"))?;
        let node = node_name(machine, &join.node_registration);
        let local = &control_plane.local_api_endpoint;
        let master = Master::new(machine, kubeadm, cluster, local, node, join.patches.as_ref())?;
        if master.version.minor != kubeadm.minor {
            return Err(format!(
                "this version of kubeadm only supports deploying clusters with the control plane version of its own \
                 minor. Current version: v{}",
                master.version
            ));
        }
        Ok(Self { master })
    }

    /// The preflight phase: the machine and the authorities.
    pub(super) async fn check(&self, machine: &Machine, join: &JoinConfiguration) -> Result<(), String> {
        say(
            machine,
            "[preflight] Running pre-flight checks before initializing the new control plane instance",
        );
        let findings = preflight::master_findings(machine, &self.master.etcd_directory);
        preflight::judge(machine, findings, &join.node_registration.ignore_preflight_errors)?;
        let missing: Vec<_> = AUTHORITIES
            .iter()
            .map(|file| format!("{PKI}/{file}"))
            .filter(|path| !machine.disk.exists(path))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "One or more conditions for hosting a new control plane instance is not satisfied. Missing: {}",
                missing.join(", ")
            ));
        }
        machine.takes(PULL_IMAGES).await;
        Ok(())
    }

    /// The check-etcd phase: every member must be healthy.
    pub(super) async fn check_etcd(&self, machine: &Machine) -> Result<(), String> {
        etcd::check_health(machine, &admin(machine)?, &etcd_client(machine)?).await
    }

    /// The control-plane-prepare phase: certificates, kubeconfigs, and every static pod but etcd's.
    pub(super) async fn prepare(&self, machine: &Machine) -> Result<(), String> {
        machine.status.phase("kubeadm join: certificates");
        machine.takes(WRITE_FILES).await;
        make_certificates(machine, &self.master).map_err(|error| error.to_string())?;
        machine.takes(WRITE_FILES).await;
        write_kubeconfigs(machine, &self.master, &OF_THE_FIRST)?;
        machine.takes(WRITE_FILES).await;
        write_manifests(machine, &self.master)
    }

    /// Where this master's kubelet finds the API: since 1.33 its own machine.
    pub(super) fn kubelet_server(&self) -> String {
        self.master.own_server()
    }

    /// The etcd-join phase: a learner is added, started and promoted. A member that an earlier attempt has added is
    /// taken as it is.
    pub(super) async fn join_etcd(&self, machine: &Machine) -> Result<(), String> {
        machine.status.phase("kubeadm join: joining etcd");
        let (api, client) = (admin(machine)?, etcd_client(machine)?);
        let (id, members) = etcd::add_learner(machine, &api, &client, &self.master).await?;
        write_etcd_manifest(machine, &self.master, Some(&members))?;
        machine.status.phase("kubeadm join: waiting for etcd to catch up");
        etcd::promote(machine, &api, &client, id).await
    }

    /// The rest: the node is marked, and the control plane serves.
    pub(super) async fn finish(&self, machine: &Machine, join: &JoinConfiguration) -> Result<(), String> {
        machine.status.phase("kubeadm join: waiting for the control plane");
        let admin = Credentials::load(&machine.disk, ADMIN).map_err(|error| error.to_string())?;
        let own = Credentials {
            server: self.master.local_url(),
            ..admin.clone()
        };
        let own = Api::new(machine, &own).map_err(|error| error.to_string())?;
        let patience = match join.timeouts.control_plane_component_health_check.as_deref() {
            None => Duration::from_mins(4),
            Some(text) => go_duration(text).ok_or_else(|| format!("timeout {text:?} is not a duration"))?,
        };
        let attempts = Attempts::within(machine, patience);
        attempts.until_alive(&own, &self.master.local_url()).await?;
        mark_control_plane(machine, &self.master.node, &join.node_registration, &own).await?;
        say(
            machine,
            "A new etcd member was added to the local/stacked etcd cluster.",
        );
        Ok(())
    }
}

const ADMIN: &str = "/etc/kubernetes/admin.conf";

/// Whether this machine may be a voter of etcd: unless its member was never started, or says that it is a learner.
pub(crate) async fn may_vote(machine: &Machine) -> bool {
    if !machine.disk.exists(&format!("{MANIFESTS}/etcd.yaml")) {
        return false;
    }
    let Ok(client) = etcd_client(machine) else {
        return true;
    };
    !etcd::is_learner(machine, &client).await
}

/// The API through the endpoint, as an administrator.
fn admin(machine: &Machine) -> Result<Api, String> {
    let credentials = Credentials::load(&machine.disk, ADMIN).map_err(|error| error.to_string())?;
    Api::new(machine, &credentials).map_err(|error| error.to_string())
}

/// What kubeadm shows to etcd.
fn etcd_client(machine: &Machine) -> Result<multizone_etcd_api::Credentials, String> {
    let read = |file: &str| {
        machine
            .disk
            .required_text(&format!("{PKI}/etcd/{file}"))
            .map_err(|error| error.to_string())
    };
    Ok(multizone_etcd_api::Credentials {
        ca_pem: read("ca.crt")?,
        certificate_pem: read("healthcheck-client.crt")?,
        key_pem: read("healthcheck-client.key")?,
    })
}
