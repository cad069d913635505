//! One change of a cluster's masters at a time: within this process by a lock, among processes and states by the turn
//! that a Lease in the cluster gives ([`multizone_kubernetes::cluster_access::RolloutTurn`]).
//!
//! Before an API serves there is no Lease, and the lock within this process is all there is: two processes that create
//! the same control plane at the same moment are kept apart by the machines' names alone.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

use multizone_cloud::ClusterName;
use multizone_kubernetes::cluster_access::RolloutHolder;
use tokio::sync::OwnedMutexGuard;

use crate::configuration::Configured;

static LOCKS: LazyLock<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>> = LazyLock::new(Mutex::default);
static IDENTITY: OnceLock<String> = OnceLock::new();

/// Waits until nobody else in this process changes the masters of this cluster.
pub(super) async fn lock(region: &str, cluster: &ClusterName) -> OwnedMutexGuard<()> {
    let lock = {
        let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(format!("{region}/{cluster}")).or_default().clone()
    };
    lock.lock_owned().await
}

/// This process, as it takes turns.
pub(super) fn holder(provider: &Configured) -> RolloutHolder {
    let started = provider.now();
    let identity = IDENTITY.get_or_init(|| format!("{}/{}/{}", host(), std::process::id(), started.as_millisecond()));
    RolloutHolder {
        identity: identity.clone(),
        now: Arc::new(jiff::Timestamp::now),
        is_gone: Arc::new(is_gone),
    }
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
        let held = lock("r", &one).await;
        let _other = lock("r", &other).await;
        let waiting = tokio::spawn(async move { drop(lock("r", &ClusterName::new("one")).await) });
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
