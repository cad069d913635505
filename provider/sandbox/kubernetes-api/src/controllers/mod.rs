//! The controllers that a cluster needs, woken by changes.
//!
//! Each looks at the whole state and makes it as it should be: what one run misses, the next one does.

mod bootstrap_signer;
mod certificates;
mod daemon_sets;
mod deployments;
mod disruption;
mod expiry;
mod garbage;
mod kubernetes_service;
mod namespaces;
mod nodes;
mod placement;
mod pods;
mod record;
mod replica_sets;
mod scheduler;
mod services;
mod template;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::objects::Api;
use crate::status::ApiError;
use crate::store::Event;

pub(crate) use kubernetes_service::{record_of, withdraw};

/// One controller.
#[async_trait::async_trait]
pub(crate) trait Controller: Send + Sync + 'static {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Whether a change is a reason to look.
    fn cares(&self, event: &Event) -> bool;

    /// Looks at the whole state and acts.  Answers when to look again without a change, if ever.
    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError>;
}

/// What every API server does by itself.
pub(crate) fn of_server() -> Vec<Box<dyn Controller>> {
    vec![Box::new(kubernetes_service::KubernetesService)]
}

/// What `kube-scheduler` does: on one server at a time.
pub(crate) fn of_scheduler() -> Vec<Box<dyn Controller>> {
    vec![Box::new(scheduler::Scheduler)]
}

/// What `kube-controller-manager` does: on one server at a time.
pub(crate) fn of_manager() -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(namespaces::Namespaces),
        Box::new(nodes::Nodes::default()),
        Box::new(pods::Pods),
        Box::new(daemon_sets::DaemonSets),
        Box::new(deployments::Deployments),
        Box::new(replica_sets::ReplicaSets),
        Box::new(disruption::Disruption),
        Box::new(volumes::Volumes),
        Box::new(garbage::Garbage),
        Box::new(certificates::Certificates),
        Box::new(expiry::Expiry),
        Box::new(services::Services),
        Box::new(bootstrap_signer::BootstrapSigner),
    ]
}

/// Runs controllers until `stopping`.
pub(crate) fn start(
    controllers: Vec<Box<dyn Controller>>,
    api: &Api,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) {
    for controller in controllers {
        let (api, stopping) = (api.clone(), stopping.clone());
        tasks.spawn(async move {
            stopping.run_until_cancelled(run(controller, api)).await;
        });
    }
}

/// How soon a failed run is tried again.
const RETRY: Duration = Duration::from_millis(500);

async fn run(mut controller: Box<dyn Controller>, api: Api) {
    loop {
        // Opened before looking, so that nothing that happens meanwhile is missed.
        let Ok(mut watcher) = api.store.watch(api.store.revision()) else {
            continue;
        };
        loop {
            let wait = match controller.reconcile(&api).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::debug!(controller = controller.name(), %error, "will try again");
                    Some(RETRY)
                }
            };
            let until = wait.map(|wait| Instant::now() + wait);
            if woken(&*controller, &mut watcher, until).await.is_err() {
                break;
            }
        }
    }
}

/// Waits for a change that the controller cares about, or for the time.
async fn woken(
    controller: &dyn Controller,
    watcher: &mut crate::store::Watcher,
    until: Option<Instant>,
) -> Result<(), crate::store::Expired> {
    loop {
        let events: Vec<Arc<Event>> = match until {
            Some(until) => match tokio::time::timeout_at(until, watcher.next()).await {
                Ok(events) => events?,
                Err(_) => return Ok(()),
            },
            None => watcher.next().await?,
        };
        if events.iter().any(|event| controller.cares(event)) {
            return Ok(());
        }
    }
}
