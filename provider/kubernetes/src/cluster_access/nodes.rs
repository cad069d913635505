//! Nodes: reading them, waiting for them, changing and deleting them.

use std::collections::BTreeMap;
use std::future::Future;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::patience::{Interrupted, Patience};
use super::{AccessError, Cluster, NodeFacts, OwnedMetadata, ownership, retry_pauses};

/// How often a change is made again after somebody else changed the node in between.
const CONFLICT_RETRIES: usize = 5;

/// How long a watch lasts: it ends by itself before a silent connection counts as dead.
const WATCH_SECONDS: u32 = 45;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// The node exists: its kubelet has joined. All there is to wait for while no pod network is installed.
    Registered,
    /// Its kubelet reports it ready.
    Ready,
}

impl Cluster {
    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeFacts>, AccessError> {
        let nodes = self.list_nodes().await?.0;
        Ok(nodes.values().map(NodeFacts::new).collect())
    }

    /// One node, if it exists.
    pub async fn node(&self, name: &str) -> Result<Option<NodeFacts>, AccessError> {
        match self.api().get(name).await {
            Ok(node) => Ok(Some(NodeFacts::new(&node))),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(self.error(format!("read node {name}"), &error)),
        }
    }

    /// Waits until all the named nodes are in this state, and returns them in the order of the names.
    pub async fn wait_for_nodes(
        &self,
        names: &[String],
        state: NodeState,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<Vec<NodeFacts>, AccessError> {
        let what = match state {
            NodeState::Registered => "nodes to register",
            NodeState::Ready => "nodes to be ready",
        };
        self.watch_nodes(what, deadline, stop, |nodes| find(nodes, names, state))
            .await
    }

    /// Watches the nodes until `done` accepts them.
    ///
    /// `done` sees all nodes after each change, and says what is still missing for the error's text.
    pub async fn watch_nodes<T>(
        &self,
        what: &str,
        deadline: Instant,
        stop: impl Future<Output = ()>,
        mut done: impl FnMut(&[NodeFacts]) -> Result<T, String>,
    ) -> Result<T, AccessError> {
        let mut patience = Patience::new(deadline, stop);
        let mut missing = "the nodes were not read yet".to_owned();
        let pauses = retry_pauses();
        loop {
            match self.watch_once(&mut patience, &mut missing, &mut done).await {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {}
                Err(Failure::Access(error)) if error.is_passing() => {
                    tracing::debug!(%error, "watching nodes is interrupted, trying again");
                    missing = error.to_string();
                }
                Err(Failure::Access(error)) => return Err(error),
                Err(Failure::Interrupted(interrupted)) => return Err(self.interrupted(interrupted, what, &missing)),
            }
            if let Err(interrupted) = patience.pause(pauses.next()).await {
                return Err(self.interrupted(interrupted, what, &missing));
            }
        }
    }

    /// Lists, then follows changes until the server ends the watch.
    async fn watch_once<T>(
        &self,
        patience: &mut Patience<impl Future<Output = ()>>,
        missing: &mut String,
        done: &mut impl FnMut(&[NodeFacts]) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let mut check = |nodes: &BTreeMap<String, Node>| -> Option<T> {
            let facts: Vec<_> = nodes.values().map(NodeFacts::new).collect();
            match done(&facts) {
                Ok(result) => Some(result),
                Err(still) => {
                    *missing = still;
                    None
                }
            }
        };
        let (mut nodes, version) = patience.within(self.list_nodes()).await??;
        if let Some(result) = check(&nodes) {
            return Ok(Some(result));
        }
        let api = self.api();
        let parameters = WatchParams::default().timeout(WATCH_SECONDS);
        let failed = |error: kube::Error| self.error("watch nodes", &error);
        let events = patience
            .within(api.watch(&parameters, &version))
            .await?
            .map_err(failed)?;
        pin_mut!(events);
        while let Some(event) = patience.within(events.next()).await? {
            match event.map_err(failed)? {
                WatchEvent::Added(node) | WatchEvent::Modified(node) => nodes.insert(name(&node), node),
                WatchEvent::Deleted(node) => nodes.remove(&name(&node)),
                WatchEvent::Bookmark(_) => continue,
                // Too old a version: list again.
                WatchEvent::Error(_) => break,
            };
            if let Some(result) = check(&nodes) {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Takes the node's labels and taints from what the node group owned to what it is to own; true if that changed
    /// anything. Labels and taints of others stay.
    pub async fn patch_labels_and_taints(
        &self,
        node: &str,
        previous: &OwnedMetadata,
        desired: &OwnedMetadata,
    ) -> Result<bool, AccessError> {
        let action = || format!("change the labels and taints of node {node}");
        let api = self.api();
        let mut attempt = 0;
        loop {
            let current = api.get(node).await.map_err(|error| self.error(action(), &error))?;
            let Some(patch) = ownership::patch(&current, previous, desired) else {
                return Ok(false);
            };
            match self.patch_node(node, &patch, action()).await {
                Ok(()) => return Ok(true),
                Err(AccessError::Conflict { .. }) if attempt < CONFLICT_RETRIES => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps new pods off the node. A node that does not exist is an error.
    pub async fn cordon(&self, node: &str) -> Result<(), AccessError> {
        self.patch_node(
            node,
            &json!({ "spec": { "unschedulable": true } }),
            format!("cordon node {node}"),
        )
        .await
    }

    /// Lets new pods onto the node again.
    pub async fn uncordon(&self, node: &str) -> Result<(), AccessError> {
        self.patch_node(
            node,
            &json!({ "spec": { "unschedulable": null } }),
            format!("uncordon node {node}"),
        )
        .await
    }

    /// Deletes the Node object; false if it was gone already.
    pub async fn delete_node(&self, node: &str) -> Result<bool, AccessError> {
        match self.api().delete(node, &DeleteParams::default()).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(self.error(format!("delete node {node}"), &error)),
        }
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    async fn patch_node(&self, node: &str, patch: &Value, action: String) -> Result<(), AccessError> {
        let parameters = PatchParams {
            field_manager: Some(super::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.api()
            .patch(node, &parameters, &Patch::Merge(patch))
            .await
            .map(|_| ())
            .map_err(|error| self.error(action, &error))
    }

    /// The nodes by name, and the version to watch from.
    async fn list_nodes(&self) -> Result<(BTreeMap<String, Node>, String), AccessError> {
        let list = self
            .api()
            .list(&ListParams::default())
            .await
            .map_err(|error| self.error("list nodes", &error))?;
        let version = list.metadata.resource_version.unwrap_or_default();
        Ok((
            list.items.into_iter().map(|node| (name(&node), node)).collect(),
            version,
        ))
    }
}

enum Failure {
    Access(AccessError),
    Interrupted(Interrupted),
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        Self::Access(error)
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

fn name(node: &Node) -> String {
    node.metadata.name.clone().unwrap_or_default()
}

/// The named nodes, or what is still missing.
fn find(nodes: &[NodeFacts], names: &[String], state: NodeState) -> Result<Vec<NodeFacts>, String> {
    let mut found = Vec::with_capacity(names.len());
    let mut missing = Vec::new();
    for name in names {
        match nodes.iter().find(|node| node.name == *name) {
            None => missing.push(format!("{name} has not registered")),
            Some(node) if node.deleting => missing.push(format!("{name} is being deleted")),
            Some(node) if state == NodeState::Ready && !node.ready => missing.push(format!(
                "{name} is not ready ({})",
                node.not_ready_reason.as_deref().unwrap_or("no reason given")
            )),
            Some(node) => found.push(node.clone()),
        }
    }
    if missing.is_empty() {
        Ok(found)
    } else {
        Err(missing.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_of_each_node() {
        let node = |name: &str, ready| NodeFacts {
            name: name.to_owned(),
            ready,
            not_ready_reason: (!ready).then(|| "KubeletNotReady: no network".to_owned()),
            ..NodeFacts::default()
        };
        let nodes = [node("a", true), node("b", false)];
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            find(&nodes, &names, NodeState::Ready).unwrap_err(),
            "b is not ready (KubeletNotReady: no network); c has not registered"
        );
        assert_eq!(find(&nodes, &names[..2], NodeState::Registered).unwrap().len(), 2);
    }
}
