//! What a plan shows and refuses.

use std::collections::BTreeMap;

use multizone_cloud::ClusterName;
use multizone_planner::{
    control_plane::{Next, Step, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Path, Planned, PlannedModel, Value};

use super::{ControlPlane, ControlPlanePlanned, drift::Seen, executor, machine};
use crate::{
    configuration::Configured,
    resources::{
        checks,
        cluster::check_planned_zone,
        identity::ObjectId,
        offers::{self, Purpose},
    },
};

/// Asks the cloud whether what is new can be had.
pub(super) async fn ask(
    provider: &Configured,
    planned: &ControlPlanePlanned,
    is_new: impl Fn(&str, &str) -> bool,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for (key, replica) in planned.replicas.known().into_iter().flatten() {
        let Some(zone) = replica.known().and_then(|replica| replica.zone.known()) else {
            continue;
        };
        if !is_new(key, zone) {
            continue;
        }
        let path = Path::from("replicas").key(key).attribute("zone");
        let mut unknown = offers::check_zone(provider, path.clone(), zone).await;
        let zone_exists = !unknown.has_errors();
        if let Some(cluster) = planned.cluster.known().filter(|_| unknown.is_empty()) {
            unknown = check_planned_zone(provider, &ClusterName::new(cluster), path, zone);
        }
        diagnostics.extend(unknown);
        if let Some(machine_type) = planned.machine_type.known().filter(|_| zone_exists) {
            let path = Path::from("machine_type");
            diagnostics.extend(offers::check_machine_type(provider, path, zone, machine_type, Purpose::Master).await);
        }
    }
    diagnostics
}

/// What would replace the only master, each with the attribute that asks for it.
pub(super) fn refusals(prior: &ControlPlane, planned: &ControlPlanePlanned) -> Diagnostics {
    const WHY: &str = "The only master's disk holds the only copy of etcd, so its machine is not replaced. Change it back. \
                       To move on, destroy the cluster and create it anew; replacing masters one by one needs several of \
                       them, which this release does not support yet.";
    let mut diagnostics = Diagnostics::new();
    let mut fixed = |path: &str, was: &str, wanted: Planned<&String>| {
        if let Some(wanted) = wanted.into_known().filter(|wanted| *wanted != was) {
            diagnostics.push(checks::fixed(path, was, wanted, WHY));
        }
    };
    fixed(
        "kubernetes_version",
        &prior.kubernetes_version,
        planned.kubernetes_version.as_ref(),
    );
    fixed("machine_type", &prior.machine_type, planned.machine_type.as_ref());
    for (path, was, wanted) in [
        ("image", &prior.image, &planned.image),
        ("service_account", &prior.service_account, &planned.service_account),
    ] {
        let none = "the default".to_owned();
        let wanted = if wanted.is_null() {
            Planned::Known(&none)
        } else {
            wanted.as_ref()
        };
        fixed(path, was.as_ref().unwrap_or(&none), wanted);
    }
    let boot_disk = planned.boot_disk_gb.known().map(ToString::to_string);
    fixed(
        "boot_disk_gb",
        &prior.boot_disk_gb.to_string(),
        boot_disk.as_ref().map_or(Planned::Null, Planned::Known),
    );
    if let Some(replicas) = planned.replicas.known() {
        for (key, was) in &prior.replicas {
            match replicas.get(key) {
                None => diagnostics.push(
                    Diagnostic::error(
                        "Change that cannot be made in place",
                        format!("Master {key} in {} is no longer in replicas. {WHY}", was.zone),
                    )
                    .at("replicas"),
                ),
                Some(replica) => {
                    let zone = replica.known().and_then(|replica| replica.zone.known());
                    if let Some(zone) = zone.filter(|zone| **zone != was.zone) {
                        diagnostics.push(
                            Diagnostic::error(
                                "Change that cannot be made in place",
                                format!("Master {key} is in {} and is to be in {zone}. {WHY}", was.zone),
                            )
                            .at(Path::from("replicas").key(key).attribute("zone")),
                        );
                    }
                }
            }
        }
    }
    diagnostics
}

/// Plans what the engine will do: its steps, and what they make unknown.
pub(super) fn foresee(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    seen: Option<Seen>,
    planned: &mut ControlPlanePlanned,
) {
    let unchanged = |planned: &mut ControlPlanePlanned| {
        if let Some(prior) = prior {
            let prior = ControlPlanePlanned::from(prior.clone());
            planned.rollout = prior.rollout;
            planned.nodes = prior.nodes;
        }
    };
    let (Some(Seen { observed, drift }), Ok(wanted), false) = (
        seen,
        machine::Wanted::of(planned),
        planned.pod_network_manifest.is_unknown(),
    ) else {
        return unchanged(planned);
    };
    let desired = wanted.desired(prior.map(|prior| prior.endpoint.clone()));
    let preview = preview(&observed, &desired);
    let idle = !preview.changes_anything() && drift.repairs.is_empty();
    if idle || matches!(preview.end, Next::Refused(_)) {
        return unchanged(planned);
    }
    let timing = machine::timing(provider.cloud().capabilities().timing);
    planned.rollout = lines(&drift.steps(&preview, &desired, &timing)).into_planned();
    let touches_the_machine = |step: &Step| matches!(step, Step::CreateMaster | Step::StartMaster | Step::WaitJoined);
    planned.nodes = match prior {
        Some(prior) if !preview.steps.iter().any(touches_the_machine) && !drift.concerns_the_node() => {
            ControlPlanePlanned::from(prior.clone()).nodes
        }
        _ => Planned::Unknown,
    };
}

/// The planned object with what only apply could tell.
pub(super) fn complete(
    provider: &Configured,
    mut planned: ControlPlanePlanned,
    executor: &executor::Executor<'_>,
    reached: &executor::Reached,
) -> Result<ControlPlane, Diagnostics> {
    let cluster = ClusterName::new(planned.cluster.known().cloned().unwrap_or_default());
    planned.id = ObjectId::cluster(provider.cloud().region(), &cluster).into();
    planned.endpoint = executor.endpoint().into();
    if !planned.nodes.is_known() {
        planned.nodes = reached.nodes.clone().into_planned();
    }
    if !planned.rollout.is_known() {
        planned.rollout = executor.steps().into_planned();
    }
    planned.into_known()
}

/// An object of defaults, from which single attributes are taken.
pub(super) fn blank() -> ControlPlane {
    ControlPlane {
        cluster: String::new(),
        kubernetes_version: String::new(),
        machine_type: String::new(),
        replicas: BTreeMap::new(),
        load_balancer: None,
        tolerate_zone_loss: None,
        etcd_backup: None,
        pod_network_manifest: None,
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
