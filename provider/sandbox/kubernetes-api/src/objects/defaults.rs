//! What the API server fills in.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::Api;
use crate::access::Identity;
use crate::object::{ObjectExt as _, map_of};
use crate::random;
use crate::resources::Resource;
use crate::status::{ApiError, Cause};
use crate::time;

/// Over how many addresses several servers spread what they give to Services.
const SPREAD: usize = 1 << 16;

/// Whether `metadata.generation` counts the spec's changes.
pub(crate) fn counts_generations(resource: &Resource) -> bool {
    matches!(
        resource.group,
        "apps" | "policy" | "networking.k8s.io" | "apiextensions.k8s.io"
    )
}

impl Api {
    pub(super) fn default_on_create(
        &self,
        who: &Identity,
        resource: &Resource,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if resource.has_status && !resource.is_core("nodes") {
            object.take_out(&["status"]);
        }
        match (resource.group, resource.plural) {
            ("", "pods") => {
                self.check_service_account(resource, object)?;
                default_new_pod(object);
            }
            ("", "namespaces") => {
                object.put(&["spec", "finalizers"], json!(["kubernetes"]));
                object.put(&["status"], json!({"phase": "Active"}));
            }
            ("", "nodes") => default_new_node(object),
            ("", "persistentvolumes" | "persistentvolumeclaims") => {
                object.put(&["status"], json!({"phase": "Pending"}));
            }
            ("", "services") => {
                default_service(object);
                self.give_cluster_ip(resource, object)?;
            }
            ("certificates.k8s.io", _) => {
                for field in ["username", "groups", "uid", "extra"] {
                    object.take_out(&["spec", field]);
                }
                object.put(&["spec", "username"], json!(who.user));
                object.put(&["spec", "groups"], json!(who.groups));
                object.put(&["status"], json!({}));
            }
            ("apps" | "policy", _) => object.put(&["status"], json!({})),
            ("apiextensions.k8s.io", _) => establish(object),
            _ => {}
        }
        default_any(resource, object);
        Ok(())
    }

    fn check_service_account(&self, resource: &Resource, pod: &mut Value) -> Result<(), ApiError> {
        let mirror = pod.annotation("kubernetes.io/config.mirror").is_some();
        if mirror {
            return Ok(());
        }
        pod.put_default(&["spec", "serviceAccountName"], json!("default"));
        let account = pod.text("/spec/serviceAccountName").to_owned();
        pod.put(&["spec", "serviceAccount"], json!(account));
        if self.store.get("serviceaccounts", pod.namespace(), &account).is_none() {
            let why = format!(
                "error looking up service account {}/{account}: serviceaccount \"{account}\" not found",
                pod.namespace()
            );
            return Err(ApiError::forbidden_object(resource, pod.name(), &why));
        }
        Ok(())
    }

    fn give_cluster_ip(&self, resource: &Resource, service: &mut Value) -> Result<(), ApiError> {
        let given = service.text("/spec/clusterIP").to_owned();
        if service.text("/spec/type") == "ExternalName" || given == "None" {
            return Ok(());
        }
        let services = self.store.all("services");
        let is_used = |ip: &str| services.iter().any(|one| one.text("/spec/clusterIP") == ip);
        let range = self.settings.service_cidr;
        if !given.is_empty() {
            let why = if is_used(&given) {
                "failed to allocate IP: provided IP is already allocated".to_owned()
            } else if given.parse().is_ok_and(|ip: Ipv4Addr| range.contains(&ip)) {
                service.put_default(&["spec", "clusterIPs"], json!([given]));
                return Ok(());
            } else {
                format!("failed to allocate IP {given}: the provided IP is not in the valid range {range}")
            };
            let cause = Cause::invalid("spec.clusterIPs", &json!([given]), &why);
            return Err(ApiError::invalid(resource, service.name(), &[cause]));
        }
        // The first addresses are left to those who ask for one by number (the API itself, DNS).
        let reserved = (1usize << (32 - range.prefix_len()).min(16)) / 16;
        let free_from = |first: usize| range.hosts().skip(first).find(|ip| !is_used(&ip.to_string()));
        let reserved = reserved.clamp(16, 255);
        // Other servers that share the storage look for free addresses at the same time.
        let anywhere = free_from(reserved + random::below(SPREAD));
        let free = anywhere.or_else(|| free_from(reserved));
        let free = free.ok_or_else(|| ApiError::internal(format!("no address is free in {range}")))?;
        service.put(&["spec", "clusterIP"], json!(free.to_string()));
        service.put(&["spec", "clusterIPs"], json!([free.to_string()]));
        Ok(())
    }
}

pub(super) fn default_on_update(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.is_core("services") {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(kept) = old.pointer(&format!("/spec/{field}")) {
                new.put_default(&["spec", field], kept.clone());
            }
        }
        default_service(new);
    }
    if resource.is_core("persistentvolumeclaims")
        && let Some(volume) = old.pointer("/spec/volumeName")
    {
        new.put_default(&["spec", "volumeName"], volume.clone());
    }
    default_any(resource, new);
}

fn default_any(resource: &Resource, object: &mut Value) {
    match (resource.group, resource.plural) {
        ("", "pods") => default_pod_spec(object.pointer_mut("/spec")),
        ("", "secrets") => default_secret(object),
        ("", "persistentvolumes") => {
            object.put_default(&["spec", "persistentVolumeReclaimPolicy"], json!("Retain"));
            object.put_default(&["spec", "volumeMode"], json!("Filesystem"));
        }
        ("", "persistentvolumeclaims") => object.put_default(&["spec", "volumeMode"], json!("Filesystem")),
        ("apps", "deployments") => {
            default_workload(object);
            object.put_default(&["spec", "progressDeadlineSeconds"], json!(600));
            object.put_default(&["spec", "revisionHistoryLimit"], json!(10));
            object.put_default(&["spec", "strategy", "type"], json!("RollingUpdate"));
            if object.text("/spec/strategy/type") == "RollingUpdate" {
                object.put_default(&["spec", "strategy", "rollingUpdate", "maxSurge"], json!("25%"));
                object.put_default(&["spec", "strategy", "rollingUpdate", "maxUnavailable"], json!("25%"));
            }
        }
        ("apps", "daemonsets") => {
            default_pod_spec(object.pointer_mut("/spec/template/spec"));
            object.put_default(&["spec", "revisionHistoryLimit"], json!(10));
            object.put_default(&["spec", "updateStrategy", "type"], json!("RollingUpdate"));
            if object.text("/spec/updateStrategy/type") == "RollingUpdate" {
                object.put_default(&["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"], json!(1));
                object.put_default(&["spec", "updateStrategy", "rollingUpdate", "maxSurge"], json!(0));
            }
        }
        ("apps", "replicasets" | "statefulsets") => default_workload(object),
        ("storage.k8s.io", "storageclasses") => {
            object.put_default(&["reclaimPolicy"], json!("Delete"));
            object.put_default(&["volumeBindingMode"], json!("Immediate"));
        }
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            object.put_default(&["roleRef", "apiGroup"], json!("rbac.authorization.k8s.io"));
            if let Some(Value::Array(subjects)) = object.get_mut("subjects") {
                for subject in subjects {
                    if matches!(subject.text("/kind"), "User" | "Group") {
                        subject.put_default(&["apiGroup"], json!("rbac.authorization.k8s.io"));
                    }
                }
            }
        }
        _ => {}
    }
}

/// A definition counts as served at once.  Objects of the kinds that it defines are not served here.
fn establish(definition: &mut Value) {
    let now = time::seconds(jiff::Timestamp::now());
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
    let stored = definition
        .items("/spec/versions")
        .iter()
        .find(|one| one.flag("/storage"));
    let status = json!({
        "acceptedNames": definition.pointer("/spec/names").cloned().unwrap_or_default(),
        "storedVersions": stored.map(|one| vec![one.text("/name")]).unwrap_or_default(),
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    });
    definition.put(&["status"], status);
}

fn default_workload(object: &mut Value) {
    object.put_default(&["spec", "replicas"], json!(1));
    default_pod_spec(object.pointer_mut("/spec/template/spec"));
}

fn default_pod_spec(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    spec.put_default(&["restartPolicy"], json!("Always"));
    spec.put_default(&["terminationGracePeriodSeconds"], json!(30));
    spec.put_default(&["dnsPolicy"], json!("ClusterFirst"));
    spec.put_default(&["schedulerName"], json!("default-scheduler"));
    spec.put_default(&["securityContext"], json!({}));
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else {
            continue;
        };
        for container in containers {
            let latest = !container
                .text("/image")
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .contains(':');
            let policy = if latest { "Always" } else { "IfNotPresent" };
            container.put_default(&["imagePullPolicy"], json!(policy));
            container.put_default(&["terminationMessagePath"], json!("/dev/termination-log"));
            container.put_default(&["terminationMessagePolicy"], json!("File"));
            container.put_default(&["resources"], json!({}));
            if let Some(Value::Array(ports)) = container.get_mut("ports") {
                for port in ports {
                    port.put_default(&["protocol"], json!("TCP"));
                }
            }
        }
    }
}

fn default_new_pod(pod: &mut Value) {
    pod.put(&["status"], json!({"phase": "Pending", "qosClass": quality(pod)}));
    let priority = match pod.text("/spec/priorityClassName") {
        "system-node-critical" => 2_000_001_000_i64,
        "system-cluster-critical" => 2_000_000_000,
        _ => 0,
    };
    pod.put_default(&["spec", "priority"], json!(priority));
    pod.put_default(&["spec", "enableServiceLinks"], json!(true));
    let mut tolerations = pod.items("/spec/tolerations").to_vec();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|one| {
            (one.text("/key") == key || one.text("/key").is_empty()) && matches!(one.text("/effect"), "" | "NoExecute")
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
            }));
        }
    }
    pod.put(&["spec", "tolerations"], Value::Array(tolerations));
}

fn quality(pod: &Value) -> &'static str {
    let containers = pod.items("/spec/containers");
    let empty = |container: &Value, what: &str| container.entries(what).is_empty();
    if containers
        .iter()
        .all(|one| empty(one, "/resources/requests") && empty(one, "/resources/limits"))
    {
        return "BestEffort";
    }
    let guaranteed = containers.iter().all(|one| {
        let limits = one.entries("/resources/limits");
        let requests = one.entries("/resources/requests");
        ["cpu", "memory"].iter().all(|what| {
            limits
                .get(what)
                .is_some_and(|limit| requests.get(what).is_none_or(|request| request == limit))
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// A new node is not ready until its conditions say so.
fn default_new_node(node: &mut Value) {
    let mut taints = node.items("/spec/taints").to_vec();
    if !taints
        .iter()
        .any(|taint| taint.text("/key") == "node.kubernetes.io/not-ready")
    {
        taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
    }
    node.put(&["spec", "taints"], Value::Array(taints));
}

fn default_secret(secret: &mut Value) {
    use base64::Engine as _;
    secret.put_default(&["type"], json!("Opaque"));
    if let Some(Value::Object(plain)) = secret.take_out(&["stringData"]) {
        let data = map_of(secret).entry("data").or_insert_with(|| json!({}));
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            map_of(data).insert(key, json!(base64::engine::general_purpose::STANDARD.encode(text)));
        }
    }
}

fn default_service(service: &mut Value) {
    service.put_default(&["spec", "type"], json!("ClusterIP"));
    service.put_default(&["spec", "sessionAffinity"], json!("None"));
    service.put_default(&["spec", "internalTrafficPolicy"], json!("Cluster"));
    service.put_default(&["spec", "ipFamilies"], json!(["IPv4"]));
    service.put_default(&["spec", "ipFamilyPolicy"], json!("SingleStack"));
    service.put_default(&["status"], json!({"loadBalancer": {}}));
    let outside = matches!(service.text("/spec/type"), "NodePort" | "LoadBalancer");
    let number = |port: &Value, field: &str| port.number(field).filter(|number| *number != 0);
    if let Some(Value::Array(ports)) = service.pointer_mut("/spec/ports") {
        for port in ports {
            port.put_default(&["protocol"], json!("TCP"));
            if let Some(own) = port.get("port").cloned() {
                port.put_default(&["targetPort"], own);
            }
            match (outside, number(port, "/nodePort")) {
                (true, None) => port.put(&["nodePort"], json!(random::node_port())),
                (false, None) => drop(port.take_out(&["nodePort"])),
                (_, Some(_)) => {}
            }
        }
    }
}
