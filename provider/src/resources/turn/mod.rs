//! One operation at a time on a cluster's masters, their balancer and the API's address.
//!
//! Within this process a lock keeps operations apart, whatever `-parallelism` says.  Among processes and states a notice
//! in the cloud's secret store does ([`lock`]), from an operation's beginning to its end, so before an API serves and
//! after it has stopped as well.  While an API serves there is also the Lease that everybody who looks at the cluster can
//! see ([`multizone_kubernetes::cluster_access::RolloutTurn`]).

mod lock;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use multizone_cloud::ClusterName;
use multizone_kubernetes::cluster_access::{AccessError, Cluster as ClusterConnection, RolloutHolder, RolloutTurn};
use multizone_schema::Diagnostics;
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use crate::{
    configuration::Configured,
    resources::{
        identity::SecretNames,
        trouble::{Situation, sentence},
    },
    stop::Stop,
};
use lock::{Lock, LockError, Notices, TERMS};

static LOCKS: LazyLock<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>> = LazyLock::new(Mutex::default);
static IDENTITY: OnceLock<String> = OnceLock::new();
/// How long an API that may not answer any more is asked to take the Lease back.
const PARTING: Duration = Duration::from_secs(5);
/// What to do when somebody else has the turn.
const WAIT: &str = "Wait until the other operation has ended, then run Terraform again.";

/// The turn to change a cluster's masters, their balancer and the API's address.  Ended by [`Turn::end`]; dropped without
/// it, it runs out by itself.
pub(crate) struct Turn {
    cluster: ClusterName,
    holder: RolloutHolder,
    lock: Lock,
    lease: Option<RolloutTurn>,
    _process: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for it, and takes it.
    pub(crate) async fn take(
        provider: &Configured,
        cluster: &ClusterName,
        deadline: Instant,
        stop: &Stop,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let untouched = Situation {
            left: "This run has changed nothing.",
            ..*situation
        };
        let region = provider.cloud().region();
        let process = tokio::select! {
            biased;
            () = stop.wait() => return Err(untouched.stopped()),
            process = timeout_at(deadline, process(region, cluster)) => process.map_err(|_| {
                let what = format!("Another operation of this run changed the masters of cluster {cluster} for all the time allowed.");
                untouched.error(&what, WAIT)
            })?,
        };
        let notices = Notices {
            cloud: provider.cloud().clone(),
            cluster: cluster.clone(),
            name: SecretNames::of(region, cluster).turn,
            terms: TERMS,
        };
        let holder = holder(provider);
        let lock = Lock::take(notices, &holder, deadline, stop)
            .await
            .map_err(|error| match error {
                LockError::Cloud(error) => untouched.cloud(&error),
                LockError::Stopped => untouched.stopped(),
                LockError::Taken { by } => {
                    let by = who(&by);
                    let what = format!(
                        "{by} changes the masters of cluster {cluster}, and had not ended in the time allowed."
                    );
                    untouched.error(&what, WAIT)
                }
            })?;
        Ok(Self {
            cluster: cluster.clone(),
            holder,
            lock,
            lease: None,
            _process: process,
        })
    }

    /// Takes the Lease too, or makes sure that it is still held, through an API that serves.
    pub(crate) async fn lease(
        &mut self,
        through: &ClusterConnection,
        deadline: Instant,
        stop: &Stop,
        situation: &Situation<'_>,
    ) -> Result<(), Diagnostics> {
        if self.lease.as_ref().is_some_and(RolloutTurn::is_held) {
            return Ok(());
        }
        self.lease = None;
        let taken = through.take_rollout_turn(&self.holder, deadline, stop.wait()).await;
        let taken = taken.map_err(|error| match error {
            AccessError::Stopped { .. } => situation.stopped(),
            AccessError::TimedOut { .. } => {
                let what = format!("It is not this operation's turn to change the masters: {error}.");
                situation.error(&what, WAIT)
            }
            error => situation.error(&sentence(&error), error.advice()),
        })?;
        self.lease = Some(taken);
        Ok(())
    }

    /// Refuses to go on when somebody else may have taken it: to be asked before each step.
    pub(crate) fn check(&self, situation: &Situation<'_>) -> Result<(), Diagnostics> {
        if self.lock.is_held() {
            return Ok(());
        }
        let what = format!(
            "The turn to change the masters of cluster {} could not be renewed in time, and somebody else may have it.",
            self.cluster
        );
        Err(situation.error(&what, WAIT))
    }

    /// Gives it back, so that nobody has to wait for it to run out.
    pub(crate) async fn end(self) {
        if let Some(lease) = self.lease
            && timeout(PARTING, lease.end()).await.is_err()
        {
            debug!(cluster = %self.cluster, "the Lease is not given back in time, and runs out");
        }
        self.lock.end().await;
    }
}

/// Waits until nobody else in this process has the cluster's turn.
async fn process(region: &str, cluster: &ClusterName) -> OwnedMutexGuard<()> {
    let lock = {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(format!("{region}/{cluster}")).or_default().clone()
    };
    lock.lock_owned().await
}

/// This process, as it takes turns.
fn holder(provider: &Configured) -> RolloutHolder {
    let started = provider.now();
    let identity = IDENTITY.get_or_init(|| format!("{}/{}/{}", host(), std::process::id(), started.as_millisecond()));
    RolloutHolder {
        identity: identity.clone(),
        now: Arc::new(jiff::Timestamp::now),
        is_gone: Arc::new(is_gone),
    }
}

/// A holder, for people.
fn who(identity: &str) -> String {
    let mut parts = identity.rsplit('/');
    let (Some(_), Some(pid), Some(host)) = (parts.next(), parts.next(), parts.next()) else {
        return identity.to_owned();
    };
    format!("Another run of Terraform (the provider is process {pid} on {host})")
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// Whether a holder was a process of this machine that has ended.
fn is_gone(identity: &str) -> bool {
    let mut parts = identity.rsplit('/');
    let (Some(_), Some(pid), Some(of)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let proc = Path::new("/proc");
    of == host() && of != "unknown" && proc.join("self").exists() && !proc.join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_gone_when_its_process_on_this_machine_is() {
        let (host, pid) = (host(), std::process::id());
        assert!(!is_gone(&format!("{host}/{pid}/1")));
        assert!(!is_gone("elsewhere/1/1"));
        assert!(!is_gone("malformed"));
        if Path::new("/proc/self").exists() && host != "unknown" {
            // No process has this number.
            assert!(is_gone(&format!("{host}/{}/1", u32::MAX)));
        }
    }

    #[tokio::test]
    async fn one_at_a_time_for_each_cluster() {
        let (one, other) = (ClusterName::new("one"), ClusterName::new("other"));
        let held = process("r", &one).await;
        let _other = process("r", &other).await;
        let waiting = tokio::spawn(async move { drop(process("r", &ClusterName::new("one")).await) });
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
