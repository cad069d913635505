//! What the holder of the node credential may do in a cluster.
//!
//! It is the credential of teams that own node groups, so it gets what joining, labelling, draining and removing nodes
//! takes and nothing more. Bootstrap tokens are Secrets in kube-system: it may make and delete Secrets there but never
//! read one, so that it learns nothing from the others. (RBAC cannot say "only Secrets of this type".)

use serde_json::{Value, json};

use crate::pki::NODE_GROUPS_USER;
use crate::yaml;

/// The name of the roles and their bindings.
pub const NAME: &str = "multizone:node-groups";

/// The Lease by which rollouts take turns.
pub const ROLLOUT_LEASE: &str = "multizone-rollout";

/// The roles and bindings, as a manifest for [`crate::cluster_access::Cluster::apply`].
pub fn manifest() -> String {
    yaml::documents(&[
        object(
            "ClusterRole",
            None,
            json!({ "rules": [
                rule("", &["nodes"], &["get", "list", "watch", "patch", "delete"]),
                rule("", &["pods"], &["get", "list"]),
                rule("", &["pods/eviction"], &["create"]),
            ] }),
        ),
        object("ClusterRoleBinding", None, binding("ClusterRole")),
        object(
            "Role",
            Some("kube-system"),
            json!({ "rules": [
                rule("", &["secrets"], &["create", "delete"]),
                rule("coordination.k8s.io", &["leases"], &["create"]),
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "resources": ["leases"],
                    "resourceNames": [ROLLOUT_LEASE],
                    "verbs": ["get", "update", "patch", "delete"],
                },
            ] }),
        ),
        object("RoleBinding", Some("kube-system"), binding("Role")),
    ])
}

fn object(kind: &str, namespace: Option<&str>, mut body: Value) -> String {
    body["apiVersion"] = Value::from("rbac.authorization.k8s.io/v1");
    body["kind"] = Value::from(kind);
    body["metadata"] = json!({ "name": NAME });
    if let Some(namespace) = namespace {
        body["metadata"]["namespace"] = Value::from(namespace);
    }
    yaml::document(&body)
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

fn binding(role: &str) -> Value {
    json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": NAME },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NODE_GROUPS_USER }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_the_node_credential_does_node_work_and_nothing_more() {
        insta::assert_snapshot!(manifest());
    }

    #[test]
    fn it_reads_no_secret() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&manifest()).unwrap();
        for rule in documents
            .iter()
            .filter_map(|document| document["rules"].as_array())
            .flatten()
        {
            if rule["resources"][0] == "secrets" {
                assert_eq!(rule["verbs"], json!(["create", "delete"]));
            }
        }
    }
}
