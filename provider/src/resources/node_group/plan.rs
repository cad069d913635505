//! What a plan shows and refuses.

use std::collections::BTreeMap;

use multizone_cloud::{ClusterName, label};
use multizone_kubernetes::version::KubernetesVersion;
use multizone_planner::{
    Growth, lines,
    node_group::{Api, NAME_OVERHEAD, Next, Observed, Power, Step, preview},
};
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Path, Planned, PlannedModel, Value};

use super::{NodeGroup, NodeGroupPlanned, executor, facts, steps::away_from_the_pod_network, worker};
use crate::{
    configuration::{Configured, Maker, NewMachines},
    resources::{
        cluster::check_planned_zone,
        control_plane::timing,
        identity::{LONGEST_OBJECT_NAME, ObjectId},
        offers::{self, Purpose},
    },
};

pub(super) fn region(provider: &Configured) -> &str {
    provider.cloud().region()
}

/// Asks the cloud whether what is new can be had.
pub(super) async fn ask(provider: &Configured, prior: Option<&NodeGroup>, planned: &NodeGroupPlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let Some(zone) = planned.zone.known() else {
        return diagnostics;
    };
    let same_zone = prior.is_some_and(|prior| prior.zone == *zone);
    if !same_zone {
        diagnostics.extend(offers::check_zone(provider, Path::from("zone"), zone).await);
        let control_plane = planned.control_plane.known().map(|id| ObjectId::parse_cluster(id));
        if let Some(Ok(id)) = control_plane.filter(|_| diagnostics.is_empty()) {
            diagnostics.extend(check_planned_zone(provider, &id.cluster, "zone", zone));
        }
    }
    let Some(machine_type) = planned.machine_type.known() else {
        return diagnostics;
    };
    let same_type = prior.is_some_and(|prior| prior.machine_type == *machine_type);
    let unchanged = same_zone && same_type;
    if !unchanged && !diagnostics.has_errors() {
        let path = Path::from("machine_type");
        diagnostics.extend(offers::check_machine_type(provider, path, zone, machine_type, Purpose::Worker).await);
    }
    diagnostics
}

/// Asks the cloud whether the zone's subnet has addresses for the machines that the steps make; without steps that are known,
/// for those that the sizes say.
pub(super) async fn ask_for_room(
    provider: &Configured,
    prior: Option<&NodeGroup>,
    planned: &NodeGroupPlanned,
    growth: Option<Growth>,
) -> Diagnostics {
    let (Some(zone), Some(name)) = (planned.zone.known(), planned.name.known()) else {
        return Diagnostics::new();
    };
    let Some(cluster) = cluster_of(provider, planned) else {
        return Diagnostics::new();
    };
    let had = prior.filter(|prior| prior.zone == *zone).map_or(0, |prior| prior.size);
    let wanted = planned.size.known().map_or(0, |size| size - had);
    let new = NewMachines {
        staying: growth.map_or(u64::try_from(wanted).unwrap_or_default(), Growth::staying),
        passing: growth.map_or(0, Growth::passing),
    };
    let path = Path::from(if new.staying > 0 { "size" } else { "max_surge" });
    let maker = Maker::Workers(name.clone());
    offers::check_addresses(provider, path, &cluster, zone, (maker, new)).await
}

/// The cluster that the group belongs to, as far as a plan can know: a control plane that is still to be made is one of those
/// that were planned before, since Terraform plans what an object refers to before it.
fn cluster_of(provider: &Configured, planned: &NodeGroupPlanned) -> Option<ClusterName> {
    if let Some(id) = planned.control_plane.known() {
        return ObjectId::parse_cluster(id).ok().map(|id| id.cluster);
    }
    let mut planned = provider.planned_versions().into_keys();
    planned.next().filter(|_| planned.next().is_none())
}

pub(super) fn same_region(given: &str, region: &str) -> Diagnostics {
    if given == region {
        return Diagnostics::new();
    }
    Diagnostic::error(
        "Control plane of another region",
        format!("control_plane is in region {given}, the provider works on {region}. Use the provider of that region."),
    )
    .at("control_plane")
    .into()
}

/// Names of machines are built from the cluster's and the group's.
pub(super) fn name_fits(config: &NodeGroupPlanned) -> Diagnostics {
    let cluster = config
        .control_plane
        .known()
        .and_then(|id| ObjectId::parse_cluster(id).ok());
    let (Some(ObjectId { cluster, .. }), Some(name)) = (cluster, config.name.known()) else {
        return Diagnostics::new();
    };
    let length = cluster.as_str().len() + name.len() + NAME_OVERHEAD;
    if length <= LONGEST_OBJECT_NAME {
        return Diagnostics::new();
    }
    Diagnostic::error(
        "Name that the cloud refuses",
        format!(
            "Machines would be called {cluster}-{name}-xxxx, which is {length} characters long; {LONGEST_OBJECT_NAME} are \
             the most. Shorten name by {}.",
            length - LONGEST_OBJECT_NAME
        ),
    )
    .at("name")
    .into()
}

/// Key and effect are a taint's identity.
pub(super) fn repeated_taints(config: &NodeGroupPlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let taints: Vec<_> = config
        .taints
        .known()
        .into_iter()
        .flatten()
        .map(|taint| {
            taint
                .known()
                .and_then(|taint| Some((taint.key.known()?, taint.effect.known()?)))
        })
        .collect();
    for (index, taint) in taints.iter().enumerate() {
        if let Some((key, effect)) = taint.filter(|_| taints[..index].contains(taint)) {
            diagnostics.error(
                Path::from("taints").index(index),
                "Taint given twice",
                format!("A node has one taint of key {key} and effect {effect}; write one of them only."),
            );
        }
    }
    diagnostics
}

/// Refuses workers that the control plane's API server will not do for, and warns of those that the one seen last would not.
pub(super) fn skew(
    provider: &Configured,
    prior: Option<&NodeGroup>,
    planned: &NodeGroupPlanned,
    observed: Option<&Observed>,
) -> Diagnostics {
    let none = Diagnostics::new();
    let (Some(version), Some(name)) = (planned.kubernetes_version.known(), planned.name.known()) else {
        return none;
    };
    let unchanged = prior.is_some_and(|prior| prior.kubernetes_version == *version);
    if unchanged || planned.size.known() == Some(&0) {
        return none;
    }
    let parsed = |text: &str| KubernetesVersion::parse(text).ok().map(worker::planner_version);
    let Some(kubelet) = parsed(version) else {
        return none;
    };
    let rule = "A kubelet is never newer than the API server, and at most three minor versions older.";
    let summary = "Workers that do not fit the control plane";
    if planned.control_plane.is_unknown() {
        // Its control plane is still to be made, so it is one of those that were planned before: Terraform plans what an
        // object refers to before it.
        let all = provider.planned_versions();
        let fits = |api: &String| parsed(api).is_none_or(|api| kubelet.kubelet_may_talk_to(api));
        if all.is_empty() || all.values().any(fits) {
            return none;
        }
        let runs = |(cluster, api): (&ClusterName, &String)| format!("that of cluster {cluster} is to run {api}");
        let all: Vec<_> = all.iter().map(runs).collect();
        let text = format!(
            "Node group {name} is to run Kubernetes {version}, which no control plane of this plan takes: {}. {rule} Write \
             kubernetes_version = multizone_control_plane.NAME.kubernetes_version.",
            all.join(", ")
        );
        return Diagnostic::error(summary, text).at("kubernetes_version").into();
    }
    let id = planned
        .control_plane
        .known()
        .and_then(|id| ObjectId::parse_cluster(id).ok());
    let Some(id) = id else {
        return none;
    };
    if let Some(api) = provider.planned_version(&id.cluster) {
        let fits = parsed(&api).is_none_or(|api| kubelet.kubelet_may_talk_to(api));
        let text = format!(
            "Node group {name} is to run Kubernetes {version}, and the control plane of cluster {} runs {api} once this plan \
             is applied. {rule} Write kubernetes_version = multizone_control_plane.NAME.kubernetes_version.",
            id.cluster
        );
        let refusal = || Diagnostic::error(summary, text).at("kubernetes_version").into();
        return if fits { none } else { refusal() };
    }
    // Another configuration of the provider, or another run of Terraform, has the control plane, and may be about to
    // change it.
    let Some(api) = observed.and_then(|observed| observed.api_version) else {
        return none;
    };
    if kubelet.kubelet_may_talk_to(api) {
        return none;
    }
    let text = format!(
        "Node group {name} is to run Kubernetes {version}, and the API server of cluster {} was last seen with {api}. {rule} \
         Unless the control plane is upgraded first, the apply is refused.",
        id.cluster
    );
    Diagnostic::warning(summary, text).at("kubernetes_version").into()
}

/// Says which nodes are not ready: nothing that an apply would change, and nothing that it should be refused for.
pub(super) fn unwell(prior: &NodeGroup, observed: &Observed) -> Diagnostics {
    let mut nodes = Vec::new();
    for (name, member) in &observed.members {
        let reason = member.node.as_ref().and_then(|node| node.not_ready.clone());
        let running = member
            .machine
            .as_ref()
            .is_some_and(|machine| machine.power == Power::On);
        if let Some(reason) = reason.filter(|_| running) {
            nodes.push(format!("- {name}, {reason}"));
        }
    }
    let total = observed.members.len();
    let taints = worker::Wanted::of(&prior.clone().into()).map(|wanted| wanted.taints);
    let network = away_from_the_pod_network(&nodes.concat(), &taints.unwrap_or_default())
        .map(|hint| format!("{hint}\n"))
        .unwrap_or_default();
    let (what, rest) = match observed.api {
        Api::Gone => return Diagnostics::new(),
        Api::Silent => (
            format!("The nodes of node group {} cannot be seen", prior.name),
            "The Kubernetes API does not answer, so nodes are shown as last seen. A change of the group waits for the API; \
             bring the control plane back first."
                .to_owned(),
        ),
        Api::Serving if nodes.is_empty() => return Diagnostics::new(),
        Api::Serving => (
            format!("{} of {total} nodes of node group {} not ready", nodes.len(), prior.name),
            format!(
                "In zone {}:\n{}\n{network}Their machines run, so an apply changes nothing about them. If the zone is out, they come \
                 back with it; otherwise the kubelet's log on the machine says more. A machine that stays unwell is replaced \
                 when you delete it in the cloud and apply.",
                prior.zone,
                nodes.join("\n")
            ),
        ),
    };
    Diagnostic::warning(what, rest).into()
}

/// Says which workers' machines another cluster has.
pub(super) fn taken(prior: &NodeGroup) -> Diagnostics {
    let cluster = ObjectId::parse_cluster(&prior.control_plane).map(|id| id.cluster);
    let cluster = cluster.unwrap_or_else(|_| ClusterName::new(String::new()));
    let mut diagnostics = Diagnostics::new();
    for (name, worker) in &prior.nodes {
        let Some(other) = facts::taken_by(worker) else {
            continue;
        };
        diagnostics.push(Diagnostic::warning(
            format!("Machine {name} of node group {} belongs to cluster {other} now", prior.name),
            format!(
                "In {}, it carries the label {} = {other}, and it is a node of cluster {cluster} all the same. The provider \
                 does not touch it: what would change it stops there.\n{}",
                prior.zone,
                label::CLUSTER,
                give_back(name, &cluster, other)
            ),
        ));
    }
    diagnostics
}

/// What to do about a worker's machine that is another cluster's.
pub(super) fn give_back(machine: &str, cluster: &ClusterName, other: &str) -> String {
    format!(
        "If it is cluster {cluster}'s, set that label to {cluster} again, in the cloud. If it is to stay with cluster {other}, \
         drain it and delete its Node ({machine}) with kubectl; the next apply makes another worker in its place."
    )
}

/// Plans what the engine will do: its steps, and what they make unknown.  Gives how many machines
/// more there are then, where the steps are known.
pub(super) fn foresee(
    provider: &Configured,
    prior: Option<&NodeGroup>,
    observed: Option<Observed>,
    planned: &mut NodeGroupPlanned,
) -> Option<Growth> {
    let unchanged = |planned: &mut NodeGroupPlanned| {
        if let Some(prior) = prior {
            let prior = NodeGroupPlanned::from(prior.clone());
            planned.rollout = prior.rollout;
            planned.nodes = prior.nodes;
        }
    };
    let (Some(observed), Ok(wanted)) = (observed, worker::Wanted::of(planned)) else {
        // Something is known after apply: so are the steps, unless nothing changes at all.
        return None;
    };
    let before = prior.and_then(|prior| worker::Wanted::of(&prior.clone().into()).ok());
    let desired = wanted.desired(region(provider), before.as_ref(), false);
    // Whether the API answers, and which version it has, is for apply to see.
    let preview = preview(
        &Observed {
            api: Api::Serving,
            api_version: None,
            ..observed
        },
        &desired,
    );
    if !preview.changes_anything() || matches!(preview.end, Next::Refused(_)) {
        unchanged(planned);
        return Some(Growth::default());
    }
    let timing = timing(provider.cloud().capabilities().timing);
    let steps = lines(&preview.describe(&desired, &timing));
    planned.rollout = steps.into_planned();
    // The same change made twice behind Terraform's back takes the same steps twice: they alone would show no difference.
    let same_steps = prior.is_some_and(|prior| NodeGroupPlanned::from(prior.clone()).rollout == planned.rollout);
    if same_steps || preview.steps.iter().any(|step| !matches!(step, Step::Patch(_))) {
        planned.nodes = Planned::Unknown;
    } else if let Some(prior) = prior {
        planned.nodes = NodeGroupPlanned::from(prior.clone()).nodes;
    }
    Some(preview.growth())
}

/// The planned object with what only apply could tell.
pub(super) fn complete(
    provider: &Configured,
    mut planned: NodeGroupPlanned,
    executor: &executor::Executor<'_>,
    reached: &executor::Reached,
) -> Result<NodeGroup, Diagnostics> {
    let region = region(provider);
    if let (Some(control_plane), Some(name)) = (planned.control_plane.known(), planned.name.known())
        && let Ok(id) = ObjectId::parse_cluster(control_plane)
    {
        planned.id = ObjectId::object(region, &id.cluster, name).into();
    }
    planned.region = region.into();
    if !planned.nodes.is_known() {
        planned.nodes = reached.nodes.clone().into_planned();
    }
    if !planned.rollout.is_known() {
        planned.rollout = executor.steps().into_planned();
    }
    planned.into_known()
}

/// An object of defaults, from which single attributes are taken.
pub(super) fn blank() -> NodeGroup {
    NodeGroup {
        control_plane: String::new(),
        kubernetes_version: String::new(),
        name: String::new(),
        zone: String::new(),
        size: 0,
        machine_type: String::new(),
        labels: None,
        taints: None,
        legacy_zone_labels: false,
        max_surge: 1,
        max_unavailable: 0,
        drain_timeout: "15m".to_owned(),
        image: None,
        boot_disk_gb: 30,
        service_account: None,
        timeouts: None,
        id: String::new(),
        region: String::new(),
        nodes: BTreeMap::new(),
        rollout: Vec::new(),
    }
}

pub(super) fn control_plane_id(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(Err(error)) = value.as_str().map(ObjectId::parse_cluster) {
        diagnostics.error(
            path.clone(),
            "Not a control plane",
            format!("{path}: {error}. Write control_plane = multizone_control_plane.NAME.id."),
        );
    }
}
