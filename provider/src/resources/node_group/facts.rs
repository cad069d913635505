//! What is known of a node group between two runs: recorded after every apply and read, so that planning need not look at
//! the world.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use multizone_cloud::{CloudError, ClusterName, Inventory, Machine as CloudMachine, MachineState, Role, label};
use multizone_kubernetes::{
    cluster_access::{Cluster as ClusterConnection, ClusterAddress, NodeFacts},
    endpoint::ControlPlaneEndpoint,
    pki::NodeCredential,
};
use multizone_planner::node_group::{Api, Machine, Member, Node, Observed, Power, preview};
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::timeout;
use tracing::warn;

use super::{
    NodeGroup, Taint, Worker, blank,
    worker::{GROUP_LABEL, LEAVING_LABEL, RECORD, Record, Wanted, planner_taint, planner_version},
};
use crate::{
    configuration::Configured,
    resources::{
        cluster::ClusterFacts,
        control_plane::{SPECIFICATION, address_is_held, cordoned},
        identity::{API_ADDRESS, ObjectId, SecretNames},
        marks, settled, strays,
        trouble::Situation,
    },
};

/// How long one look at the Kubernetes API may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the name of the other cluster that has a worker's machine.
const OF_CLUSTER: &str = "of cluster ";

/// Before anything exists.
pub(super) fn nothing() -> Observed {
    Observed {
        api: Api::Serving,
        api_version: None,
        members: BTreeMap::new(),
    }
}

pub(super) fn encode(observed: &Observed) -> Vec<u8> {
    let mut observed = observed.clone();
    for member in observed.members.values_mut() {
        // What only the operation knew ends with it.
        member.drained = false;
        if let Some(machine) = &mut member.machine {
            machine.joinable = false;
        }
    }
    serde_json::to_vec(&observed).unwrap_or_default()
}

pub(super) fn decode(private: &[u8]) -> Option<Observed> {
    serde_json::from_slice(private).ok()
}

/// The group's machines: by their labels, compared whole (domain-rules.md, kube-up's mistake 4).
pub(super) fn machines<'i>(inventory: &'i Inventory, group: &'i str) -> impl Iterator<Item = &'i CloudMachine> {
    inventory.machines.iter().filter(move |machine| is_of(machine, group))
}

/// Whether a machine is one of the group's.
pub(super) fn is_of(machine: &CloudMachine, group: &str) -> bool {
    machine.role() == Some(Role::Worker) && machine.labels.get(label::NODE_GROUP).is_some_and(|of| of == group)
}

/// A cluster's API for those who own node groups, and what machines have to know to join.
pub(super) struct Access {
    pub(super) connection: ClusterConnection,
    pub(super) endpoint: ControlPlaneEndpoint,
    pub(super) ca_certificate_hash: String,
}

/// A connection as the node groups' user, if the cluster has got that far.
pub(super) async fn connect(
    provider: &Configured,
    cluster: &ClusterName,
    inventory: &Inventory,
) -> Result<Access, String> {
    let name = SecretNames::of(provider.cloud().region(), cluster).node_credential;
    let stored = provider
        .cloud()
        .secret(&name)
        .await
        .map_err(|error| error.to_string())?;
    let stored = stored.ok_or_else(|| format!("the secret {name} with the node groups' credential is gone"))?;
    let credential = NodeCredential::from_secret(&stored).map_err(|error| format!("secret {name}: {error}"))?;
    let address = inventory
        .address(API_ADDRESS)
        .ok_or_else(|| format!("cluster {cluster} has no stable address"))?;
    let endpoint = ControlPlaneEndpoint::new(address.address.to_string());
    let address = ClusterAddress::new(&endpoint, credential.ca_certificate_pem.clone());
    let connection = ClusterConnection::connect(&address, &credential.client).map_err(|error| error.to_string())?;
    let ca_certificate_hash = credential.ca_certificate_hash();
    Ok(Access {
        connection,
        endpoint,
        ca_certificate_hash: ca_certificate_hash.map_err(|error| format!("secret {name}: {error}"))?,
    })
}

/// What the Kubernetes API says, as far as it says anything.
pub(super) enum Kubernetes {
    /// It answers: its version, if that is known, and its nodes.
    Serving(Option<multizone_planner::Version>, Vec<NodeFacts>),
    /// It does not.
    Silent {
        /// Why.
        reason: String,
        /// Whether every master is halted, so that waiting does not help.
        halted: bool,
    },
    /// No master exists.
    Gone,
}

/// The first master's name, and whether all of them are halted; `None` when there is none.
fn masters(inventory: &Inventory) -> Option<(String, bool)> {
    let (_, masters) = masters_in(inventory, |_| true);
    let Some(first) = masters.first().map(|machine| machine.name.clone()) else {
        // Somebody took the labels of the one that holds the address.
        return address_is_held(inventory).then(|| ("of the cluster".to_owned(), false));
    };
    Some((
        first,
        masters.iter().all(|machine| machine.state == MachineState::Halted),
    ))
}

/// How many masters there are, and those of them whose zone is such.
pub(super) fn masters_in(inventory: &Inventory, zone: impl Fn(&str) -> bool) -> (usize, Vec<&CloudMachine>) {
    let is_master =
        |machine: &&CloudMachine| machine.role() == Some(Role::Master) || machine.labels.contains_key(label::REPLICA);
    let masters: Vec<&CloudMachine> = inventory.machines.iter().filter(is_master).collect();
    let count = masters.len();
    let there = masters.into_iter().filter(|machine| zone(&machine.zone)).collect();
    (count, there)
}

/// Asks the Kubernetes API through this connection.
pub(super) async fn look(inventory: &Inventory, connection: &Result<ClusterConnection, String>) -> Kubernetes {
    let Some((first, halted)) = masters(inventory) else {
        return Kubernetes::Gone;
    };
    if halted {
        return Kubernetes::Silent {
            reason: format!("master {first} is halted"),
            halted,
        };
    }
    let silent = |reason: String| Kubernetes::Silent { reason, halted: false };
    let connection = match connection {
        Ok(connection) => connection,
        Err(reason) => return silent(reason.clone()),
    };
    let nodes = match timeout(PATIENCE, connection.nodes()).await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => return silent(error.to_string()),
        Err(_) => return silent(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let version = timeout(PATIENCE, connection.version())
        .await
        .ok()
        .and_then(Result::ok)
        .map(planner_version);
    Kubernetes::Serving(version, nodes)
}

/// Whether a pod network is there: the master's Node is Ready.  Without one no Node ever is, and readiness means
/// registered (domain-rules.md, kubeadm).
pub(super) fn pod_network(nodes: &[NodeFacts]) -> bool {
    nodes.iter().any(|node| node.ready && node.is_masters())
}

/// The group's machines that have lost the cluster's label or carry another's: of those that its Nodes are named after, and
/// of those that are remembered.
pub(super) async fn gone_astray(
    provider: &Configured,
    (cluster, inventory): (&ClusterName, &Inventory),
    (zone, group): (&str, &str),
    kubernetes: &Kubernetes,
    remembered: impl IntoIterator<Item = &String>,
) -> Result<Vec<CloudMachine>, CloudError> {
    let mut names: BTreeSet<&str> = remembered.into_iter().map(String::as_str).collect();
    let mut registered = None;
    if let Kubernetes::Serving(_, nodes) = kubernetes {
        let ours = |node: &&NodeFacts| {
            let record = node.annotations.get(RECORD).and_then(|record| Record::of(record));
            record.is_some_and(|record| record.group == group)
        };
        let nodes: BTreeSet<&str> = nodes.iter().filter(ours).map(|node| node.name.as_str()).collect();
        names.extend(&nodes);
        registered = Some(nodes);
    }
    let mut found = strays::machines(provider, (cluster, inventory), zone, names).await?;
    // One that another cluster has is a worker of this one as long as it has a Node.
    found.retain(|machine| {
        let registered = registered
            .as_ref()
            .is_none_or(|nodes| nodes.contains(machine.name.as_str()));
        registered || strays::taken_by(&machine.labels, cluster).is_none()
    });
    Ok(found)
}

/// How the state shows a worker whose machine another cluster has.
fn taken(other: &str) -> String {
    format!("{OF_CLUSTER}{other}")
}

/// The cluster that has a worker's machine, as the state shows it.
pub(super) fn taken_by(worker: &Worker) -> Option<&str> {
    worker.state.strip_prefix(OF_CLUSTER)
}

/// Machines and Nodes put together, as the planner sees them.
pub(super) fn observe(
    inventory: &Inventory,
    group: &str,
    kubernetes: &Kubernetes,
    earlier: Option<&Observed>,
    made: &BTreeSet<String>,
    drained: &BTreeSet<String>,
) -> Observed {
    let mut observed = nothing();
    for machine in machines(inventory, group) {
        let member = observed.members.entry(machine.name.clone()).or_default();
        member.drained = drained.contains(&machine.name);
        member.machine = Some(planner_machine(machine, made));
    }
    match kubernetes {
        Kubernetes::Serving(version, nodes) => {
            observed.api_version = *version;
            let pod_network = pod_network(nodes);
            for node in nodes {
                let record = node.annotations.get(RECORD).and_then(|record| Record::of(record));
                // The record is what nobody changes by accident; the label is for people.
                let ours = match &record {
                    Some(record) => record.group == group,
                    None => node.labels.get(GROUP_LABEL).is_some_and(|of| of == group),
                };
                if !ours && !observed.members.contains_key(&node.name) {
                    continue;
                }
                let member = observed.members.entry(node.name.clone()).or_default();
                member.node = Some(planner_node(node, pod_network));
                let machine = inventory.machines.iter().find(|machine| machine.name == node.name);
                if let (Some(machine), Some(record), true) = (machine, record, ours) {
                    let mut seen = member.machine.take().unwrap_or_else(|| planner_machine(machine, made));
                    seen.mislabelled = mislabelled(machine, &record);
                    seen.specification = record.specification;
                    member.machine = Some(seen);
                }
            }
        }
        Kubernetes::Silent { .. } | Kubernetes::Gone => {
            observed.api = if matches!(kubernetes, Kubernetes::Gone) {
                Api::Gone
            } else {
                Api::Silent
            };
            for (name, member) in &mut observed.members {
                member.node = earlier.and_then(|earlier| earlier.members.get(name)?.node.clone());
            }
        }
    }
    observed
}

fn planner_machine(machine: &CloudMachine, made: &BTreeSet<String>) -> Machine {
    Machine {
        power: match machine.state {
            MachineState::Starting | MachineState::Running => Power::On,
            MachineState::Stopping | MachineState::Halted => Power::Off,
        },
        specification: machine.labels.get(SPECIFICATION).cloned().unwrap_or_default(),
        created: machine
            .created
            .parse::<jiff::Timestamp>()
            .map_or(0, jiff::Timestamp::as_second),
        joinable: made.contains(&machine.name),
        mislabelled: false,
    }
}

/// Finds machines that were made as they are to be and whose type somebody changed: they are replaced.
pub(super) fn find_retyped(observed: &mut Observed, inventory: &Inventory, wanted: &Wanted) {
    let specification = wanted.specification();
    for (name, member) in &mut observed.members {
        let found = inventory.machines.iter().find(|machine| machine.name == *name);
        if let (Some(found), Some(machine)) = (found, &mut member.machine)
            && found.machine_type != wanted.machine_type
            && machine.specification == specification
        {
            machine.specification = format!("{specification}, now {}", found.machine_type);
        }
    }
}

/// Whether the cloud's labels on a machine are no longer those that it was made with.
fn mislabelled(machine: &CloudMachine, record: &Record) -> bool {
    !is_of(machine, &record.group)
        || !machine.labels.contains_key(label::CLUSTER)
        || machine.labels.get(SPECIFICATION) != Some(&record.specification)
        || machine.labels.get(label::ZONE) != Some(&machine.zone)
}

fn planner_node(node: &NodeFacts, pod_network: bool) -> Node {
    Node {
        joined: node.ready || !pod_network,
        leaving: node.labels.contains_key(LEAVING_LABEL),
        cordoned: cordoned(node) && !node.labels.contains_key(LEAVING_LABEL),
        not_ready: (!node.ready && pod_network).then(|| {
            let reason = node
                .not_ready_reason
                .clone()
                .unwrap_or_else(|| "no reason given".to_owned());
            match &node.not_ready_since {
                Some(since) => format!("since {since}: {reason}"),
                None => reason,
            }
        }),
        record: node.annotations.get(RECORD).cloned(),
        labels: node.labels.clone(),
        taints: node.taints.iter().map(planner_taint).collect(),
    }
}

/// The group as the state shows it.
pub(super) fn describe(
    provider: &Configured,
    (cluster, inventory): (&ClusterName, &Inventory),
    group: &str,
    observed: &Observed,
) -> BTreeMap<String, Worker> {
    let cloud: BTreeMap<&str, &CloudMachine> = inventory
        .machines
        .iter()
        .filter(|machine| is_of(machine, group) || observed.members.contains_key(&machine.name))
        .map(|machine| (machine.name.as_str(), machine))
        .collect();
    let silent = observed.api != Api::Serving;
    let describe = |(name, member): (&String, &Member)| {
        let machine = cloud.get(name.as_str());
        let other = machine.and_then(|machine| strays::taken_by(&machine.labels, cluster));
        let state = match (&member.machine, &member.node) {
            (None, _) => "machine gone",
            (Some(machine), _) if machine.power == Power::Off => "halted",
            (Some(_), _) if silent => "unknown",
            (Some(_), None) => "not registered",
            (Some(_), Some(node)) if node.leaving => "leaving",
            (Some(machine), _) if machine.mislabelled => "relabelled",
            (Some(_), Some(node)) if node.cordoned => "cordoned",
            (Some(_), Some(node)) if node.joined => "ready",
            (Some(_), Some(_)) => "not ready",
        };
        let worker = Worker {
            address: machine
                .and_then(|machine| machine.address)
                .map(|address| address.to_string())
                .unwrap_or_default(),
            provider_id: machine
                .map(|machine| provider.cloud().provider_id_of(machine))
                .unwrap_or_default(),
            machine_type: machine.map(|machine| machine.machine_type.clone()).unwrap_or_default(),
            state: other.map_or_else(|| state.to_owned(), taken),
        };
        (name.clone(), worker)
    };
    observed.members.iter().map(describe).collect()
}

/// Looks at machines and nodes.
pub(super) async fn refresh(
    provider: &Configured,
    mut state: NodeGroup,
    private: &[u8],
) -> Result<Option<(NodeGroup, Vec<u8>)>, Diagnostics> {
    let doing = format!("read node group {}", state.name);
    let situation = Situation {
        doing: &doing,
        left: "Nothing was changed.",
    };
    let id = ObjectId::parse_cluster(&state.control_plane).map_err(|error| {
        situation.error(
            &format!("{error}."),
            "Correct the state, or import the node group again.",
        )
    })?;
    let group = state.name.clone();
    let mut inventory = settled::known_inventory(provider, &id.cluster, |machine| is_of(machine, &group))
        .await
        .map_err(|error| situation.cloud(&error))?;
    if inventory.is_empty() {
        return Ok(None);
    }
    marks::confirm(provider, &id.cluster, machines(&inventory, &state.name)).await;
    let connection = connect(provider, &id.cluster, &inventory)
        .await
        .map(|access| access.connection);
    let kubernetes = look(&inventory, &connection).await;
    if let Kubernetes::Silent { reason, .. } = &kubernetes {
        warn!(node_group = %state.name, %reason, "the Kubernetes API does not answer; nodes are shown as last seen");
    }
    let earlier = decode(private);
    let remembered = earlier.iter().flat_map(|earlier| earlier.members.keys());
    let found = (&id.cluster, &*inventory);
    let strays = gone_astray(provider, found, (&state.zone, &group), &kubernetes, remembered)
        .await
        .map_err(|error| situation.cloud(&error))?;
    if !strays.is_empty() {
        Arc::make_mut(&mut inventory).machines.extend(strays);
    }
    let nobody = BTreeSet::new();
    let mut observed = observe(&inventory, &state.name, &kubernetes, earlier.as_ref(), &nobody, &nobody);
    state.nodes = describe(provider, (&id.cluster, &inventory), &state.name, &observed);
    if let Ok(wanted) = Wanted::of(&state.clone().into()) {
        find_retyped(&mut observed, &inventory, &wanted);
        let desired = wanted.desired(provider.cloud().region(), None, false);
        let answering = Observed {
            api: Api::Serving,
            api_version: None,
            ..observed.clone()
        };
        if preview(&answering, &desired).changes_anything() {
            // Something changed since: the steps of the last change are not what a plan is compared with.
            state.rollout = Vec::new();
        }
    }
    Ok(Some((state, encode(&observed))))
}

/// A node group that exists, for `terraform import`.
pub(super) async fn import(provider: &Configured, id: &str) -> Result<NodeGroup, Diagnostics> {
    let refuse = |reason: String| Diagnostics::from(Diagnostic::error("Cannot import the node group", reason));
    let (ObjectId { region, cluster, .. }, name) =
        ObjectId::parse_object(id, "us-central1/demo/pool").map_err(|error| refuse(format!("{error}.")))?;
    let here = provider.cloud().region();
    if region != here {
        return Err(refuse(format!("The provider works on region {here}, not on {region}.")));
    }
    let situation = Situation {
        doing: "import the node group",
        left: "Nothing was changed.",
    };
    ClusterFacts::find(provider, &cluster, &situation).await?;
    let inventory = provider
        .inventory(&cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let found: Vec<&CloudMachine> = machines(&inventory, &name).collect();
    let Some(first) = found.first() else {
        return Err(refuse(format!(
            "Cluster {cluster} has no machine of a node group {name} in {here}: there is nothing to import, and an apply \
             creates it."
        )));
    };
    let version = first.labels.get(label::VERSION).cloned().unwrap_or_default();
    let record = record(provider, &cluster, &inventory, &name).await?;
    let (surge, unavailable) = record
        .as_ref()
        .map_or((1, 0), |record| (record.max_surge, record.max_unavailable));
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let group = NodeGroup {
        control_plane: ObjectId::cluster(here, &cluster),
        kubernetes_version: version.replace('-', "."),
        zone: first.zone.clone(),
        size: count(found.len()),
        machine_type: first.machine_type.clone(),
        max_surge: count(surge),
        max_unavailable: count(unavailable),
        id: ObjectId::object(here, &cluster, &name),
        region: here.to_owned(),
        name,
        ..blank()
    };
    let Some(record) = record else {
        return Ok(group);
    };
    let taint = |taint: multizone_planner::node_group::Taint| Taint {
        key: taint.key,
        value: taint.value,
        effect: taint.effect,
    };
    Ok(NodeGroup {
        labels: record.labels,
        taints: record.taints.map(|taints| taints.into_iter().map(taint).collect()),
        legacy_zone_labels: record.legacy_zone_labels,
        drain_timeout: record.drain_timeout,
        image: record.image,
        boot_disk_gb: record.boot_disk_gb,
        service_account: record.service_account,
        ..group
    })
}

/// The settings that the group's Nodes carry: those of its youngest machine, whose change came last.
async fn record(
    provider: &Configured,
    cluster: &ClusterName,
    inventory: &Inventory,
    group: &str,
) -> Result<Option<Record>, Diagnostics> {
    let connection = connect(provider, cluster, inventory)
        .await
        .map(|access| access.connection);
    let nodes = match look(inventory, &connection).await {
        Kubernetes::Serving(_, nodes) => nodes,
        Kubernetes::Gone => return Ok(None),
        Kubernetes::Silent { reason, .. } => {
            return Err(Diagnostic::error(
                "Cannot import the node group",
                format!(
                    "Its labels, taints and further settings are kept on its nodes, and the Kubernetes API of cluster \
                     {cluster} does not answer: {reason}. Import it once the API serves."
                ),
            )
            .into());
        }
    };
    let mut machines: Vec<&CloudMachine> = machines(inventory, group).collect();
    machines.sort_by(|one, other| other.created.cmp(&one.created));
    Ok(machines.into_iter().find_map(|machine| {
        let node = nodes.iter().find(|node| node.name == machine.name)?;
        Record::of(node.annotations.get(RECORD)?).filter(|record| record.group == group)
    }))
}
