//! The provider's etcd client against etcd clusters: real etcd where it is installed, and the sandbox's stand-in.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::PostParams;
use multizone_kubernetes::cluster_access::{Cluster as Access, ClusterAddress};
use multizone_kubernetes::endpoint::ControlPlaneEndpoint;
use multizone_kubernetes::etcd::{
    Credentials, Dialling, Direct, Endpoint, Etcd, EtcdError, PortForward, Route, Stream,
};
use multizone_kubernetes::pki::{Authority, ClusterPki};
use multizone_sandbox_etcd::{EtcdMember, Kind, MemberConfig, Tls, kept_address};
use multizone_sandbox_kubernetes_api::{ApiServer, ApiServerConfig, Duplex, Storage};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// How long anything may take; only a failing test takes it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Both kinds, or the stand-in alone where etcd is not installed.
#[allow(clippy::print_stderr)]
fn kinds() -> Vec<Kind> {
    let found = Kind::found().expect("MULTIZONE_ETCD names an etcd");
    if found == Kind::StandIn {
        eprintln!("SKIPPED: the tests against real etcd: it is not installed");
        return vec![found];
    }
    vec![found, Kind::StandIn]
}

/// Members of one cluster, begun together.
struct Cluster {
    kind: Kind,
    directory: tempfile::TempDir,
    pki: ClusterPki,
    configs: Vec<MemberConfig>,
    members: Vec<EtcdMember>,
}

/// A certificate for serving and for connecting, as kubeadm signs it.
fn sign(authority: &Authority, name: &str, directory: &Path, what: &str) -> (PathBuf, PathBuf) {
    let issuer = KeyPair::from_pem(&authority.key_pem).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate_pem, issuer).expect("an issuer");
    let key = KeyPair::generate().expect("a key");
    let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
    let mut parameters = CertificateParams::new(names).expect("parameters");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = parameters.signed_by(&key, &issuer).expect("signed");
    let paths = (
        directory.join(format!("{what}.crt")),
        directory.join(format!("{what}.key")),
    );
    std::fs::write(&paths.0, certificate.pem()).expect("written");
    std::fs::write(&paths.1, key.serialize_pem()).expect("written");
    paths
}

impl Cluster {
    async fn of_three(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let pki = ClusterPki::generate(Timestamp::now()).expect("a PKI");
        let ca = directory.path().join("ca.crt");
        std::fs::write(&ca, &pki.etcd_ca.certificate_pem).expect("written");
        let mut configs: Vec<_> = ["master-a", "master-b", "master-c"]
            .iter()
            .map(|name| {
                let place = directory.path().join(name);
                std::fs::create_dir(&place).expect("made");
                let (server_certificate, server_key) = sign(&pki.etcd_ca, name, &place, "server");
                let (peer_certificate, peer_key) = sign(&pki.etcd_ca, name, &place, "peer");
                let tls = Tls {
                    server_certificate,
                    server_key,
                    peer_certificate,
                    peer_key,
                    trusted_ca: ca.clone(),
                };
                let listens = [(); 2].map(|()| kept_address().expect("a port"));
                MemberConfig::first(name, &place, listens, tls, 20.0)
            })
            .collect();
        let all: Vec<_> = configs.iter().map(|config| config.initial_cluster.clone()).collect();
        let mut members = Vec::new();
        for config in &mut configs {
            config.initial_cluster = all.join(",");
            members.push(EtcdMember::start(&kind, config.clone()).await.expect("started"));
        }
        let cluster = Self {
            kind,
            directory,
            pki,
            configs,
            members,
        };
        let etcd = cluster.etcd(Direct);
        until("three members that follow one leader", async || {
            let view = etcd.view().await.ok()?;
            (view.quorum.is_ok() && view.healthy_voters() == 3).then_some(())
        })
        .await;
        cluster
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |config: &MemberConfig| Endpoint {
            name: config.name.clone(),
            host: config.listen_client.ip().to_string(),
            port: config.listen_client.port(),
        };
        self.configs.iter().map(endpoint).collect()
    }

    fn etcd<R: Route>(&self, route: R) -> Etcd<R> {
        let client = self
            .pki
            .etcd_credential(Timestamp::now(), Duration::from_mins(5))
            .expect("a certificate");
        let credentials = Credentials {
            ca_pem: self.pki.etcd_ca.certificate_pem.clone(),
            certificate_pem: client.certificate_pem,
            key_pem: client.key_pem,
        };
        Etcd::new(route, credentials, self.endpoints())
    }
}

/// Any stream will do: what goes in at one end of a pipe comes out on a connection, as with a port-forward.
#[derive(Clone)]
struct Forwarded;

impl Route for Forwarded {
    fn dial<'a>(&'a self, endpoint: &'a Endpoint) -> Dialling<'a> {
        Box::pin(async move {
            let mut behind = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            let (near, mut far) = tokio::io::duplex(4096);
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut behind).await });
            Ok(Box::new(near) as Stream)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_seen_led_removed_and_lost() {
    for kind in kinds() {
        let mut cluster = Cluster::of_three(kind).await;
        let etcd = cluster.etcd(Forwarded);
        let view = etcd.view().await.expect("a view");
        assert_eq!((view.members.len(), view.quorum_size()), (3, 2));
        assert!(view.members.iter().all(|member| member.is_started() && !member.learner));
        let leader = view.leader().expect("a leader");
        let id_of = |name: &str| {
            view.members
                .iter()
                .find(|member| member.name == name)
                .expect("listed")
                .id
        };
        let ids: Vec<_> = cluster.configs.iter().map(|config| id_of(&config.name)).collect();
        for (endpoint, status) in &view.statuses {
            let status = status.as_ref().expect("it answers");
            assert_eq!(status.id, id_of(&endpoint.name));
            assert!(status.version.starts_with("3."), "{status:?}");
            assert!(
                status.errors.is_empty() && status.db_size > 0 && !status.learner,
                "{status:?}"
            );
            assert!(view.lag_of(status.id).expect("both answer") < 100);
        }
        assert_eq!(etcd.alarms().await.expect("a list"), []);

        // Away from the leader, whoever that is; again is fine; to a stranger is not.
        let next = *ids.iter().find(|id| **id != leader).expect("three");
        etcd.move_leader(next).await.expect("moved");
        until("the new leader", async || {
            let view = etcd.view().await.ok()?;
            (view.leader() == Some(next) && view.healthy_voters() == 3).then_some(())
        })
        .await;
        etcd.move_leader(next).await.expect("it leads already");
        let stranger = etcd.move_leader(77).await.expect_err("nobody has this ID");
        assert!(
            matches!(stranger, EtcdError::UnknownMember { id: 77, .. }),
            "{stranger}"
        );

        // A dead member is seen and removed; twice is fine.
        let lost = ids.iter().position(|id| *id != leader && *id != next).expect("three");
        cluster.members[lost].kill().await;
        let view = etcd.view().await.expect("a view");
        assert_eq!((view.members.len(), view.healthy_voters()), (3, 2));
        view.quorum.expect("two of three");
        let unreachable = view.statuses[lost].1.as_ref().expect_err("it is dead");
        assert!(matches!(unreachable, EtcdError::Unreachable { .. }), "{unreachable}");
        until("the removal", async || match etcd.remove(ids[lost]).await {
            Ok(()) => Some(()),
            // For a moment etcd takes the dead member for a living one.
            Err(EtcdError::Refused { .. } | EtcdError::NoAnswer { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .await;
        etcd.remove(ids[lost]).await.expect("it is gone");
        assert_eq!(etcd.members().await.expect("a list").len(), 2);

        // One of two lost: no quorum, and everybody says so.
        let remaining = ids.iter().position(|id| *id == next).expect("three");
        let dead = ids.iter().position(|id| *id == leader).expect("three");
        cluster.members[dead].kill().await;
        let hurried = cluster.etcd(Direct).with_patience(Duration::from_secs(20));
        let error = hurried.check_quorum().await.expect_err("one of two");
        assert!(error.is_without_quorum(), "{error}");
        let view = hurried.view().await.expect("the last one lists the members");
        assert_eq!((view.members.len(), view.healthy_voters()), (2, 0));
        assert!(view.quorum.is_err());
        let waits = cluster.etcd(Direct).with_patience(Duration::from_secs(1));
        let error = waits.remove(ids[dead]).await.expect_err("nobody agrees");
        assert!(error.is_without_quorum(), "{error}");

        // It comes back: all is well.
        let config = cluster.configs[dead].clone();
        cluster.members[dead] = EtcdMember::start(&cluster.kind, config).await.expect("started");
        until("the quorum", async || hurried.check_quorum().await.ok()).await;
        cluster.members[remaining].stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_streamed_and_checked() {
    for kind in kinds() {
        let cluster = Cluster::of_three(kind).await;
        let etcd = cluster.etcd(Forwarded);
        let file = cluster.directory.path().join("snapshot.db");
        let writer = tokio::fs::File::create(&file).await.expect("made");
        let facts = etcd
            .snapshot(&cluster.endpoints()[0], writer)
            .await
            .expect("a snapshot");
        let written = std::fs::read(&file).expect("read");
        assert_eq!(facts.bytes, written.len() as u64);
        assert_eq!(facts.sha256.len(), 64);
        assert!(facts.bytes > 4096, "{facts:?}");

        cluster.members[0].kill().await;
        let error = etcd
            .snapshot(&cluster.endpoints()[0], Vec::new())
            .await
            .expect_err("it is dead");
        assert!(
            matches!(&error, EtcdError::Unreachable { member, .. } if member == "master-a"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nobody_to_ask_is_said() {
    let pki = ClusterPki::generate(Timestamp::now()).expect("a PKI");
    let client = pki
        .etcd_credential(Timestamp::now(), Duration::from_mins(5))
        .expect("a certificate");
    let credentials = Credentials {
        ca_pem: pki.etcd_ca.certificate_pem,
        certificate_pem: client.certificate_pem,
        key_pem: client.key_pem,
    };
    let etcd = Etcd::new(Direct, credentials, Vec::new());
    assert!(matches!(etcd.members().await, Err(EtcdError::NoEndpoint)));
    assert!(matches!(etcd.move_leader(1).await, Err(EtcdError::NoEndpoint)));
}

/// What a machine's kubelet does for port-forwards to its etcd.
#[derive(Debug)]
struct Kubelets(BTreeMap<String, SocketAddr>);

#[async_trait::async_trait]
impl multizone_sandbox_kubernetes_api::PortForward for Kubelets {
    async fn connect(&self, node: &str, pod: &str, _port: u16) -> io::Result<Box<dyn Duplex>> {
        assert_eq!(pod, format!("etcd-{node}"));
        let address = self.0.get(node).ok_or_else(|| io::Error::other("no such node"))?;
        Ok(Box::new(TcpStream::connect(address).await?))
    }
}

/// An API server that reaches the members of a cluster, and the pods of two of the three.
async fn api_server(cluster: &Cluster) -> (Access, kube::Client) {
    let pki = &cluster.pki;
    let hour = Duration::from_hours(1);
    let now = Timestamp::now();
    let names = ["127.0.0.1".to_owned()];
    let serving = pki
        .ca
        .server_credential("kube-apiserver", &names, now, hour)
        .expect("signed");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let members = cluster
        .configs
        .iter()
        .map(|config| (config.name.clone(), config.listen_client));
    let client = pki.etcd_credential(now, hour).expect("signed");
    let storage = Storage {
        endpoints: vec![cluster.configs[0].advertise_client()],
        ca_pem: pki.etcd_ca.certificate_pem.clone(),
        certificate_pem: client.certificate_pem,
        key_pem: client.key_pem,
    };
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
        port_forward: Some(Arc::new(Kubelets(members.collect()))),
    };
    let server = ApiServer::start(config).await.expect("started");
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            server.serve(stream, peer);
        }
    });
    // Whoever connects first installs the process's provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = ControlPlaneEndpoint {
        host: "127.0.0.1".to_owned(),
        port: address.port(),
    };
    let operator = pki.operator_credential(now, hour).expect("signed");
    let access = ClusterAddress::new(&endpoint, &pki.ca.certificate_pem);
    let access = Access::connect(&access, &operator).expect("a client");
    let text = multizone_kubernetes::kubeconfig::render("demo", &endpoint, &pki.ca.certificate_pem, &operator);
    let config = kube::config::Kubeconfig::from_yaml(&text).expect("a kubeconfig");
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options)
        .await
        .expect("a configuration");
    let plain = kube::Client::try_from(config).expect("a client");
    (access, plain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_reached_through_the_api_server() {
    let cluster = Cluster::of_three(Kind::StandIn).await;
    let (access, plain) = api_server(&cluster).await;
    let nodes: Api<Node> = Api::all(plain.clone());
    let pods: Api<Pod> = Api::namespaced(plain, "kube-system");
    for config in &cluster.configs[..2] {
        // Pods of nodes that do not exist are collected.
        let node: Node = serde_json::from_value(json!({ "metadata": { "name": config.name } })).expect("a node");
        nodes.create(&PostParams::default(), &node).await.expect("created");
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": format!("etcd-{}", config.name) },
            "spec": {
                "nodeName": config.name,
                "hostNetwork": true,
                "containers": [{ "name": "etcd", "image": "registry.k8s.io/etcd:3.6.4-0" }],
            },
        }))
        .expect("a pod");
        // The controller that gives the namespace its service account has only just begun.
        until("the pod is created", async || {
            pods.create(&PostParams::default(), &pod).await.ok()
        })
        .await;
    }
    let etcd = cluster.etcd(PortForward::through(&access));
    let view = etcd.view().await.expect("a view");
    view.quorum.as_ref().expect("a quorum");
    assert_eq!(
        (view.members.len(), view.healthy_voters()),
        (3, 2),
        "one has no pod: {view:?}"
    );
    let error = view.statuses[2].1.as_ref().expect_err("no pod, no way").to_string();
    assert!(error.contains("etcd-master-c"), "{error}");
    let facts = etcd
        .snapshot(&cluster.endpoints()[1], Vec::new())
        .await
        .expect("a snapshot");
    assert!(facts.bytes > 4096, "{facts:?}");
}
