//! Carries out what the planner says of the balancer: observe, ask, act, until done.
//!
//! Every step is idempotent, so a run that was interrupted anywhere is continued by the next one.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use multizone_cloud::{CloudError, ClusterName, Inventory, Labels, Machine};
use multizone_planner::cluster::{ApiServer, Blocked, Holder, Next, Operation, Power, Step, World, next, preview};
use multizone_schema::Diagnostics;
use tokio::time::Instant;
use tracing::info;

use crate::{
    configuration::Configured,
    resources::{
        rollout::{self, Outcome, Traffic, outage::Watch},
        trouble::{Situation, sentence},
        turn::Turn,
        world::{self, Asks, Seen},
    },
    stop::Stop,
};

/// How often a step is carried out before it counts as one that changes nothing.
const REPEATS: usize = 3;

/// One operation on a balancer.
pub(super) struct Executor<'a> {
    pub(super) provider: &'a Configured,
    pub(super) cluster: &'a ClusterName,
    pub(super) operation: Operation,
    /// The balancer's labels while it is changed.
    pub(super) labels: Labels,
    /// Those that it has in the end, when what somebody has changed is put right too.
    pub(super) finally: Option<Labels>,
    /// The zones that the cluster spans; `None` when that is not known.
    pub(super) spanned: Option<BTreeSet<String>>,
    pub(super) asks: Arc<dyn Asks>,
    /// How long a handover's new holder may take to answer.
    pub(super) patience: std::time::Duration,
    pub(super) deadline: Instant,
    pub(super) stop: &'a Stop,
    pub(super) situation: Situation<'a>,
}

impl Executor<'_> {
    /// Loops until the planner says that it is done, while it has the cluster's turn.
    pub(super) async fn run(&self) -> Result<World, Diagnostics> {
        let turn = Turn::take(self.provider, self.cluster, self.deadline, self.stop, &self.situation);
        let mut turn = turn.await?;
        let done = async {
            let reached = self.steps_to_the_end(&mut turn).await?;
            if let Some(labels) = &self.finally {
                self.traffic(labels).correct().await?;
            }
            Ok(reached)
        };
        let done = done.await;
        turn.end().await;
        done
    }

    async fn steps_to_the_end(&self, turn: &mut Turn) -> Result<World, Diagnostics> {
        self.provider.forget(self.cluster).await;
        let (mut taken, mut failed): (Vec<Step>, Option<Holder>) = (Vec::new(), None);
        loop {
            // A zone may have gone out since it was last asked for.
            let zones = self.provider.zones_now().await;
            zones.map_err(|error| self.situation.cloud(&error))?;
            let mut world = self.observe().await?;
            world.address.failed.clone_from(&failed);
            turn.check(&self.situation)?;
            let watch = Watch {
                provider: self.provider,
                situation: self.situation,
                world: Some(world.clone()),
                comes: None,
                teardown: false,
            };
            if world.address.answers
                && let Some(through) = self.asks.endpoint()
            {
                let lease = turn.lease(&through, self.deadline, self.stop, &self.situation);
                watch.over(lease).await?;
            }
            let step = match next(&world, &self.operation) {
                Next::Done => {
                    self.provider.forget(self.cluster).await;
                    return Ok(world);
                }
                Next::Step(step) => step,
                Next::Blocked(blocked) => {
                    return Err(self.situation.error(&sentence(&blocked), what_to_do(&blocked)));
                }
                Next::Refused(violation) => {
                    let next = "Put the multizone_api_load_balancer back into the configuration. To destroy both, let \
                                the control plane's load_balancer be multizone_api_load_balancer.NAME.name: then Terraform \
                                knows the order.";
                    return Err(self.situation.error(&sentence(&violation), next));
                }
            };
            if taken.iter().filter(|done| **done == step).count() == REPEATS {
                let (_, words) = self.words(&world);
                return Err(self.situation.error(
                    &format!("This was carried out {REPEATS} times, and the cloud does not show it: {words}."),
                    "Somebody else may be changing the balancer at the same time. Run Terraform again when nobody does.",
                ));
            }
            self.announce(&world, taken.len());
            if self.stop.requested() {
                return Err(self.situation.stopped());
            }
            let traffic = self.traffic(&self.labels);
            if let Outcome::Failed(holder) = watch.over(traffic.carry_out(&step, &world)).await? {
                failed = Some(holder);
            }
            taken.push(step);
        }
    }

    fn traffic<'s>(&'s self, labels: &'s Labels) -> Traffic<'s> {
        Traffic {
            provider: self.provider,
            cluster: self.cluster,
            balancer: Some(self.name()),
            labels: Some(labels),
            asks: self.asks.as_ref(),
            patience: self.patience,
            deadline: self.deadline,
            stop: self.stop,
            situation: self.situation,
        }
    }

    fn name(&self) -> &str {
        match &self.operation {
            Operation::Balancer(intent) | Operation::RemoveBalancer(intent) => &intent.name,
            _ => "",
        }
    }

    async fn observe(&self) -> Result<World, Diagnostics> {
        let failed = |error: CloudError| self.situation.cloud(&error);
        let inventory = self.provider.inventory(self.cluster).await.map_err(failed)?;
        let mut world = seen(self.provider, &inventory, self.name(), self.spanned.as_ref())
            .await
            .map_err(failed)?;
        world::ask(&mut world, &inventory, self.asks.as_ref()).await;
        Ok(world)
    }

    /// How many steps are left, and the next one in words.
    fn words(&self, world: &World) -> (usize, String) {
        let left = preview(world, &self.operation);
        let timing = rollout::timing(self.provider.cloud().capabilities().timing);
        let next = left.describe(world, &self.operation, &timing).into_iter().next();
        (left.steps.len(), next.map(|step| step.text).unwrap_or_default())
    }

    fn announce(&self, world: &World, taken: usize) {
        let (left, text) = self.words(world);
        let (number, all) = (taken + 1, taken + left);
        info!(cluster = %self.cluster, "step {number} of {all}: {text}");
    }
}

fn what_to_do(blocked: &Blocked) -> &'static str {
    match blocked {
        Blocked::OnlyServingTarget(_) => {
            "Keep the zone in zones until a master in another zone serves behind the balancer, then apply again."
        }
        Blocked::HandoverFailed(_) => {
            "Its own /readyz says that it serves, so something is in the way of port 6443 at the address: a firewall, or the \
             machine's own routes. Put that right and run Terraform again."
        }
        _ => "Run Terraform again then.",
    }
}

async fn seen(
    provider: &Configured,
    inventory: &Inventory,
    balancer: &str,
    spanned: Option<&BTreeSet<String>>,
) -> Result<World, CloudError> {
    let region = provider.zones().await?;
    let cloud = world::endpoint(provider.cloud().capabilities());
    let seen = Seen {
        inventory,
        region: &region,
        spanned,
        balancer: Some(balancer),
    };
    Ok(seen.world(cloud))
}

/// The world as a refresh sees it, for a plan: masters that run are taken to serve, and the address to answer.
pub(super) async fn last_seen(
    provider: &Configured,
    inventory: &Inventory,
    balancer: &str,
) -> Result<World, CloudError> {
    let mut world = seen(provider, inventory, balancer, None).await?;
    for machine in world.machines.values_mut() {
        if machine.power == Power::On {
            machine.api = ApiServer::Serving;
        }
    }
    world.address.answers = true;
    Ok(world)
}

/// The world, as private data keeps it.
pub(super) fn encode(world: &World) -> Vec<u8> {
    serde_json::to_vec(world).unwrap_or_default()
}

/// The world that private data keeps.
pub(super) fn decode(private: &[u8]) -> Option<World> {
    serde_json::from_slice(private).ok()
}

/// Nobody is there to be asked.
#[derive(Debug)]
pub(super) struct Nobody;

#[async_trait]
impl Asks for Nobody {
    async fn serves(&self, _: &Machine) -> bool {
        false
    }
    async fn answers(&self) -> bool {
        false
    }
}
