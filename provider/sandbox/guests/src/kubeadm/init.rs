//! `kubeadm init`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::certificates::{self, Authority, LEAF_LIFETIME, Leaf};
use super::documents::{InitDocuments, NodeRegistration, Taint, read_init};
use super::manifests::{self, ControlPlane};
use super::version::{Version, check_cluster};
use super::{
    LEAST_PATIENCE, LEAST_POLL, POLL, PhaseFailed, addons, go_duration, in_phase, objects, preflight, say, yaml,
};
use crate::api::{Api, Patch};
use crate::kubeconfig::Credentials;
use crate::kubelet;
use crate::machine::Machine;

/// The URL's port when the endpoint names none.
const API_PORT: u16 = 6443;
const DEFAULT_SERVICE_CIDR: &str = "10.96.0.0/12";
const DEFAULT_DOMAIN: &str = "cluster.local";
const DEFAULT_ETCD_DIRECTORY: &str = "/var/lib/etcd";
const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";

/// Times of the phases on a real machine; the control plane's own start is in [`kubelet::control_plane`].
const PULL_IMAGES: Duration = Duration::from_secs(18);
const WRITE_FILES: Duration = Duration::from_secs(2);
const UPLOAD: Duration = Duration::from_secs(1);

/// The settings with everything that follows from them.
struct Init {
    documents: InitDocuments,
    node: String,
    cluster_name: String,
    version: Version,
    advertise: Ipv4Addr,
    port: u16,
    /// Host and port of the shared endpoint.
    endpoint: (String, u16),
    service_cidr: IpNet,
    service_cidr_text: String,
    pod_cidr: Option<String>,
    domain: String,
    etcd_directory: String,
    leaf_lifetime: Duration,
}

/// Runs every phase in kubeadm's order.
pub(super) async fn run(machine: &Machine, path: &str) -> Result<(), PhaseFailed> {
    machine.status.phase("kubeadm init: preflight");
    let init = load(machine, path).map_err(in_phase("preflight"))?;
    say(machine, format!("[init] Using Kubernetes version: v{}", init.version));
    let skipped = |phase: &str| init.documents.init.skip_phases.iter().any(|skipped| skipped == phase);
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
    make_certificates(machine, &init).map_err(in_phase("certs"))?;

    machine.takes(WRITE_FILES).await;
    say(machine, "[kubeconfig] Using kubeconfig folder \"/etc/kubernetes\"");
    write_kubeconfigs(machine, &init).map_err(in_phase("kubeconfig"))?;

    machine.takes(WRITE_FILES).await;
    write_manifests(machine, &init).map_err(in_phase("control-plane"))?;

    machine.status.phase("kubeadm init: starting the kubelet");
    let registration = &init.documents.init.node_registration;
    write_kubelet_files(machine, registration, init.documents.kubelet.as_ref(), &init, false)
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
        mark_control_plane(machine, &init, &admin)
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

fn load(machine: &Machine, path: &str) -> Result<Init, String> {
    let kubeadm = Version::installed(&machine.disk, "kubeadm").map_err(|error| error.to_string())?;
    let text = machine.disk.required_text(path).map_err(|error| error.to_string())?;
    let documents = read_init(&text, kubeadm).map_err(|error| format!("{path}: {error}"))?;
    let cluster = &documents.cluster;
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
    let local = &documents.init.local_api_endpoint;
    let advertise = match &local.advertise_address {
        None => machine.spec.address,
        Some(text) => text
            .parse()
            .map_err(|_| format!("couldn't use \"{text}\" as \"apiserver-advertise-address\""))?,
    };
    let port = local.bind_port.unwrap_or(API_PORT);
    let service_cidr_text = cluster
        .networking
        .service_subnet
        .clone()
        .unwrap_or_else(|| DEFAULT_SERVICE_CIDR.to_owned());
    let lifetime = match &cluster.certificate_validity_period {
        None => LEAF_LIFETIME,
        Some(text) => {
            go_duration(text).ok_or_else(|| format!("certificateValidityPeriod {text:?} is not a duration"))?
        }
    };
    Ok(Init {
        node: node_name(machine, &documents.init.node_registration),
        cluster_name: cluster.cluster_name.clone().unwrap_or_else(|| "kubernetes".to_owned()),
        version,
        advertise,
        port,
        endpoint: split_endpoint(&cluster.control_plane_endpoint, port)?,
        service_cidr: service_cidr_text
            .parse()
            .map_err(|_| format!("couldn't parse subnet {service_cidr_text}"))?,
        service_cidr_text,
        pod_cidr: cluster.networking.pod_subnet.clone(),
        domain: cluster
            .networking
            .dns_domain
            .clone()
            .unwrap_or_else(|| DEFAULT_DOMAIN.to_owned()),
        etcd_directory: cluster
            .etcd
            .local
            .as_ref()
            .and_then(|local| local.data_dir.clone())
            .unwrap_or_else(|| DEFAULT_ETCD_DIRECTORY.to_owned()),
        leaf_lifetime: lifetime,
        documents,
    })
}

/// The node's name: the configured one, or the host's.
pub(super) fn node_name(machine: &Machine, registration: &NodeRegistration) -> String {
    registration
        .name
        .clone()
        .unwrap_or_else(|| machine.spec.hostname.clone())
        .to_lowercase()
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

fn check(machine: &Machine, init: &Init) -> Result<(), String> {
    say(machine, "[preflight] Running pre-flight checks");
    let mut findings = preflight::init_findings(machine, &init.etcd_directory);
    findings.extend(preflight::machine_findings(machine, Some(init.version)));
    preflight::judge(
        machine,
        findings,
        &init.documents.init.node_registration.ignore_preflight_errors,
    )
}

impl Init {
    fn endpoint_url(&self) -> String {
        format!("https://{}:{}", self.endpoint.0, self.endpoint.1)
    }

    fn local_url(&self) -> String {
        format!("https://{}:{}", self.advertise, self.port)
    }

    /// The `n`th address of the service network.
    fn service_address(&self, n: u128) -> IpAddr {
        match self.service_cidr {
            IpNet::V4(net) => {
                let base = u32::from(net.network());
                Ipv4Addr::from(base.wrapping_add(u32::try_from(n).unwrap_or_default())).into()
            }
            IpNet::V6(net) => std::net::Ipv6Addr::from(u128::from(net.network()).wrapping_add(n)).into(),
        }
    }
}

fn make_certificates(machine: &Machine, init: &Init) -> Result<(), certificates::CertificateError> {
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

fn write_kubeconfigs(machine: &Machine, init: &Init) -> Result<(), String> {
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

fn write_manifests(machine: &Machine, init: &Init) -> Result<(), String> {
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

/// Writes the kubelet's configuration and flags, for `init` and `join`.
fn write_kubelet_files(
    machine: &Machine,
    registration: &NodeRegistration,
    configuration: Option<&Value>,
    init: &Init,
    register_taints: bool,
) -> Result<(), String> {
    let configuration = kubelet_configuration(configuration, &init.service_address(10), &init.domain);
    write_kubelet_settings(machine, registration, &yaml(&configuration)?, register_taints)
}

/// Writes /var/lib/kubelet/kubeadm-flags.env and config.yaml.
pub(super) fn write_kubelet_settings(
    machine: &Machine,
    registration: &NodeRegistration,
    configuration: &str,
    register_taints: bool,
) -> Result<(), String> {
    let mut flags = registration.kubelet_extra_args.pairs();
    if let Some(socket) = &registration.cri_socket {
        flags.push(("container-runtime-endpoint".to_owned(), socket.clone()));
    }
    if let Some(name) = &registration.name
        && *name != machine.spec.hostname
    {
        flags.push(("hostname-override".to_owned(), name.clone()));
    }
    let taints = registration.taints.as_deref().unwrap_or_default();
    if register_taints && !taints.is_empty() {
        let list: Vec<String> = taints
            .iter()
            .map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect))
            .collect();
        flags.push(("register-with-taints".to_owned(), list.join(",")));
    }
    let flags: Vec<String> = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    let text = format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", flags.join(" "));
    say(
        machine,
        format!(
            "[kubelet-start] Writing kubelet environment file with flags to file \"{}\"",
            kubelet::FLAGS
        ),
    );
    machine
        .disk
        .write(kubelet::FLAGS, text, 0o644)
        .map_err(|error| error.to_string())?;
    say(
        machine,
        format!(
            "[kubelet-start] Writing kubelet configuration to file \"{}\"",
            kubelet::CONFIGURATION
        ),
    );
    machine
        .disk
        .write(kubelet::CONFIGURATION, configuration, 0o644)
        .map_err(|error| error.to_string())
}

/// The cluster's kubelet configuration: the user's with kubeadm's defaults.
fn kubelet_configuration(given: Option<&Value>, dns: &IpAddr, domain: &str) -> Value {
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
        "clusterDNS": [dns.to_string()],
        "clusterDomain": domain,
        "rotateCertificates": true,
        "staticPodPath": manifests::DIRECTORY,
    });
    if let (Some(given), Some(target)) = (given.and_then(Value::as_object), configuration.as_object_mut()) {
        target.extend(given.clone());
    }
    configuration
}

/// Waits until the API server answers, and gives the group of admin.conf its rights.
async fn wait_for_control_plane(machine: &Machine, init: &Init) -> Result<Api, String> {
    let timeouts = &init.documents.init.timeouts;
    let given = timeouts.control_plane_component_health_check.as_deref().or(init
        .documents
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
            init.local_url()
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
    let deadline = Instant::now() + machine.interval(patience, LEAST_PATIENCE);
    let poll = machine.interval(POLL, LEAST_POLL);
    // Through the endpoint, as kubeadm does: it has to answer on the first master itself.
    while !super_admin.healthy("/livez").await {
        if Instant::now() >= deadline {
            return Err(format!(
                "failed while waiting for the control plane to start: kube-apiserver check failed at {}/livez",
                init.endpoint_url()
            ));
        }
        tokio::time::sleep(poll).await;
    }
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
    let mut cluster = init.documents.cluster_document.clone();
    let list = init.version.minor >= 31;
    let defaults = json!({
        "apiVersion": if list { "kubeadm.k8s.io/v1beta4" } else { "kubeadm.k8s.io/v1beta3" },
        "kind": "ClusterConfiguration",
        "certificatesDir": certificates::DIRECTORY,
        "clusterName": init.cluster_name,
        "imageRepository": repository(init),
        "kubernetesVersion": format!("v{}", init.version),
    });
    if let (Some(cluster), Some(defaults)) = (cluster.as_object_mut(), defaults.as_object()) {
        cluster.extend(defaults.clone());
        let networking = cluster.entry("networking").or_insert_with(|| json!({}));
        networking["serviceSubnet"] = init.service_cidr_text.clone().into();
        networking["dnsDomain"] = init.domain.clone().into();
    }
    let text = yaml(&cluster)?;
    objects::upload(api, "kubeadm-config", "ClusterConfiguration", &text)
        .await
        .map_err(|error| error.to_string())?;
    say(
        machine,
        "[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster",
    );
    let kubelet = kubelet_configuration(init.documents.kubelet.as_ref(), &init.service_address(10), &init.domain);
    objects::upload(api, "kubelet-config", "kubelet", &yaml(&kubelet)?)
        .await
        .map_err(|error| error.to_string())
}

fn repository(init: &Init) -> &str {
    init.documents
        .cluster
        .image_repository
        .as_deref()
        .unwrap_or("registry.k8s.io")
}

async fn mark_control_plane(machine: &Machine, init: &Init, api: &Api) -> Result<(), String> {
    let default = [Taint {
        key: CONTROL_PLANE_TAINT.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    }];
    let taints = init
        .documents
        .init
        .node_registration
        .taints
        .as_deref()
        .unwrap_or(&default);
    say(
        machine,
        format!("[mark-control-plane] Marking the node {} as control-plane", init.node),
    );
    let path = format!("/api/v1/nodes/{}", init.node);
    let deadline = Instant::now() + machine.interval(Duration::from_mins(2), LEAST_PATIENCE);
    loop {
        let marked = async {
            let node = api.get(&path).await?;
            let mut all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            for taint in taints {
                let present = all
                    .iter()
                    .any(|one| one["key"] == taint.key.as_str() && one["effect"] == taint.effect.as_str());
                if !present {
                    let mut object = json!({"key": taint.key, "effect": taint.effect});
                    if !taint.value.is_empty() {
                        object["value"] = taint.value.clone().into();
                    }
                    all.push(object);
                }
            }
            let patch = json!({
                "metadata": {
                    "resourceVersion": node["metadata"]["resourceVersion"],
                    "labels": {
                        "node-role.kubernetes.io/control-plane": "",
                        "node.kubernetes.io/exclude-from-external-load-balancers": "",
                    },
                    "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/containerd/containerd.sock"},
                },
                "spec": {"taints": all},
            });
            api.patch(&path, Patch::Merge, &patch).await
        };
        match marked.await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() < deadline && (error.is_not_found() || error.is_transient()) => {}
            Err(error) => return Err(error.to_string()),
        }
        tokio::time::sleep(machine.interval(POLL, LEAST_POLL)).await;
    }
}

async fn bootstrap_token(machine: &Machine, init: &Init, api: &Api) -> Result<(), String> {
    say(
        machine,
        "[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles",
    );
    objects::bootstrap_token(api, &init.documents.init.bootstrap_tokens).await?;
    let ca = machine
        .disk
        .required_text(&format!("{}/ca.crt", certificates::DIRECTORY))
        .map_err(|error| error.to_string())?;
    let public = Credentials {
        server: init.endpoint_url(),
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
    let cluster = &init.documents.cluster;
    if !cluster.dns.disabled && !skipped("addon") && !skipped("addon/coredns") {
        let dns = init.service_address(10);
        addons::core_dns(api, repository(init), init.version, dns, &init.domain)
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
        if let Some(pod_cidr) = &init.pod_cidr {
            configuration["clusterCIDR"] = pod_cidr.clone().into();
        }
        let given = init.documents.kube_proxy.as_ref().and_then(Value::as_object);
        if let (Some(given), Some(target)) = (given, configuration.as_object_mut()) {
            target.extend(given.clone());
        }
        let kubeconfig = Credentials {
            server: init.endpoint_url(),
            authority: None,
            client: None,
            token: None,
        }
        .to_kubeconfig("default", "default")
        .map_err(|error| error.to_string())?;
        addons::kube_proxy(api, repository(init), init.version, &yaml(&configuration)?, &kubeconfig)
            .await
            .map_err(|error| error.to_string())?;
        say(machine, "[addons] Applied essential addon: kube-proxy");
    }
    Ok(())
}
