//! Of several servers one leads: it holds a Lease in `kube-system`, as kube-controller-manager and kube-scheduler do.
//!
//! The flow: whoever finds the Lease free, or not renewed for as long as it lasts (by its own clock, since it first saw
//! this renewal), writes itself into it; of two that do so at once the storage refuses one.  The leader renews it, and
//! stops leading when it could not do so in time, before anybody else may begin.  A leader that stops gives it back.
//! Two may lead for a moment when a host stalls; what they write is still guarded by revisions.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::controllers::{self, Controller};
use crate::object::ObjectExt as _;
use crate::objects::{Api, Part};
use crate::status::ApiError;
use crate::time;

const LEASES: &str = "leases.coordination.k8s.io";
const NAMESPACE: &str = "kube-system";

/// What the components have as defaults: how long a Lease lasts, how long its holder tries to renew it, how often.
const DURATION: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// What no pace shortens the duration below, the others in proportion: a busy host is no dead leader.
const SHORTEST: Duration = Duration::from_secs(3);

/// How long a stopping leader tries to give its Lease back.
const FAREWELL: Duration = Duration::from_secs(3);

/// One candidate for one Lease.
pub(crate) struct Candidate {
    api: Api,
    /// The Lease's name, which is the component's.
    lease: &'static str,
    identity: String,
    /// What the leader runs.
    controllers: fn() -> Vec<Box<dyn Controller>>,
    /// How many times shorter than the components' defaults everything is.
    haste: f64,
}

/// The holder and the renewal that a candidate has seen, and since when.
struct Seen {
    sign: String,
    since: Instant,
}

impl Candidate {
    pub(crate) fn new(api: Api, lease: &'static str, controllers: fn() -> Vec<Box<dyn Controller>>) -> Self {
        let identity = format!("{}_{}", api.settings.advertise_address, crate::random::uid());
        let longest_haste = DURATION.as_secs_f64() / SHORTEST.as_secs_f64();
        let haste = api.settings.pace.clamp(f64::MIN_POSITIVE, longest_haste);
        Self {
            api,
            lease,
            identity,
            controllers,
            haste,
        }
    }

    /// Stands, leads and stands again until `leaving`.
    pub(crate) async fn run(self, leaving: CancellationToken) {
        while leaving.run_until_cancelled(self.win()).await.is_some() {
            tracing::debug!(lease = self.lease, identity = self.identity, "leads");
            let (tasks, ending) = (TaskTracker::new(), leaving.child_token());
            let _on_every_way_out = ending.clone().drop_guard();
            controllers::start((self.controllers)(), &self.api, &tasks, &ending);
            let lost = leaving.run_until_cancelled(self.hold()).await;
            ending.cancel();
            tasks.close();
            tasks.wait().await;
            if lost.is_none() {
                self.give_back().await;
                return;
            }
            tracing::debug!(lease = self.lease, identity = self.identity, "leads no more");
        }
    }

    fn hurried(&self, duration: Duration) -> Duration {
        time::paced(duration, self.haste)
    }

    /// Waits until this candidate holds the Lease.
    async fn win(&self) {
        let mut seen: Option<Seen> = None;
        loop {
            // A Lease that is given back is taken at once, not at the next look.
            let watcher = self.api.store.watch(self.api.store.revision());
            match self.try_to_win(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::debug!(lease = self.lease, %error, "cannot be held"),
            }
            let next_look = tokio::time::sleep(self.hurried(RETRY));
            tokio::pin!(next_look);
            let Ok(mut watcher) = watcher else {
                next_look.await;
                continue;
            };
            loop {
                tokio::select! {
                    () = &mut next_look => break,
                    events = watcher.next() => match events {
                        Ok(events) if events.iter().any(|event| self.is_lease(&event.key) && is_free(&event.object)) => break,
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
            }
        }
    }

    fn is_lease(&self, key: &crate::store::Key) -> bool {
        key.resource == LEASES && key.namespace == NAMESPACE && key.name == self.lease
    }

    async fn try_to_win(&self, seen: &mut Option<Seen>) -> Result<bool, ApiError> {
        let Some(found) = self.api.store.get(LEASES, NAMESPACE, self.lease) else {
            let mut lease = json!({"metadata": {"name": self.lease}});
            self.write_holder(&mut lease, 0);
            return match self.api.add(LEASES, NAMESPACE, lease).await {
                Ok(_) => Ok(true),
                Err(error) if error.reason == "AlreadyExists" => Ok(false),
                Err(error) => Err(error),
            };
        };
        if !is_free(&found) && !self.is_mine(&found) && !self.has_expired(&found, seen) {
            return Ok(false);
        }
        self.replace(&found, |lease| {
            let transitions = lease.number("/spec/leaseTransitions").unwrap_or(0);
            self.write_holder(lease, transitions + 1);
        })
        .await
    }

    /// Whether the holder is this server: before a restart, too, as two servers cannot have the same address.
    fn is_mine(&self, lease: &Value) -> bool {
        let host = |identity: &str| identity.rsplit_once('_').map(|(host, _)| host.to_owned());
        host(lease.text("/spec/holderIdentity")) == host(&self.identity)
    }

    fn has_expired(&self, lease: &Value, seen: &mut Option<Seen>) -> bool {
        let sign = format!(
            "{} {}",
            lease.text("/spec/holderIdentity"),
            lease.text("/spec/renewTime")
        );
        match seen {
            Some(seen) if seen.sign == sign => seen.since.elapsed() >= self.hurried(DURATION),
            _ => {
                let since = Instant::now();
                *seen = Some(Seen { sign, since });
                false
            }
        }
    }

    /// Renews the Lease until that has failed for too long, or somebody else holds it.
    async fn hold(&self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.hurried(RETRY)).await;
            let left = self.hurried(DEADLINE).saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => tracing::debug!(lease = self.lease, %error, "not renewed"),
            }
        }
    }

    /// Answers whether this candidate still holds the Lease.
    async fn renew(&self) -> Result<bool, ApiError> {
        let Some(found) = self.api.store.get(LEASES, NAMESPACE, self.lease) else {
            return Ok(false);
        };
        if found.text("/spec/holderIdentity") != self.identity {
            return Ok(false);
        }
        let written = self.replace(&found, |lease| {
            lease.put(&["spec", "renewTime"], json!(micros(Timestamp::now())));
        });
        // One that has changed meanwhile is looked at again.
        written.await.map(|_| true)
    }

    async fn give_back(&self) {
        let give = async {
            let found = self.api.store.get(LEASES, NAMESPACE, self.lease)?;
            if found.text("/spec/holderIdentity") != self.identity {
                return None;
            }
            let free = |lease: &mut Value| {
                lease.put(&["spec", "holderIdentity"], json!(""));
                lease.put(&["spec", "leaseDurationSeconds"], json!(1));
                lease.put(&["spec", "renewTime"], json!(micros(Timestamp::now())));
            };
            self.replace(&found, free).await.ok()
        };
        if tokio::time::timeout(FAREWELL, give).await.is_err() {
            tracing::debug!(lease = self.lease, "not given back: the storage does not answer");
        }
    }

    /// Writes the Lease if it is still the one that was found; answers whether it was.
    async fn replace(&self, found: &Arc<Value>, change: impl Fn(&mut Value) + Send + Sync) -> Result<bool, ApiError> {
        let revision = found.text("/metadata/resourceVersion");
        let change = |lease: &mut Value| {
            change(lease);
            // What was found, or nothing.
            lease.put(&["metadata", "resourceVersion"], json!(revision));
        };
        let written = self
            .api
            .adjust(LEASES, NAMESPACE, self.lease, Part::Object, change)
            .await;
        match written {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write_holder(&self, lease: &mut Value, transitions: i64) {
        let now = micros(Timestamp::now());
        let seconds = time::whole_seconds(self.hurried(DURATION));
        let spec = json!({
            "holderIdentity": self.identity, "leaseDurationSeconds": seconds, "acquireTime": now,
            "renewTime": now, "leaseTransitions": transitions,
        });
        lease.put(&["spec"], spec);
    }
}

fn is_free(lease: &Value) -> bool {
    lease.text("/spec/holderIdentity").is_empty()
}

/// `metav1.MicroTime`.
fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
