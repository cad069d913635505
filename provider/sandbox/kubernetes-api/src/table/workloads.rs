//! Tables of pods, what makes pods, and services.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, Found, created, or_none, pairs};
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::time;

pub(super) fn columns(resource: &Resource) -> Option<Found> {
    Some(match (resource.group, resource.plural) {
        ("", "pods") => (PODS, pod),
        ("", "services") => (SERVICES, service),
        ("", "endpoints") => (
            &[("Name", false), ("Endpoints", false), ("Age", false)],
            |object, now| vec![json!(object.name()), endpoints(object), created(object, now)],
        ),
        ("apps", "deployments") => (DEPLOYMENTS, deployment),
        ("apps", "replicasets") => (REPLICA_SETS, replica_set),
        ("apps", "daemonsets") => (DAEMON_SETS, daemon_set),
        ("apps", "statefulsets") => (STATEFUL_SETS, stateful_set),
        ("policy", "poddisruptionbudgets") => (BUDGETS, budget),
        _ => return None,
    })
}

const PODS: &[Column] = &[
    ("Name", false),
    ("Ready", false),
    ("Status", false),
    ("Restarts", false),
    ("Age", false),
    ("IP", true),
    ("Node", true),
    ("Nominated Node", true),
    ("Readiness Gates", true),
];

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = pod.items("/status/containerStatuses");
    let ready = statuses.iter().filter(|one| one.flag("/ready")).count();
    let restarts: i64 = statuses.iter().filter_map(|one| one.number("/restartCount")).sum();
    vec![
        json!(pod.name()),
        json!(format!("{ready}/{}", pod.items("/spec/containers").len())),
        json!(pod_status(pod)),
        json!(restarts.to_string()),
        created(pod, now),
        or_none(pod.text("/status/podIP")),
        or_none(pod.text("/spec/nodeName")),
        or_none(pod.text("/status/nominatedNodeName")),
        json!("<none>"),
    ]
}

fn pod_status(pod: &Value) -> String {
    if pod.is_deleting() {
        let lost = pod.text("/status/reason") == "NodeLost";
        return if lost { "Unknown" } else { "Terminating" }.to_owned();
    }
    if !pod.text("/status/reason").is_empty() {
        return pod.text("/status/reason").to_owned();
    }
    for status in pod.items("/status/containerStatuses") {
        for state in ["waiting", "terminated"] {
            let reason = status.text(&format!("/state/{state}/reason"));
            if !reason.is_empty() {
                return reason.to_owned();
            }
        }
    }
    match pod.text("/status/phase") {
        "Succeeded" => "Completed".to_owned(),
        "" => "Unknown".to_owned(),
        phase => phase.to_owned(),
    }
}

const SERVICES: &[Column] = &[
    ("Name", false),
    ("Type", false),
    ("Cluster-IP", false),
    ("External-IP", false),
    ("Port(s)", false),
    ("Age", false),
    ("Selector", true),
];

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = service
        .items("/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (port.number("/port").unwrap_or(0), port.text("/protocol"));
            match port.number("/nodePort") {
                Some(node_port) => format!("{number}:{node_port}/{protocol}"),
                None => format!("{number}/{protocol}"),
            }
        })
        .collect();
    let external = match service.text("/spec/type") {
        "LoadBalancer" => "<pending>",
        "ExternalName" => service.text("/spec/externalName"),
        _ => "<none>",
    };
    vec![
        json!(service.name()),
        json!(service.text("/spec/type")),
        or_none(service.text("/spec/clusterIP")),
        json!(external),
        or_none(&ports.join(",")),
        created(service, now),
        pairs(service, "/spec/selector"),
    ]
}

fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in object.items("/subsets") {
        for address in subset.items("/addresses") {
            for port in subset.items("/ports") {
                all.push(format!("{}:{}", address.text("/ip"), port.number("/port").unwrap_or(0)));
            }
        }
    }
    or_none(&all.join(","))
}

fn count(object: &Value, pointer: &str) -> Value {
    json!(object.number(pointer).unwrap_or(0))
}

fn container_names(object: &Value, field: &str) -> Value {
    let names: Vec<&str> = object
        .items("/spec/template/spec/containers")
        .iter()
        .map(|one| one.text(field))
        .collect();
    json!(names.join(","))
}

const DEPLOYMENTS: &[Column] = &[
    ("Name", false),
    ("Ready", false),
    ("Up-to-date", false),
    ("Available", false),
    ("Age", false),
    ("Containers", true),
    ("Images", true),
    ("Selector", true),
];

fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = object.number("/status/readyReplicas").unwrap_or(0);
    vec![
        json!(object.name()),
        json!(format!("{ready}/{}", object.number("/spec/replicas").unwrap_or(0))),
        count(object, "/status/updatedReplicas"),
        count(object, "/status/availableReplicas"),
        created(object, now),
        container_names(object, "/name"),
        container_names(object, "/image"),
        pairs(object, "/spec/selector/matchLabels"),
    ]
}

const REPLICA_SETS: &[Column] = &[
    ("Name", false),
    ("Desired", false),
    ("Current", false),
    ("Ready", false),
    ("Age", false),
    ("Containers", true),
    ("Images", true),
    ("Selector", true),
];

fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        json!(object.name()),
        count(object, "/spec/replicas"),
        count(object, "/status/replicas"),
        count(object, "/status/readyReplicas"),
        created(object, now),
        container_names(object, "/name"),
        container_names(object, "/image"),
        pairs(object, "/spec/selector/matchLabels"),
    ]
}

const DAEMON_SETS: &[Column] = &[
    ("Name", false),
    ("Desired", false),
    ("Current", false),
    ("Ready", false),
    ("Up-to-date", false),
    ("Available", false),
    ("Node Selector", false),
    ("Age", false),
    ("Containers", true),
    ("Images", true),
    ("Selector", true),
];

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        json!(object.name()),
        count(object, "/status/desiredNumberScheduled"),
        count(object, "/status/currentNumberScheduled"),
        count(object, "/status/numberReady"),
        count(object, "/status/updatedNumberScheduled"),
        count(object, "/status/numberAvailable"),
        pairs(object, "/spec/template/spec/nodeSelector"),
        created(object, now),
        container_names(object, "/name"),
        container_names(object, "/image"),
        pairs(object, "/spec/selector/matchLabels"),
    ]
}

const STATEFUL_SETS: &[Column] = &[
    ("Name", false),
    ("Ready", false),
    ("Age", false),
    ("Containers", true),
    ("Images", true),
];

fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = object.number("/status/readyReplicas").unwrap_or(0);
    vec![
        json!(object.name()),
        json!(format!("{ready}/{}", object.number("/spec/replicas").unwrap_or(0))),
        created(object, now),
        container_names(object, "/name"),
        container_names(object, "/image"),
    ]
}

const BUDGETS: &[Column] = &[
    ("Name", false),
    ("Min Available", false),
    ("Max Unavailable", false),
    ("Allowed Disruptions", false),
    ("Age", false),
];

fn budget(budget: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match budget.pointer(&format!("/spec/{field}")) {
        Some(Value::String(text)) => json!(text),
        Some(Value::Number(number)) => json!(number.to_string()),
        _ => json!("N/A"),
    };
    vec![
        json!(budget.name()),
        bound("minAvailable"),
        bound("maxUnavailable"),
        count(budget, "/status/disruptionsAllowed"),
        json!(time::age(budget.text("/metadata/creationTimestamp"), now)),
    ]
}
