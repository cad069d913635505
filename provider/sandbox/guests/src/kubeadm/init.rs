//! `kubeadm init`.

use std::time::Duration;

use serde_json::{Value, json};

use super::certificates;
use super::files::{make_certificates, write_etcd_manifest, write_kubeconfigs, write_manifests};
use super::kubelet_files::write_kubelet_settings;
use super::mark::mark_control_plane;
use super::settings::{Init, load};
use super::{Attempts, PhaseFailed, addons, go_duration, in_phase, objects, preflight, say, yaml};
use crate::api::Api;
use crate::kubeconfig::Credentials;
use crate::machine::Machine;

/// Times of the phases on a real machine; the control plane's own start is in [`kubelet::control_plane`].
const PULL_IMAGES: Duration = Duration::from_secs(18);
const WRITE_FILES: Duration = Duration::from_secs(2);
const UPLOAD: Duration = Duration::from_secs(1);

/// Runs every phase in kubeadm's order.
pub(super) async fn run(machine: &Machine, path: &str) -> Result<(), PhaseFailed> {
    machine.status.phase("kubeadm init: preflight");
    let init = load(machine, path).map_err(in_phase("preflight"))?;
    say(
        machine,
        format!("[init] Using Kubernetes version: v{}", init.master.version),
    );
    let skipped = |phase: &str| init.settings.skip_phases.iter().any(|skipped| skipped == phase);
    if !skipped("preflight") {
        check(machine, &init).map_err(in_phase("preflight"))?;
        say(
            machine,
            "[preflight] Pulling images required for setting up a Kubernetes cluster",
        );
        machine.takes(PULL_IMAGES).await;
    }

    machine.status.phase("kubeadm init: certificates");
    say(machine, "[certs] Using certificateDir folder \"/etc/kubernetes/pki\"");
    machine.takes(WRITE_FILES).await;
    make_certificates(machine, &init.master).map_err(in_phase("certs"))?;

    machine.takes(WRITE_FILES).await;
    say(machine, "[kubeconfig] Using kubeconfig folder \"/etc/kubernetes\"");
    write_kubeconfigs(machine, &init.master, &[]).map_err(in_phase("kubeconfig"))?;

    machine.takes(WRITE_FILES).await;
    write_manifests(machine, &init.master).map_err(in_phase("control-plane"))?;
    write_etcd_manifest(machine, &init.master, None).map_err(in_phase("etcd"))?;

    machine.status.phase("kubeadm init: starting the kubelet");
    let registration = &init.settings.node_registration;
    init.master
        .patches
        .apply(machine, "kubeletconfiguration", init.kubelet_configuration())
        .and_then(|configuration| yaml(&configuration))
        .and_then(|configuration| write_kubelet_settings(machine, registration, &configuration, &[]))
        .map_err(in_phase("kubelet-start"))?;
    say(machine, "[kubelet-start] Starting the kubelet");
    machine.kubelet.restart();

    machine.status.phase("kubeadm init: waiting for the control plane");
    let admin = wait_for_control_plane(machine, &init)
        .await
        .map_err(in_phase("wait-control-plane"))?;

    machine.status.phase("kubeadm init: uploading the configuration");
    machine.takes(UPLOAD).await;
    upload_configuration(machine, &init, &admin)
        .await
        .map_err(in_phase("upload-config"))?;
    if !skipped("mark-control-plane") {
        mark_control_plane(machine, &init.master.node, &init.settings.node_registration, &admin)
            .await
            .map_err(in_phase("mark-control-plane"))?;
    }
    if !skipped("bootstrap-token") {
        machine.takes(UPLOAD).await;
        bootstrap_token(machine, &init, &admin)
            .await
            .map_err(in_phase("bootstrap-token"))?;
    }
    say(
        machine,
        "[kubelet-finalize] Updating \"/etc/kubernetes/kubelet.conf\" to point to a rotatable kubelet client certificate and key",
    );
    machine.status.phase("kubeadm init: add-ons");
    machine.takes(UPLOAD).await;
    install_addons(machine, &init, &admin, &skipped)
        .await
        .map_err(in_phase("addon"))?;
    say(machine, "Your Kubernetes control-plane has initialized successfully!");
    Ok(())
}

fn check(machine: &Machine, init: &Init) -> Result<(), String> {
    say(machine, "[preflight] Running pre-flight checks");
    let mut findings = preflight::master_findings(machine, &init.master.etcd_directory);
    let registration = &init.settings.node_registration;
    findings.extend(preflight::machine_findings(
        machine,
        registration,
        Some(init.master.version),
    ));
    preflight::judge(
        machine,
        findings,
        &init.settings.node_registration.ignore_preflight_errors,
    )
}

/// Waits until the API server answers, and gives the group of admin.conf its rights.
async fn wait_for_control_plane(machine: &Machine, init: &Init) -> Result<Api, String> {
    let timeouts = &init.settings.timeouts;
    let given = timeouts.control_plane_component_health_check.as_deref().or(init
        .master
        .cluster
        .api_server
        .timeout_for_control_plane
        .as_deref());
    let patience = match given {
        None => Duration::from_mins(4),
        Some(text) => go_duration(text).ok_or_else(|| format!("timeout {text:?} is not a duration"))?,
    };
    say(
        machine,
        format!(
            "[control-plane-check] Checking kube-apiserver at {}/livez",
            init.master.local_url()
        ),
    );
    let load = |file: &str| {
        let credentials = Credentials::load(&machine.disk, file).map_err(|error| error.to_string())?;
        Api::new(machine, &credentials).map_err(|error| error.to_string())
    };
    let (admin, super_admin) = (
        load("/etc/kubernetes/admin.conf")?,
        load("/etc/kubernetes/super-admin.conf")?,
    );
    // Through the endpoint, as kubeadm does: it has to answer on the first master itself.
    let attempts = Attempts::within(machine, patience);
    attempts.until_alive(&super_admin, &init.master.endpoint_url()).await?;
    say(machine, "[control-plane-check] kube-apiserver is healthy");
    objects::bind_cluster_admins(&super_admin)
        .await
        .map_err(|error| format!("could not bootstrap the admin user in file admin.conf: {error}"))?;
    Ok(admin)
}

async fn upload_configuration(machine: &Machine, init: &Init, api: &Api) -> Result<(), String> {
    say(
        machine,
        "[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace",
    );
    let mut cluster = init.cluster_document.clone();
    let list = init.master.version.minor >= 31;
    let mut defaults = json!({
        "apiVersion": if list { "kubeadm.k8s.io/v1beta4" } else { "kubeadm.k8s.io/v1beta3" },
        "kind": "ClusterConfiguration",
        "certificatesDir": certificates::DIRECTORY,
        "clusterName": init.master.cluster_name,
        "imageRepository": init.master.repository(),
        "kubernetesVersion": format!("v{}", init.master.version),
    });
    if list {
        for (field, value) in [
            ("caCertificateValidityPeriod", "87600h0m0s"),
            ("certificateValidityPeriod", "8760h0m0s"),
            ("encryptionAlgorithm", "RSA-2048"),
        ] {
            defaults[field] = cluster.get(field).cloned().unwrap_or_else(|| value.into());
        }
    }
    for field in ["apiServer", "controllerManager", "dns", "proxy", "scheduler"] {
        defaults[field] = cluster.get(field).cloned().unwrap_or_else(|| json!({}));
    }
    if let (Some(cluster), Some(defaults)) = (cluster.as_object_mut(), defaults.as_object()) {
        cluster.extend(defaults.clone());
        let networking = cluster.entry("networking").or_insert_with(|| json!({}));
        networking["serviceSubnet"] = init.master.service_cidr_text.clone().into();
        networking["dnsDomain"] = init.master.domain.clone().into();
        let etcd = cluster.entry("etcd").or_insert_with(|| json!({}));
        etcd["local"]["dataDir"] = init.master.etcd_directory.clone().into();
    }
    let text = yaml(&cluster)?;
    objects::upload(api, "kubeadm-config", "ClusterConfiguration", &text)
        .await
        .map_err(|error| error.to_string())?;
    say(
        machine,
        "[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster",
    );
    let kubelet = init.kubelet_configuration();
    objects::upload(api, "kubelet-config", "kubelet", &yaml(&kubelet)?)
        .await
        .map_err(|error| error.to_string())
}

async fn bootstrap_token(machine: &Machine, init: &Init, api: &Api) -> Result<(), String> {
    say(
        machine,
        "[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles",
    );
    objects::bootstrap_token(api, &init.settings.bootstrap_tokens).await?;
    let ca = machine
        .disk
        .required_text(&format!("{}/ca.crt", certificates::DIRECTORY))
        .map_err(|error| error.to_string())?;
    let public = Credentials {
        server: init.master.endpoint_url(),
        authority: Some(ca),
        client: None,
        token: None,
    };
    let kubeconfig = public.to_kubeconfig("", "").map_err(|error| error.to_string())?;
    objects::cluster_info(api, &kubeconfig)
        .await
        .map_err(|error| error.to_string())
}

async fn install_addons(
    machine: &Machine,
    init: &Init,
    api: &Api,
    skipped: &(impl Fn(&str) -> bool + Sync),
) -> Result<(), String> {
    let cluster = &init.master.cluster;
    if !cluster.dns.disabled && !skipped("addon") && !skipped("addon/coredns") {
        let dns = init.master.service_address(10);
        let image = addons::core_dns_image(&cluster.dns, init.master.repository(), init.master.version);
        addons::core_dns(api, &image, dns, &init.master.domain)
            .await
            .map_err(|error| error.to_string())?;
        say(machine, "[addons] Applied essential addon: CoreDNS");
    }
    if !cluster.proxy.disabled && !skipped("addon") && !skipped("addon/kube-proxy") {
        let mut configuration = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        });
        if let Some(pod_cidr) = &init.master.pod_cidr {
            configuration["clusterCIDR"] = pod_cidr.clone().into();
        }
        let given = init.kube_proxy.as_ref().and_then(Value::as_object);
        if let (Some(given), Some(target)) = (given, configuration.as_object_mut()) {
            target.extend(given.clone());
        }
        let kubeconfig = Credentials {
            server: init.master.endpoint_url(),
            authority: None,
            client: None,
            token: None,
        }
        .to_kubeconfig("default", "default")
        .map_err(|error| error.to_string())?;
        addons::kube_proxy(
            api,
            init.master.repository(),
            init.master.version,
            &yaml(&configuration)?,
            &kubeconfig,
        )
        .await
        .map_err(|error| error.to_string())?;
        say(machine, "[addons] Applied essential addon: kube-proxy");
    }
    Ok(())
}
