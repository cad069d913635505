//! What no state of the world could make right (domain-rules.md, kubeadm, skew; etcd, 3.6).

use super::{facts::World, intent::ControlPlane, step::Violation};
use crate::Version;

/// Kubernetes 1.34 brings etcd 3.6, which follows 3.5.26 or later only.
const BRINGS_ETCD_3_6: u64 = 34;
const ETCD_BEFORE_3_6: Version = Version::new(3, 5, 26);
/// How many minors a kubelet may be behind.
const KUBELET_LAG: u64 = 3;

/// The rule that the configuration breaks, if it breaks one.  A control plane that goes breaks none.
pub(super) fn violation(world: &World, desired: &ControlPlane) -> Option<Violation> {
    if desired.replicas.is_empty() || !world.initialised {
        return None;
    }
    let to = desired.version;
    let running = || {
        let settings = world.settings.iter().map(|settings| settings.version);
        world.machines.values().map(|machine| machine.version).chain(settings)
    };
    let (oldest, newest) = (running().min()?, running().max()?);
    if to < newest {
        return Some(Violation::Downgrade { from: newest, to });
    }
    if oldest.major == to.major && oldest.minor + 1 < to.minor {
        return Some(Violation::SkipsAMinor { from: oldest, to });
    }
    if let Some(worker) = world.oldest_worker
        && oldest.minor < to.minor
        && worker.minor + KUBELET_LAG < to.minor
    {
        return Some(Violation::WorkersTooOld { worker, to });
    }
    let etcd = world.members.values().map(|member| member.version).min()?;
    (oldest.minor < BRINGS_ETCD_3_6 && to.minor >= BRINGS_ETCD_3_6 && etcd < ETCD_BEFORE_3_6)
        .then_some(Violation::EtcdTooOld { etcd })
}
