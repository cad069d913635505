//! Rules of single kinds, as far as they matter to what this region shows.

use serde_json::{Value, json};

use super::metadata::{dns_label, label_value, labels, qualified_name};
use super::quantity::bytes_of;
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::selectors::Selector;
use crate::status::Cause;

pub(super) fn check(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    match (resource.group, resource.plural) {
        ("", "nodes") => node(object, causes),
        ("", "pods") => pod_spec(object.pointer("/spec"), "spec", causes),
        ("", "persistentvolumes") => persistent_volume(object, causes),
        ("", "persistentvolumeclaims") => claim(object, causes),
        ("", "secrets" | "configmaps") => data_keys(object, causes),
        ("", "services") => service(object, causes),
        ("apps", "deployments" | "replicasets" | "daemonsets" | "statefulsets") => workload(object, causes),
        ("policy", "poddisruptionbudgets") => budget(object, causes),
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => binding(object, causes),
        ("certificates.k8s.io", _) => {
            for field in ["request", "signerName"] {
                if object.text(&format!("/spec/{field}")).is_empty() {
                    causes.push(Cause::required(format!("spec.{field}"), ""));
                }
            }
            if object.items("/spec/usages").is_empty() {
                causes.push(Cause::required("spec.usages", ""));
            }
        }
        _ => {}
    }
}

fn node(node: &Value, causes: &mut Vec<Cause>) {
    let mut seen = Vec::new();
    for (at, taint) in node.items("/spec/taints").iter().enumerate() {
        let (key, effect) = (taint.text("/key"), taint.text("/effect"));
        qualified_name(key, format!("spec.taints[{at}].key"), causes);
        label_value(taint.text("/value"), format!("spec.taints[{at}].value"), causes);
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let field = format!("spec.taints[{at}].effect");
            causes.push(Cause::unsupported(
                field,
                effect,
                &["NoSchedule", "PreferNoSchedule", "NoExecute"],
            ));
        }
        if seen.contains(&(key, effect)) {
            let pair = json!({"key": key, "effect": effect});
            causes.push(Cause::duplicate(format!("spec.taints[{at}]"), &pair));
        }
        seen.push((key, effect));
    }
}

fn pod_spec(spec: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    let Some(spec) = spec else {
        causes.push(Cause::required(path, ""));
        return;
    };
    if spec.items("/containers").is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> = spec.items("/volumes").iter().map(|one| one.text("/name")).collect();
    let mut names = Vec::new();
    for list in ["containers", "initContainers"] {
        for (at, container) in spec.items(&format!("/{list}")).iter().enumerate() {
            let here = format!("{path}.{list}[{at}]");
            let name = container.text("/name");
            if name.is_empty() {
                causes.push(Cause::required(format!("{here}.name"), ""));
            } else {
                dns_label(name, format!("{here}.name"), causes);
            }
            if names.contains(&name) {
                causes.push(Cause::duplicate(format!("{here}.name"), &json!(name)));
            }
            names.push(name);
            if container.text("/image").is_empty() && path != "spec" {
                causes.push(Cause::required(format!("{here}.image"), ""));
            }
            for (which, mount) in container.items("/volumeMounts").iter().enumerate() {
                if !volumes.contains(&mount.text("/name")) && !mount.text("/name").starts_with("kube-api-access") {
                    causes.push(Cause {
                        reason: "FieldValueNotFound",
                        field: format!("{here}.volumeMounts[{which}].name"),
                        message: format!("Not found: \"{}\"", mount.text("/name")),
                    });
                }
            }
        }
    }
    let policy = spec.text("/restartPolicy");
    if !matches!(policy, "" | "Always" | "OnFailure" | "Never") {
        let field = format!("{path}.restartPolicy");
        causes.push(Cause::unsupported(field, policy, &["Always", "OnFailure", "Never"]));
    }
}

fn persistent_volume(volume: &Value, causes: &mut Vec<Cause>) {
    match volume.entries("/spec/capacity").get("storage") {
        None => causes.push(Cause::required("spec.capacity", "")),
        Some(size) if bytes_of(size).is_none_or(|bytes| bytes <= 0.0) => {
            causes.push(Cause::invalid(
                "spec.capacity[storage]",
                &json!(size),
                "must be a quantity greater than zero",
            ));
        }
        Some(_) => {}
    }
    access_modes(volume, causes);
    let policy = volume.text("/spec/persistentVolumeReclaimPolicy");
    if !matches!(policy, "Retain" | "Delete" | "Recycle") {
        let field = "spec.persistentVolumeReclaimPolicy";
        causes.push(Cause::unsupported(field, policy, &["Delete", "Recycle", "Retain"]));
    }
    if source(volume).is_none() {
        causes.push(Cause::required("spec", "must specify a volume type"));
    }
    if let Some(affinity) = volume.pointer("/spec/nodeAffinity") {
        let terms = affinity.items("/required/nodeSelectorTerms");
        if affinity.get("required").is_none() {
            causes.push(Cause::required(
                "spec.nodeAffinity.required",
                "must specify required node constraints",
            ));
        } else if terms.is_empty() {
            let why = "must have at least one node selector term";
            causes.push(Cause::required("spec.nodeAffinity.required.nodeSelectorTerms", why));
        }
        for (at, term) in terms.iter().enumerate() {
            let path = format!("spec.nodeAffinity.required.nodeSelectorTerms[{at}].matchExpressions");
            node_expressions(term.items("/matchExpressions"), &path, causes);
        }
    } else if volume.pointer("/spec/local").is_some() {
        causes.push(Cause::required(
            "spec.nodeAffinity",
            "Local volume requires node affinity",
        ));
    }
}

fn node_expressions(expressions: &[Value], path: &str, causes: &mut Vec<Cause>) {
    for (at, one) in expressions.iter().enumerate() {
        let (operator, values) = (one.text("/operator"), one.items("/values"));
        let here = format!("{path}[{at}]");
        qualified_name(one.text("/key"), format!("{here}.key"), causes);
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                causes.push(Cause::required(format!("{here}.values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.push(Cause::forbidden(format!("{here}.values"), why));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                causes.push(Cause::required(format!("{here}.values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => causes.push(Cause::invalid(
                format!("{here}.operator"),
                &json!(other),
                "not a valid selector operator",
            )),
        }
    }
}

fn access_modes(object: &Value, causes: &mut Vec<Cause>) {
    const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = object.items("/spec/accessModes");
    if modes.is_empty() {
        causes.push(Cause::required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    for mode in modes
        .iter()
        .filter_map(Value::as_str)
        .filter(|mode| !MODES.contains(mode))
    {
        causes.push(Cause::unsupported("spec.accessModes", mode, MODES));
    }
}

/// The name of a volume's source.
fn source(volume: &Value) -> Option<(&String, &Value)> {
    const OTHERS: &[&str] = &[
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    ];
    let spec = volume.get("spec")?.as_object()?;
    spec.iter().find(|(key, _)| !OTHERS.contains(&key.as_str()))
}

fn claim(claim: &Value, causes: &mut Vec<Cause>) {
    access_modes(claim, causes);
    match claim.entries("/spec/resources/requests").get("storage") {
        None => causes.push(Cause::required("spec.resources[storage]", "")),
        Some(size) if bytes_of(size).is_none_or(|bytes| bytes <= 0.0) => {
            causes.push(Cause::invalid(
                "spec.resources[storage]",
                &json!(size),
                "must be a quantity greater than zero",
            ));
        }
        Some(_) => {}
    }
}

fn data_keys(object: &Value, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for key in object
            .get(field)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            let fits = key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            if key.is_empty() || key.len() > 253 || !fits || key == "." || key == ".." {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(format!("{field}[{key}]"), &json!(key), why));
            }
        }
    }
}

fn service(service: &Value, causes: &mut Vec<Cause>) {
    let kind = service.text("/spec/type");
    let headless = service.text("/spec/clusterIP") == "None";
    if service.items("/spec/ports").is_empty() && !headless && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in service.items("/spec/ports").iter().enumerate() {
        if !port.number("/port").is_some_and(|port| (1..=65535).contains(&port)) {
            let value = port.get("port").cloned().unwrap_or(json!(0));
            causes.push(Cause::invalid(
                format!("spec.ports[{at}].port"),
                &value,
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
}

fn workload(object: &Value, causes: &mut Vec<Cause>) {
    let Some(selector) = object.pointer("/spec/selector") else {
        causes.push(Cause::required("spec.selector", ""));
        return;
    };
    let template_labels = object.entries("/spec/template/metadata/labels");
    labels(
        object.pointer("/spec/template/metadata/labels"),
        "spec.template.metadata.labels",
        causes,
    );
    if !Selector::of_spec(selector).matches_labels(&template_labels) {
        let shown = object
            .pointer("/spec/template/metadata/labels")
            .cloned()
            .unwrap_or(json!({}));
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &shown,
            "`selector` does not match template `labels`",
        ));
    }
    if object.number("/spec/replicas").is_some_and(|replicas| replicas < 0) {
        let value = object.pointer("/spec/replicas").cloned().unwrap_or_default();
        causes.push(Cause::invalid(
            "spec.replicas",
            &value,
            "must be greater than or equal to 0",
        ));
    }
    pod_spec(object.pointer("/spec/template/spec"), "spec.template.spec", causes);
}

fn budget(budget: &Value, causes: &mut Vec<Cause>) {
    let both = budget.pointer("/spec/minAvailable").is_some() && budget.pointer("/spec/maxUnavailable").is_some();
    if both {
        let shown = budget.get("spec").cloned().unwrap_or_default();
        causes.push(Cause::invalid(
            "spec",
            &shown,
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let Some(value) = budget.pointer(&format!("/spec/{field}")) else {
            continue;
        };
        let fits = match value {
            Value::Number(number) => number.as_i64().is_some_and(|number| number >= 0),
            Value::String(text) => text
                .strip_suffix('%')
                .and_then(|number| number.parse::<u32>().ok())
                .is_some_and(|n| n <= 100),
            _ => false,
        };
        if !fits {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%') and at most 100%; a number must not be negative";
            causes.push(Cause::invalid(format!("spec.{field}"), value, why));
        }
    }
}

fn binding(binding: &Value, causes: &mut Vec<Cause>) {
    if binding.text("/roleRef/name").is_empty() {
        causes.push(Cause::required("roleRef.name", ""));
    }
    let kind = binding.text("/roleRef/kind");
    if !matches!(kind, "Role" | "ClusterRole") {
        causes.push(Cause::unsupported("roleRef.kind", kind, &["ClusterRole", "Role"]));
    }
}

/// What must not change in an existing object.
pub(crate) fn change(resource: &Resource, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut immutable = |pointer: &str, field: &str| {
        if let Some(value) = old.pointer(pointer)
            && value != ""
            && new.pointer(pointer) != Some(value)
        {
            let shown = new.pointer(pointer).cloned().unwrap_or(Value::Null);
            causes.push(Cause::invalid(field, &shown, "field is immutable"));
        }
    };
    match (resource.group, resource.plural) {
        ("", "persistentvolumes") => {
            immutable("/spec/nodeAffinity", "spec.nodeAffinity");
            immutable("/spec/volumeMode", "spec.volumeMode");
            if source(old) != source(new) {
                let why = "spec.persistentvolumesource is immutable after creation";
                causes.push(Cause::forbidden("spec.persistentvolumesource", why));
            }
        }
        ("", "persistentvolumeclaims") => {
            for field in ["accessModes", "selector", "storageClassName", "volumeMode"] {
                immutable(&format!("/spec/{field}"), &format!("spec.{field}"));
            }
        }
        ("", "pods") if frozen_pod(old) != frozen_pod(new) => {
            let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
            causes.push(Cause::forbidden("spec", why));
        }
        ("", "nodes") => {
            immutable("/spec/podCIDR", "spec.podCIDR");
            immutable("/spec/providerID", "spec.providerID");
        }
        ("", "services") => immutable("/spec/clusterIP", "spec.clusterIP"),
        ("", "secrets") => immutable("/type", "type"),
        ("apps", _) => immutable("/spec/selector", "spec.selector"),
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            immutable("/roleRef", "roleRef");
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                immutable(&format!("/{field}"), field);
            }
        }
        _ => {}
    }
    if old.flag("/immutable") && (old.get("data") != new.get("data") || !new.flag("/immutable")) {
        causes.push(Cause::forbidden("data", "field is immutable when `immutable` is set"));
    }
    causes
}

/// A pod's spec without what may change.
fn frozen_pod(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    for field in [
        "activeDeadlineSeconds",
        "terminationGracePeriodSeconds",
        "tolerations",
        "ephemeralContainers",
    ] {
        spec.take_out(&[field]);
    }
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container.take_out(&["image"]);
            container.take_out(&["imagePullPolicy"]);
        }
    }
    spec
}
