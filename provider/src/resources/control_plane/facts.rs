//! What is known of a control plane between two runs: recorded after every apply and read, so that planning need not
//! look at the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use multizone_cloud::{ClusterName, Inventory, Machine as CloudMachine, MachineState, Role, label};
use multizone_kubernetes::cluster_access::{Cluster as ClusterConnection, NodeFacts};
use multizone_planner::control_plane::{Machine, Observed, Power, preview};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::timeout;
use tracing::warn;

use super::{
    ControlPlane, MasterNode, Replica, blank,
    drift::{self, Drift, Repair, Seen},
    executor::Reached,
    machine::{SPECIFICATION, Wanted},
    record,
};
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        identity::{API_ADDRESS, ObjectId},
        marks, settled,
        trouble::Situation,
    },
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
    serde_json::to_vec(&Seen::from(reached.observed.clone())).unwrap_or_default()
}

pub(super) fn decode(private: &[u8]) -> Option<Seen> {
    serde_json::from_slice(private).ok()
}

/// The master's machine among what exists: by its labels, compared whole, or else by the name that Terraform knows: a
/// machine whose labels somebody changed is not one that is gone.
pub(super) fn master<'i>(inventory: &'i Inventory, name: &str) -> Option<&'i CloudMachine> {
    let mut machines = inventory.machines.iter();
    machines
        .find(|machine| is_master(machine))
        .or_else(|| inventory.machines.iter().find(|machine| machine.name == name))
}

pub(super) fn is_master(machine: &CloudMachine) -> bool {
    machine.role() == Some(Role::Master)
}

/// Whether a machine holds the cluster's address: then there is a master, whatever became of its labels.
pub(in crate::resources) fn address_is_held(inventory: &Inventory) -> bool {
    inventory
        .address(API_ADDRESS)
        .is_some_and(|address| address.holder.is_some())
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
pub(super) fn describe(
    provider: &Configured,
    machine: &CloudMachine,
    node: &Node,
    pod_network: bool,
    repairs: &BTreeSet<Repair>,
) -> MasterNode {
    let state = match (power(machine), node) {
        (Power::Off, _) => "halted",
        (Power::On, _) if repairs.contains(&Repair::Machine) => "relabelled",
        (Power::On, Node::Unseen) => "unknown",
        (Power::On, Node::Absent) => "not registered",
        (Power::On, Node::Seen(_)) if repairs.contains(&Repair::Cordon) => "cordoned",
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
    let wanted = Wanted::of(&state.clone().into()).map_err(|errors| {
        situation.error(
            &format!("What is in Terraform's state makes no control plane: {errors}"),
            "Correct the state, or import the control plane again.",
        )
    })?;
    let Some(machine) = master(&inventory, &wanted.name()) else {
        let (Some(mut seen), true) = (decode(private), address_is_held(&inventory)) else {
            return Ok(None);
        };
        // It is not gone: a plan to make another one would begin by destroying the node groups.
        seen.drift = Drift {
            unlabelled: Some(wanted.name()),
            ..Drift::default()
        };
        let private = serde_json::to_vec(&seen).unwrap_or_default();
        return Ok(Some((state, private)));
    };
    marks::confirm(provider, &cluster, [machine]).await;
    let seen = see(provider, &state, &wanted, machine, decode(private), &situation).await;
    state.nodes = BTreeMap::from([(machine.name.clone(), seen.node)]);
    let desired = wanted.desired(Some(state.endpoint.clone()));
    if preview(&seen.seen.observed, &desired).changes_anything() || !seen.seen.drift.repairs.is_empty() {
        // Something changed since: the steps of the last change are not what a plan is compared with.
        state.rollout = Vec::new();
    }
    let private = serde_json::to_vec(&seen.seen).unwrap_or_default();
    Ok(Some((state, private)))
}

/// What a refresh has found.
struct Refreshed {
    seen: Seen,
    node: MasterNode,
}

/// Puts what was known together with what there is now.
async fn see(
    provider: &Configured,
    state: &ControlPlane,
    wanted: &Wanted,
    machine: &CloudMachine,
    earlier: Option<Seen>,
    situation: &Situation<'_>,
) -> Refreshed {
    let applied = state
        .pod_network_manifest
        .as_deref()
        .map(super::machine::pod_network_fingerprint);
    // What is imported was applied as it is configured.
    let mut observed = earlier.map_or_else(
        || Observed {
            access: true,
            pod_network: applied.clone(),
            ..nothing()
        },
        |earlier| earlier.observed,
    );
    let region = provider.cloud().region();
    let mut drift = Drift {
        other_machine_type: Some(machine.machine_type.clone()).filter(|other| *other != state.machine_type),
        ..Drift::default()
    };
    // What it was made from does not change while it lives, whatever somebody writes on its labels.
    let found = planner_machine(machine);
    let specification = observed
        .machine
        .take()
        .map_or(found.specification, |known| known.specification);
    if drift::restored(machine, wanted, region, &specification).is_some() {
        drift.repairs.insert(Repair::Machine);
    }
    observed.machine = Some(Machine { specification, ..found });
    observed.serving = false;
    let mut node = Node::Unseen;
    if power(machine) == Power::On {
        match look(provider, state, wanted, situation).await {
            Ok(look) => {
                observed.serving = true;
                if let Some(node) = &look.node {
                    drift.repairs.extend(drift::of_node(node, wanted, region));
                    drift.not_ready = not_ready(node).filter(|_| wanted.pod_network.is_some());
                }
                if !look.altered_rights.is_empty() {
                    observed.access = false;
                }
                if !look.altered_pod_network.is_empty() {
                    observed.pod_network = None;
                }
                if look.settings_altered {
                    drift.repairs.insert(Repair::Settings);
                }
                drift.altered_rights = look.altered_rights;
                drift.altered_pod_network = look.altered_pod_network;
                node = Node::of(look.node);
            }
            Err(reason) => {
                warn!(cluster = %wanted.cluster, %reason, "the Kubernetes API does not answer; its nodes are not refreshed");
                drift.silence = Some(reason);
            }
        }
    }
    let pod_network = wanted.pod_network.is_some();
    observed.joined = node.joined(pod_network);
    Refreshed {
        node: describe(provider, machine, &node, pod_network, &drift.repairs),
        seen: Seen { observed, drift },
    }
}

/// Why a node is not ready, and since when.
pub(super) fn not_ready(node: &NodeFacts) -> Option<String> {
    let reason = node.not_ready_reason.as_ref()?.trim_end_matches('.');
    Some(match &node.not_ready_since {
        Some(since) => format!("since {since}: {reason}"),
        None => reason.to_owned(),
    })
}

/// What the Kubernetes API says of a control plane.
struct Look {
    node: Option<NodeFacts>,
    altered_rights: Vec<String>,
    altered_pod_network: Vec<String>,
    settings_altered: bool,
}

/// Asks the API, if it answers at all.
async fn look(
    provider: &Configured,
    state: &ControlPlane,
    wanted: &Wanted,
    situation: &Situation<'_>,
) -> Result<Look, String> {
    let silence = || format!("no answer within {} s", PATIENCE.as_secs());
    let ask = async {
        let connection = ClusterFacts::find(provider, &wanted.cluster, situation)
            .await
            .map_err(|errors| said(&errors))?
            .connect_as_operator(provider, situation)
            .await
            .map_err(|errors| said(&errors))?;
        let node = connection
            .node(&wanted.name())
            .await
            .map_err(|error| error.to_string())?;
        Ok((connection, node))
    };
    let (connection, node) = timeout(PATIENCE, ask).await.unwrap_or_else(|_| Err(silence()))?;
    let rights = multizone_kubernetes::node_group_access::manifest();
    let looks = async {
        tokio::join!(
            altered(&connection, Some(&rights)),
            altered(&connection, wanted.pod_network.as_deref()),
            record::altered(&connection, state),
        )
    };
    // An API that is slow to say the rest hides nothing for good: the next look shows it.
    let (altered_rights, altered_pod_network, settings_altered) = timeout(PATIENCE, looks).await.unwrap_or_default();
    Ok(Look {
        node,
        altered_rights,
        altered_pod_network,
        settings_altered,
    })
}

/// What diagnostics say, for a text of another one.
fn said(errors: &Diagnostics) -> String {
    let details: Vec<&str> = errors
        .iter()
        .map(|error| error.detail.lines().next().unwrap_or_default())
        .collect();
    details.join(" ").trim_end_matches('.').to_owned()
}

pub(super) async fn altered(connection: &ClusterConnection, manifest: Option<&str>) -> Vec<String> {
    let Some(manifest) = manifest else {
        return Vec::new();
    };
    match connection.alterations(manifest).await {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(error) => {
            warn!(%error, "what was applied cannot be compared with what there is");
            Vec::new()
        }
    }
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
    let Some(machine) = inventory.machines.iter().find(|machine| is_master(machine)) else {
        return Err(refuse(format!(
            "Cluster {} has no master in {region}: there is nothing to import, and an apply creates it.",
            found.cluster
        )));
    };
    let label = |key: &str| machine.labels.get(key).cloned().unwrap_or_default();
    let replica = |machine: &CloudMachine| {
        let zone = machine.zone.clone();
        let key = machine.labels.get(label::REPLICA).cloned().unwrap_or_default();
        (key, Replica { zone })
    };
    let imported = ControlPlane {
        cluster: found.cluster.to_string(),
        kubernetes_version: label(label::VERSION).replace('-', "."),
        machine_type: machine.machine_type.clone(),
        replicas: inventory
            .machines
            .iter()
            .filter(|machine| is_master(machine))
            .map(replica)
            .collect(),
        id: ObjectId::cluster(region, &found.cluster),
        endpoint: facts.endpoint.url(),
        ..blank()
    };
    Ok(record::recall(provider, &facts, imported, &situation).await)
}
