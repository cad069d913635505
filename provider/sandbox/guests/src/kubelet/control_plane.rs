//! The control plane's containers: the API server on the machine's address, from what the manifests say.
//!
//! etcd is stood in for by the API server's own storage in etcd's data directory; the scheduler and the
//! controllers run inside the API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use multizone_sandbox_kubernetes_api::{ApiServer, ApiServerConfig, Storage};
use serde_json::Value;

use super::static_pods::MANIFESTS;
use crate::machine::Machine;

const START: Duration = Duration::from_secs(9);
const CRASH_LOOP: Duration = Duration::from_secs(10);
const LEAST_CRASH_LOOP: Duration = Duration::from_millis(250);
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
            if machine.disk.exists(&format!("{MANIFESTS}/kube-apiserver.yaml")) {
                if !std::mem::take(&mut was_running) {
                    machine.takes(START).await;
                }
            } else {
                tokio::time::sleep(machine.interval(CRASH_LOOP, LEAST_CRASH_LOOP)).await;
            }
        };
        tokio::select! {
            () = machine.power.cancelled() => return,
            () = asked => {}
        }
        if !machine.disk.exists(&format!("{MANIFESTS}/kube-apiserver.yaml")) {
            continue;
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
    machine.api_ready.send_replace(true);
    loop {
        tokio::select! {
            () = machine.power.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => server.serve(stream, peer),
                Err(error) => {
                    tracing::warn!(machine = machine.spec.name, %error, "the API server cannot accept");
                    break;
                }
            },
        }
    }
    machine.api_ready.send_replace(false);
    drop(listener);
    server.stop().await;
    Ok(())
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
    let data = machine
        .disk
        .on_host(&flag(&etcd, "data-dir")?)
        .map_err(|error| error.to_string())?;
    let configuration = ApiServerConfig {
        storage: Storage::Sqlite(data.join("member")),
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
        port_forward: None,
    };
    Ok((configuration, port))
}

/// The flags of a component's first container, and its image as `image`.
fn flags(machine: &Machine, component: &str) -> Result<BTreeMap<String, String>, String> {
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
