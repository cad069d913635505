//! Draining a node through the eviction API, the way `kubectl drain` does, and failing closed.
//!
//! # Flow
//! 1. Cordon the node. A node that does not exist is drained.
//! 2. List its pods. Pods of `DaemonSets` and mirror pods stay: they belong to the node. If any other pod would lose
//!    what cannot come back (an `emptyDir`, or a pod that nobody recreates) and the options do not allow it, refuse
//!    before anything is evicted.
//! 3. Ask for each pod's eviction. A `PodDisruptionBudget` answers 429: ask again until the deadline.
//! 4. Start over from 2 until no pod is left.
//!
//! # Guarantees
//! `Ok` means that no pod was left that a drain has to remove. On any error the node stays cordoned and nothing but
//! evictions has happened, so the drain can be started again.

mod pods;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, Preconditions};
use tokio::time::Instant;

use super::patience::{Interrupted, Patience};
use super::{AccessError, Cluster, retry_pauses};
use pods::{PodOnNode, Sorted};

/// How a node is drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainOptions {
    /// How long all of it may take.
    pub timeout: Duration,
    /// Whether pods may lose the data in their `emptyDir` volumes.
    pub delete_empty_dir_data: bool,
    /// Whether pods may go that no controller recreates elsewhere.
    pub force: bool,
    /// Whether the machine is confirmed to be off: nobody is there to stop a pod, so one that is stopping counts as gone.
    pub machine_is_off: bool,
    /// The pods' time to stop, in seconds; their own if unset.
    pub grace_period_seconds: Option<u32>,
}

impl Default for DrainOptions {
    /// Ten minutes, losing nothing.
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(10),
            delete_empty_dir_data: false,
            force: false,
            machine_is_off: false,
            grace_period_seconds: None,
        }
    }
}

/// A finished drain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// The evicted pods, as `namespace/name`.
    pub evicted: Vec<String>,
    /// The pods that stay with the node, as `namespace/name`.
    pub left: Vec<String>,
}

/// A pod that is still on the node, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInTheWay {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What keeps it there.
    pub obstacle: Obstacle,
}

/// What keeps a pod on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No controller would recreate it.
    Unmanaged,
    /// It would lose the data in an `emptyDir` volume.
    LocalData,
    /// A `PodDisruptionBudget` does not allow its eviction; the API server's words.
    DisruptionBudget(String),
    /// Its eviction failed otherwise; the API server's words.
    Refused(String),
    /// It is stopping.
    Stopping,
    /// Its eviction was not asked for yet.
    NotAsked,
}

impl fmt::Display for PodInTheWay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}: ", self.namespace, self.name)?;
        match &self.obstacle {
            Obstacle::Unmanaged => formatter.write_str("no controller would recreate it"),
            Obstacle::LocalData => formatter.write_str("it would lose the data in its emptyDir volumes"),
            Obstacle::DisruptionBudget(message) => write!(formatter, "its disruption budget forbids it: {message}"),
            Obstacle::Refused(message) => write!(formatter, "its eviction was refused: {message}"),
            Obstacle::Stopping => formatter.write_str("it has not stopped yet"),
            Obstacle::NotAsked => formatter.write_str("its eviction was not asked for yet"),
        }
    }
}

/// A drain that did not finish. The node stays cordoned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// Pods that the options do not allow to go; nothing was evicted for this.
    #[error(
        "node {node} is not drained: these pods cannot be evicted without loss:{}\nThe node is cordoned. Move these \
         pods away, or delete them yourself",
        listing(pods)
    )]
    NotAllowed {
        /// The node.
        node: String,
        /// The pods.
        pods: Vec<PodInTheWay>,
    },
    /// The timeout passed.
    #[error(
        "node {node} is not drained after {} s, these pods are still there:{}\nThe node is cordoned and keeps its \
         machine. Make room for the pods and try again: the drain goes on", timeout.as_secs(), listing(pods)
    )]
    TimedOut {
        /// The node.
        node: String,
        /// How long it was tried.
        timeout: Duration,
        /// The pods.
        pods: Vec<PodInTheWay>,
    },
    /// The caller gave up.
    #[error(
        "the drain of node {node} was stopped, these pods are still there:{}\nThe node is cordoned",
        listing(pods)
    )]
    Stopped {
        /// The node.
        node: String,
        /// The pods.
        pods: Vec<PodInTheWay>,
    },
    /// A request failed.
    #[error("node {node} is not drained: {source}")]
    Access {
        /// The node.
        node: String,
        /// The failure.
        source: Box<AccessError>,
    },
}

fn listing(pods: &[PodInTheWay]) -> String {
    if pods.is_empty() {
        return " none was seen".to_owned();
    }
    pods.iter()
        .fold(String::new(), |text, pod| text + &format!("\n  - {pod}"))
}

impl Cluster {
    /// Cordons the node and evicts its pods; see the module's description for the flow.
    pub async fn drain(
        &self,
        node: &str,
        options: &DrainOptions,
        stop: impl Future<Output = ()>,
    ) -> Result<Drained, DrainError> {
        let mut drain = Drain {
            cluster: self,
            node,
            options,
            evicted: Vec::new(),
            remaining: Vec::new(),
            obstacles: BTreeMap::new(),
        };
        let mut patience = Patience::new(Instant::now() + options.timeout, stop);
        match drain.run(&mut patience).await {
            Ok(drained) => Ok(drained),
            Err(Failure::Drain(error)) => Err(error),
            Err(Failure::Interrupted(interrupted)) => Err(drain.interrupted(interrupted)),
        }
    }
}

struct Drain<'a> {
    cluster: &'a Cluster,
    node: &'a str,
    options: &'a DrainOptions,
    evicted: Vec<String>,
    /// The pods of the last look.
    remaining: Vec<PodOnNode>,
    /// What the API server last said about each, by UID.
    obstacles: BTreeMap<String, Obstacle>,
}

enum Failure {
    Drain(DrainError),
    Interrupted(Interrupted),
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl Drain<'_> {
    async fn run(&mut self, patience: &mut Patience<impl Future<Output = ()>>) -> Result<Drained, Failure> {
        let pauses = retry_pauses();
        loop {
            match patience.within(self.cluster.cordon(self.node)).await? {
                Ok(()) => break,
                Err(AccessError::NotFound { .. }) => return Ok(Drained::default()),
                Err(error) => self.pass(error)?,
            }
            patience.pause(pauses.next()).await?;
        }
        loop {
            match patience.within(self.pods()).await? {
                Ok(Sorted {
                    left,
                    blocked,
                    to_evict,
                }) => {
                    if !blocked.is_empty() {
                        let error = DrainError::NotAllowed {
                            node: self.node.to_owned(),
                            pods: blocked,
                        };
                        return Err(Failure::Drain(error));
                    }
                    if to_evict.is_empty() {
                        return Ok(Drained {
                            evicted: std::mem::take(&mut self.evicted),
                            left,
                        });
                    }
                    self.remaining = to_evict;
                    for pod in self.remaining.clone() {
                        patience.within(self.evict(&pod)).await??;
                    }
                }
                Err(error) => self.pass(error)?,
            }
            patience.pause(pauses.next()).await?;
        }
    }

    /// Lets a failure pass that may pass by itself.
    fn pass(&self, error: AccessError) -> Result<(), Failure> {
        if error.is_passing() {
            tracing::debug!(node = self.node, %error, "the drain is interrupted, trying again");
            return Ok(());
        }
        Err(Failure::Drain(DrainError::Access {
            node: self.node.to_owned(),
            source: Box::new(error),
        }))
    }

    async fn pods(&self) -> Result<Sorted, AccessError> {
        let api: Api<Pod> = Api::all(self.cluster.client.clone());
        let list = api
            .list(&ListParams::default().fields(&format!("spec.nodeName={}", self.node)))
            .await
            .map_err(|error| {
                self.cluster
                    .error(format!("list the pods of node {}", self.node), &error)
            })?;
        Ok(pods::sort(&list.items, self.options))
    }

    async fn evict(&mut self, pod: &PodOnNode) -> Result<(), Failure> {
        if pod.stopping {
            self.obstacles.insert(pod.uid.clone(), Obstacle::Stopping);
            return Ok(());
        }
        let api: Api<Pod> = Api::namespaced(self.cluster.client.clone(), &pod.namespace);
        // The UID, so that a pod of the same name which a StatefulSet started elsewhere is left alone.
        let preconditions = Preconditions {
            uid: Some(pod.uid.clone()),
            resource_version: None,
        };
        let delete_options = DeleteParams {
            grace_period_seconds: self.options.grace_period_seconds,
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        let parameters = EvictParams {
            delete_options: Some(delete_options),
            ..EvictParams::default()
        };
        let obstacle = match api.evict(&pod.name, &parameters).await {
            Ok(_) => {
                tracing::info!(node = self.node, pod = %pod, "evicted a pod");
                self.evicted.push(pod.to_string());
                Obstacle::Stopping
            }
            // Gone, or another pod of this name by now: the next look tells.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 429 => {
                Obstacle::DisruptionBudget(pods::budget_message(&status))
            }
            // A namespace that is being deleted forbids evictions; its pods go without them.
            Err(kube::Error::Api(status)) if status.code == 403 && pods::namespace_is_terminating(&status) => {
                Obstacle::Stopping
            }
            // One pod covered by two budgets is a 500, and stays one.
            Err(kube::Error::Api(status)) if status.code >= 500 => Obstacle::Refused(status.message.clone()),
            Err(error) => {
                return self.pass(self.cluster.error(format!("evict pod {pod}"), &error));
            }
        };
        self.obstacles.insert(pod.uid.clone(), obstacle);
        Ok(())
    }

    fn interrupted(&self, interrupted: Interrupted) -> DrainError {
        let node = self.node.to_owned();
        let pods = self
            .remaining
            .iter()
            .map(|pod| pod.in_the_way(self.obstacles.get(&pod.uid).cloned().unwrap_or(Obstacle::NotAsked)))
            .collect();
        match interrupted {
            Interrupted::Deadline => DrainError::TimedOut {
                node,
                timeout: self.options.timeout,
                pods,
            },
            Interrupted::Stop => DrainError::Stopped { node, pods },
        }
    }
}
