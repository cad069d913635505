//! What a plan of several masters shows and refuses.

use multizone_planner::{
    cluster::{Next, Preview, Step, Warning, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Path, Planned};

use super::{
    super::{ControlPlane, ControlPlanePlanned, drift::unlabelled, plan as only},
    seen::{self, Drift, Seen},
    wanted::Several,
};
use crate::{
    configuration::Configured,
    resources::{Planning, checks, rollout, world},
};

/// Plans a change of several masters: its steps, and what they make unknown.
pub(in crate::resources::control_plane) async fn plan(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    mut planning: Planning<ControlPlane>,
) -> Planning<ControlPlane> {
    let is_new = |key: &str, zone: &str| {
        let was = prior.and_then(|prior| prior.replicas.get(key));
        was.is_none_or(|was| was.zone != zone)
    };
    let asked = only::ask(provider, &planning.planned, is_new).await;
    planning.diagnostics.extend(asked);
    if let Some(prior) = prior {
        planning.diagnostics.extend(refusals(prior, &planning.planned));
        if planning.diagnostics.has_errors() {
            return planning;
        }
    }
    let said = foresee(provider, prior, &planning.private, &mut planning.planned);
    planning.diagnostics.extend(said);
    planning
}

/// What is not done yet.
fn refusals(prior: &ControlPlane, planned: &ControlPlanePlanned) -> Diagnostics {
    const WHY: &str = "Changing the version of a control plane that exists is not supported yet. Change it back.";
    match planned.kubernetes_version.known() {
        Some(wanted) if *wanted != prior.kubernetes_version => {
            checks::fixed("kubernetes_version", &prior.kubernetes_version, wanted, WHY).into()
        }
        _ => Diagnostics::new(),
    }
}

fn foresee(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    private: &[u8],
    planned: &mut ControlPlanePlanned,
) -> Diagnostics {
    let capabilities = provider.cloud().capabilities();
    let unchanged = |planned: &mut ControlPlanePlanned| {
        if let Some(prior) = prior {
            let prior = ControlPlanePlanned::from(prior.clone());
            planned.rollout = prior.rollout;
            planned.nodes = prior.nodes;
        }
    };
    let mut diagnostics = Diagnostics::new();
    let Ok(several) = Several::of(planned) else {
        return diagnostics;
    };
    if planned.pod_network_manifest.is_unknown() {
        return diagnostics;
    }
    let seen = match prior {
        None => Some(Seen {
            world: multizone_planner::cluster::World::empty(world::endpoint(capabilities), &[]),
            drift: Drift::default(),
        }),
        Some(prior) => {
            seen::decode(private).or_else(|| seen::of_the_only_master(prior, private, capabilities, &several))
        }
    };
    let Some(Seen { mut world, drift }) = seen else {
        unchanged(planned);
        return diagnostics;
    };
    seen::expect_the_others(&mut world, &several);
    let operation = several.operation(prior.map(|prior| prior.endpoint.clone()));
    let preview = preview(&world, &operation);
    if let Some(prior) = prior {
        diagnostics.extend(warnings_of(&drift, prior));
    }
    diagnostics.extend(end(&preview, &several));
    let idle = !preview.changes_anything() && !drift.heals();
    if idle || matches!(preview.end, Next::Refused(_)) {
        unchanged(planned);
        return diagnostics;
    }
    let nothing_to_lose = |warning: &&Warning| prior.is_none() && **warning == Warning::NoBackUp;
    let warnings = preview.warnings.iter().filter(|warning| !nothing_to_lose(warning));
    diagnostics.extend(warnings.map(|warning| warned(warning, &several)));
    let timing = rollout::timing(capabilities.timing);
    planned.rollout = lines(&drift.steps(&preview, &world, &operation, &timing)).into_planned();
    planned.nodes = match prior {
        Some(prior) if !preview.steps.iter().any(concerns_nodes) && !drift.concerns_nodes() => {
            ControlPlanePlanned::from(prior.clone()).nodes
        }
        _ => Planned::Unknown,
    };
    diagnostics
}

/// Whether the state of masters shows a step.
fn concerns_nodes(step: &Step) -> bool {
    !matches!(
        step,
        Step::BackUp
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
fn end(preview: &Preview, several: &Several) -> Diagnostics {
    match &preview.end {
        Next::Refused(violation) => Diagnostic::error(
            "Change of the control plane that is refused",
            format!("{violation}. Nothing was changed."),
        )
        .into(),
        Next::Blocked(blocked) => Diagnostic::warning(
            format!(
                "The control plane of cluster {} cannot be brought to its end now",
                several.cluster
            ),
            format!("As things were when they were read, an apply goes no further than the steps shown: {blocked}."),
        )
        .into(),
        Next::Step(_) | Next::Done => Diagnostics::new(),
    }
}

fn warned(warning: &Warning, several: &Several) -> Diagnostic {
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
    let mut text = warning.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Diagnostic::warning(
        format!("Control plane of cluster {}: {what}", several.cluster),
        format!("{text}."),
    )
    .at(Path::from(path))
}

/// What an apply does not heal.
fn warnings_of(drift: &Drift, prior: &ControlPlane) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if let Some(machine) = &drift.unlabelled {
        diagnostics.push(unlabelled(machine, &prior.cluster));
    }
    if let Some(reason) = &drift.silence {
        diagnostics.push(Diagnostic::warning(
            format!("The Kubernetes API of cluster {} does not answer", prior.cluster),
            format!(
                "It was asked in vain: {reason}.\nWhat changed in the cluster cannot be seen. If zones are out, the API comes \
                 back with them; the machines' serial consoles say more."
            ),
        ));
    }
    for (name, reason) in &drift.not_ready {
        let zone = prior.nodes.get(name).map_or("its zone", |node| node.zone.as_str());
        diagnostics.push(Diagnostic::warning(
            format!("Master {name} is not ready"),
            format!(
                "In {zone}, {reason}.\nThe kubelet's log on the machine and the pods of the pod network on it say more."
            ),
        ));
    }
    diagnostics
}
