//! etcd's static pod: a member of the cluster's etcd, from what its manifest says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use multizone_sandbox_etcd::{ClusterState, EtcdMember, MemberConfig, Tls};

use super::control_plane::{CRASH_LOOP, LEAST_CRASH_LOOP, flags};
use crate::machine::Machine;

const START: Duration = Duration::from_secs(3);
const LOG: &str = "/var/log/etcd.log";

/// Runs the member of a machine from when its kubelet asks for it until the power goes.
pub(crate) async fn run(machine: Arc<Machine>) {
    let mut problem = String::new();
    loop {
        let asked = async {
            let _ = machine.static_pods.subscribe().wait_for(|wanted| *wanted).await;
            machine.manifest("etcd", true).await;
        };
        tokio::select! {
            () = machine.power.cancelled() => return,
            () = asked => {}
        }
        if let Err(error) = live(&machine).await
            && error != problem
        {
            machine.console.say("etcd", &error);
            problem = error;
        }
        tokio::select! {
            () = machine.power.cancelled() => return,
            () = tokio::time::sleep(machine.interval(CRASH_LOOP, LEAST_CRASH_LOOP)) => {}
        }
    }
}

/// One life of the member. A zone's outage stops it where it is: what it would send arrives nowhere.
async fn live(machine: &Machine) -> Result<(), String> {
    let configuration = configuration(machine)?;
    machine.takes(START).await;
    let member = EtcdMember::start(&machine.etcd, configuration)
        .await
        .map_err(|error| error.to_string())?;
    let mut cut_off = false;
    loop {
        tokio::select! {
            () = machine.power.cancelled() => {
                member.kill().await;
                return Ok(());
            }
            () = machine.manifest("etcd", false) => {
                member.stop().await;
                return Ok(());
            }
            exit = member.exited() => return Err(format!("exited ({}): {}", exit.status, exit.said)),
            () = machine.network.cut_off(&machine.spec.name, !cut_off) => {
                cut_off = !cut_off;
                if cut_off {
                    member.pause().await;
                } else {
                    member.resume().await;
                }
            }
        }
    }
}

fn configuration(machine: &Machine) -> Result<MemberConfig, String> {
    let flags = flags(machine, "etcd")?;
    let flag = |name: &str| {
        flags
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| format!("the manifest has no --{name}"))
    };
    let file = |name: &str| -> Result<PathBuf, String> {
        machine.disk.on_host(flag(name)?).map_err(|error| error.to_string())
    };
    let address = |name: &str| -> Result<SocketAddr, String> {
        let url = flag(name)?;
        let parsed = url.strip_prefix("https://").and_then(|address| address.parse().ok());
        parsed.ok_or_else(|| format!("--{name}={url} is not https://ADDRESS:PORT"))
    };
    let client = address("advertise-client-urls")?;
    if client.ip() != machine.spec.address {
        return Err(format!("listen tcp {client}: bind: cannot assign requested address"));
    }
    Ok(MemberConfig {
        name: flag("name")?.to_owned(),
        data_directory: file("data-dir")?,
        listen_client: client,
        listen_peer: address("listen-peer-urls")?,
        advertise_peer: flag("initial-advertise-peer-urls")?.to_owned(),
        initial_cluster: flag("initial-cluster")?.to_owned(),
        initial_cluster_state: match flag("initial-cluster-state")? {
            "existing" => ClusterState::Existing,
            _ => ClusterState::New,
        },
        force_new_cluster: flags.get("force-new-cluster").is_some_and(|value| value == "true"),
        tls: Tls {
            server_certificate: file("cert-file")?,
            server_key: file("key-file")?,
            peer_certificate: file("peer-cert-file")?,
            peer_key: file("peer-key-file")?,
            trusted_ca: file("trusted-ca-file")?,
        },
        log: machine.disk.on_host(LOG).map_err(|error| error.to_string())?,
        version: flags.get("image").and_then(|image| version_of(image)),
        speed: machine.pace.speed,
    })
}

/// The version of an image of kubeadm's: 3.6.4 of `registry.k8s.io/etcd:3.6.4-0`.
fn version_of(image: &str) -> Option<String> {
    let (_, tag) = image.rsplit_once(':')?;
    let version = tag.split('-').next()?;
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    version.split('.').all(is_number).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_images() {
        assert_eq!(version_of("registry.k8s.io/etcd:3.6.4-0").as_deref(), Some("3.6.4"));
        for image in ["etcd", "mirror:5000/etcd", "etcd:latest"] {
            assert_eq!(version_of(image), None, "{image}");
        }
    }
}
