//! What `kubeadm init` writes to the disk: certificates, kubeconfigs, static pods.

use super::certificates::{self, Authority, Leaf};
use super::manifests::{self, ControlPlane};
use super::settings::Init;
use super::{say, yaml};
use crate::kubeconfig::Credentials;
use crate::machine::Machine;

/// The certs phase.
pub(super) fn make_certificates(machine: &Machine, init: &Init) -> Result<(), certificates::CertificateError> {
    let life = init.leaf_lifetime;
    let client = |common_name, organisation| Leaf {
        common_name,
        organisation,
        names: &[],
        client: true,
        server: false,
    };
    let ca = Authority::load_or_make(machine, "ca", "kubernetes")?;
    let names = certificates::api_server_names(
        &init.node,
        &init.domain,
        init.service_address(1),
        init.advertise,
        &init.endpoint.0,
        &init.documents.cluster.api_server.names,
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
    let local = init.documents.cluster.etcd.local.as_ref();
    for (name, further) in [
        ("etcd/server", local.map(|local| local.server_names.as_slice())),
        ("etcd/peer", local.map(|local| local.peer_names.as_slice())),
    ] {
        let mut names = vec![
            init.node.clone(),
            "localhost".to_owned(),
            init.advertise.to_string(),
            "127.0.0.1".to_owned(),
        ];
        names.extend_from_slice(further.unwrap_or_default());
        let leaf = Leaf {
            common_name: &init.node,
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

/// The kubeconfig phase.
pub(super) fn write_kubeconfigs(machine: &Machine, init: &Init) -> Result<(), String> {
    let ca = Authority::load_or_make(machine, "ca", "kubernetes").map_err(|error| error.to_string())?;
    let kubelet_user = format!("system:node:{}", init.node);
    // Since 1.33 a master's own components talk to its own API server.
    let own = if (init.version.major, init.version.minor) >= (1, 33) {
        init.local_url()
    } else {
        init.endpoint_url()
    };
    for (file, server, user, common_name, organisation) in [
        (
            "admin.conf",
            init.endpoint_url(),
            "kubernetes-admin",
            "kubernetes-admin",
            Some("kubeadm:cluster-admins"),
        ),
        (
            "super-admin.conf",
            init.endpoint_url(),
            "kubernetes-super-admin",
            "kubernetes-super-admin",
            Some("system:masters"),
        ),
        (
            "kubelet.conf",
            own,
            kubelet_user.as_str(),
            kubelet_user.as_str(),
            Some("system:nodes"),
        ),
        (
            "controller-manager.conf",
            init.local_url(),
            "system:kube-controller-manager",
            "system:kube-controller-manager",
            None,
        ),
        (
            "scheduler.conf",
            init.local_url(),
            "system:kube-scheduler",
            "system:kube-scheduler",
            None,
        ),
    ] {
        let path = format!("/etc/kubernetes/{file}");
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
        let client = ca.sign(&leaf, init.leaf_lifetime).map_err(|error| error.to_string())?;
        let credentials = Credentials {
            server,
            authority: Some(ca.certificate_pem.clone()),
            client: Some(client),
            token: None,
        };
        let text = credentials
            .to_kubeconfig(&init.cluster_name, user)
            .map_err(|error| error.to_string())?;
        machine
            .disk
            .write(&path, text, 0o600)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The etcd and control-plane phases.
pub(super) fn write_manifests(machine: &Machine, init: &Init) -> Result<(), String> {
    let control_plane = ControlPlane {
        cluster: &init.documents.cluster,
        version: init.version,
        node: &init.node,
        advertise: init.advertise,
        port: init.port,
        service_cidr: &init.service_cidr_text,
        pod_cidr: init.pod_cidr.as_deref(),
        etcd_directory: &init.etcd_directory,
    };
    say(
        machine,
        format!(
            "[etcd] Creating static Pod manifest for local etcd in \"{}\"",
            manifests::DIRECTORY
        ),
    );
    machine
        .disk
        .make_directory(&init.etcd_directory)
        .map_err(|error| error.to_string())?;
    for (name, pod) in [
        ("etcd", control_plane.etcd()),
        ("kube-apiserver", control_plane.api_server()),
        ("kube-controller-manager", control_plane.controller_manager()),
        ("kube-scheduler", control_plane.scheduler()),
    ] {
        say(
            machine,
            format!("[control-plane] Creating static Pod manifest for \"{name}\""),
        );
        let path = format!("{}/{name}.yaml", manifests::DIRECTORY);
        machine
            .disk
            .write(&path, yaml(&pod)?, 0o600)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
