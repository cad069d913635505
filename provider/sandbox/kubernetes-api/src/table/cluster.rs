//! Tables of cluster-wide things, storage and access.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, Found, created, or_none};
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::time;

pub(super) fn columns(resource: &Resource) -> Option<Found> {
    Some(match (resource.group, resource.plural) {
        ("", "nodes") => (NODES, node),
        ("", "namespaces") => (&[("Name", false), ("Status", false), ("Age", false)], |object, now| {
            vec![
                json!(object.name()),
                json!(object.text("/status/phase")),
                created(object, now),
            ]
        }),
        ("", "persistentvolumes") => (VOLUMES, volume),
        ("", "persistentvolumeclaims") => (CLAIMS, claim),
        ("", "secrets") => (
            &[("Name", false), ("Type", false), ("Data", false), ("Age", false)],
            |object, now| {
                vec![
                    json!(object.name()),
                    json!(object.text("/type")),
                    count(object, &["/data"]),
                    created(object, now),
                ]
            },
        ),
        ("", "configmaps") => (&[("Name", false), ("Data", false), ("Age", false)], |object, now| {
            vec![
                json!(object.name()),
                count(object, &["/data", "/binaryData"]),
                created(object, now),
            ]
        }),
        ("", "serviceaccounts") => (&[("Name", false), ("Secrets", false), ("Age", false)], |object, now| {
            vec![
                json!(object.name()),
                json!(object.items("/secrets").len()),
                created(object, now),
            ]
        }),
        ("", "events") => (EVENTS, event),
        ("coordination.k8s.io", "leases") => (&[("Name", false), ("Holder", false), ("Age", false)], |object, now| {
            vec![
                json!(object.name()),
                json!(object.text("/spec/holderIdentity")),
                created(object, now),
            ]
        }),
        ("certificates.k8s.io", "certificatesigningrequests") => (REQUESTS, request),
        ("storage.k8s.io", "storageclasses") => (CLASSES, class),
        ("rbac.authorization.k8s.io", "clusterroles" | "roles") => {
            (&[("Name", false), ("Created At", false)], |object, _| {
                vec![json!(object.name()), json!(object.text("/metadata/creationTimestamp"))]
            })
        }
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            (&[("Name", false), ("Role", false), ("Age", false)], |object, now| {
                let role = format!("{}/{}", object.text("/roleRef/kind"), object.text("/roleRef/name"));
                vec![json!(object.name()), json!(role), created(object, now)]
            })
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            (&[("Name", false), ("Created At", false)], |object, _| {
                vec![json!(object.name()), json!(object.text("/metadata/creationTimestamp"))]
            })
        }
        ("scheduling.k8s.io", "priorityclasses") => (
            &[
                ("Name", false),
                ("Value", false),
                ("Global-Default", false),
                ("Age", false),
            ],
            |object, now| {
                vec![
                    json!(object.name()),
                    json!(object.number("/value").unwrap_or(0)),
                    json!(object.flag("/globalDefault")),
                    created(object, now),
                ]
            },
        ),
        _ => return None,
    })
}

fn count(object: &Value, pointers: &[&str]) -> Value {
    let sizes = pointers
        .iter()
        .filter_map(|pointer| object.pointer(pointer)?.as_object());
    json!(sizes.map(serde_json::Map::len).sum::<usize>())
}

const NODES: &[Column] = &[
    ("Name", false),
    ("Status", false),
    ("Roles", false),
    ("Age", false),
    ("Version", false),
    ("Internal-IP", true),
    ("External-IP", true),
    ("OS-Image", true),
    ("Kernel-Version", true),
    ("Container-Runtime", true),
];

fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let ready = node
        .items("/status/conditions")
        .iter()
        .find(|one| one.text("/type") == "Ready");
    let mut status = match ready.map(|one| one.text("/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.flag("/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    let labels = node.labels();
    let mut roles: Vec<&str> = labels
        .iter()
        .filter_map(|(key, value)| {
            key.strip_prefix("node-role.kubernetes.io/")
                .or((*key == "kubernetes.io/role").then_some(*value))
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    let address = |kind: &str| {
        let found = node
            .items("/status/addresses")
            .iter()
            .find(|one| one.text("/type") == kind);
        or_none(found.map_or("", |one| one.text("/address")))
    };
    let info = |field: &str| {
        let text = node.text(&format!("/status/nodeInfo/{field}"));
        json!(if text.is_empty() { "<unknown>" } else { text })
    };
    vec![
        json!(node.name()),
        json!(status),
        or_none(&roles.join(",")),
        created(node, now),
        json!(node.text("/status/nodeInfo/kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

const VOLUMES: &[Column] = &[
    ("Name", false),
    ("Capacity", false),
    ("Access Modes", false),
    ("Reclaim Policy", false),
    ("Status", false),
    ("Claim", false),
    ("StorageClass", false),
    ("VolumeAttributesClass", false),
    ("Reason", false),
    ("Age", false),
    ("VolumeMode", true),
];

fn volume(volume: &Value, now: Timestamp) -> Vec<Value> {
    let mut claim = String::new();
    if volume.pointer("/spec/claimRef").is_some() {
        claim = format!(
            "{}/{}",
            volume.text("/spec/claimRef/namespace"),
            volume.text("/spec/claimRef/name")
        );
    }
    let phase = if volume.is_deleting() {
        "Terminating"
    } else {
        volume.text("/status/phase")
    };
    vec![
        json!(volume.name()),
        json!(volume.text("/spec/capacity/storage")),
        modes(volume, "/spec/accessModes"),
        json!(volume.text("/spec/persistentVolumeReclaimPolicy")),
        json!(phase),
        json!(claim),
        json!(volume.text("/spec/storageClassName")),
        json!("<unset>"),
        json!(volume.text("/status/reason")),
        created(volume, now),
        json!(volume.text("/spec/volumeMode")),
    ]
}

/// Access modes in kubectl's shorthand.
fn modes(object: &Value, pointer: &str) -> Value {
    let short = object
        .items(pointer)
        .iter()
        .filter_map(Value::as_str)
        .map(|mode| match mode {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        });
    json!(short.collect::<Vec<_>>().join(","))
}

const CLAIMS: &[Column] = &[
    ("Name", false),
    ("Status", false),
    ("Volume", false),
    ("Capacity", false),
    ("Access Modes", false),
    ("StorageClass", false),
    ("VolumeAttributesClass", false),
    ("Age", false),
    ("VolumeMode", true),
];

fn claim(claim: &Value, now: Timestamp) -> Vec<Value> {
    let phase = if claim.is_deleting() {
        "Terminating"
    } else {
        claim.text("/status/phase")
    };
    vec![
        json!(claim.name()),
        json!(phase),
        json!(claim.text("/spec/volumeName")),
        json!(claim.text("/status/capacity/storage")),
        modes(claim, "/status/accessModes"),
        json!(claim.text("/spec/storageClassName")),
        json!("<unset>"),
        created(claim, now),
        json!(claim.text("/spec/volumeMode")),
    ]
}

const EVENTS: &[Column] = &[
    ("Last Seen", false),
    ("Type", false),
    ("Reason", false),
    ("Object", false),
    ("Subobject", true),
    ("Source", true),
    ("Message", false),
    ("First Seen", true),
    ("Count", true),
    ("Name", true),
];

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let seen = |fields: &[&str]| {
        let found = fields
            .iter()
            .map(|field| event.text(field))
            .find(|text| !text.is_empty());
        json!(time::age(found.unwrap_or_default(), now))
    };
    let object = format!(
        "{}/{}",
        event.text("/involvedObject/kind").to_lowercase(),
        event.text("/involvedObject/name")
    );
    let component = event.text("/source/component");
    let source = if component.is_empty() {
        event.text("/reportingComponent")
    } else {
        component
    };
    vec![
        seen(&[
            "/series/lastObservedTime",
            "/lastTimestamp",
            "/eventTime",
            "/metadata/creationTimestamp",
        ]),
        json!(event.text("/type")),
        json!(event.text("/reason")),
        json!(object),
        json!(event.text("/involvedObject/fieldPath")),
        json!(source),
        json!(event.text("/message").trim()),
        seen(&["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
        json!(event.number("/count").unwrap_or(1)),
        json!(event.name()),
    ]
}

const REQUESTS: &[Column] = &[
    ("Name", false),
    ("Age", false),
    ("SignerName", false),
    ("Requestor", false),
    ("RequestedDuration", false),
    ("Condition", false),
];

fn request(request: &Value, now: Timestamp) -> Vec<Value> {
    let mut conditions: Vec<&str> = request
        .items("/status/conditions")
        .iter()
        .map(|one| one.text("/type"))
        .collect();
    if conditions.is_empty() {
        conditions.push("Pending");
    }
    if !request.text("/status/certificate").is_empty() {
        conditions.push("Issued");
    }
    let duration = request
        .number("/spec/expirationSeconds")
        .map(jiff::SignedDuration::from_secs);
    vec![
        json!(request.name()),
        created(request, now),
        json!(request.text("/spec/signerName")),
        json!(request.text("/spec/username")),
        or_none(&duration.map(time::human).unwrap_or_default()),
        json!(conditions.join(",")),
    ]
}

const CLASSES: &[Column] = &[
    ("Name", false),
    ("Provisioner", false),
    ("ReclaimPolicy", false),
    ("VolumeBindingMode", false),
    ("AllowVolumeExpansion", false),
    ("Age", false),
];

fn class(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = class.annotation("storageclass.kubernetes.io/is-default-class") == Some("true");
    let name = if default {
        format!("{} (default)", class.name())
    } else {
        class.name().to_owned()
    };
    vec![
        json!(name),
        json!(class.text("/provisioner")),
        json!(class.text("/reclaimPolicy")),
        json!(class.text("/volumeBindingMode")),
        json!(class.flag("/allowVolumeExpansion")),
        created(class, now),
    ]
}
