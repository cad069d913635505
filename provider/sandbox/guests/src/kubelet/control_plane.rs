//! The control plane's containers: the API server on the machine's address, from what the manifests say.
//!
//! The scheduler and the controllers run inside the API server.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use multizone_sandbox_data_plane::Network;
use multizone_sandbox_kubernetes_api::{ApiServer, ApiServerConfig, Duplex, PortForward, Storage};
use serde_json::Value;

use crate::machine::{MANIFESTS, Machine};

const START: Duration = Duration::from_secs(9);
pub(super) const CRASH_LOOP: Duration = Duration::from_secs(10);
pub(super) const LEAST_CRASH_LOOP: Duration = Duration::from_millis(250);
/// How often the machine asks its own API server whether it is ready.
const LOOK: Duration = Duration::from_secs(2);
const LEAST_LOOK: Duration = Duration::from_millis(100);
/// The range that is used when the cluster gives nodes no address blocks.
const NO_POD_CIDR: &str = "10.244.0.0/16";

/// Runs the control plane of a machine from when its kubelet asks for it until the power goes.
pub(crate) async fn run(machine: Arc<Machine>) {
    let mut wanted = machine.static_pods.subscribe();
    let mut problem = String::new();
    let mut was_running = machine.resumed;
    loop {
        let asked = async {
            let _ = wanted.wait_for(|wanted| *wanted).await;
            machine.manifest("kube-apiserver", true).await;
            if !std::mem::take(&mut was_running) {
                machine.takes(START).await;
            }
        };
        tokio::select! {
            () = machine.power.cancelled() => return,
            () = asked => {}
        }
        if let Err(error) = serve(&machine).await {
            if error != problem {
                machine.console.say("kube-apiserver", &error);
                problem = error;
            }
            tokio::select! {
                () = machine.power.cancelled() => return,
                () = tokio::time::sleep(machine.interval(CRASH_LOOP, LEAST_CRASH_LOOP)) => {}
            }
        }
    }
}

/// One life of the API server.
async fn serve(machine: &Machine) -> Result<(), String> {
    let (configuration, port) = configuration(machine)?;
    let network = &machine.network;
    let mut listener = tokio::select! {
        () = machine.power.cancelled() => return Ok(()),
        listener = network.bind(&machine.spec.name, port) => {
            listener.map_err(|error| format!("failed to create listener: failed to listen on {}:{port}: {error}", machine.spec.address))?
        }
    };
    let server = ApiServer::start(configuration)
        .await
        .map_err(|error| error.to_string())?;
    machine.console.say(
        "kube-apiserver",
        format!("Serving securely on {}:{port}", machine.spec.address),
    );
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => server.serve(stream, peer),
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        // Without power nothing is said and nothing is finished: dropped, not stopped.
        () = machine.power.cancelled() => return Ok(()),
        // The kubelet ends a static pod whose manifest is gone, gracefully.
        () = machine.manifest("kube-apiserver", false) => {}
        () = look(machine, &server) => {}
        error = accept => tracing::warn!(machine = machine.spec.name, %error, "the API server cannot accept"),
    }
    machine.api_ready.send_replace(false);
    drop(listener);
    server.stop().await;
    Ok(())
}

/// Asks the server again and again whether it is ready, for ever.  Without a quorum of etcd each question takes as long as a
/// health check may; connections and power cuts do not wait for that.
async fn look(machine: &Machine, server: &ApiServer) {
    let mut look = tokio::time::interval(machine.interval(LOOK, LEAST_LOOK));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let ready = server.ready().await;
        machine
            .api_ready
            .send_if_modified(|before| std::mem::replace(before, ready) != ready);
    }
}

fn configuration(machine: &Machine) -> Result<(ApiServerConfig, u16), String> {
    let api_server = flags(machine, "kube-apiserver")?;
    let controllers = flags(machine, "kube-controller-manager")?;
    let etcd = flags(machine, "etcd").map_err(|error| {
        format!("connection error: desc = \"transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused\" ({error})")
    })?;
    let flag = |flags: &BTreeMap<String, String>, name: &str| {
        flags
            .get(name)
            .cloned()
            .ok_or_else(|| format!("the manifest has no --{name}"))
    };
    let file = |flags: &BTreeMap<String, String>, name: &str| {
        machine
            .disk
            .required_text(&flag(flags, name)?)
            .map_err(|error| error.to_string())
    };
    let advertise = flag(&api_server, "advertise-address")?;
    if advertise != machine.spec.address.to_string() {
        return Err(format!("listen tcp {advertise}: bind: cannot assign requested address"));
    }
    let port: u16 = flag(&api_server, "secure-port")?
        .parse()
        .map_err(|_| "--secure-port is no port".to_owned())?;
    let image = flag(&api_server, "image")?;
    let version = image.rsplit_once(":v").map_or("", |(_, version)| version).to_owned();
    let storage = Storage {
        // The manifest says 127.0.0.1, which on this machine is the machine's own address.
        endpoints: vec![flag(&etcd, "advertise-client-urls")?],
        ca_pem: file(&api_server, "etcd-cafile")?,
        certificate_pem: file(&api_server, "etcd-certfile")?,
        key_pem: file(&api_server, "etcd-keyfile")?,
    };
    let configuration = ApiServerConfig {
        storage,
        serving_certificate_pem: file(&api_server, "tls-cert-file")?,
        serving_key_pem: file(&api_server, "tls-private-key-file")?,
        ca_certificate_pem: file(&api_server, "client-ca-file")?,
        ca_key_pem: file(&controllers, "cluster-signing-key-file")?,
        kubernetes_version: version,
        pod_cidr: controllers
            .get("cluster-cidr")
            .cloned()
            .unwrap_or_else(|| NO_POD_CIDR.to_owned()),
        service_cidr: flag(&api_server, "service-cluster-ip-range")?,
        cluster_name: flag(&controllers, "cluster-name")?,
        advertise_address: (machine.spec.address, port).into(),
        pace: machine.pace.speed,
        port_forward: Some(Arc::new(Kubelets {
            network: machine.network.clone(),
            machine: machine.spec.name.clone(),
        })),
    };
    Ok((configuration, port))
}

/// The way from a master's API server to the ports of pods with `hostNetwork`, through their kubelets.
#[derive(Debug)]
struct Kubelets {
    network: Network,
    machine: String,
}

#[async_trait]
impl PortForward for Kubelets {
    async fn connect(&self, node: &str, _: &str, port: u16) -> io::Result<Box<dyn Duplex>> {
        let address = self.network.address_of(&self.machine, node).ok_or_else(|| {
            let message = format!("error dialing backend: dial tcp: lookup {node}: no such host");
            io::Error::new(io::ErrorKind::NotFound, message)
        })?;
        let stream = self.network.connect(&self.machine, (address, port).into()).await?;
        Ok(Box::new(stream))
    }
}

/// The flags of a component's first container, and its image as `image`.
pub(super) fn flags(machine: &Machine, component: &str) -> Result<BTreeMap<String, String>, String> {
    let path = format!("{MANIFESTS}/{component}.yaml");
    let text = machine.disk.required_text(&path).map_err(|error| error.to_string())?;
    let pod: Value = serde_saphyr::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let container = &pod["spec"]["containers"][0];
    let mut flags: BTreeMap<String, String> = container["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|argument| argument.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Some(image) = container["image"].as_str() {
        flags.insert("image".to_owned(), image.to_owned());
    }
    Ok(flags)
}
