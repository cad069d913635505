//! The pods of a node: started when they are bound to it, stopped when they are deleted.
//!
//! What runs in a container is not simulated: a started container runs until its pod is deleted. A container
//! that can write /etc/cni/net.d is taken for a pod network's and leaves a configuration there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::PoisonError;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::FuturesUnordered;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::containers::RunningPod;
use super::node::{CNI_DIRECTORY, Node, condition, seconds};
use super::{KubeletError, events, hold, pod_status, volumes};
use crate::api::{ApiError, Patch};

/// Pulling an image that the machine does not have, and starting the containers.
const PULL: Duration = Duration::from_secs(4);
const START: Duration = Duration::from_secs(1);
/// Most containers end well before their grace period does.
const STOP: Duration = Duration::from_secs(2);

/// The work on a pod that goes on.
struct Work {
    stopping: bool,
    abort: AbortHandle,
}

/// Watches the pods of the node for ever.
pub(super) async fn run(node: &Node<'_>) -> KubeletError {
    let selector = format!("fieldSelector=spec.nodeName%3D{}", node.settings.node_name);
    let mut work: BTreeMap<String, Work> = BTreeMap::new();
    let mut tasks: FuturesUnordered<Abortable<BoxFuture<'_, ()>>> = FuturesUnordered::new();
    loop {
        let watched = async {
            let list = node.api.get(&format!("/api/v1/pods?{selector}")).await?;
            let pods: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
            let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
            let watch = node
                .api
                .watch(&format!(
                    "/api/v1/pods?{selector}&watch=true&resourceVersion={revision}"
                ))
                .await?;
            Ok::<_, ApiError>((pods, watch))
        };
        let opened = tokio::select! {
            opened = watched => opened,
            () = drain(&mut tasks) => continue,
        };
        let (pods, mut watch) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(node = node.settings.node_name, %error, "cannot watch pods");
                tokio::select! {
                    () = node.pause() => {}
                    () = drain(&mut tasks) => {}
                }
                continue;
            }
        };
        work.retain(|uid, work| {
            let listed = pods.iter().any(|pod| pod["metadata"]["uid"] == uid.as_str());
            if !listed {
                forget(node, uid, work);
            }
            listed
        });
        for pod in pods {
            handle(node, &mut work, &mut tasks, pod);
        }
        loop {
            tokio::select! {
                event = watch.next() => match event {
                    Ok(Some(event)) if event["type"] == "DELETED" => {
                        let uid = event["object"]["metadata"]["uid"].as_str().unwrap_or_default();
                        if let Some(gone) = work.remove(uid) {
                            forget(node, uid, &gone);
                        }
                    }
                    Ok(Some(event)) if event["type"] == "ADDED" || event["type"] == "MODIFIED" => {
                        handle(node, &mut work, &mut tasks, event["object"].clone());
                    }
                    Ok(Some(event)) if event["type"] == "BOOKMARK" => {}
                    _ => break,
                },
                () = drain(&mut tasks) => {}
            }
        }
    }
}

/// Drives the tasks for ever.
async fn drain(tasks: &mut FuturesUnordered<Abortable<BoxFuture<'_, ()>>>) {
    while tasks.next().await.is_some() {}
    std::future::pending::<()>().await;
}

fn forget(node: &Node<'_>, uid: &str, work: &Work) {
    work.abort.abort();
    remove_containers(node, uid);
}

fn remove_containers(node: &Node<'_>, uid: &str) {
    let mut containers = node.machine.containers.lock().unwrap_or_else(PoisonError::into_inner);
    containers.remove(uid);
    drop(containers);
    node.machine.remember();
}

/// Begins what a pod's state asks for, unless it is under way.
fn handle<'a>(
    node: &'a Node<'_>,
    work: &mut BTreeMap<String, Work>,
    tasks: &mut FuturesUnordered<Abortable<BoxFuture<'a, ()>>>,
    pod: Value,
) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let stopping = !pod["metadata"]["deletionTimestamp"].is_null();
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) && !stopping {
        return;
    }
    if let Some(known) = work.get(&uid) {
        // While the node was lost, a controller has marked its running pods: that wants correcting.
        let marked = !stopping && !is_ready(&pod) && runs(node, &uid);
        if known.stopping || !(stopping || marked) {
            return;
        }
        known.abort.abort();
    }
    let (abort, registration) = AbortHandle::new_pair();
    work.insert(uid, Work { stopping, abort });
    let task: BoxFuture<'a, ()> = if stopping {
        Box::pin(stop(node, pod))
    } else {
        Box::pin(start(node, pod))
    };
    tasks.push(Abortable::new(task, registration));
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Whether the containers of the pod with this UID run.
fn runs(node: &Node<'_>, uid: &str) -> bool {
    let containers = node.machine.containers.lock().unwrap_or_else(PoisonError::into_inner);
    containers.get(uid).is_some()
}

fn path(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    format!("/api/v1/namespaces/{}/pods/{}", text("namespace"), text("name"))
}

/// Brings a pod to Running and says so.
async fn start(node: &Node<'_>, pod: Value) {
    let machine = node.machine;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let known = machine
        .containers
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&uid)
        .cloned();
    let fresh = known.is_none();
    let running = match known {
        // The kubelet was restarted, the containers were not.
        Some(_) if is_ready(&pod) => return,
        Some(running) => running,
        None => {
            if pod["status"]["phase"] != "Running" {
                report(node, &pod, &pod_status::waiting(node, &pod)).await;
            }
            volumes::wait_for_sources(node, &pod).await;
            let address = address(node, &pod).await;
            let images: Vec<&str> = containers(&pod)
                .filter_map(|container| container["image"].as_str())
                .collect();
            for image in images {
                let absent = machine
                    .containers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pull(image);
                if absent {
                    events::of_pod(node, &pod, "Pulling", &format!("Pulling image \"{image}\"")).await;
                    machine.takes(PULL).await;
                }
            }
            machine.takes(START).await;
            // Taken only now: nothing is allocated for a pod that is deleted while it waits.
            let mut runtime = machine.containers.lock().unwrap_or_else(PoisonError::into_inner);
            let address = match address {
                PodAddress::Host(address) => address,
                PodAddress::Block(block) => {
                    let Some(address) = runtime.free_address(block) else {
                        let problem = format!("no free pod address in {block} for {}", path(&pod));
                        machine.console.say("kubelet", problem);
                        return;
                    };
                    address
                }
            };
            let running = RunningPod {
                address,
                started: seconds(Timestamp::now()),
            };
            runtime.insert(&uid, running.clone());
            drop(runtime);
            machine.remember();
            running
        }
    };
    if mounts_cni(&pod) {
        set_up_network(node, &pod);
    }
    // Before it does anything: a kubelet is quicker to say so than an API server is to end.
    report(node, &pod, &pod_status::running(node, &pod, &running)).await;
    if hold::begin(machine, &pod) {
        // What it does goes on without the kubelet, which may not reach the API any more to say so.
        let done = pod_status::succeeded(node, &pod, &running);
        hold::over(machine).await;
        report(node, &pod, &done).await;
        return;
    }
    if fresh {
        for container in containers(&pod) {
            let name = container["name"].as_str().unwrap_or_default();
            events::of_pod(node, &pod, "Started", &format!("Started container {name}")).await;
        }
    }
}

enum PodAddress {
    Host(Ipv4Addr),
    Block(Ipv4Net),
}

/// Where the pod gets its address, once the node has a network for it.
async fn address(node: &Node<'_>, pod: &Value) -> PodAddress {
    if pod["spec"]["hostNetwork"] == true {
        return PodAddress::Host(node.settings.address);
    }
    let mut network = node.network.subscribe();
    let _ = network.wait_for(|there| *there).await;
    let mut cidr = node.pod_cidr.subscribe();
    loop {
        let block = cidr.borrow_and_update().as_ref().and_then(|text| text.parse().ok());
        if let Some(block) = block {
            return PodAddress::Block(block);
        }
        if cidr.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    list("initContainers").chain(list("containers"))
}

/// Whether the pod can write the directory that CNI plugins are configured in.
fn mounts_cni(pod: &Value) -> bool {
    pod["spec"]["volumes"].as_array().into_iter().flatten().any(|volume| {
        volume["hostPath"]["path"]
            .as_str()
            .is_some_and(|path| path.trim_end_matches('/') == CNI_DIRECTORY)
    })
}

fn set_up_network(node: &Node<'_>, pod: &Value) {
    let name = pod["metadata"]["labels"]["app"]
        .as_str()
        .or_else(|| pod["metadata"]["labels"]["k8s-app"].as_str());
    let name = name.unwrap_or("pod-network");
    let configuration = json!({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge"}]});
    let file = format!("{CNI_DIRECTORY}/10-{}.conflist", name.replace('/', "-"));
    match node.machine.disk.write(&file, format!("{configuration:#}\n"), 0o644) {
        Ok(()) => {
            node.network.send_if_modified(|there| !std::mem::replace(there, true));
        }
        Err(error) => node
            .machine
            .console
            .say("kubelet", format!("the pod network cannot be configured: {error}")),
    }
}

/// Posts a pod's status until the API has it or the pod is gone.
async fn report(node: &Node<'_>, pod: &Value, status: &Value) {
    let uid = &pod["metadata"]["uid"];
    // Replaced whole: a strategic merge would leave fields of the last state beside those of this one.
    let mut status = status.clone();
    for field in ["containerStatuses", "initContainerStatuses"] {
        if let Some(list) = status[field].as_array_mut() {
            for one in list {
                one["state"]["$patch"] = "replace".into();
            }
        }
    }
    let patch = json!({"metadata": {"uid": uid}, "status": status});
    loop {
        match node
            .api
            .patch(&format!("{}/status", path(pod)), Patch::Strategic, &patch)
            .await
        {
            Ok(_) => return,
            Err(error) if !error.is_transient() || error.is_not_found() => {
                tracing::debug!(pod = path(pod), %error, "the status is not taken");
                return;
            }
            Err(error) => tracing::debug!(pod = path(pod), %error, "will post the status again"),
        }
        node.pause().await;
    }
}

/// Stops a pod's containers within their grace and removes the pod from the API.
async fn stop(node: &Node<'_>, pod: Value) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let grace = Duration::from_secs(pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30));
    if runs(node, uid) {
        for container in containers(&pod) {
            let name = container["name"].as_str().unwrap_or_default();
            events::of_pod(node, &pod, "Killing", &format!("Stopping container {name}")).await;
        }
        node.machine.takes(grace.min(STOP)).await;
        remove_containers(node, uid);
    }
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": uid},
    });
    loop {
        match node.api.delete(&path(&pod), &options).await {
            Ok(_) => return,
            // Gone, or another pod of that name by now.
            Err(error) if error.is_conflict() || !error.is_transient() => {
                tracing::debug!(pod = path(&pod), %error, "the pod is not there to be deleted");
                return;
            }
            Err(error) => tracing::debug!(pod = path(&pod), %error, "will delete the pod again"),
        }
        node.pause().await;
    }
}
