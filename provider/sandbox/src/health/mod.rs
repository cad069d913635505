//! Health checks at work: every target of a backend service is asked again and again, and what is found goes into the
//! core.
//!
//! A target begins unhealthy. It is healthy after `healthyThreshold` probes in a row that succeed, and unhealthy after
//! `unhealthyThreshold` in a row that fail. Probes come from 35.191.0.1 and go through the data plane: firewall rules,
//! outages and stopped machines make them fail. The check's interval follows the speed of the region, but not below
//! [`SHORTEST_INTERVAL`]: probes cost the host real work. Targets that drain are not asked.

mod probe;
mod streak;

use crate::core::Refusal;
use crate::core::balancers::targets::Probed;
use crate::region::Region;
use multizone_sandbox_data_plane::Pace;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

pub use probe::Prober;
pub use streak::Streak;

/// Targets are not asked more often than this, however fast the region is.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// Asks targets as long as they are such. Endless.
pub async fn run(region: Arc<Region>, pace: Pace) {
    let prober = Arc::new(Prober::new(region.network().clone(), pace));
    let mut changes = region.changes();
    let mut asked: BTreeMap<(String, String), Watch> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        let targets = region.read(|core| core.state().probed());
        asked.retain(|_, watch| targets.contains(&watch.probed));
        for probed in targets {
            let key = (probed.service.clone(), probed.instance.clone());
            asked.entry(key).or_insert_with(|| {
                let work = ask(Arc::clone(&region), Arc::clone(&prober), probed.clone(), pace);
                let task = tokio::spawn(work).abort_handle();
                Watch { probed, task }
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// A target that is being asked, until this is dropped.
struct Watch {
    probed: Probed,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(region: Arc<Region>, prober: Arc<Prober>, target: Probed, pace: Pace) {
    let check = &target.check;
    let interval = Duration::from_secs(u64::from(check.check_interval_sec));
    let mut ticks = tokio::time::interval(pace.scaled(interval).max(SHORTEST_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::new(check.healthy_threshold, check.unhealthy_threshold);
    loop {
        ticks.tick().await;
        let success = match prober.probe(&target).await {
            Ok(()) => true,
            Err(error) => {
                tracing::trace!(target.service, target.instance, %error, "a health check failed");
                false
            }
        };
        if let Some(found) = streak.saw(success) {
            let known = region.read(|core| {
                core.state()
                    .target(&target.service, &target.instance)
                    .map(|it| it.healthy)
            });
            if known.is_some_and(|known| known != found) {
                report(&region, &target, found);
            }
        }
    }
}

fn report(region: &Region, target: &Probed, healthy: bool) {
    let reported = region.change("region", |transaction| {
        transaction.find_health(&target.service, &target.instance, healthy);
        Ok::<_, Refusal>(())
    });
    if let Err(refusal) = reported {
        tracing::error!(target.service, target.instance, %refusal, "the health of a target could not be recorded");
    }
}
