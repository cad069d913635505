//! The pods that can change a machine: the one that holds the API server's manifest aside for a time, and the one that
//! ends this. They are known by their commands; what other containers do is not simulated.
//!
//! A hold is the machine's, not the kubelet's: a container goes on when its kubelet has lost the API.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::machine::{MANIFESTS, Machine};

/// The name that the script's process has.
const HOLD: &str = "multizone-hold-api-server";
/// Where the script keeps the manifest.
const ASIDE: &str = "/etc/kubernetes/multizone-held-api-server.yaml";
const API_SERVER: &str = "kube-apiserver";
/// How often the script looks whether it is to end.
const LOOK: Duration = Duration::from_secs(1);
const LEAST_LOOK: Duration = Duration::from_millis(50);
/// What no pace shortens a hold below: whoever asked for it works at the pace of this computer.
const LEAST_HOLD: Duration = Duration::from_mins(1);

/// A hold that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    until: Instant,
    release: String,
}

/// Begins what the pod's command does; false when it is no such pod.
pub(super) fn begin(machine: &Machine, pod: &Value) -> bool {
    let command: Vec<&str> = pod["spec"]["containers"][0]["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let result = match command[..] {
        ["sh", "-c", _, HOLD, _, release, seconds] => {
            let seconds = seconds.parse().unwrap_or_default();
            machine.hold.send_replace(Some(Hold {
                until: Instant::now() + machine.interval(Duration::from_secs(seconds), LEAST_HOLD),
                release: release.to_owned(),
            }));
            machine.disk.remove(release).and_then(|()| set_aside(machine))
        }
        ["touch", file] => machine.disk.write(file, "", 0o644),
        _ => return false,
    };
    if let Err(error) = result {
        machine.console.say("containerd", error.to_string());
    }
    true
}

/// Waits until nothing is held.
pub(super) async fn over(machine: &Machine) {
    let _ = machine.hold.subscribe().wait_for(Option::is_none).await;
}

/// Ends holds when their time is over or they are told to, for ever.
pub(crate) async fn service(machine: &Machine) {
    let mut hold = machine.hold.subscribe();
    loop {
        let now = hold.borrow_and_update().clone();
        match now {
            Some(Hold { until, release }) if Instant::now() < until && !machine.disk.exists(&release) => {
                tokio::time::sleep(machine.interval(LOOK, LEAST_LOOK)).await;
            }
            ended => {
                // Without a hold, a manifest that is aside is what a power cut or a restart has left.
                if let Err(error) = put_back(machine) {
                    machine.console.say("containerd", error.to_string());
                }
                if let Some(Hold { release, .. }) = ended {
                    let _ = machine.disk.remove(&release);
                    machine.hold.send_replace(None);
                    continue;
                }
                if hold.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn set_aside(machine: &Machine) -> std::io::Result<()> {
    let path = format!("{MANIFESTS}/{API_SERVER}.yaml");
    rename(machine, &path, ASIDE)
}

fn put_back(machine: &Machine) -> std::io::Result<()> {
    rename(machine, ASIDE, &format!("{MANIFESTS}/{API_SERVER}.yaml"))
}

fn rename(machine: &Machine, from: &str, to: &str) -> std::io::Result<()> {
    if let Some(text) = machine.disk.text(from)? {
        machine.disk.write(to, text, 0o600)?;
        machine.disk.remove(from)?;
        machine.manifests.send_replace(());
    }
    Ok(())
}
