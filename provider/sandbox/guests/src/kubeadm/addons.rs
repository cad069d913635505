//! The add-ons that kubeadm installs: `CoreDNS` and kube-proxy.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::documents::Addon;
use super::objects::{cluster_role_binding_to, config_map, group, role_binding};
use super::settings::DEFAULT_REPOSITORY;
use super::version::Version;
use crate::api::{Api, ApiError};

const NAMESPACE: &str = "/api/v1/namespaces/kube-system";
const APPS: &str = "/apis/apps/v1/namespaces/kube-system";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// kubeadm's own choice of `CoreDNS`, unless the configuration has another: one level deeper in the default repository,
/// and nowhere else.
pub(super) fn core_dns_image(settings: &Addon, repository: &str, version: Version) -> String {
    let tag = match version.minor {
        ..30 => "v1.11.1",
        30..33 => "v1.11.3",
        33 => "v1.12.0",
        34 => "v1.12.1",
        _ => "v1.13.1",
    };
    let tag = settings.image_tag.as_deref().unwrap_or(tag);
    match &settings.image_repository {
        Some(repository) => format!("{repository}/coredns:{tag}"),
        None if repository == DEFAULT_REPOSITORY => format!("{repository}/coredns/coredns:{tag}"),
        None => format!("{repository}/coredns:{tag}"),
    }
}

/// Installs `CoreDNS`: two replicas behind the service kube-dns at `address`.
pub(super) async fn core_dns(api: &Api, image: &str, address: IpAddr, domain: &str) -> Result<(), ApiError> {
    let corefile = format!(
        ".:53 {{\n    errors\n    health {{\n       lameduck 5s\n    }}\n    ready\n    kubernetes {domain} \
         in-addr.arpa ip6.arpa {{\n       pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    \
         }}\n    prometheus :9153\n    forward . /etc/resolv.conf {{\n       max_concurrent 1000\n    }}\n    cache \
         30\n    loop\n    reload\n    loadbalance\n}}\n"
    );
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    });
    let binding = cluster_role_binding_to("system:coredns", "system:coredns", &service_account_subject("coredns"));
    api.create_or_replace(
        &format!("{NAMESPACE}/configmaps"),
        &config_map("kube-system", "coredns", &json!({"Corefile": corefile})),
    )
    .await?;
    api.create_or_replace(&format!("{RBAC}/clusterroles"), &role).await?;
    api.create_or_replace(&format!("{RBAC}/clusterrolebindings"), &binding)
        .await?;
    service_account(api, "coredns").await?;
    api.create_or_replace(&format!("{APPS}/deployments"), &core_dns_deployment(image))
        .await?;
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": address.to_string(),
            "selector": {"k8s-app": "kube-dns"},
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    });
    match api.create(&format!("{NAMESPACE}/services"), &service).await {
        Err(error) if !error.already_exists() => Err(error),
        _ => Ok(()),
    }
}

fn core_dns_deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
            "template": {
                "metadata": {"labels": {"k8s-app": "kube-dns"}},
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "coredns",
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                        "weight": 100,
                        "podAffinityTerm": {
                            "labelSelector": {"matchExpressions": [
                                {"key": "k8s-app", "operator": "In", "values": ["kube-dns"]},
                            ]},
                            "topologyKey": "kubernetes.io/hostname",
                        },
                    }]}},
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "containers": [{
                        "name": "coredns",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}],
                        "ports": [
                            {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                            {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
                        ],
                    }],
                    "dnsPolicy": "Default",
                    "volumes": [{
                        "name": "config-volume",
                        "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]},
                    }],
                },
            },
        },
    })
}

/// Installs kube-proxy on every node.
pub(super) async fn kube_proxy(
    api: &Api,
    repository: &str,
    version: Version,
    configuration: &str,
    kubeconfig: &str,
) -> Result<(), ApiError> {
    let map = config_map(
        "kube-system",
        "kube-proxy",
        &json!({"config.conf": configuration, "kubeconfig.conf": kubeconfig}),
    );
    api.create_or_replace(&format!("{NAMESPACE}/configmaps"), &map).await?;
    service_account(api, "kube-proxy").await?;
    let subject = service_account_subject("kube-proxy");
    let binding = cluster_role_binding_to("kubeadm:node-proxier", "system:node-proxier", &subject);
    api.create_or_replace(&format!("{RBAC}/clusterrolebindings"), &binding)
        .await?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kube-proxy"], "verbs": ["get"]}],
    });
    let roles = format!("{RBAC}/namespaces/kube-system");
    api.create_or_replace(&format!("{roles}/roles"), &role).await?;
    let joiners = group("system:bootstrappers:kubeadm:default-node-token");
    let binding = role_binding("kube-system", "kube-proxy", "kube-proxy", &[joiners]);
    api.create_or_replace(&format!("{roles}/rolebindings"), &binding)
        .await?;
    let daemon_set = kube_proxy_daemon_set(&format!("{repository}/kube-proxy:v{version}"));
    api.create_or_replace(&format!("{APPS}/daemonsets"), &daemon_set).await
}

fn kube_proxy_daemon_set(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "kube-proxy"}},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": {"k8s-app": "kube-proxy"}},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "serviceAccountName": "kube-proxy",
                    "hostNetwork": true,
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "kube-proxy",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": [
                            "/usr/local/bin/kube-proxy",
                            "--config=/var/lib/kube-proxy/config.conf",
                            "--hostname-override=$(NODE_NAME)",
                        ],
                        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        "securityContext": {"privileged": true},
                        "volumeMounts": [
                            {"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"},
                            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
                            {"name": "lib-modules", "mountPath": "/lib/modules", "readOnly": true},
                        ],
                    }],
                    "volumes": [
                        {"name": "kube-proxy", "configMap": {"name": "kube-proxy"}},
                        {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
                        {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
                    ],
                },
            },
        },
    })
}

fn service_account_subject(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
}

async fn service_account(api: &Api, name: &str) -> Result<(), ApiError> {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}});
    match api.create(&format!("{NAMESPACE}/serviceaccounts"), &account).await {
        Err(error) if !error.already_exists() => Err(error),
        _ => Ok(()),
    }
}
