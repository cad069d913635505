//! The Node object: registration, status and lease.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::settings::Settings;
use super::{KubeletError, events};
use crate::api::{Api, ApiError, Patch};
use crate::hex::hex;
use crate::machine::Machine;

/// How often a kubelet renews its lease, at the least an eighth of the shortest silence that the control plane bears.
const LEASE: Duration = Duration::from_secs(10);
const LEAST_LEASE: Duration = Duration::from_millis(750);
/// How long a renewal may take before it is tried again over another connection: the one it had may lead to a master that
/// is gone.  As a kubelet's heartbeats do, it gives up before the control plane does (`--node-status-update-frequency`).
const HEARTBEAT: Duration = Duration::from_secs(10);
const LEAST_HEARTBEAT: Duration = Duration::from_millis(900);
/// How often a kubelet looks at its Node, and how often it posts although nothing has changed.
const STATUS: Duration = Duration::from_secs(10);
const LEAST_STATUS: Duration = Duration::from_secs(1);
const UNCHANGED_POSTS: u32 = 30;
const RETRY: Duration = Duration::from_secs(2);
const LEAST_RETRY: Duration = Duration::from_millis(100);
/// Where CNI plugins leave their configuration; a node is Ready only once there is one.
pub(super) const CNI_DIRECTORY: &str = "/etc/cni/net.d";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// Labels that a kubelet corrects on a Node that was there before.
const CORRECTED_LABELS: [&str; 7] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// A kubelet's view of its node, shared by its loops.
pub(super) struct Node<'a> {
    pub(super) machine: &'a Machine,
    pub(super) settings: &'a Settings,
    pub(super) api: &'a Api,
    /// Whether a pod network is there.
    pub(super) network: watch::Sender<bool>,
    /// The node's block of pod addresses, once a controller has given it one.
    pub(super) pod_cidr: watch::Sender<Option<String>>,
}

impl<'a> Node<'a> {
    pub(super) fn new(machine: &'a Machine, settings: &'a Settings, api: &'a Api) -> Self {
        let configured = machine.disk.list(CNI_DIRECTORY).is_ok_and(|files| !files.is_empty());
        Self {
            machine,
            settings,
            api,
            network: watch::Sender::new(configured),
            pod_cidr: watch::Sender::new(None),
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/nodes/{}", self.settings.node_name)
    }

    /// Pauses before another attempt.
    pub(super) async fn pause(&self) {
        tokio::time::sleep(self.machine.interval(RETRY, LEAST_RETRY)).await;
    }

    /// Creates the Node, or takes over the one that is there, as often as it takes.
    pub(super) async fn register(&self) -> Result<(), KubeletError> {
        loop {
            match self.try_register().await {
                Ok(()) => {
                    self.machine.console.say(
                        "kubelet",
                        format!("Successfully registered node {}", self.settings.node_name),
                    );
                    return Ok(());
                }
                Err(error) => self
                    .machine
                    .set_kubelet_problem(&format!("Unable to register node with API server: {error}")),
            }
            self.pause().await;
        }
    }

    async fn try_register(&self) -> Result<(), ApiError> {
        match self.api.create("/api/v1/nodes", &self.new_object()).await {
            Err(error) if error.already_exists() => {}
            result => return result.map(drop),
        }
        let wanted = self.settings.node_labels();
        let labels: serde_json::Map<String, Value> = CORRECTED_LABELS
            .iter()
            .filter_map(|key| wanted.get(*key).map(|value| ((*key).to_owned(), value.clone())))
            .collect();
        self.api
            .patch(&self.path(), Patch::Merge, &json!({"metadata": {"labels": labels}}))
            .await
            .map(drop)
    }

    fn new_object(&self) -> Value {
        let settings = self.settings;
        let mut spec = json!({});
        if !settings.taints.is_empty() {
            spec["taints"] = json!(settings.taints);
        }
        if let Some(id) = &settings.provider_id {
            spec["providerID"] = json!(id);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": settings.node_name,
                "labels": settings.node_labels(),
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": spec,
            "status": self.status(Timestamp::now(), None),
        })
    }

    /// Posts the node's status when it changes, and now and then when it does not.
    pub(super) async fn post_status(&self) -> KubeletError {
        let mut network = self.network.subscribe();
        let mut posted: Option<bool> = None;
        let mut unchanged = 0;
        loop {
            let ready = *network.borrow_and_update();
            match self
                .try_post(ready, posted != Some(ready) || unchanged >= UNCHANGED_POSTS)
                .await
            {
                Ok(wrote) => {
                    if wrote {
                        unchanged = 0;
                        if posted != Some(ready) {
                            let text = if ready {
                                "Node became ready"
                            } else {
                                "Node became not ready: no pod network"
                            };
                            self.machine.console.say("kubelet", text);
                            let reason = if ready { "NodeReady" } else { "NodeNotReady" };
                            let message = format!("Node {} status is now: {reason}", self.settings.node_name);
                            events::of_node(self, reason, &message).await;
                        }
                        posted = Some(ready);
                        self.machine.status.update(|progress| progress.node_ready = Some(ready));
                    }
                    unchanged += 1;
                    self.machine.set_kubelet_problem("");
                }
                // Somebody deleted the Node: a kubelet registers only when it starts.
                Err(error) if error.is_not_found() => {
                    posted = None;
                    self.machine.status.update(|progress| progress.node_ready = None);
                    self.machine
                        .set_kubelet_problem(&format!("Error getting the current node from lister: {error}"));
                }
                Err(error) => {
                    self.machine
                        .set_kubelet_problem(&format!("Error updating node status, will retry: {error}"));
                    self.pause().await;
                    continue;
                }
            }
            let wait = match *self.pod_cidr.borrow() {
                // The address block usually comes right after the registration.
                None => self.machine.interval(RETRY, LEAST_RETRY),
                Some(_) => self.machine.interval(STATUS, LEAST_STATUS),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = network.changed() => {}
            }
        }
    }

    /// Looks at the Node and posts the status if `needed`, or if the Ready condition says something else (a
    /// controller has marked it Unknown, say).
    async fn try_post(&self, ready: bool, needed: bool) -> Result<bool, ApiError> {
        let node = self.api.get(&self.path()).await?;
        let cidr = node["spec"]["podCIDR"].as_str().map(str::to_owned);
        self.pod_cidr.send_if_modified(|known| {
            let change = *known != cidr;
            *known = cidr;
            change
        });
        let condition = condition(&node, "Ready");
        let expected = if ready { "True" } else { "False" };
        if !needed && condition.is_some_and(|condition| condition["status"] == expected) {
            return Ok(false);
        }
        let patch = json!({"status": self.status(Timestamp::now(), Some(&node))});
        self.api
            .patch(&format!("{}/status", self.path()), Patch::Strategic, &patch)
            .await?;
        Ok(true)
    }

    fn status(&self, now: Timestamp, current: Option<&Value>) -> Value {
        let spec = &self.machine.spec;
        let memory = format!("{}Ki", spec.memory_mib * 1024);
        let resources = json!({
            "cpu": spec.cpus.to_string(),
            "ephemeral-storage": "20134592Ki",
            "hugepages-1Gi": "0",
            "hugepages-2Mi": "0",
            "memory": memory,
            "pods": "110",
        });
        json!({
            "addresses": [
                {"type": "InternalIP", "address": self.settings.address.to_string()},
                {"type": "Hostname", "address": self.settings.node_name},
            ],
            "capacity": resources,
            "allocatable": resources,
            "conditions": self.conditions(now, current),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": self.identity("boot"),
                "containerRuntimeVersion": "containerd://1.7.28",
                "kernelVersion": "6.8.0-1020-gcp",
                "kubeProxyVersion": "",
                "kubeletVersion": format!("v{}", self.settings.version),
                "machineID": self.identity("machine").replace('-', ""),
                "operatingSystem": "linux",
                "osImage": "Ubuntu 24.04.3 LTS",
                "systemUUID": self.identity("system"),
            },
        })
    }

    fn conditions(&self, now: Timestamp, current: Option<&Value>) -> Value {
        let network = *self.network.borrow();
        let ready = if network {
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
        } else {
            (
                "Ready",
                "False",
                "KubeletNotReady",
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network \
                 plugin returns error: cni plugin not initialized",
            )
        };
        let conditions = [
            (
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            (
                "DiskPressure",
                "False",
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure",
            ),
            (
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
            ready,
        ];
        let now = seconds(now);
        let list = conditions.map(|(kind, status, reason, message)| {
            let before = current
                .and_then(|node| condition(node, kind))
                .filter(|before| before["status"] == status);
            let since = before.map_or_else(|| json!(now), |before| before["lastTransitionTime"].clone());
            json!({
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            })
        });
        json!(list)
    }

    /// A stable UUID of the machine for one purpose.
    fn identity(&self, purpose: &str) -> String {
        let spec = &self.machine.spec;
        let digest = Sha256::digest(format!("{purpose} {}/{}", spec.instance_id, spec.name));
        let hex = hex(&digest[..16]);
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    /// Renews the node's lease, which is what keeps the control plane believing in it.
    pub(super) async fn renew_lease(&self) -> KubeletError {
        let mut lease: Option<Value> = None;
        let limit = self.machine.interval(HEARTBEAT, LEAST_HEARTBEAT);
        loop {
            let node = &self.settings.node_name;
            match tokio::time::timeout(limit, Box::pin(self.try_renew(lease.take()))).await {
                Ok(Ok(renewed)) => {
                    lease = Some(renewed);
                    tokio::time::sleep(self.machine.interval(LEASE, LEAST_LEASE)).await;
                    continue;
                }
                Ok(Err(error)) => tracing::debug!(node, %error, "the lease is not renewed"),
                Err(_) => tracing::debug!(node, "the lease is not renewed in time"),
            }
            self.pause().await;
        }
    }

    async fn try_renew(&self, known: Option<Value>) -> Result<Value, ApiError> {
        let name = &self.settings.node_name;
        let path = format!("{LEASES}/{name}");
        let lease = match known {
            Some(lease) => Some(lease),
            None => match self.api.get(&path).await {
                Err(error) if error.is_not_found() => None,
                result => Some(result?),
            },
        };
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        if let Some(mut lease) = lease {
            lease["spec"]["renewTime"] = json!(now);
            return self.api.replace(&path, &lease).await;
        }
        // Without its Node a kubelet makes no lease: it would have no owner.
        let node = self.api.get(&self.path()).await?;
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": "kube-node-lease",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]},
                ],
            },
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
        });
        self.api.create(LEASES, &lease).await
    }
}

/// A condition of an object's status.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// A time as Kubernetes writes it: whole seconds, UTC.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
