//! What kubeadm writes to a master's disk: certificates, kubeconfigs, static pods.

use serde_json::Value;

use super::certificates::{self, Authority, Leaf};
use super::manifests;
use super::settings::Master;
use super::{say, yaml};
use crate::kubeconfig::Credentials;
use crate::machine::Machine;

/// The certs phase.
pub(super) fn make_certificates(machine: &Machine, master: &Master) -> Result<(), certificates::CertificateError> {
    let life = master.leaf_lifetime;
    let client = |common_name, organisation| Leaf {
        common_name,
        organisation,
        names: &[],
        client: true,
        server: false,
    };
    let ca = Authority::load_or_make(machine, "ca", "kubernetes")?;
    let names = certificates::api_server_names(
        &master.node,
        &master.domain,
        master.service_address(1),
        master.advertise,
        &master.endpoint.0,
        &master.cluster.api_server.names,
    );
    let server = Leaf {
        common_name: "kube-apiserver",
        organisation: None,
        names: &names,
        client: false,
        server: true,
    };
    ca.sign_into(machine, "apiserver", &server, life)?;
    let leaf = client("kube-apiserver-kubelet-client", Some("kubeadm:cluster-admins"));
    ca.sign_into(machine, "apiserver-kubelet-client", &leaf, life)?;
    let front_proxy = Authority::load_or_make(machine, "front-proxy-ca", "front-proxy-ca")?;
    front_proxy.sign_into(machine, "front-proxy-client", &client("front-proxy-client", None), life)?;
    let etcd = Authority::load_or_make(machine, "etcd/ca", "etcd-ca")?;
    let local = master.cluster.etcd.local.as_ref();
    for (name, further) in [
        ("etcd/server", local.map(|local| local.server_names.as_slice())),
        ("etcd/peer", local.map(|local| local.peer_names.as_slice())),
    ] {
        let mut names = vec![
            master.node.clone(),
            "localhost".to_owned(),
            master.advertise.to_string(),
            "127.0.0.1".to_owned(),
        ];
        names.extend_from_slice(further.unwrap_or_default());
        let leaf = Leaf {
            common_name: &master.node,
            organisation: None,
            names: &names,
            client: true,
            server: true,
        };
        etcd.sign_into(machine, name, &leaf, life)?;
    }
    etcd.sign_into(
        machine,
        "etcd/healthcheck-client",
        &client("kube-etcd-healthcheck-client", None),
        life,
    )?;
    etcd.sign_into(
        machine,
        "apiserver-etcd-client",
        &client("kube-apiserver-etcd-client", None),
        life,
    )?;
    certificates::service_account_key(machine)
}

/// The kubeconfigs that the first master has and a joining one has not: its kubelet asks for its own, and nobody needs
/// an administrator beyond RBAC any more.
pub(super) const OF_THE_FIRST: [&str; 2] = ["super-admin.conf", "kubelet.conf"];

/// The kubeconfig phase; `without` are files that this machine does not get from here.
pub(super) fn write_kubeconfigs(machine: &Machine, master: &Master, without: &[&str]) -> Result<(), String> {
    let ca = Authority::load_or_make(machine, "ca", "kubernetes").map_err(|error| error.to_string())?;
    let kubelet_user = format!("system:node:{}", master.node);
    for (file, server, user, common_name, organisation) in [
        (
            "admin.conf",
            master.endpoint_url(),
            "kubernetes-admin",
            "kubernetes-admin",
            Some("kubeadm:cluster-admins"),
        ),
        (
            "super-admin.conf",
            master.endpoint_url(),
            "kubernetes-super-admin",
            "kubernetes-super-admin",
            Some("system:masters"),
        ),
        (
            "kubelet.conf",
            master.own_server(),
            kubelet_user.as_str(),
            kubelet_user.as_str(),
            Some("system:nodes"),
        ),
        (
            "controller-manager.conf",
            master.local_url(),
            "system:kube-controller-manager",
            "system:kube-controller-manager",
            None,
        ),
        (
            "scheduler.conf",
            master.local_url(),
            "system:kube-scheduler",
            "system:kube-scheduler",
            None,
        ),
    ] {
        let path = format!("/etc/kubernetes/{file}");
        if without.contains(&file) {
            continue;
        }
        if machine.disk.exists(&path) {
            say(
                machine,
                format!("[kubeconfig] Using existing kubeconfig file: \"{path}\""),
            );
            continue;
        }
        say(machine, format!("[kubeconfig] Writing \"{file}\" kubeconfig file"));
        let leaf = Leaf {
            common_name,
            organisation,
            names: &[],
            client: true,
            server: false,
        };
        let client = ca
            .sign(&leaf, master.leaf_lifetime)
            .map_err(|error| error.to_string())?;
        let credentials = Credentials {
            server,
            authority: Some(ca.certificate_pem.clone()),
            client: Some(client),
            token: None,
        };
        let text = credentials
            .to_kubeconfig(&master.cluster_name, user)
            .map_err(|error| error.to_string())?;
        machine
            .disk
            .write(&path, text, 0o600)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The control-plane phase: every static pod but etcd's.
pub(super) fn write_manifests(machine: &Machine, master: &Master) -> Result<(), String> {
    let control_plane = master.control_plane(None);
    for (name, pod) in [
        ("kube-apiserver", control_plane.api_server()),
        ("kube-controller-manager", control_plane.controller_manager()),
        ("kube-scheduler", control_plane.scheduler()),
    ] {
        say(
            machine,
            format!("[control-plane] Creating static Pod manifest for \"{name}\""),
        );
        write_manifest(machine, master, name, pod)?;
    }
    Ok(())
}

/// etcd's static pod; `joins` are the members that it is told of when it is not the first.
pub(super) fn write_etcd_manifest(machine: &Machine, master: &Master, joins: Option<&str>) -> Result<(), String> {
    say(
        machine,
        format!(
            "[etcd] Creating static Pod manifest for local etcd in \"{}\"",
            manifests::DIRECTORY
        ),
    );
    machine
        .disk
        .make_directory(&master.etcd_directory)
        .map_err(|error| error.to_string())?;
    write_manifest(machine, master, "etcd", master.control_plane(joins).etcd())
}

fn write_manifest(machine: &Machine, master: &Master, name: &str, pod: Value) -> Result<(), String> {
    let pod = &master.patches.apply(machine, name, pod)?;
    let path = format!("{}/{name}.yaml", manifests::DIRECTORY);
    machine
        .disk
        .write(&path, yaml(pod)?, 0o600)
        .map_err(|error| error.to_string())?;
    machine.manifests.send_replace(());
    Ok(())
}
