//! The kubelet: registers its machine as a Node, keeps it alive and runs the pods bound to it.

mod containers;
pub(crate) mod control_plane;
mod credentials;
pub(crate) mod etcd;
mod events;
pub(crate) mod hold;
mod node;
mod pod_status;
mod pods;
mod settings;
mod static_pods;
mod volumes;

use std::convert::Infallible;
use std::time::Duration;

use crate::api::{Api, ApiError};
use crate::machine::Machine;

pub(crate) use containers::Containers;
use settings::Settings;

/// Where kubeadm writes the kubelet's flags.
pub(crate) const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// The kubelet's configuration file.
pub(crate) const CONFIGURATION: &str = "/var/lib/kubelet/config.yaml";
/// The kubelet's own credentials.
pub(crate) const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// The bootstrap token's credentials, there only during a join.
pub(crate) const BOOTSTRAP_KUBECONFIG: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

/// systemd's `RestartSec` for the kubelet.
const RESTART: Duration = Duration::from_secs(10);
const LEAST_RESTART: Duration = Duration::from_millis(200);

/// Why a kubelet exits.
#[derive(Debug, thiserror::Error)]
enum KubeletError {
    #[error("failed to load kubelet config file, path: {CONFIGURATION}: {0}")]
    Configuration(String),
    #[error("failed to run Kubelet: {0}")]
    Run(String),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Runs the kubelet's systemd unit: started, restarted after a failure, stopped.
pub(crate) async fn service(machine: &Machine) {
    let mut unit = machine.kubelet.subscribe();
    loop {
        let now = *unit.borrow_and_update();
        if !now.0 {
            if unit.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Err(error) = tokio::select! {
            result = run(machine) => result,
            _ = unit.wait_for(|later| *later != now) => continue,
        };
        machine.set_kubelet_problem(&error.to_string());
        tokio::select! {
            () = tokio::time::sleep(machine.interval(RESTART, LEAST_RESTART)) => {}
            _ = unit.wait_for(|later| *later != now) => {}
        }
    }
}

/// One life of the kubelet's process.
async fn run(machine: &Machine) -> Result<Infallible, KubeletError> {
    let settings = Settings::load(machine)?;
    settings
        .check(machine)
        .map_err(|failure| KubeletError::Run(failure.message))?;
    // Static pods need no API server, which is how the first one comes up.
    machine.static_pods.send_replace(true);
    let credentials = credentials::obtain(machine, &settings).await?;
    let api = Api::new(machine, &credentials)?;
    let node = node::Node::new(machine, &settings, &api);
    node.register().await?;
    machine.set_kubelet_problem("");
    events::of_node(&node, "Starting", "Starting kubelet.").await;
    tokio::select! {
        error = node.post_status() => Err(error),
        error = node.renew_lease() => Err(error),
        error = static_pods::mirror(&node) => Err(error),
        error = pods::run(&node) => Err(error),
    }
}
