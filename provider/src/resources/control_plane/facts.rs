//! What is known of a control plane between two runs: recorded after every apply and read, so that planning need not
//! look at the world.

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::{ClusterName, Inventory, Machine as CloudMachine, MachineState, Role, label};
use multizone_kubernetes::cluster_access::{Cluster as ClusterConnection, NodeFacts};
use multizone_planner::control_plane::{Machine, Observed, Power, preview};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::timeout;
use tracing::warn;

use super::{
    ControlPlane, MasterNode, Replica, blank,
    executor::Reached,
    machine::{SPECIFICATION, Wanted},
    record,
};
use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, identity::ObjectId, marks, settled, trouble::Situation},
    stop::Stop,
};

/// How long a refresh waits for the Kubernetes API.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before anything exists.
pub(super) fn nothing() -> Observed {
    Observed {
        machine: None,
        serving: false,
        access: false,
        pod_network: None,
        joined: false,
    }
}

pub(super) fn encode(reached: &Reached) -> Vec<u8> {
    serde_json::to_vec(&reached.observed).unwrap_or_default()
}

pub(super) fn decode(private: &[u8]) -> Option<Observed> {
    serde_json::from_slice(private).ok()
}

/// The master's machine among what exists: by its labels, compared whole.
pub(super) fn master(inventory: &Inventory) -> Option<&CloudMachine> {
    inventory.machines.iter().find(|machine| is_master(machine))
}

pub(super) fn is_master(machine: &CloudMachine) -> bool {
    machine.role() == Some(Role::Master)
}

pub(super) fn power(machine: &CloudMachine) -> Power {
    match machine.state {
        MachineState::Starting | MachineState::Running => Power::On,
        MachineState::Stopping | MachineState::Halted => Power::Off,
    }
}

/// The machine as the planner sees it.
pub(super) fn planner_machine(machine: &CloudMachine) -> Machine {
    Machine {
        power: power(machine),
        specification: machine.labels.get(SPECIFICATION).cloned().unwrap_or_default(),
    }
}

/// The master's Node, as far as it could be seen.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// The API did not answer.
    Unseen,
    /// The machine has not registered.
    Absent,
    /// What the API says.
    Seen(Box<NodeFacts>),
}

impl Node {
    pub(super) fn of(found: Option<NodeFacts>) -> Self {
        found.map_or(Self::Absent, |node| Self::Seen(Box::new(node)))
    }

    /// Whether it counts as joined: Ready, or registered where no pod network was asked for.
    pub(super) fn joined(&self, pod_network: bool) -> bool {
        matches!(self, Self::Seen(node) if node.ready || !pod_network)
    }
}

/// The machine and its node as the state shows them.
pub(super) fn describe(provider: &Configured, machine: &CloudMachine, node: &Node, pod_network: bool) -> MasterNode {
    let state = match (power(machine), node) {
        (Power::Off, _) => "halted",
        (Power::On, Node::Unseen) => "unknown",
        (Power::On, Node::Absent) => "not registered",
        (Power::On, Node::Seen(node)) if node.ready => "ready",
        (Power::On, Node::Seen(_)) if !pod_network => "registered",
        (Power::On, Node::Seen(_)) => "not ready",
    };
    MasterNode {
        replica: machine.labels.get(label::REPLICA).cloned().unwrap_or_default(),
        zone: machine.zone.clone(),
        address: machine.address.map(|address| address.to_string()).unwrap_or_default(),
        provider_id: provider.cloud().provider_id(&machine.zone, &machine.name),
        state: state.to_owned(),
    }
}

/// Looks at machine, API and node.
pub(super) async fn refresh(
    provider: &Configured,
    mut state: ControlPlane,
    private: &[u8],
    _stop: &Stop,
) -> Result<Option<(ControlPlane, Vec<u8>)>, Diagnostics> {
    let cluster = ClusterName::new(&state.cluster);
    let doing = format!("read the control plane of cluster {cluster}");
    let situation = Situation {
        doing: &doing,
        left: "Nothing was changed.",
    };
    let inventory = settled::known_inventory(provider, &cluster, is_master)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let Some(machine) = master(&inventory) else {
        return Ok(None);
    };
    marks::confirm(provider, &cluster, [machine]).await;
    let mut observed = decode(private).unwrap_or_else(|| Observed {
        access: true,
        ..nothing()
    });
    observed.machine = Some(planner_machine(machine));
    observed.serving = false;
    let mut node = Node::Unseen;
    if power(machine) == Power::On {
        match look(provider, &cluster, &machine.name, &situation).await {
            Ok(found) => {
                observed.serving = true;
                node = Node::of(found);
            }
            Err(reason) => {
                warn!(cluster = %cluster, %reason, "the Kubernetes API does not answer; its nodes are not refreshed");
            }
        }
    }
    let pod_network = state.pod_network_manifest.is_some();
    if observed.pod_network.is_none() && private.is_empty() {
        // Imported: what was applied before is taken for what is configured.
        observed.pod_network = state
            .pod_network_manifest
            .as_deref()
            .map(super::machine::pod_network_fingerprint);
    }
    observed.joined = node.joined(pod_network);
    state.nodes = BTreeMap::from([(machine.name.clone(), describe(provider, machine, &node, pod_network))]);
    if let Ok(wanted) = Wanted::of(&state.clone().into()) {
        let desired = wanted.desired(Some(state.endpoint.clone()));
        if preview(&observed, &desired).changes_anything() {
            // Something changed since: the steps of the last change are not what a plan is compared with.
            state.rollout = Vec::new();
        }
    }
    let private = serde_json::to_vec(&observed).unwrap_or_default();
    Ok(Some((state, private)))
}

/// The master's node, if the API answers at all.
async fn look(
    provider: &Configured,
    cluster: &ClusterName,
    name: &str,
    situation: &Situation<'_>,
) -> Result<Option<NodeFacts>, String> {
    let ask = async {
        let facts = ClusterFacts::find(provider, cluster, situation)
            .await
            .map_err(|errors| errors.to_string())?;
        let connection: ClusterConnection = facts
            .connect_as_operator(provider, situation)
            .await
            .map_err(|errors| errors.to_string())?;
        connection.node(name).await.map_err(|error| error.to_string())
    };
    timeout(PATIENCE, ask)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// A control plane that exists, for `terraform import`.
pub(super) async fn import(provider: &Configured, id: &str) -> Result<ControlPlane, Diagnostics> {
    let refuse = |reason: String| Diagnostics::from(Diagnostic::error("Cannot import the control plane", reason));
    let found = ObjectId::parse_cluster(id).map_err(|error| refuse(format!("{error}.")))?;
    let region = provider.cloud().region();
    if found.region != region {
        return Err(refuse(format!(
            "The provider works on region {region}, not on {}.",
            found.region
        )));
    }
    let situation = Situation {
        doing: "import the control plane",
        left: "Nothing was changed.",
    };
    let facts = ClusterFacts::find(provider, &found.cluster, &situation).await?;
    let inventory = provider
        .inventory(&found.cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let Some(machine) = master(&inventory) else {
        return Err(refuse(format!("Cluster {} has no master in {region}.", found.cluster)));
    };
    let label = |key: &str| machine.labels.get(key).cloned().unwrap_or_default();
    let imported = ControlPlane {
        cluster: found.cluster.to_string(),
        kubernetes_version: label(label::VERSION).replace('-', "."),
        machine_type: machine.machine_type.clone(),
        replicas: BTreeMap::from([(
            label(label::REPLICA),
            Replica {
                zone: machine.zone.clone(),
            },
        )]),
        id: ObjectId::cluster(region, &found.cluster),
        endpoint: facts.endpoint.url(),
        ..blank()
    };
    Ok(record::recall(provider, &facts, imported, &situation).await)
}
