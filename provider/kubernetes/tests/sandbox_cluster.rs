//! Cluster access against the sandbox's Kubernetes API: the same server that the sandbox's machines run.
#![allow(clippy::unwrap_used)]

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use multizone_kubernetes::bootstrap_token::BootstrapToken;
use multizone_kubernetes::cluster_access::{
    AccessError, ApplyError, Cluster, ClusterAddress, DrainError, DrainOptions, Drained, NodeState, Obstacle,
    OwnedMetadata, RolloutHolder,
};
use multizone_kubernetes::endpoint::ControlPlaneEndpoint;
use multizone_kubernetes::kubeconfig;
use multizone_kubernetes::labels::{self, Taint, TaintEffect};
use multizone_kubernetes::persistent_volume::{self, PersistentVolumeSettings, VolumeSource};
use multizone_kubernetes::pki::{ClientCredential, ClusterPki};
use multizone_sandbox_etcd::{EtcdMember, Kind, MemberConfig, Tls};
use multizone_sandbox_kubernetes_api::{ApiServer, ApiServerConfig, Storage};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

/// A serving API server with an administrator's plain client beside the code under test.
struct Sandbox {
    pki: ClusterPki,
    endpoint: ControlPlaneEndpoint,
    admin: kube::Client,
    _etcd: EtcdMember,
    _data: tempfile::TempDir,
}

/// The only member of the cluster's etcd, a stand-in, with its files in this directory; and the way to it.
async fn etcd(pki: &ClusterPki, directory: &Path) -> (EtcdMember, Storage) {
    let now = Timestamp::now();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let names = ["127.0.0.1".to_owned()];
    let serving = pki.etcd_ca.server_credential("m0", &names, now, HOUR).unwrap();
    let certificate = write("etcd.crt", &serving.certificate_pem);
    let key = write("etcd.key", &serving.key_pem);
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let tls = Tls {
        server_certificate: certificate.clone(),
        server_key: key.clone(),
        peer_certificate: certificate,
        peer_key: key,
        trusted_ca: write("etcd-ca.crt", &pki.etcd_ca.certificate_pem),
    };
    let config = MemberConfig::first("m0", directory, [free(), free()], tls, 60.0);
    let client = pki.etcd_credential(now, HOUR).unwrap();
    let storage = Storage {
        endpoints: vec![config.advertise_client()],
        ca_pem: pki.etcd_ca.certificate_pem.clone(),
        certificate_pem: client.certificate_pem,
        key_pem: client.key_pem,
    };
    (EtcdMember::start(&Kind::StandIn, config).await.unwrap(), storage)
}

impl Sandbox {
    async fn start() -> Self {
        let now = Timestamp::now();
        let pki = ClusterPki::generate(now).unwrap();
        let serving = pki
            .ca
            .server_credential("kube-apiserver", &["127.0.0.1".to_owned()], now, HOUR)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let data = tempfile::tempdir().unwrap();
        let (etcd, storage) = etcd(&pki, data.path()).await;
        let config = ApiServerConfig {
            storage,
            serving_certificate_pem: serving.certificate_pem,
            serving_key_pem: serving.key_pem,
            ca_certificate_pem: pki.ca.certificate_pem.clone(),
            ca_key_pem: pki.ca.key_pem.clone(),
            kubernetes_version: "1.34.1".to_owned(),
            pod_cidr: "10.244.0.0/16".to_owned(),
            service_cidr: "10.96.0.0/12".to_owned(),
            cluster_name: "demo".to_owned(),
            advertise_address: address,
            pace: 1.0,
            port_forward: None,
        };
        let server = Arc::new(ApiServer::start(config).await.unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                server.serve(stream, peer);
            }
        });
        let endpoint = ControlPlaneEndpoint {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
        };
        let admin = pki.admin_credential(now, HOUR).unwrap();
        let admin = client(&kubeconfig::render("demo", &endpoint, &pki.ca.certificate_pem, &admin)).await;
        Self {
            pki,
            endpoint,
            admin,
            _etcd: etcd,
            _data: data,
        }
    }

    fn cluster(&self, credential: &ClientCredential) -> Cluster {
        Cluster::connect(
            &ClusterAddress::new(&self.endpoint, &self.pki.ca.certificate_pem),
            credential,
        )
        .unwrap()
    }

    fn operator(&self) -> Cluster {
        self.cluster(&self.pki.operator_credential(Timestamp::now(), HOUR).unwrap())
    }

    /// A client with the node credential, whose rights are installed as the provider does after init.
    async fn node_groups(&self) -> Cluster {
        self.operator()
            .install_node_group_access(soon(), pending())
            .await
            .unwrap();
        self.cluster(&self.pki.node_credential(Timestamp::now(), HOUR).unwrap().client)
    }

    async fn add_node(&self, name: &str) {
        let node = json!({
            "metadata": { "name": name, "labels": { labels::ZONE: "us-central1-a", "theirs": "stays" } },
            "spec": { "providerID": format!("gce://sandbox/us-central1-a/{name}") },
        });
        let nodes: Api<Node> = Api::all(self.admin.clone());
        nodes
            .create(&PostParams::default(), &serde_json::from_value(node).unwrap())
            .await
            .unwrap();
    }

    async fn report_ready(&self, name: &str) {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({ "status": { "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }] } });
        let nodes: Api<Node> = Api::all(self.admin.clone());
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// A pod that runs on the node, of a `ReplicaSet` of one.
    async fn add_pod(&self, node: &str, name: &str) {
        let manifest = format!(
            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: {name}}}\nspec:\n  replicas: 0\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{containers: [{{name: c, image: i}}]}}\n"
        );
        self.operator().apply(&manifest, soon(), pending()).await.unwrap();
        let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::default_namespaced(self.admin.clone());
        let uid = sets.get(name).await.unwrap().metadata.uid.unwrap();
        let pod = json!({
            "metadata": { "name": name, "labels": { "app": "shop" }, "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid, "controller": true },
            ] },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
        });
        let pods: Api<Pod> = Api::default_namespaced(self.admin.clone());
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
            .await
            .unwrap();
        let status = json!({ "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// Plays the kubelet: a pod that is to stop is gone.
    fn stop_pods(&self) {
        let pods: Api<Pod> = Api::default_namespaced(self.admin.clone());
        tokio::spawn(async move {
            loop {
                for pod in pods.list(&ListParams::default()).await.unwrap() {
                    if pod.metadata.deletion_timestamp.is_some() {
                        let at_once = DeleteParams {
                            grace_period_seconds: Some(0),
                            ..DeleteParams::default()
                        };
                        let _ = pods.delete(&pod.metadata.name.unwrap(), &at_once).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

async fn client(kubeconfig: &str) -> kube::Client {
    // Whoever connects first installs the process's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}

fn volume() -> String {
    persistent_volume::render(&PersistentVolumeSettings {
        name: "demo-data".into(),
        size_gb: 5,
        region: "us-central1".into(),
        zone: "us-central1-a".into(),
        source: VolumeSource::compute_engine("sandbox", "us-central1-a", "demo-data"),
        filesystem: "ext4".into(),
        storage_class: String::new(),
        legacy_zone_labels: true,
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[tokio::test]
async fn a_cluster_says_that_it_is_ready_and_its_version() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.operator();
    cluster.wait_ready(soon(), pending()).await.unwrap();
    assert!(cluster.ready().await.unwrap());
    assert_eq!(cluster.version().await.unwrap().to_string(), "1.34.1");
}

#[tokio::test]
async fn nodes_are_watched_until_they_are_ready() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.node_groups().await;
    let names = ["demo-pool-1".to_owned(), "demo-pool-2".to_owned()];
    let waiting = cluster.wait_for_nodes(&names, NodeState::Ready, soon(), pending());
    let joining = async {
        for name in &names {
            sandbox.add_node(name).await;
            sandbox.report_ready(name).await;
        }
    };
    let (nodes, ()) = tokio::join!(waiting, joining);
    let nodes = nodes.unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), names);
    assert!(nodes[0].ready);
    assert_eq!(nodes[0].zone(), Some("us-central1-a"));
    assert_eq!(
        nodes[1].provider_id.as_deref(),
        Some("gce://sandbox/us-central1-a/demo-pool-2")
    );
    assert!(cluster.delete_node("demo-pool-1").await.unwrap());
    assert!(
        !cluster.delete_node("demo-pool-1").await.unwrap(),
        "deleting again is no error"
    );
    assert_eq!(cluster.node("demo-pool-1").await.unwrap(), None);
}

#[tokio::test]
async fn labels_and_taints_change_in_place_and_others_stay() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.node_groups().await;
    sandbox.add_node("n").await;
    let first = OwnedMetadata {
        labels: [("team".to_owned(), "web".to_owned())].into(),
        taints: vec![Taint {
            key: "gpu".into(),
            value: "yes".into(),
            effect: TaintEffect::NoSchedule,
        }],
        ..OwnedMetadata::default()
    };
    let second = OwnedMetadata {
        labels: [("tier".to_owned(), "front".to_owned())].into(),
        ..OwnedMetadata::default()
    };
    let has = |taints: &[Taint], key: &str| taints.iter().any(|taint| taint.key == key);
    assert!(
        cluster
            .patch_labels_and_taints("n", &OwnedMetadata::default(), &first)
            .await
            .unwrap()
    );
    assert!(
        !cluster.patch_labels_and_taints("n", &first, &first).await.unwrap(),
        "nothing is left to do"
    );
    let node = cluster.node("n").await.unwrap().unwrap();
    assert!(node.labels["team"] == "web" && has(&node.taints, "gpu"), "{node:?}");
    cluster.patch_labels_and_taints("n", &first, &second).await.unwrap();
    let node = cluster.node("n").await.unwrap().unwrap();
    assert!(
        !node.labels.contains_key("team") && !has(&node.taints, "gpu"),
        "{node:?}"
    );
    assert_eq!(
        (node.labels["tier"].as_str(), node.labels["theirs"].as_str()),
        ("front", "stays")
    );
}

#[tokio::test]
async fn rule_a_drain_honours_disruption_budgets_and_fails_closed() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.node_groups().await;
    sandbox.add_node("n").await;
    sandbox.add_pod("n", "web-1").await;
    let budget = json!({
        "metadata": { "name": "shop" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "shop" } } },
    });
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(sandbox.admin.clone());
    budgets
        .create(&PostParams::default(), &serde_json::from_value(budget).unwrap())
        .await
        .unwrap();
    let options = DrainOptions {
        timeout: Duration::from_secs(2),
        ..DrainOptions::default()
    };
    let error = cluster.drain("n", &options, pending()).await.unwrap_err();
    let DrainError::TimedOut { pods, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((pods.len(), pods[0].name.as_str()), (1, "web-1"));
    assert!(matches!(pods[0].obstacle, Obstacle::DisruptionBudget(_)), "{error}");
    assert!(
        cluster.node("n").await.unwrap().unwrap().unschedulable,
        "the node stays cordoned"
    );

    budgets.delete("shop", &DeleteParams::default()).await.unwrap();
    sandbox.stop_pods();
    let drained = cluster.drain("n", &DrainOptions::default(), pending()).await.unwrap();
    assert_eq!(
        drained,
        Drained {
            evicted: vec!["default/web-1".to_owned()],
            left: Vec::new()
        }
    );
    cluster.uncordon("n").await.unwrap();
    assert!(!cluster.node("n").await.unwrap().unwrap().unschedulable);
    assert_eq!(
        cluster.drain("gone", &options, pending()).await.unwrap(),
        Drained::default()
    );
}

#[tokio::test]
async fn rule_the_node_credential_makes_tokens_and_reads_no_secret() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.node_groups().await;
    let token = BootstrapToken::generate(&mut rand::rng());
    cluster
        .create_bootstrap_token(&token, Timestamp::now(), Duration::from_mins(20))
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(sandbox.admin.clone(), "kube-system");
    let made = secrets.get(&token.secret_name()).await.unwrap();
    assert_eq!(made.type_.as_deref(), Some("bootstrap.kubernetes.io/token"));
    cluster.delete_bootstrap_token(token.id()).await.unwrap();
    cluster.delete_bootstrap_token(token.id()).await.unwrap();
    assert!(secrets.get_opt(&token.secret_name()).await.unwrap().is_none());

    let credential = sandbox.pki.node_credential(Timestamp::now(), HOUR).unwrap().client;
    let kubeconfig = kubeconfig::render("demo", &sandbox.endpoint, &sandbox.pki.ca.certificate_pem, &credential);
    let secrets: Api<Secret> = Api::namespaced(client(&kubeconfig).await, "kube-system");
    assert!(secrets.list(&ListParams::default()).await.is_err());
    let error = cluster
        .apply(
            "{apiVersion: v1, kind: Namespace, metadata: {name: x}}",
            soon(),
            pending(),
        )
        .await;
    let Err(ApplyError::Access { source, .. }) = error else {
        panic!("{error:?}")
    };
    assert!(matches!(*source, AccessError::Forbidden { .. }), "{source}");
}

#[tokio::test]
async fn a_manifest_is_applied_in_an_order_that_works_and_twice() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.operator();
    let volume = volume();
    let manifest = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings, namespace: network}}\ndata: {{a: b}}\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {{name: network}}\n---\n{volume}"
    );
    for _ in 0..2 {
        let applied = cluster.apply(&manifest, soon(), pending()).await.unwrap();
        let names: Vec<_> = applied.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "Namespace network",
                "ConfigMap network/settings",
                "PersistentVolume demo-data"
            ]
        );
    }
    let maps: Api<ConfigMap> = Api::namespaced(sandbox.admin.clone(), "network");
    let map = maps.get("settings").await.unwrap();
    assert_eq!(map.data.unwrap()["a"], "b");
    let unknown = "{apiVersion: example.com/v1, kind: Pool, metadata: {name: x}}";
    let error = cluster.apply(unknown, soon(), pending()).await.unwrap_err();
    assert!(matches!(error, ApplyError::UnknownKind { .. }), "{error}");
}

#[tokio::test]
async fn what_somebody_changed_of_a_manifest_is_named_and_what_others_add_is_not() {
    let sandbox = Sandbox::start().await;
    let cluster = sandbox.operator();
    let manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: network}\n---\n\
                    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: network}\ndata: {a: b}\n---\n\
                    apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent, namespace: network}\nspec:\n  \
                    selector: {matchLabels: {app: agent}}\n  template:\n    metadata: {labels: {app: agent}}\n    \
                    spec:\n      containers:\n      - {name: agent, image: \"example.com/agent:1\", resources: {requests: {cpu: 0.1}}}\n";
    let altered = async || {
        let found = cluster.alterations(manifest).await.unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(altered().await[0], "Namespace network is gone");
    cluster.apply(manifest, soon(), pending()).await.unwrap();
    assert_eq!(
        altered().await,
        [""; 0],
        "what was applied is there, in the server's own spelling"
    );

    let maps: Api<ConfigMap> = Api::namespaced(sandbox.admin.clone(), "network");
    let patch = |change| Patch::Merge(change);
    let parameters = PatchParams::default();
    let added = json!({ "data": { "theirs": "x" }, "metadata": { "labels": { "their": "label" } } });
    maps.patch("settings", &parameters, &patch(added)).await.unwrap();
    assert_eq!(
        altered().await,
        [""; 0],
        "fields that the manifest does not set are others'"
    );
    let version = maps.get("settings").await.unwrap().metadata.resource_version;
    maps.patch("settings", &parameters, &patch(json!({ "data": { "a": "c" } })))
        .await
        .unwrap();
    assert_eq!(altered().await, ["ConfigMap network/settings was changed"]);
    let map = maps.get("settings").await.unwrap();
    assert_eq!(map.data.unwrap()["a"], "c", "a look changes nothing");
    assert_ne!(map.metadata.resource_version, version);

    maps.delete("settings", &DeleteParams::default()).await.unwrap();
    assert_eq!(altered().await, ["ConfigMap network/settings is gone"]);
    cluster.apply(manifest, soon(), pending()).await.unwrap();
    assert_eq!(altered().await, [""; 0]);
    let unknown = "{apiVersion: example.com/v1, kind: Pool, metadata: {name: x}}";
    assert_eq!(
        cluster.alterations(unknown).await.unwrap()[0].to_string(),
        "Pool x is gone"
    );
}

#[tokio::test]
async fn kubectl_takes_the_kubeconfig_and_the_persistent_volume() {
    if Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output()
        .await
        .is_err()
    {
        println!("SKIPPED: kubectl is not installed, so this check did not run");
        return;
    }
    let sandbox = Sandbox::start().await;
    let files = tempfile::tempdir().unwrap();
    let admin = sandbox.pki.admin_credential(Timestamp::now(), HOUR).unwrap();
    let kubeconfig = kubeconfig::render("demo", &sandbox.endpoint, &sandbox.pki.ca.certificate_pem, &admin);
    std::fs::write(files.path().join("kubeconfig"), kubeconfig).unwrap();
    std::fs::write(files.path().join("volume.yaml"), volume()).unwrap();
    let kubectl = async |arguments: &[&str]| {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(files.path().join("kubeconfig"))
            .args(arguments)
            .env("HOME", files.path())
            .current_dir(files.path())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    kubectl(&["apply", "-f", "volume.yaml"]).await;
    let shown = kubectl(&["get", "pv", "-L", labels::ZONE, "-L", labels::LEGACY_ZONE]).await;
    assert_eq!(shown.matches("us-central1-a").count(), 2, "{shown}");
    let described = kubectl(&["describe", "pv", "demo-data"]).await;
    assert!(
        described.contains("topology.kubernetes.io/zone in [us-central1-a]"),
        "{described}"
    );
}

fn holder(identity: &str, gone: &'static [&'static str]) -> RolloutHolder {
    RolloutHolder {
        identity: identity.to_owned(),
        now: Arc::new(Timestamp::now),
        is_gone: Arc::new(move |other| gone.contains(&other)),
    }
}

#[tokio::test]
async fn rule_one_membership_change_at_a_time_over_processes() {
    let sandbox = Sandbox::start().await;
    let operator = sandbox.operator();
    let (first, second) = (holder("host/1", &[]), holder("host/2", &[]));
    let turn = operator.take_rollout_turn(&first, soon(), pending()).await.unwrap();
    assert!(turn.is_held());
    let at_once = Instant::now() + Duration::from_secs(1);
    let refused = operator
        .take_rollout_turn(&second, at_once, pending())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("host/1 has it"), "{refused}");
    turn.end().await;
    operator.take_rollout_turn(&second, soon(), pending()).await.unwrap();
}

#[tokio::test]
async fn nobody_waits_for_a_holder_that_is_known_to_be_dead() {
    let sandbox = Sandbox::start().await;
    let operator = sandbox.operator();
    drop(
        operator
            .take_rollout_turn(&holder("host/1", &[]), soon(), pending())
            .await
            .unwrap(),
    );
    let next = holder("host/2", &["host/1"]);
    let at_once = Instant::now() + Duration::from_secs(5);
    operator.take_rollout_turn(&next, at_once, pending()).await.unwrap();
}

#[tokio::test]
async fn node_groups_take_turns_with_their_own_credential() {
    let sandbox = Sandbox::start().await;
    let team = sandbox.node_groups().await;
    let turn = team
        .take_rollout_turn(&holder("team/1", &[]), soon(), pending())
        .await
        .unwrap();
    turn.end().await;
}
