//! Machines with certificates on loopback ports, and clients of their members.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use multizone_etcd_api::cluster_client::ClusterClient;
use multizone_etcd_api::kv_client::KvClient;
use multizone_etcd_api::lease_client::LeaseClient;
use multizone_etcd_api::maintenance_client::MaintenanceClient;
use multizone_etcd_api::watch_client::WatchClient;
use multizone_etcd_api::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest, PutRequest, PutResponse,
    RangeRequest, RangeResponse, Refusal, StatusRequest, StatusResponse,
};
use multizone_sandbox_etcd::{ClusterState, EtcdMember, Kind, MemberConfig, Tls, kept_address};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long anything may take; only a failing test takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The installed etcd; says so loudly when there is none.
#[allow(clippy::print_stderr)]
pub(crate) fn real_etcd() -> Option<Kind> {
    match Kind::found().expect("MULTIZONE_ETCD names an etcd") {
        kind @ Kind::Process(_) => Some(kind),
        Kind::StandIn => {
            eprintln!("SKIPPED: the tests against real etcd: it is not installed");
            None
        }
    }
}

/// Asks again until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A place with an etcd authority, in which machines are made.
pub(crate) struct Place {
    kind: Kind,
    directory: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
    ca_pem: String,
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, "etcd-ca");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("signed");
        let place = Self {
            kind,
            directory: tempfile::tempdir().expect("a directory"),
            authority: Issuer::from_ca_cert_der(certificate.der(), key).expect("an issuer"),
            ca_pem: certificate.pem(),
        };
        std::fs::write(place.path("ca.crt"), &place.ca_pem).expect("written");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Certificate and key, PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let names = vec![name.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.authority).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    /// A machine with free ports and certificates, on which nothing runs.
    pub(crate) fn machine(&self, name: &str) -> Machine {
        let directory = self.path(name);
        std::fs::create_dir_all(&directory).expect("made");
        let files = |what: &str| {
            let (certificate, key) = self.sign(name);
            let paths = (
                directory.join(format!("{what}.crt")),
                directory.join(format!("{what}.key")),
            );
            std::fs::write(&paths.0, certificate).expect("written");
            std::fs::write(&paths.1, key).expect("written");
            paths
        };
        let (server_certificate, server_key) = files("server");
        let (peer_certificate, peer_key) = files("peer");
        let tls = Tls {
            server_certificate,
            server_key,
            peer_certificate,
            peer_key,
            trusted_ca: self.path("ca.crt"),
        };
        let listens = [(); 2].map(|()| kept_address().expect("a port"));
        let config = MemberConfig::first(name, &directory, listens, tls, 20.0);
        let client = Client::new(config.listen_client, Some(self.tls_client(true)));
        Machine {
            kind: self.kind.clone(),
            config,
            client,
            member: None,
        }
    }

    /// Three machines whose members begin one cluster together; all of them answer.
    pub(crate) async fn cluster_of_three(&self) -> [Machine; 3] {
        let mut machines = ["a", "b", "c"].map(|name| self.machine(name));
        let all: Vec<_> = machines
            .iter()
            .map(|machine| machine.config.initial_cluster.clone())
            .collect();
        for machine in &mut machines {
            machine.config.initial_cluster = all.join(",");
            machine.start().await;
        }
        for machine in &machines {
            machine.client.serving().await;
        }
        machines
    }

    pub(crate) fn tls_client(&self, with_certificate: bool) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).expect("a certificate"))
            .expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = if with_certificate {
            let (certificate, key) = self.sign("client");
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// A machine for one member.
pub(crate) struct Machine {
    kind: Kind,
    pub(crate) config: MemberConfig,
    pub(crate) client: Client,
    member: Option<EtcdMember>,
}

impl Machine {
    pub(crate) async fn start(&mut self) {
        self.try_start().await.expect("started");
    }

    pub(crate) async fn try_start(&mut self) -> Result<(), multizone_sandbox_etcd::StartError> {
        self.member = Some(EtcdMember::start(&self.kind, self.config.clone()).await?);
        Ok(())
    }

    pub(crate) fn member(&self) -> &EtcdMember {
        self.member.as_ref().expect("started before")
    }

    /// Sets it up to join the cluster of `members`, as kubeadm does after adding it.
    pub(crate) fn join(&mut self, members: &[&Machine]) {
        let mut all: Vec<_> = members
            .iter()
            .map(|machine| format!("{}={}", machine.config.name, machine.config.advertise_peer))
            .collect();
        all.push(format!("{}={}", self.config.name, self.config.advertise_peer));
        self.config.initial_cluster = all.join(",");
        self.config.initial_cluster_state = ClusterState::Existing;
    }

    pub(crate) fn log(&self) -> String {
        read(&self.config.log)
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Talks to one member.
#[derive(Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let connector = tower::service_fn(move |_: http::Uri| {
            let tls = tls.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let tls = tokio_rustls::TlsConnector::from(tls.ok_or_else(|| std::io::Error::other("no TLS"))?);
                let name = ServerName::IpAddress(address.ip().into());
                std::io::Result::Ok(TokioIo::new(tls.connect(name, stream).await?))
            }
        });
        let channel = Endpoint::from_static("http://etcd").connect_with_connector_lazy(connector);
        Self { channel }
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub(crate) fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> Result<PutResponse, Status> {
        let request = PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        };
        self.kv().put(request).await.map(tonic::Response::into_inner)
    }

    /// The value of a key, by the quorum's word or by this member's.
    pub(crate) async fn get(&self, key: &str, serializable: bool) -> Result<Option<String>, Status> {
        let request = RangeRequest {
            key: key.into(),
            serializable,
            ..RangeRequest::default()
        };
        let found = self.range(request).await?;
        let value = found.kvs.into_iter().next().map(|pair| pair.value);
        Ok(value.map(|value| String::from_utf8(value).expect("text")))
    }

    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.kv().range(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn status(&self) -> Result<StatusResponse, Status> {
        self.maintenance()
            .status(StatusRequest {})
            .await
            .map(tonic::Response::into_inner)
    }

    /// This member's own ID.
    pub(crate) async fn id(&self) -> u64 {
        let status = self.status().await.expect("a status");
        status.header.expect("a header").member_id
    }

    pub(crate) async fn members(&self) -> Vec<Member> {
        let request = MemberListRequest { linearizable: false };
        let list = self.cluster().member_list(request).await.expect("a list");
        list.into_inner().members
    }

    /// Waits until the quorum answers through this member.
    pub(crate) async fn serving(&self) {
        until("an answer", async || self.get("any", false).await.ok()).await;
    }

    /// Adds a member, waiting while the cluster says that it is not healthy for long enough yet.
    pub(crate) async fn add(&self, machine: &Machine, learner: bool) -> Result<Member, Status> {
        let request = MemberAddRequest {
            peer_urls: vec![machine.config.advertise_peer.clone()],
            is_learner: learner,
        };
        let mut unanswered = false;
        until("a healthy cluster", async || {
            let status = match self.cluster().member_add(request.clone()).await {
                Ok(added) => return Some(Ok(added.into_inner().member.expect("the member"))),
                Err(status) => status,
            };
            if unanswered && Refusal::of(&status) == Some(Refusal::PeerUrlExists) {
                let mut members = self.members().await.into_iter();
                return members.find(|member| member.peer_urls == request.peer_urls).map(Ok);
            }
            unanswered |= Refusal::of(&status).is_some_and(Refusal::is_timeout);
            changes_later(status).map(Err)
        })
        .await
    }

    /// Removes a member, waiting while the cluster says that it is not healthy for long enough yet.
    pub(crate) async fn remove(&self, id: u64) -> Result<(), Status> {
        let mut unanswered = false;
        until("a healthy cluster", async || {
            let Err(status) = self.cluster().member_remove(MemberRemoveRequest { id }).await else {
                return Some(Ok(()));
            };
            if unanswered && Refusal::of(&status) == Some(Refusal::MemberNotFound) {
                return Some(Ok(()));
            }
            unanswered |= Refusal::of(&status).is_some_and(Refusal::is_timeout);
            changes_later(status).map(Err)
        })
        .await
    }

    /// Promotes a learner, waiting until it is in sync.
    pub(crate) async fn promote(&self, id: u64) {
        until("a learner in sync", async || {
            match self.cluster().member_promote(MemberPromoteRequest { id }).await {
                Ok(_) => Some(()),
                Err(status) if Refusal::of(&status) == Some(Refusal::LearnerNotReady) => None,
                Err(status) => panic!("{status}"),
            }
        })
        .await;
    }
}

/// `None` where the same change may be asked for again. A leader that has not applied the change before drops the next one,
/// and the client hears that it timed out.
fn changes_later(status: Status) -> Option<Status> {
    let again = |refusal: Refusal| refusal == Refusal::Unhealthy || refusal.is_timeout();
    Some(status).filter(|status| !Refusal::of(status).is_some_and(again))
}

/// Asserts that etcd refused in this way.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, refusal: Refusal) {
    let status = answer.expect_err("it was to be refused");
    assert_eq!(status.message(), refusal.text());
    assert_eq!(status.code(), refusal.code(), "{status}");
}

/// Asserts that no quorum answered in time.
#[track_caller]
pub(crate) fn assert_timed_out<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.expect_err("there is no quorum");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(Refusal::of(&status).is_some_and(Refusal::is_timeout), "{status}");
}
