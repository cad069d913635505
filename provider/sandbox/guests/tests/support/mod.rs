//! A region with a master and workers, as its core would run it, and a client on the host.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

pub mod client;
pub mod user_data;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use multizone_sandbox_data_plane::{FirewallRule, Machine, Network, Pace, Topology};
use multizone_sandbox_etcd::Kind;
use multizone_sandbox_guests::{GuestReport, Guests, Host, HostError, MachineSpec};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use client::Client;

pub const DEADLINE: Duration = Duration::from_secs(90);
pub const VERSION: &str = "1.34.1";
pub const PACE: Pace = Pace { speed: 100.0 };
pub const SECRET: &str = "demo-pki";

/// The secrets of the region.
#[derive(Default)]
pub struct Secrets(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl Host for Secrets {
    async fn access_secret(&self, _: &str, secret: &str) -> Result<Vec<u8>, HostError> {
        let found = self.0.lock().unwrap().get(secret).cloned();
        found.ok_or_else(|| HostError::NotFound(format!("secret {secret}")))
    }
}

/// The cluster's authority, as the provider makes it.
pub struct Authority {
    pub certificate: String,
    key: String,
    pub hash: String,
}

impl Authority {
    pub fn new(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = parameters.self_signed(&key).unwrap().pem();
        let digest = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key));
        let hash = format!("sha256:{digest:x}");
        Self {
            certificate,
            key: key.serialize_pem(),
            hash,
        }
    }

    /// A client certificate and its key.
    pub fn client(&self, user: &str, group: &str) -> (String, String) {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, user);
        parameters.distinguished_name.push(DnType::OrganizationName, group);
        parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        (parameters.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }

    fn secret() -> (Self, Vec<u8>) {
        let (ca, front_proxy, etcd) = (
            Self::new("kubernetes"),
            Self::new("front-proxy-ca"),
            Self::new("etcd-ca"),
        );
        let account = KeyPair::generate().unwrap();
        let secret = json!({"format": 1, "files": {
            "ca.crt": ca.certificate, "ca.key": ca.key,
            "front-proxy-ca.crt": front_proxy.certificate, "front-proxy-ca.key": front_proxy.key,
            "etcd/ca.crt": etcd.certificate, "etcd/ca.key": etcd.key,
            "sa.key": account.serialize_pem(), "sa.pub": account.public_key_pem(),
        }});
        (ca, secret.to_string().into_bytes())
    }
}

/// A region of one test, on loopback addresses of its own.
pub struct Region {
    pub network: Network,
    pub guests: Guests,
    pub topology: Topology,
    pub specs: BTreeMap<String, MachineSpec>,
    pub ca: Authority,
    secrets: Arc<Secrets>,
    directory: tempfile::TempDir,
    block: [u8; 2],
    etcd: Kind,
}

impl Region {
    pub fn new() -> Self {
        Self::with_etcd(Kind::StandIn)
    }

    /// A region whose masters run this etcd.
    pub fn with_etcd(etcd: Kind) -> Self {
        let pace = PACE;
        let network = Network::with_pace(pace);
        let (ca, secret) = Authority::secret();
        let secrets = Arc::new(Secrets::default());
        secrets.0.lock().unwrap().insert(SECRET.to_owned(), secret);
        let everywhere = FirewallRule {
            network: "demo".to_owned(),
            source_ranges: vec!["0.0.0.0/0".parse().unwrap()],
            ..FirewallRule::default()
        };
        Self {
            guests: Guests::new(network.clone(), secrets.clone(), pace, etcd.clone()),
            secrets,
            network,
            topology: Topology {
                firewall_rules: vec![everywhere],
                ..Topology::default()
            },
            specs: BTreeMap::new(),
            ca,
            directory: tempfile::tempdir().unwrap(),
            block: [rand::random_range(20..250), rand::random_range(0..250)],
            etcd,
        }
    }

    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.block[0], self.block[1], last)
    }

    /// The address of the cluster's endpoint.
    pub fn endpoint(&self) -> Ipv4Addr {
        self.address(200)
    }

    /// Adds a machine that is switched off.
    pub fn machine(&mut self, zone: &str, name: &str, last: u8, user_data: String) -> &mut MachineSpec {
        let key = format!("{zone}/{name}");
        let machine = Machine {
            address: self.address(last),
            zone: zone.to_owned(),
            running: false,
            network: "demo".to_owned(),
            tags: BTreeSet::new(),
        };
        self.topology.machines.insert(key.clone(), machine);
        let boot_disk = self.directory.path().join(&key);
        std::fs::create_dir_all(&boot_disk).unwrap();
        let spec = MachineSpec {
            name: key.clone(),
            hostname: name.to_owned(),
            zone: zone.to_owned(),
            region: "us-central1".to_owned(),
            instance_id: format!("{last}"),
            provider_id: format!("gce://sandbox/{zone}/{name}"),
            address: self.address(last),
            external_address: None,
            cpus: 2,
            memory_mib: 7680,
            user_data: Some(user_data),
            running: false,
            boot_disk,
            service_account: None,
        };
        self.specs.entry(key).or_insert(spec)
    }

    /// Restarts the region's process, in effect: everything in memory is made again.
    pub async fn restart(&mut self) {
        self.guests.stop().await;
        self.network = Network::with_pace(PACE);
        self.guests = Guests::new(self.network.clone(), self.secrets.clone(), PACE, self.etcd.clone());
        self.apply();
    }

    pub fn power(&mut self, machine: &str, on: bool) {
        self.specs.get_mut(machine).unwrap().running = on;
        self.topology.machines.get_mut(machine).unwrap().running = on;
        self.apply();
    }

    pub fn outage(&mut self, zone: &str, out: bool) {
        if out {
            self.topology.outages.insert(zone.to_owned());
        } else {
            self.topology.outages.remove(zone);
        }
        self.apply();
    }

    pub fn apply(&self) {
        self.network.reconcile(self.topology.clone());
        self.guests.reconcile(self.specs.values().cloned().collect());
    }

    pub fn report(&self, machine: &str) -> GuestReport {
        self.guests
            .report()
            .into_iter()
            .find(|report| report.machine == machine)
            .unwrap()
    }

    /// Waits until a machine's phase is as asked.
    pub async fn phase(&self, machine: &str, wanted: impl Fn(&str) -> bool) -> String {
        let started = std::time::Instant::now();
        loop {
            let report = self.report(machine);
            if wanted(&report.phase) {
                return report.phase;
            }
            let unexpected = started.elapsed() > DEADLINE || report.phase.starts_with("failed");
            assert!(
                !unexpected,
                "{machine} is at {:?}:\n{}",
                report.phase,
                report.console_tail.join("\n")
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn failure(&self, machine: &str) -> String {
        self.phase(machine, |phase| phase.starts_with("failed")).await
    }

    pub fn console(&self, machine: &str) -> String {
        self.report(machine).console_tail.join("\n")
    }

    /// A client on the host with all rights.
    pub fn admin(&self) -> Client {
        let server = format!("https://{}:6443", self.endpoint());
        Client::new(
            &server,
            &self.ca.certificate,
            Some(self.ca.client("admin", "system:masters")),
        )
    }

    /// A master that is up, with a pod network, in zone us-central1-a.
    pub async fn with_master() -> Self {
        Self::new().started().await
    }

    /// Starts the first master in this region.
    pub async fn started(self) -> Self {
        let mut region = self;
        let user_data = user_data::master(&region, "us-central1-a", "master");
        region.machine("us-central1-a", "master", 2, user_data);
        region
            .topology
            .external_addresses
            .insert(region.endpoint(), "us-central1-a/master".to_owned());
        region.power("us-central1-a/master", true);
        region.phase("us-central1-a/master", |phase| phase == "running").await;
        region
            .admin()
            .create(
                "/apis/apps/v1/namespaces/kube-system/daemonsets",
                &user_data::pod_network(),
            )
            .await;
        region
    }

    /// Adds a further master with a token that is good, and switches it on.
    pub async fn further_master(&mut self, zone: &str, name: &str, last: u8) {
        let token = self.admin().token(true).await;
        let user_data = user_data::joining_master(self, zone, name, last, &token, &self.ca.hash);
        self.machine(zone, name, last, user_data);
        self.power(&format!("{zone}/{name}"), true);
    }

    /// A client with all rights of one master's own API server.
    pub fn admin_of(&self, last: u8) -> Client {
        let server = format!("https://{}:6443", self.address(last));
        Client::new(
            &server,
            &self.ca.certificate,
            Some(self.ca.client("admin", "system:masters")),
        )
    }

    /// What shows itself to etcd, from the files of a master.
    pub fn etcd_credentials(&self, machine: &str) -> multizone_etcd_api::Credentials {
        let read = |file: &str| {
            std::fs::read_to_string(self.file(machine, &format!("/etc/kubernetes/pki/etcd/{file}"))).unwrap()
        };
        multizone_etcd_api::Credentials {
            ca_pem: read("ca.crt"),
            certificate_pem: read("healthcheck-client.crt"),
            key_pem: read("healthcheck-client.key"),
        }
    }

    /// Adds a worker in zone us-central1-b with a token that is good, and switches it on.
    pub async fn worker(&mut self, name: &str, last: u8) {
        let token = self.admin().token(true).await;
        let user_data = user_data::worker(self, "us-central1-b", name, &token, &self.ca.hash);
        self.machine("us-central1-b", name, last, user_data);
        self.power(&format!("us-central1-b/{name}"), true);
    }

    pub fn file(&self, machine: &str, path: &str) -> std::path::PathBuf {
        self.specs[machine]
            .boot_disk
            .join("rootfs")
            .join(path.trim_start_matches('/'))
    }
}

/// Waits until a condition holds.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a node's Ready condition is `status`.
pub async fn node_is(client: &Client, node: &str, status: &str) -> Value {
    until(&format!("{node} Ready={status}"), || async {
        let node = client.get(&format!("/api/v1/nodes/{node}")).await?;
        let conditions = node["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        (ready["status"] == status).then(|| node.clone())
    })
    .await
}
