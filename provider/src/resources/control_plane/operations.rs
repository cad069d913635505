//! What Terraform calls: a control plane is created, updated, deleted.

use std::time::Duration;

use multizone_cloud::ClusterName;
use multizone_schema::{Diagnostics, Field as _, PlannedModel};

use super::{
    ControlPlane, ControlPlanePlanned,
    executor::{Executor, Reached},
    record, removal, replica_count, seen,
    wanted::Wanted,
};
use crate::{
    configuration::Configured,
    resources::{
        Created, Failed, Updated,
        identity::ObjectId,
        timeouts,
        trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation},
        turn::Turn,
    },
    stop::Stop,
};

/// Three machines one after the other, with much to spare.
const TIMEOUT: Duration = Duration::from_hours(1);

pub(super) async fn create(
    provider: &Configured,
    planned: ControlPlanePlanned,
    stop: &Stop,
) -> Result<Created<ControlPlane>, Diagnostics> {
    let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
    let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
    let cluster = planned.cluster.known().cloned().unwrap_or_default();
    let doing = format!("create the control plane of cluster {cluster}");
    let situation = Situation {
        doing: &doing,
        left: ADOPTED,
    };
    let planned = replica_count::resolve(provider, None, planned, &situation).await?;
    let wanted = Wanted::of(&planned)?;
    let mut turn = Turn::take(provider, &wanted.cluster, deadline, stop, &situation).await?;
    let created = async {
        let mut executor = Executor::find(provider, wanted, deadline, stop, situation, &mut turn).await?;
        executor.adopt().await?;
        let reached = executor.run().await?;
        executor.unless_a_zone_goes_out(executor.note_settings()).await?;
        executor.finish().await?;
        store(&executor, &planned).await?;
        let private = seen::encode(&reached.seen);
        Ok(Created {
            state: complete(provider, planned, &executor, &reached)?,
            private,
            warnings: Diagnostics::new(),
        })
    };
    let created = Box::pin(created).await;
    turn.end().await;
    created
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
    let resolved = replica_count::resolve(provider, Some(&prior), planned, &situation).await;
    let planned = resolved.map_err(untouched)?;
    let wanted = Wanted::of(&planned).map_err(untouched)?;
    let turn = Turn::take(provider, &wanted.cluster, deadline, stop, &situation).await;
    let mut turn = turn.map_err(untouched)?;
    let updated = async {
        match Executor::find(provider, wanted, deadline, stop, situation, &mut turn).await {
            Ok(executor) => Box::pin(update_with(executor, prior.clone(), planned, private.clone())).await,
            Err(diagnostics) => Err(untouched(diagnostics)),
        }
    };
    let updated = Box::pin(updated).await;
    turn.end().await;
    updated
}

async fn update_with(
    mut executor: Executor<'_>,
    prior: ControlPlane,
    planned: ControlPlanePlanned,
    private: Vec<u8>,
) -> Result<Updated<ControlPlane>, Failed<ControlPlane>> {
    let provider = executor.provider;
    executor.remember(&prior, seen::decode(&private).as_ref());
    let done = async {
        let reached = executor.run().await?;
        store(&executor, &planned).await?;
        let private = seen::encode(&reached.seen);
        let state = complete(provider, planned, &executor, &reached)?;
        Ok(Updated::new(state, private))
    };
    let result: Result<_, Diagnostics> = Box::pin(done).await;
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
    let reached = executor.reached(&observation).await;
    // What Terraform knows of masters that are not to be seen is how they are known again.
    let nodes = Some(reached.nodes).filter(|nodes| !nodes.is_empty());
    Failed {
        state: ControlPlane {
            nodes: nodes.unwrap_or(prior.nodes),
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
    let wanted = Wanted::of(&prior.clone().into())?;
    let operation = wanted.removal(Some(prior.endpoint.clone()));
    let mut turn = Turn::take(provider, &wanted.cluster, deadline, stop, &situation).await?;
    let deleted = async {
        let mut executor = match Executor::find(provider, wanted, deadline, stop, situation, &mut turn).await {
            Ok(executor) => executor,
            // Nobody can be asked, and nothing is to be kept: the machines go as they are.
            Err(_) if removal::keys_are_gone(provider, &ClusterName::new(&prior.cluster)).await => {
                return removal::as_they_are(provider, prior, deadline, &situation).await;
            }
            Err(diagnostics) => return Err(diagnostics),
        };
        executor.operation = operation;
        executor.remember(prior, seen::decode(private).as_ref());
        executor.run().await.map(drop)
    };
    let deleted = Box::pin(deleted).await;
    turn.end().await;
    deleted.map(|()| Diagnostics::new())
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
    let store = async {
        let stored = record::store(&executor.endpoint, planned, deadline, stop).await;
        stored.map_err(|error| executor.apply_failed(&error, "the record of its settings"))
    };
    executor.unless_a_zone_goes_out(Box::pin(store)).await
}
