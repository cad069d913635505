//! What a plan shows and refuses.

use std::collections::BTreeMap;

use multizone_cloud::ClusterName;
use multizone_kubernetes::cluster_access::dropped_objects;
use multizone_planner::{
    Growth,
    cluster::{Next, Preview, Step, Violation, Warning, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Path, Planned, Value};

use super::{
    ControlPlane, ControlPlanePlanned, certificates,
    drift::dropping,
    seen::{self, Seen},
    wanted::Wanted,
};
use crate::{
    configuration::{Configured, Maker, NewMachines},
    resources::{
        Planning,
        api_load_balancer::check_planned_balancer,
        cluster::check_planned_zone,
        offers::{self, Purpose},
        rollout,
        trouble::sentence,
        world,
    },
};

/// Plans a change: its steps, and what they make unknown.
pub(super) async fn plan(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    mut planning: Planning<ControlPlane>,
) -> Planning<ControlPlane> {
    let asked = ask(provider, prior, &planning.planned).await;
    planning.diagnostics.extend(asked);
    if let Some(prior) = prior {
        planning
            .diagnostics
            .extend(certificates::warnings(prior, provider.now()));
    }
    let mut growth = None;
    if !planning.diagnostics.has_errors() {
        if prior.is_none() {
            planning.diagnostics.extend(replaced(provider, &planning.planned));
        }
        let foreseen = foresee(provider, prior, &planning.private, &mut planning.planned);
        planning.diagnostics.extend(foreseen.diagnostics);
        growth = foreseen.growth;
    }
    let room = ask_for_room(provider, prior, &planning.planned, growth).await;
    planning.diagnostics.extend(room);
    planning
}

/// Asks the cloud whether the zones' subnets have addresses for the masters that the steps make; without steps that are known,
/// for those that the replicas say.
async fn ask_for_room(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    planned: &ControlPlanePlanned,
    growth: Option<BTreeMap<String, Growth>>,
) -> Diagnostics {
    let Some(cluster) = planned.cluster.known() else {
        return Diagnostics::new();
    };
    let mut new: BTreeMap<String, NewMachines> = BTreeMap::new();
    match growth {
        Some(growth) => new.extend(growth.into_iter().map(|(zone, growth)| {
            let (staying, passing) = (growth.staying(), growth.passing());
            (zone, NewMachines { staying, passing })
        })),
        None => {
            for (key, replica) in planned.replicas.known().into_iter().flatten() {
                let zone = replica.known().and_then(|replica| replica.zone.known());
                let stays = prior.and_then(|prior| prior.replicas.get(key)).map(|was| &was.zone) == zone;
                if let Some(zone) = zone.filter(|_| !stays) {
                    new.entry(zone.clone()).or_default().staying += 1;
                }
            }
        }
    }
    let cluster = ClusterName::new(cluster);
    let mut diagnostics = Diagnostics::new();
    for (zone, new) in new {
        let new = (Maker::Masters, new);
        diagnostics.extend(offers::check_addresses(provider, Path::from("replicas"), &cluster, &zone, new).await);
    }
    diagnostics
}

/// Asks the cloud whether what is new can be had.
async fn ask(provider: &Configured, prior: Option<&ControlPlane>, planned: &ControlPlanePlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let mut new_zones = Vec::new();
    for (key, replica) in planned.replicas.known().into_iter().flatten() {
        let Some(zone) = replica.known().and_then(|replica| replica.zone.known()) else {
            continue;
        };
        let stays = |prior: &ControlPlane| prior.replicas.get(key).is_some_and(|was| was.zone == *zone);
        let same_type = |prior: &ControlPlane| planned.machine_type.known() == Some(&prior.machine_type);
        let stays = prior.is_some_and(stays);
        let mut zone_exists = true;
        if !stays {
            let path = Path::from("replicas").key(key).attribute("zone");
            let mut unknown = offers::check_zone(provider, path.clone(), zone).await;
            zone_exists = !unknown.has_errors();
            if let Some(cluster) = planned.cluster.known().filter(|_| unknown.is_empty()) {
                unknown = check_planned_zone(provider, &ClusterName::new(cluster), path.clone(), zone);
            }
            if unknown.is_empty() {
                new_zones.push((path, zone.clone()));
            }
            diagnostics.extend(unknown);
        }
        if stays && prior.is_some_and(same_type) || !zone_exists {
            continue;
        }
        if let Some(machine_type) = planned.machine_type.known() {
            let path = Path::from("machine_type");
            let said = offers::check_machine_type(provider, path, zone, machine_type, Purpose::Master).await;
            diagnostics.extend(said);
        }
    }
    if let (Some(cluster), Some(balancer)) = (planned.cluster.known(), planned.load_balancer.known()) {
        let same = prior.is_some_and(|prior| prior.load_balancer.as_ref() == Some(balancer));
        if !same || !new_zones.is_empty() {
            let cluster = ClusterName::new(cluster);
            diagnostics.extend(check_planned_balancer(provider, &cluster, balancer, &new_zones).await);
        }
    }
    diagnostics
}

/// What a change comes to.
#[derive(Default)]
struct Foreseen {
    diagnostics: Diagnostics,
    /// The machines that its steps make in each zone; `None` when they are not known.
    growth: Option<BTreeMap<String, Growth>>,
}

/// Writes a change's steps, and what they make unknown, into the plan.
fn foresee(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    private: &[u8],
    planned: &mut ControlPlanePlanned,
) -> Foreseen {
    let capabilities = provider.cloud().capabilities();
    let unchanged = |planned: &mut ControlPlanePlanned| {
        if let Some(prior) = prior {
            let prior = ControlPlanePlanned::from(prior.clone());
            planned.rollout = prior.rollout;
            planned.nodes = prior.nodes;
        }
    };
    let mut foreseen = Foreseen::default();
    let Ok(wanted) = Wanted::of(planned) else {
        return foreseen;
    };
    if planned.pod_network_manifest.is_unknown() {
        return foreseen;
    }
    let seen = match prior {
        None => Some(seen::nothing(capabilities)),
        Some(_) => seen::decode(private),
    };
    let Some(Seen { mut world, drift, .. }) = seen else {
        // Nothing is known of what there is.  A refresh finds it out; without one only a change is worth a look.
        let changes = prior.is_some_and(|prior| {
            let was = ControlPlanePlanned {
                rollout: planned.rollout.clone(),
                nodes: planned.nodes.clone(),
                ..prior.clone().into()
            };
            was != *planned
        });
        if !changes {
            unchanged(planned);
        }
        return foreseen;
    };
    if let Some(prior) = prior {
        foreseen.diagnostics.extend(drift.warnings(&world, prior));
        if !world.has_an_address() && world.balancer.is_some() {
            foreseen.diagnostics.extend(keeps_its_balancer(prior, &wanted));
        }
    }
    seen::expect_the_others(&mut world, &wanted);
    let operation = wanted.operation(prior.map(|prior| prior.endpoint.clone()));
    let preview = preview(&world, &operation);
    foreseen.growth = Some(preview.growth(&world));
    foreseen.diagnostics.extend(end(&preview, &wanted));
    let idle = !preview.changes_anything() && !drift.heals();
    if idle || matches!(preview.end, Next::Refused(_)) {
        unchanged(planned);
        return foreseen;
    }
    let worth_saying = |warning: &&Warning| match warning {
        // Nothing is there yet that could be lost.
        Warning::NoBackUp => prior.is_some(),
        // It is what was said before.
        Warning::SingleMaster => prior.is_none_or(|prior| prior.replicas.len() != 1),
        _ => true,
    };
    let warnings = preview.warnings.iter().filter(worth_saying);
    foreseen
        .diagnostics
        .extend(warnings.map(|warning| warned(warning, &wanted)));
    let timing = rollout::timing(capabilities.timing);
    let mut steps = drift.steps(&preview, &world, &operation, &timing);
    if let (Some(before), Some(now)) = (
        prior.and_then(|prior| prior.pod_network_manifest.as_ref()),
        &wanted.pod_network,
    ) {
        dropping(&mut steps, &preview, &dropped_objects(before, now));
    }
    planned.rollout = lines(&steps).into_planned();
    planned.nodes = match prior {
        Some(prior) if !preview.steps.iter().any(concerns_nodes) && !drift.concerns_nodes() => {
            ControlPlanePlanned::from(prior.clone()).nodes
        }
        _ => Planned::Unknown,
    };
    foreseen
}

/// Refuses to do without a balancer whose name is the endpoint.  Terraform would destroy it before the control plane, and that
/// the balancer refuses only then: while it plans, it cannot know whether the masters are to go as well.
fn keeps_its_balancer(prior: &ControlPlane, wanted: &Wanted) -> Diagnostics {
    let Some(was) = prior.load_balancer.as_ref().filter(|_| wanted.balancer.is_none()) else {
        return Diagnostics::new();
    };
    Diagnostic::error(
        "The endpoint is the balancer's name",
        format!(
            "load_balancer was {was} and cannot be left out: the endpoint of cluster {} is a name that leads to its masters \
             through that balancer. Nothing was changed. Keep the multizone_api_load_balancer and name it again; with a single \
             master, too. Both can go together only: destroy the control plane, or all.",
            wanted.cluster
        ),
    )
    .at("load_balancer")
    .into()
}

/// Whether the state of masters shows a step.
fn concerns_nodes(step: &Step) -> bool {
    !matches!(
        step,
        Step::BackUp
            | Step::ApplySettings(..)
            | Step::ApplyAddons(..)
            | Step::InstallAccess
            | Step::ApplyPodNetwork(_)
            | Step::Register(_)
            | Step::Deregister(_)
            | Step::HandOver(..)
            | Step::RollBack(..)
            | Step::AwaitAnswer(_)
    )
}

/// How the change ends, if not well.
fn end(preview: &Preview, wanted: &Wanted) -> Diagnostics {
    match &preview.end {
        Next::Refused(violation) => {
            let path = match violation {
                Violation::CutsOffTheApi => "load_balancer",
                _ => "kubernetes_version",
            };
            let what = format!("{} Nothing was changed.", sentence(violation));
            Diagnostic::error("Change of the control plane that is refused", what)
                .at(path)
                .into()
        }
        Next::Blocked(blocked) => Diagnostic::warning(
            format!(
                "The control plane of cluster {} cannot be brought to its end now",
                wanted.cluster
            ),
            format!("As things were when they were read, an apply goes no further than the steps shown: {blocked}."),
        )
        .into(),
        Next::Step(_) | Next::Done => Diagnostics::new(),
    }
}

pub(super) fn warned(warning: &Warning, wanted: &Wanted) -> Diagnostic {
    // Terraform shows one of several warnings with the same summary.
    let (path, what) = match warning {
        Warning::NoBalancer => ("load_balancer", "several masters without a balancer"),
        Warning::BalancerMissesZone(_) => ("load_balancer", "a zone that its balancer misses"),
        Warning::NoBackUp => ("etcd_backup", "no backup of etcd"),
        Warning::SingleMaster => ("replicas", "a single master"),
        Warning::EvenCount(_) => ("replicas", "an even number of masters"),
        Warning::ZoneStopsWrites { .. } => ("replicas", "masters that do not survive the loss of a zone"),
        Warning::FragileBetween { .. } => ("replicas", "steps not to stop between"),
    };
    Diagnostic::warning(
        format!("Control plane of cluster {}: {what}", wanted.cluster),
        sentence(warning),
    )
    .at(Path::from(path))
}

/// An object of defaults, from which single attributes are taken.
pub(super) fn blank() -> ControlPlane {
    ControlPlane {
        cluster: String::new(),
        kubernetes_version: String::new(),
        machine_type: String::new(),
        replicas: BTreeMap::new(),
        replica_count: None,
        load_balancer: None,
        tolerate_zone_loss: None,
        etcd_backup: None,
        pod_network_manifest: None,
        kubeadm: None,
        image: None,
        boot_disk_gb: 30,
        service_account: None,
        legacy_zone_labels: false,
        deletion_protection: false,
        timeouts: None,
        id: String::new(),
        endpoint: String::new(),
        nodes: BTreeMap::new(),
        rollout: Vec::new(),
    }
}

/// A create of what exists: Terraform has it as tainted, or does not know it.  Of a replacement that was asked for by
/// -replace Terraform shows only the warnings of its first half, which looks like an update.
fn replaced(provider: &Configured, planned: &ControlPlanePlanned) -> Diagnostics {
    let cluster = planned.cluster.known().map(ClusterName::new);
    let inventory = cluster.as_ref().and_then(|cluster| provider.inventory_at_hand(cluster));
    let masters = inventory.iter().flat_map(|inventory| world::masters(inventory));
    let finished = masters.filter(|machine| !machine.creating());
    let names: Vec<_> = finished.map(|machine| machine.name.clone()).collect();
    let (Some(cluster), false) = (cluster, names.is_empty()) else {
        return Diagnostics::new();
    };
    let region = provider.cloud().region();
    Diagnostic::warning(
        format!("Creating the control plane of {cluster} anew loses its etcd"),
        format!(
            "Cluster {cluster} has masters already: {}. If this plan destroys them first, because they are tainted, all that \
             the cluster's API holds goes with them: workloads, Secrets, everything; terraform untaint keeps them. If \
             Terraform does not know them, the apply refuses: import them with terraform import \
             multizone_control_plane.NAME {region}/{cluster}",
            names.join(", ")
        ),
    )
    .into()
}

/// What the end of a control plane costs.
pub(super) fn destroyed(control_plane: &ControlPlane) -> Diagnostic {
    let names = control_plane.nodes.keys().cloned().collect::<Vec<_>>().join(", ");
    let disks = match control_plane.nodes.len() {
        0 => "The masters' disks are the only copies".to_owned(),
        1 => format!("The disk of {names} is the only copy"),
        _ => format!("The disks of {names} are the only copies"),
    };
    Diagnostic::warning(
        format!(
            "Destroying the control plane of {} loses its etcd",
            control_plane.cluster
        ),
        format!(
            "{disks} of what the cluster's API holds: workloads, Secrets, everything. Disks of multizone_disk and the \
             nodes' own disks are not concerned."
        ),
    )
}

pub(super) fn protected(control_plane: &ControlPlane) -> Diagnostic {
    Diagnostic::error(
        "The control plane is protected",
        format!(
            "deletion_protection of the control plane of cluster {} is true, so it is not destroyed; nothing was changed. \
             To destroy it, set deletion_protection to false and apply that first.",
            control_plane.cluster
        ),
    )
    .at("deletion_protection")
}

/// Refuses what is no Kubernetes manifest.
pub(super) fn manifest(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(Err(error)) = value.as_str().map(multizone_kubernetes::cluster_access::check_manifest) else {
        return;
    };
    diagnostics.error(
        path.clone(),
        "Malformed manifest",
        format!("{path}: {error}. It must be YAML documents that are Kubernetes objects, as kubectl apply takes them."),
    );
}
