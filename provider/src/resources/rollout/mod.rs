//! Carrying out the planner's steps that concern the API's address, its balancer, the targets, and a zone's end: for the balancer's own
//! operations and for the control plane's, which share them.
//!
//! # A handover
//! The address is taken from its holder and given to the next in one call of the cloud, which prepares what can be
//! prepared before ([`multizone_cloud::Cloud::move_address`]): the gap is that alone.  Then a request through the address
//! is the proof.  When none is answered in time although the new holder serves by itself, the address goes back to where
//! it was if that serves, and the holder is remembered as one that failed: the planner does not try it again in this
//! operation.

mod address;
mod balancer;
pub(crate) mod outage;

pub(crate) use balancer::relabel;
#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};

use multizone_cloud::{CloudError, ClusterName, Labels};
use multizone_planner::cluster::{Holder, Step, Timing, World};
use multizone_schema::Diagnostics;
use tokio::time::Instant;

use super::{
    trouble::{Situation, within},
    world::Asks,
};
use crate::{configuration::Configured, stop::Stop};

/// Between two looks at something that the API's callers wait for.
const PAUSE: Duration = Duration::from_millis(200);

/// Whom steps are carried out for.
pub(crate) struct Traffic<'a> {
    /// The provider.
    pub(crate) provider: &'a Configured,
    /// The cluster.
    pub(crate) cluster: &'a ClusterName,
    /// The balancer concerned, by its name within the cluster.
    pub(crate) balancer: Option<&'a str>,
    /// The balancer's labels; `None` keeps those that it has.
    pub(crate) labels: Option<&'a Labels>,
    /// Who answers what the cloud cannot say.
    pub(crate) asks: &'a dyn Asks,
    /// How long a handover's new holder may take to answer.
    pub(crate) patience: Duration,
    /// When the operation ends.
    pub(crate) deadline: Instant,
    /// Whether the user wants it to stop.
    pub(crate) stop: &'a Stop,
    /// What it is all about.
    pub(crate) situation: Situation<'a>,
}

/// How long a handover's new holder may take to answer, where the cloud has to tell many of its move.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// The address is back where it was: this holder did not answer.  Belongs into the next observation's
    /// [`failed`](multizone_planner::cluster::Address::failed).
    Failed(Holder),
    /// It is not one of these steps.
    NotMine,
}

impl Traffic<'_> {
    /// Carries out a step if it concerns the address, the balancer or its targets.
    pub(crate) async fn carry_out(&self, step: &Step, world: &World) -> Result<Outcome, Diagnostics> {
        let done = match step {
            Step::CreateBalancer => self.create_balancer().await,
            Step::Span(zone) => self.span(zone).await,
            Step::Unspan(zone) => self.unspan(zone).await,
            Step::DeleteBalancer => self.delete_balancer().await,
            Step::Register(machine) => self.register(machine, world).await,
            Step::Deregister(machine) => self.deregister(machine).await,
            Step::HandOver(from, to) => return self.hand_over(from, to, world).await,
            Step::RollBack(from, to) => {
                self.give_address(to).await?;
                return Ok(Outcome::Failed(from.clone()));
            }
            Step::AwaitAnswer(holder) => self.await_answer(holder).await,
            Step::Release(_) => self.release().await,
            Step::RemoveZone(zone) => {
                self.cloud(self.provider.cloud().delete_subnet(self.cluster, zone))
                    .await
            }
            _ => return Ok(Outcome::NotMine),
        };
        done.map(|()| Outcome::Done)
    }

    /// A call to the cloud, to the operation's deadline.
    async fn cloud<T>(&self, call: impl Future<Output = Result<T, CloudError>>) -> Result<T, Diagnostics> {
        let call = async { call.await.map_err(|error| self.situation.cloud(&error)) };
        let result = within(self.deadline, &self.situation, call).await;
        self.provider.forget(self.cluster).await;
        result
    }

    /// Waits a moment, unless the user wants to stop or the time is over.
    async fn pause(&self, waiting_for: &str, next: &str) -> Result<(), Diagnostics> {
        if self.stop.requested() {
            return Err(self.situation.stopped());
        }
        if Instant::now() >= self.deadline {
            return Err(self.situation.error(
                &format!("The time allowed passed while waiting for {waiting_for}."),
                next,
            ));
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => Ok(()),
            () = self.stop.wait() => Err(self.situation.stopped()),
        }
    }
}

/// The planner's timing from the cloud's.
pub(crate) fn timing(timing: multizone_cloud::Timing) -> Timing {
    Timing {
        machines: super::control_plane::timing(timing),
        register: timing.register,
        deregister: timing.deregister,
        handover: timing.hand_over,
        backup: Duration::from_secs(10),
    }
}
