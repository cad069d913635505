//! The trait, carried by Compute Engine.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use multizone_cloud::{
    Address, AddressHolder, AddressSpec, Balancer, BalancerSpec, Capabilities, Cloud, ClusterName, Disk, DiskSpec,
    EndpointKind, FirewallRule, FirewallSpec, Inventory, Labels, Machine, MachineSpec, MachineState, MachineType,
    Network, NetworkSpec, Notice, Result, SecretSpec, Subnets, Timing, Unanswered, Zone,
};

use crate::{
    Settings,
    clients::{Clients, credentials},
    failure::About as _,
    operations::Until,
    requests::Requests,
    secret_manager::SecretManager,
    transport::{Transport, http_client},
};

/// One region of one project.  Cheap to clone.
#[derive(Clone, Debug)]
pub struct ComputeEngine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    capabilities: Capabilities,
    clients: Clients,
    secret_manager: SecretManager,
    requests: Requests,
}

impl ComputeEngine {
    /// Prepares the connection: credentials are found and checked for their form, nothing is sent yet.
    ///
    /// TLS uses the process's default provider of cryptography; where none is installed, ring is.
    ///
    /// # Errors
    /// [`CloudError::Credentials`] when the credentials cannot be used.
    #[allow(clippy::unused_async)]
    pub async fn connect(settings: Settings) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been quicker; then its choice stands.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let credentials = credentials(&settings.credentials)?;
        let http = http_client(&settings).about("the connection to the cloud")?;
        let secret_manager = SecretManager::new(http.clone(), &settings, credentials.clone());
        let transport = Transport::new(http, &settings, credentials).about("the connection to the cloud")?;
        let clients = Clients::new(transport);
        let requests = Requests::new(settings.retries, rand::random());
        Ok(Self {
            inner: Arc::new(Inner {
                capabilities: capabilities(),
                settings,
                clients,
                secret_manager,
                requests,
            }),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.inner.clients
    }

    pub(crate) fn sender(&self) -> &Requests {
        &self.inner.requests
    }

    pub(crate) fn secret_manager(&self) -> &SecretManager {
        &self.inner.secret_manager
    }
}

/// The default first.
const DISK_TYPES: &[&str] = &[
    "pd-balanced",
    "pd-ssd",
    "pd-standard",
    "pd-extreme",
    "hyperdisk-balanced",
    "hyperdisk-extreme",
    "hyperdisk-ml",
    "hyperdisk-throughput",
];

fn capabilities() -> Capabilities {
    Capabilities {
        subnets: Subnets::Regional,
        existing_networks: false,
        endpoint: EndpointKind::Address,
        disk_types: DISK_TYPES,
        machine_type: "n1-standard-2",
        timing: Timing {
            create_machine: Duration::from_secs(30),
            join: Duration::from_mins(2),
            delete_machine: Duration::from_mins(1),
            drain: Duration::from_mins(1),
            register: Duration::from_secs(20),
            deregister: Duration::from_secs(30),
            hand_over: Duration::from_secs(20),
        },
    }
}

#[async_trait]
impl Cloud for ComputeEngine {
    fn name(&self) -> &str {
        &self.settings().name
    }

    fn region(&self) -> &str {
        &self.settings().region
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn requests(&self) -> u64 {
        self.inner.requests.sent()
    }

    fn unanswered(&self) -> Option<Unanswered> {
        self.inner.requests.unanswered()
    }

    async fn zones(&self) -> Result<Vec<Zone>> {
        self.zones_on_offer().await
    }

    async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        self.machine_type_in(zone, name).await
    }

    async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory> {
        Box::pin(self.inventory_of(cluster)).await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network> {
        self.ensure_network_and_subnet(spec).await
    }

    async fn delete_network(&self, cluster: &ClusterName) -> Result<()> {
        self.delete_network_and_subnet(cluster).await
    }

    async fn ensure_firewall_rule(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        self.ensure_firewall(spec).await
    }

    async fn delete_firewall_rule(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.delete_firewall_rule_named(cluster, name).await
    }

    async fn ensure_address(&self, spec: &AddressSpec) -> Result<Address> {
        self.ensure_stable_address(spec).await
    }

    async fn delete_address(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.delete_stable_address(cluster, name).await
    }

    async fn attach_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        Box::pin(self.attach_to(cluster, address, to)).await
    }

    async fn detach_address(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        Box::pin(self.detach_from_holder(cluster, address)).await
    }

    async fn move_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        Box::pin(self.move_to(cluster, address, to)).await
    }

    fn is_cut_off(&self, machine: &Machine) -> bool {
        machine.state == MachineState::Running && machine.external_address.is_none()
    }

    async fn reconnect_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.reconnect(cluster, zone, name)).await
    }

    async fn ensure_balancer(&self, spec: &BalancerSpec) -> Result<Balancer> {
        Box::pin(self.ensure_balancer_of(spec)).await
    }

    async fn delete_balancer(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        Box::pin(self.delete_balancer_of(cluster, name)).await
    }

    async fn register_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        self.register_machine(cluster, balancer, zone, machine).await
    }

    async fn deregister_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        self.deregister_machine(cluster, balancer, zone, machine).await
    }

    async fn ensure_machine(&self, spec: &MachineSpec) -> Result<Machine> {
        Box::pin(self.ensure_machine_runs(spec)).await
    }

    async fn start_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.run_existing(cluster, zone, name)).await.map(drop)
    }

    async fn stop_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.stop_instance(cluster, zone, name).await
    }

    async fn delete_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.delete_instance(cluster, zone, name).await
    }

    async fn machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        self.find_machine(zone, name).await
    }

    async fn set_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.label_instance(cluster, zone, name, labels, Until::Done).await
    }

    async fn note_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.label_instance(cluster, zone, name, labels, Until::Accepted).await
    }

    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        self.ensure_zonal_disk(spec).await
    }

    async fn resize_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        self.grow_disk(cluster, zone, name, size_gb).await
    }

    async fn disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        self.find_disk(zone, name).await
    }

    async fn set_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.label_disk(cluster, zone, name, labels, Until::Done).await
    }

    async fn note_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.label_disk(cluster, zone, name, labels, Until::Accepted).await
    }

    async fn delete_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.delete_zonal_disk(cluster, zone, name).await
    }

    async fn ensure_snapshot(&self, zone: &str, disk: &str, snapshot: &str, labels: &Labels) -> Result<()> {
        self.ensure_snapshot_of(zone, disk, snapshot, labels).await
    }

    async fn delete_snapshot(&self, cluster: &ClusterName, snapshot: &str) -> Result<()> {
        self.delete_snapshot_named(cluster, snapshot).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.latest_secret(name).await
    }

    async fn replace_secret(&self, spec: &SecretSpec) -> Result<()> {
        self.replace_stored(spec).await
    }
    async fn ensure_secret(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        self.ensure_stored(spec).await
    }

    async fn grant_secret(&self, name: &str, reader: &str) -> Result<()> {
        self.grant_reader(name, reader).await
    }

    async fn delete_secret(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.delete_stored(cluster, name).await
    }

    async fn notice(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>> {
        self.notice_of(cluster, name).await
    }

    async fn post_notice(
        &self,
        cluster: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>> {
        self.post(cluster, name, text, over).await
    }

    async fn remove_notice(&self, _: &ClusterName, name: &str, notice: &Notice) -> Result<()> {
        self.take_down(name, notice).await
    }

    async fn default_machine_identity(&self, _: &ClusterName) -> Result<String> {
        self.default_service_account().await
    }

    fn provider_id(&self, zone: &str, machine: &str) -> String {
        format!("gce://{}/{zone}/{machine}", self.settings().project)
    }

    fn volume(&self, zone: &str, disk: &str, _: Option<&str>) -> Option<(String, String)> {
        let handle = format!("projects/{}/zones/{zone}/disks/{disk}", self.settings().project);
        Some(("pd.csi.storage.gke.io".to_owned(), handle))
    }

    fn secret_source(&self, name: &str) -> String {
        format!(
            "{}/v1/projects/{}/secrets/{name}",
            self.settings().secret_manager_url(),
            self.settings().project
        )
    }
}
