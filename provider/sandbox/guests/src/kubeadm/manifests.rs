//! The static pods of a control-plane machine.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::certificates::DIRECTORY as PKI;
use super::documents::{ClusterConfiguration, Component, HostPathMount};
use super::version::Version;

/// Where the kubelet looks for static pods.
pub(super) const DIRECTORY: &str = "/etc/kubernetes/manifests";

/// kubeadm's annotations on the static pods.
pub(super) const ETCD_CLIENT_URLS: &str = "kubeadm.kubernetes.io/etcd.advertise-client-urls";
const API_SERVER_ENDPOINT: &str = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint";

/// What the manifests of one machine depend on.
pub(super) struct ControlPlane<'a> {
    pub(super) cluster: &'a ClusterConfiguration,
    pub(super) version: Version,
    pub(super) node: &'a str,
    pub(super) advertise: Ipv4Addr,
    pub(super) port: u16,
    pub(super) service_cidr: &'a str,
    pub(super) pod_cidr: Option<&'a str>,
    pub(super) etcd_directory: &'a str,
    /// The members that etcd's new member is told of; `None` when it is the first.
    pub(super) joins: Option<&'a str>,
}

impl ControlPlane<'_> {
    /// etcd's pod, with this machine as its first member or as one that joins.
    pub(super) fn etcd(&self) -> Value {
        let address = self.advertise;
        let local = self.cluster.etcd.local.as_ref();
        let (members, state) = match self.joins {
            None => (format!("{}=https://{address}:2380", self.node), "new"),
            Some(members) => (members.to_owned(), "existing"),
        };
        let arguments = self.arguments(
            &[
                ("advertise-client-urls", format!("https://{address}:2379")),
                ("cert-file", format!("{PKI}/etcd/server.crt")),
                ("client-cert-auth", "true".to_owned()),
                ("data-dir", self.etcd_directory.to_owned()),
                ("initial-advertise-peer-urls", format!("https://{address}:2380")),
                ("initial-cluster", members),
                ("initial-cluster-state", state.to_owned()),
                ("key-file", format!("{PKI}/etcd/server.key")),
                (
                    "listen-client-urls",
                    format!("https://127.0.0.1:2379,https://{address}:2379"),
                ),
                ("listen-peer-urls", format!("https://{address}:2380")),
                ("name", self.node.to_owned()),
                ("peer-cert-file", format!("{PKI}/etcd/peer.crt")),
                ("peer-key-file", format!("{PKI}/etcd/peer.key")),
                ("peer-trusted-ca-file", format!("{PKI}/etcd/ca.crt")),
                ("trusted-ca-file", format!("{PKI}/etcd/ca.crt")),
            ],
            &local.map(|local| local.extra_args.pairs()).unwrap_or_default(),
        );
        let tag = if self.version.minor >= 34 {
            "3.6.4-0"
        } else {
            // What the last patches of each minor have: one that 3.6 may follow.
            "3.5.26-0"
        };
        let mut pod = self.pod(
            "etcd",
            "etcd",
            tag,
            arguments,
            &[(PKI, "etcd-certs"), (self.etcd_directory, "etcd-data")],
        );
        // Where kubeadm finds the members when another master joins.
        pod["metadata"]["annotations"] = json!({ ETCD_CLIENT_URLS: format!("https://{address}:2379") });
        pod
    }

    pub(super) fn api_server(&self) -> Value {
        let arguments = self.arguments(
            &[
                ("advertise-address", self.advertise.to_string()),
                ("allow-privileged", "true".to_owned()),
                ("authorization-mode", "Node,RBAC".to_owned()),
                ("client-ca-file", format!("{PKI}/ca.crt")),
                ("enable-admission-plugins", "NodeRestriction".to_owned()),
                ("enable-bootstrap-token-auth", "true".to_owned()),
                ("etcd-cafile", format!("{PKI}/etcd/ca.crt")),
                ("etcd-certfile", format!("{PKI}/apiserver-etcd-client.crt")),
                ("etcd-keyfile", format!("{PKI}/apiserver-etcd-client.key")),
                ("etcd-servers", "https://127.0.0.1:2379".to_owned()),
                (
                    "kubelet-client-certificate",
                    format!("{PKI}/apiserver-kubelet-client.crt"),
                ),
                ("kubelet-client-key", format!("{PKI}/apiserver-kubelet-client.key")),
                ("proxy-client-cert-file", format!("{PKI}/front-proxy-client.crt")),
                ("proxy-client-key-file", format!("{PKI}/front-proxy-client.key")),
                ("requestheader-client-ca-file", format!("{PKI}/front-proxy-ca.crt")),
                ("secure-port", self.port.to_string()),
                ("service-account-key-file", format!("{PKI}/sa.pub")),
                ("service-account-signing-key-file", format!("{PKI}/sa.key")),
                ("service-cluster-ip-range", self.service_cidr.to_owned()),
                ("tls-cert-file", format!("{PKI}/apiserver.crt")),
                ("tls-private-key-file", format!("{PKI}/apiserver.key")),
            ],
            &self.cluster.api_server.extra_args.pairs(),
        );
        let mut pod = self.component(
            "kube-apiserver",
            arguments,
            &[(PKI, "k8s-certs")],
            &self.cluster.api_server,
        );
        pod["metadata"]["annotations"] = json!({ API_SERVER_ENDPOINT: format!("{}:{}", self.advertise, self.port) });
        pod
    }

    pub(super) fn controller_manager(&self) -> Value {
        let mut given = vec![
            (
                "authentication-kubeconfig",
                "/etc/kubernetes/controller-manager.conf".to_owned(),
            ),
            ("bind-address", "127.0.0.1".to_owned()),
            ("client-ca-file", format!("{PKI}/ca.crt")),
            (
                "cluster-name",
                self.cluster
                    .cluster_name
                    .clone()
                    .unwrap_or_else(|| "kubernetes".to_owned()),
            ),
            ("cluster-signing-cert-file", format!("{PKI}/ca.crt")),
            ("cluster-signing-key-file", format!("{PKI}/ca.key")),
            ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
            ("kubeconfig", "/etc/kubernetes/controller-manager.conf".to_owned()),
            ("leader-elect", "true".to_owned()),
            ("root-ca-file", format!("{PKI}/ca.crt")),
            ("service-account-private-key-file", format!("{PKI}/sa.key")),
            ("use-service-account-credentials", "true".to_owned()),
        ];
        if let Some(pod_cidr) = self.pod_cidr {
            given.push(("allocate-node-cidrs", "true".to_owned()));
            given.push(("cluster-cidr", pod_cidr.to_owned()));
            given.push(("service-cluster-ip-range", self.service_cidr.to_owned()));
        }
        let arguments = self.arguments(&given, &self.cluster.controller_manager.extra_args.pairs());
        let mounts = [
            (PKI, "k8s-certs"),
            ("/etc/kubernetes/controller-manager.conf", "kubeconfig"),
        ];
        self.component(
            "kube-controller-manager",
            arguments,
            &mounts,
            &self.cluster.controller_manager,
        )
    }

    pub(super) fn scheduler(&self) -> Value {
        let arguments = self.arguments(
            &[
                ("bind-address", "127.0.0.1".to_owned()),
                ("kubeconfig", "/etc/kubernetes/scheduler.conf".to_owned()),
                ("leader-elect", "true".to_owned()),
            ],
            &self.cluster.scheduler.extra_args.pairs(),
        );
        self.component(
            "kube-scheduler",
            arguments,
            &[("/etc/kubernetes/scheduler.conf", "kubeconfig")],
            &self.cluster.scheduler,
        )
    }

    /// kubeadm's arguments, overridden by the user's, sorted; a user's argument may come several times.
    #[allow(clippy::unused_self, reason = "reads as part of each pod's description")]
    fn arguments(&self, given: &[(&str, String)], further: &[(String, String)]) -> Vec<String> {
        let overridden = |name: &str| further.iter().any(|(other, _)| other == name);
        let mut arguments: Vec<(String, String)> = given
            .iter()
            .filter(|(name, _)| !overridden(name))
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        arguments.extend(further.iter().cloned());
        arguments.sort_by(|left, right| left.0.cmp(&right.0));
        arguments
            .into_iter()
            .map(|(name, value)| format!("--{name}={value}"))
            .collect()
    }

    fn component(&self, name: &str, arguments: Vec<String>, mounts: &[(&str, &str)], settings: &Component) -> Value {
        let mut pod = self.pod(name, name, &format!("v{}", self.version), arguments, mounts);
        for volume in &settings.extra_volumes {
            mount(&mut pod, volume);
        }
        pod
    }

    fn pod(&self, name: &str, image: &str, tag: &str, arguments: Vec<String>, mounts: &[(&str, &str)]) -> Value {
        let repository = self.cluster.image_repository.as_deref().unwrap_or("registry.k8s.io");
        let mut command = vec![name.to_owned()];
        command.extend(arguments);
        let volumes: Vec<Value> = mounts
            .iter()
            .map(|(path, volume)| json!({"name": volume, "hostPath": {"path": path, "type": ""}}))
            .collect();
        let volume_mounts: Vec<Value> = mounts
            .iter()
            .map(|(path, volume)| json!({"name": volume, "mountPath": path}))
            .collect();
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "kube-system",
                "labels": {"component": name, "tier": "control-plane"},
            },
            "spec": {
                "containers": [{
                    "name": name,
                    "image": format!("{repository}/{image}:{tag}"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "volumeMounts": volume_mounts,
                }],
                "hostNetwork": true,
                "priorityClassName": "system-node-critical",
                "volumes": volumes,
            },
        })
    }
}

/// Adds a directory or a file of the machine to a pod.
fn mount(pod: &mut Value, volume: &HostPathMount) {
    let spec = &mut pod["spec"];
    if let Some(volumes) = spec["volumes"].as_array_mut() {
        let path = json!({"path": volume.host_path, "type": volume.path_type});
        volumes.push(json!({"name": volume.name, "hostPath": path}));
    }
    let mut mount = json!({"name": volume.name, "mountPath": volume.mount_path});
    if volume.read_only {
        mount["readOnly"] = true.into();
    }
    if let Some(mounts) = spec["containers"][0]["volumeMounts"].as_array_mut() {
        mounts.push(mount);
    }
}
