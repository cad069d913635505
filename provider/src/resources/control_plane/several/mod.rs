//! Control planes of any number of masters, with or without a balancer.
//!
//! The order is the planner's (`multizone_planner::cluster`, operation `ControlPlane`).  [`executor`] observes
//! ([`observe`]), asks it, and acts ([`steps`]); [`plan`] shows the same function iterated over the steps' own effects;
//! [`read`] records what it plans from ([`seen`]).
//!
//! A control plane of one master that never had another one nor a balancer is not worked on here yet.

mod executor;
mod machine;
mod observe;
mod plan;
mod read;
mod repair;
mod seen;
mod steps;
#[cfg(test)]
mod tests;
mod turn;
mod wanted;

pub(super) use plan::plan;
pub(super) use read::refresh;

use std::time::Duration;

use multizone_cloud::ClusterName;
use multizone_schema::{Diagnostic, Diagnostics, Field as _, PlannedModel};

use super::{ControlPlane, ControlPlanePlanned, record};
use crate::{
    configuration::Configured,
    resources::{
        Created, Failed, Updated,
        identity::ObjectId,
        timeouts,
        trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation},
    },
    stop::Stop,
};
use executor::{Executor, Reached};
use wanted::Several;

/// Three machines one after the other, with much to spare.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Whether a change is one of several masters: some are asked for, or were there, or a balancer is.
pub(super) fn concerns(prior: Option<&ControlPlane>, planned: &ControlPlanePlanned, private: &[u8]) -> bool {
    let several = planned.replicas.known().is_some_and(|replicas| replicas.len() > 1);
    several
        || !planned.load_balancer.is_null()
        || prior.is_some_and(|prior| concerns_state(prior, private))
        || seen::decode(private).is_some()
}

/// Whether what Terraform has in its state is of several masters.
pub(super) fn concerns_state(state: &ControlPlane, private: &[u8]) -> bool {
    state.replicas.len() != 1
        || state.nodes.len() > 1
        || state.load_balancer.is_some()
        || seen::decode(private).is_some()
}

pub(super) async fn create(
    provider: &Configured,
    planned: ControlPlanePlanned,
    stop: &Stop,
) -> Result<Created<ControlPlane>, Diagnostics> {
    let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
    let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
    let several = Several::of(&planned)?;
    let doing = format!("create the control plane of cluster {}", several.cluster);
    let situation = Situation {
        doing: &doing,
        left: ADOPTED,
    };
    let mut executor = Executor::find(provider, several, deadline, stop, situation).await?;
    executor.adopt().await?;
    let reached = executor.run().await?;
    executor.finish().await?;
    store(&executor, &planned).await?;
    let private = seen::encode(&reached.seen);
    Ok(Created {
        state: complete(provider, planned, &executor, &reached)?,
        private,
        warnings: Diagnostics::new(),
    })
}

pub(super) async fn update(
    provider: &Configured,
    prior: ControlPlane,
    planned: ControlPlanePlanned,
    private: Vec<u8>,
    stop: &Stop,
) -> Result<Updated<ControlPlane>, Failed<ControlPlane>> {
    let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
    let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
    let doing = format!("update the control plane of cluster {}", prior.cluster);
    let situation = Situation {
        doing: &doing,
        left: CONTINUED,
    };
    let untouched = |diagnostics| Failed {
        state: prior.clone(),
        private: private.clone(),
        diagnostics,
    };
    let several = Several::of(&planned).map_err(untouched)?;
    let capabilities = provider.cloud().capabilities();
    let known = seen::decode(&private).or_else(|| seen::of_the_only_master(&prior, &private, capabilities, &several));
    let found = Executor::find(provider, several, deadline, stop, situation).await;
    let mut executor = found.map_err(untouched)?;
    executor.remember(known.as_ref(), prior.legacy_zone_labels);
    let done = async {
        let reached = executor.run().await?;
        store(&executor, &planned).await?;
        let private = seen::encode(&reached.seen);
        let state = complete(provider, planned, &executor, &reached)?;
        Ok(Updated::new(state, private))
    };
    let result: Result<_, Diagnostics> = done.await;
    match result {
        Ok(updated) => Ok(updated),
        Err(diagnostics) => Err(failed(&executor, prior, private, diagnostics).await),
    }
}

/// A failed update's state is what it has reached, as far as that can be seen now.
async fn failed(
    executor: &Executor<'_>,
    prior: ControlPlane,
    private: Vec<u8>,
    diagnostics: Diagnostics,
) -> Failed<ControlPlane> {
    let Ok(observation) = executor.observe().await else {
        return Failed {
            state: prior,
            private,
            diagnostics,
        };
    };
    let reached = executor.reached(&observation);
    Failed {
        state: ControlPlane {
            nodes: reached.nodes,
            rollout: executor.steps(),
            ..prior
        },
        private: seen::encode(&reached.seen),
        diagnostics,
    }
}

pub(super) async fn delete(
    provider: &Configured,
    prior: &ControlPlane,
    private: &[u8],
    stop: &Stop,
) -> Result<Diagnostics, Diagnostics> {
    let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
    let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
    let doing = format!("delete the control plane of cluster {}", prior.cluster);
    let situation = Situation {
        doing: &doing,
        left: STILL_THERE,
    };
    let several = Several::of(&prior.clone().into())?;
    let operation = several.removal(Some(prior.endpoint.clone()));
    let Ok(mut executor) = Executor::find(provider, several, deadline, stop, situation).await else {
        // Without the cluster's keys nobody can be asked, and there is nothing to be kept: the machines go as they are.
        super::executor::delete(provider, prior, deadline, &situation).await?;
        return Ok(Diagnostics::new());
    };
    executor.operation = operation;
    executor.remember(seen::decode(private).as_ref(), prior.legacy_zone_labels);
    executor.run().await?;
    Ok(Diagnostics::new())
}

/// The planned object with what only apply could tell.
fn complete(
    provider: &Configured,
    mut planned: ControlPlanePlanned,
    executor: &Executor<'_>,
    reached: &Reached,
) -> Result<ControlPlane, Diagnostics> {
    let cluster = ClusterName::new(planned.cluster.known().cloned().unwrap_or_default());
    planned.id = ObjectId::cluster(provider.cloud().region(), &cluster).into();
    planned.endpoint = executor.url().into();
    if !planned.nodes.is_known() {
        planned.nodes = reached.nodes.clone().into_planned();
    }
    if !planned.rollout.is_known() {
        planned.rollout = executor.steps().into_planned();
    }
    planned.into_known()
}

/// Keeps the settings in the cluster, for imports.
async fn store(executor: &Executor<'_>, planned: &ControlPlanePlanned) -> Result<(), Diagnostics> {
    let (deadline, stop) = (executor.deadline, executor.stop);
    let stored = record::store(&executor.endpoint, planned, deadline, stop).await;
    stored.map_err(|error| executor.apply_failed(&error, "the record of its settings"))
}

fn missing(name: &str) -> Diagnostics {
    Diagnostic::error("Value not known", format!("{name} has no value when it is needed."))
        .at(name)
        .into()
}
