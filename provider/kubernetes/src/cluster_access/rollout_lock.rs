//! The turn to change a cluster's masters: one holder at a time, over processes and states.
//!
//! The Lease `kube-system/multizone-rollout` says who has the turn. Its holder renews it while it works. A holder that
//! has died stops renewing, and whoever waits takes over once it has itself seen no renewal for the Lease's whole
//! duration: no two clocks are ever compared, as in client-go's leader election.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::patience::{Interrupted, Patience};
use super::{AccessError, Cluster};
use crate::node_group_access::ROLLOUT_LEASE;

/// How long a turn lasts without a renewal.
const DURATION: Duration = Duration::from_secs(30);
/// How often the turn is renewed: two renewals may fail.
const RENEWAL: Duration = Duration::from_secs(9);
/// How often a taken turn is looked at.
const LOOK: Duration = Duration::from_millis(500);
const NAMESPACE: &str = "kube-system";

/// Who takes a turn.
#[derive(Clone)]
pub struct RolloutHolder {
    /// A name that no other process has had, for example `HOST/PID/START`; shown to whoever waits.
    pub identity: String,
    /// The clock, for the times that the Lease shows.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether a holder is known to be dead, a process of this machine that has ended for example: then nobody waits
    /// for it.
    pub is_gone: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// The turn, renewed until [`RolloutTurn::end`]. Dropped without that, it runs out by itself.
#[derive(Debug)]
pub struct RolloutTurn {
    cluster: Cluster,
    identity: String,
    renewal: JoinHandle<()>,
    held: watch::Receiver<bool>,
}

impl std::fmt::Debug for RolloutHolder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RolloutHolder")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Waits for the turn to change the cluster's masters, and takes it.
    ///
    /// # Errors
    /// [`AccessError::TimedOut`] names who has the turn; other errors are the API's, as is its silence to the deadline.
    pub async fn take_rollout_turn(
        &self,
        holder: &RolloutHolder,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<RolloutTurn, AccessError> {
        const WHAT: &str = "the turn to change the masters";
        let mut patience = Patience::new(deadline, stop);
        // Who had it, or why nobody said.
        let mut last = Ok("it was not asked for yet".to_owned());
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            let waited = match patience.within(self.try_turn(holder, &mut seen)).await {
                Ok(answer) => {
                    last = match answer {
                        Ok(None) => return Ok(self.renewed(holder)),
                        Ok(Some(other)) => Ok(format!("{other} has it")),
                        Err(AccessError::Conflict { .. }) => Ok("another was faster".to_owned()),
                        Err(error) if error.is_passing() => Err(error),
                        Err(error) => return Err(error),
                    };
                    patience.pause(LOOK).await
                }
                Err(interrupted) => Err(interrupted),
            };
            let Err(interrupted) = waited else { continue };
            return Err(match (interrupted, last) {
                (Interrupted::Deadline, Err(silence)) => silence,
                (_, Ok(last)) => self.interrupted(interrupted, WHAT, &last),
                (_, Err(silence)) => self.interrupted(interrupted, WHAT, &silence.to_string()),
            });
        }
    }

    /// Takes the turn if it is free; otherwise says who has it. `seen` is the last renewal and when it was first seen.
    async fn try_turn(
        &self,
        holder: &RolloutHolder,
        seen: &mut Option<(Option<String>, Instant)>,
    ) -> Result<Option<String>, AccessError> {
        let action = "take the turn to change the masters";
        let leases = self.leases();
        let failed = |error: kube::Error| self.error(action, &error);
        let Some(mut lease) = leases.get_opt(ROLLOUT_LEASE).await.map_err(failed)? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(ROLLOUT_LEASE.to_owned()),
                    namespace: Some(NAMESPACE.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(holder.spec(None)),
            };
            leases.create(&PostParams::default(), &lease).await.map_err(failed)?;
            return Ok(None);
        };
        let spec = lease.spec.unwrap_or_default();
        let other = spec
            .holder_identity
            .clone()
            .filter(|other| !other.is_empty() && *other != holder.identity);
        if let Some(other) = other
            && !(holder.is_gone)(&other)
        {
            let renewal = lease.metadata.resource_version.clone();
            let now = Instant::now();
            match seen {
                Some((known, since)) if *known == renewal => {
                    if now.duration_since(*since) < DURATION {
                        return Ok(Some(other));
                    }
                }
                _ => {
                    *seen = Some((renewal, now));
                    return Ok(Some(other));
                }
            }
        }
        lease.spec = Some(holder.spec(Some(spec)));
        leases
            .replace(ROLLOUT_LEASE, &PostParams::default(), &lease)
            .await
            .map_err(failed)?;
        Ok(None)
    }

    fn renewed(&self, holder: &RolloutHolder) -> RolloutTurn {
        let (said, held) = watch::channel(true);
        let (cluster, renewer) = (self.clone(), holder.clone());
        let renewal = tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(RENEWAL).await;
                match cluster.renew(&renewer).await {
                    Ok(true) => last = Instant::now(),
                    Ok(false) => break,
                    Err(error) => tracing::warn!(%error, "the turn to change the masters was not renewed"),
                }
                if last.elapsed() >= DURATION {
                    break;
                }
            }
            said.send_replace(false);
        });
        RolloutTurn {
            cluster: self.clone(),
            identity: holder.identity.clone(),
            renewal,
            held,
        }
    }

    /// Renews a turn; false when another has it.
    async fn renew(&self, holder: &RolloutHolder) -> Result<bool, AccessError> {
        self.change_turn(&holder.identity, |spec| holder.spec(Some(spec))).await
    }

    async fn change_turn(
        &self,
        identity: &str,
        change: impl FnOnce(LeaseSpec) -> LeaseSpec,
    ) -> Result<bool, AccessError> {
        let action = "renew or end the turn to change the masters";
        let leases = self.leases();
        let failed = |error: kube::Error| self.error(action, &error);
        let Some(mut lease) = leases.get_opt(ROLLOUT_LEASE).await.map_err(failed)? else {
            return Ok(false);
        };
        let spec = lease.spec.take().unwrap_or_default();
        if spec.holder_identity.as_deref() != Some(identity) {
            return Ok(false);
        }
        lease.spec = Some(change(spec));
        leases
            .replace(ROLLOUT_LEASE, &PostParams::default(), &lease)
            .await
            .map_err(failed)?;
        Ok(true)
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

impl RolloutHolder {
    fn spec(&self, previous: Option<LeaseSpec>) -> LeaseSpec {
        let now = MicroTime((self.now)());
        let previous = previous.unwrap_or_default();
        let mine = previous.holder_identity.as_deref() == Some(self.identity.as_str());
        let transitions = previous.lease_transitions.unwrap_or_default() + i32::from(!mine);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if mine { previous.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

impl RolloutTurn {
    /// Whether the turn is still ours, as far as is known: to be asked before each step. It is not after it could not be
    /// renewed in time, when another may have taken it.
    pub fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Gives the turn back, so that nobody has to wait for it to run out. A failure does no harm: it runs out.
    pub async fn end(self) {
        self.renewal.abort();
        let ended = self
            .cluster
            .change_turn(&self.identity, |spec| LeaseSpec {
                holder_identity: None,
                ..spec
            })
            .await;
        if let Err(error) = ended {
            tracing::debug!(%error, "the turn to change the masters was not given back, and runs out");
        }
    }
}

impl Drop for RolloutTurn {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}
