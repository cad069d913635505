//! The roles and bindings that every kubeadm cluster has.

use serde_json::{Value, json};

const API: &str = "rbac.authorization.k8s.io";
const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const READ: &[&str] = &["get", "list", "watch"];

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
}

fn urls(verbs: &[&str], paths: &[&str]) -> Value {
    json!({"verbs": verbs, "nonResourceURLs": paths})
}

fn role(kind: &str, namespace: &str, name: &str, rules: impl Into<Value>) -> Value {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if !name.starts_with("kubeadm:") {
        metadata["labels"] = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules.into()})
}

fn binding(namespace: &str, name: &str, role_kind: &str, role: &str, subjects: &[(&str, &str)]) -> Value {
    let kind = if namespace.is_empty() {
        "ClusterRoleBinding"
    } else {
        "RoleBinding"
    };
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if !name.starts_with("kubeadm:") {
        metadata["labels"] = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    }
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|(kind, name)| json!({"kind": kind, "apiGroup": API, "name": name}))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata,
        "roleRef": {"apiGroup": API, "kind": role_kind, "name": role}, "subjects": subjects,
    })
}

/// Cluster roles of Kubernetes itself.
pub(super) fn cluster_roles() -> Vec<Value> {
    let workloads = [
        "daemonsets",
        "deployments",
        "deployments/scale",
        "replicasets",
        "replicasets/scale",
        "statefulsets",
        "statefulsets/scale",
        "controllerrevisions",
    ];
    let core = [
        "configmaps",
        "endpoints",
        "persistentvolumeclaims",
        "pods",
        "services",
        "serviceaccounts",
        "events",
        "replicationcontrollers",
        "limitranges",
        "resourcequotas",
    ];
    let writable_core = [
        "configmaps",
        "endpoints",
        "persistentvolumeclaims",
        "pods",
        "pods/eviction",
        "secrets",
        "services",
        "serviceaccounts",
        "events",
        "replicationcontrollers",
    ];
    let edit = vec![
        rule(READ, &[""], &core),
        rule(READ, &[""], &["secrets", "namespaces", "pods/status"]),
        rule(ALL, &[""], &writable_core),
        rule(ALL, &["apps"], &workloads),
        rule(ALL, &["policy"], &["poddisruptionbudgets"]),
        rule(ALL, &["networking.k8s.io"], &["networkpolicies", "ingresses"]),
        rule(ALL, &["coordination.k8s.io"], &["leases"]),
    ];
    let mut admin = edit.clone();
    admin.push(rule(ALL, &[API], &["roles", "rolebindings"]));
    admin.push(rule(
        &["create"],
        &["authorization.k8s.io"],
        &["localsubjectaccessreviews"],
    ));
    let view = vec![
        rule(READ, &[""], &core),
        rule(READ, &[""], &["namespaces", "pods/status"]),
        rule(READ, &["apps"], &workloads),
        rule(READ, &["policy"], &["poddisruptionbudgets"]),
        rule(READ, &["networking.k8s.io"], &["networkpolicies", "ingresses"]),
    ];
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let certificates = "certificates.k8s.io";
    vec![
        role(
            "ClusterRole",
            "",
            "cluster-admin",
            vec![rule(&["*"], &["*"], &["*"]), urls(&["*"], &["*"])],
        ),
        role("ClusterRole", "", "admin", admin),
        role("ClusterRole", "", "edit", edit),
        role("ClusterRole", "", "view", view),
        role("ClusterRole", "", "system:discovery", vec![urls(&["get"], &discovery)]),
        role(
            "ClusterRole",
            "",
            "system:public-info-viewer",
            vec![urls(&["get"], &health)],
        ),
        role(
            "ClusterRole",
            "",
            "system:basic-user",
            vec![
                rule(
                    &["create"],
                    &["authorization.k8s.io"],
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                ),
                rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
            ],
        ),
        role(
            "ClusterRole",
            "",
            "system:node-bootstrapper",
            vec![rule(
                &["create", "get", "list", "watch"],
                &[certificates],
                &["certificatesigningrequests"],
            )],
        ),
        role(
            "ClusterRole",
            "",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            vec![rule(
                &["create"],
                &[certificates],
                &["certificatesigningrequests/nodeclient"],
            )],
        ),
        role(
            "ClusterRole",
            "",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            vec![rule(
                &["create"],
                &[certificates],
                &["certificatesigningrequests/selfnodeclient"],
            )],
        ),
        role(
            "ClusterRole",
            "",
            "system:node-proxier",
            vec![
                rule(READ, &[""], &["endpoints", "services", "nodes"]),
                rule(READ, &["discovery.k8s.io"], &["endpointslices"]),
                rule(&["create", "patch", "update"], &["", "events.k8s.io"], &["events"]),
            ],
        ),
    ]
}

/// Cluster role bindings: Kubernetes' own, and those that `kubeadm init` makes.
pub(super) fn cluster_role_bindings() -> Vec<Value> {
    let token_group = ("Group", TOKEN_GROUP);
    vec![
        binding(
            "",
            "cluster-admin",
            "ClusterRole",
            "cluster-admin",
            &[("Group", "system:masters")],
        ),
        binding(
            "",
            "system:discovery",
            "ClusterRole",
            "system:discovery",
            &[("Group", "system:authenticated")],
        ),
        binding(
            "",
            "system:basic-user",
            "ClusterRole",
            "system:basic-user",
            &[("Group", "system:authenticated")],
        ),
        binding(
            "",
            "system:public-info-viewer",
            "ClusterRole",
            "system:public-info-viewer",
            &[("Group", "system:authenticated"), ("Group", "system:unauthenticated")],
        ),
        binding(
            "",
            "system:node-proxier",
            "ClusterRole",
            "system:node-proxier",
            &[("User", "system:kube-proxy")],
        ),
        binding(
            "",
            "kubeadm:cluster-admins",
            "ClusterRole",
            "cluster-admin",
            &[("Group", "kubeadm:cluster-admins")],
        ),
        binding(
            "",
            "kubeadm:get-nodes",
            "ClusterRole",
            "kubeadm:get-nodes",
            &[token_group],
        ),
        binding(
            "",
            "kubeadm:kubelet-bootstrap",
            "ClusterRole",
            "system:node-bootstrapper",
            &[token_group],
        ),
        binding(
            "",
            "kubeadm:node-autoapprove-bootstrap",
            "ClusterRole",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            &[token_group],
        ),
        binding(
            "",
            "kubeadm:node-autoapprove-certificate-rotation",
            "ClusterRole",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            &[("Group", "system:nodes")],
        ),
    ]
}

/// The group of bootstrap tokens that kubeadm's joins use.
pub(super) const TOKEN_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

/// Roles that `kubeadm init` makes, with their bindings: what a joining machine reads.
pub(super) fn kubeadm_roles() -> Vec<(&'static str, Value)> {
    let one = |resource: &str, name: &str| json!({"verbs": ["get"], "apiGroups": [""], "resources": [resource], "resourceNames": [name]});
    let joiners: &[(&str, &str)] = &[("Group", TOKEN_GROUP), ("Group", "system:nodes")];
    let mut all = vec![(
        "clusterroles",
        role(
            "ClusterRole",
            "",
            "kubeadm:get-nodes",
            vec![rule(&["get"], &[""], &["nodes"])],
        ),
    )];
    for (name, map, subjects) in [
        ("kubeadm:nodes-kubeadm-config", "kubeadm-config", joiners),
        ("kubeadm:kubelet-config", "kubelet-config", joiners),
        ("kube-proxy", "kube-proxy", &joiners[..1]),
    ] {
        all.push(("roles", role("Role", "kube-system", name, vec![one("configmaps", map)])));
        all.push(("rolebindings", binding("kube-system", name, "Role", name, subjects)));
    }
    let signer = "kubeadm:bootstrap-signer-clusterinfo";
    all.push((
        "roles",
        role("Role", "kube-public", signer, vec![one("configmaps", "cluster-info")]),
    ));
    all.push((
        "rolebindings",
        binding("kube-public", signer, "Role", signer, &[("User", "system:anonymous")]),
    ));
    all
}
