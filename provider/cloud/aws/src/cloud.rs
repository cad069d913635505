//! The trait, carried by AWS.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use multizone_cloud::{
    Address, AddressHolder, AddressSpec, Balancer, BalancerSpec, Capabilities, Cloud, ClusterName, Disk, DiskSpec,
    EndpointKind, ExistingSubnet, FirewallRule, FirewallSpec, Inventory, Labels, Machine, MachineSpec, MachineType,
    Network, NetworkSpec, Notice, Performance, Result, SecretSpec, Subnets, Timing, Unanswered, Zone,
};

use crate::{Settings, clients::Clients, looks::Looks, requests::Requests};

/// What stands for the instance's ID in a provider ID that is written before the machine exists.
const INSTANCE_ID: &str = "@INSTANCE_ID@";

/// Addresses of a subnet that AWS keeps for itself, and the one that the API's load balancer has in it.
const RESERVED: u64 = 5 + 1;

/// One region of one account.  Cheap to clone.
#[derive(Clone, Debug)]
pub struct Aws {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    capabilities: Capabilities,
    clients: Clients,
    requests: Requests,
    looks: Looks,
}

impl Aws {
    /// Prepares the connection; nothing is asked of the region yet.
    pub async fn connect(settings: Settings) -> Self {
        let clients = Clients::connect(&settings).await;
        Self {
            inner: Arc::new(Inner {
                capabilities: capabilities(),
                clients,
                requests: Requests::new(settings.retries),
                looks: Looks::default(),
                settings,
            }),
        }
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

    pub(crate) fn looks(&self) -> &Looks {
        &self.inner.looks
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        subnets: Subnets::Zonal,
        existing_networks: true,
        endpoint: EndpointKind::DnsName,
        disk_types: &["gp3", "gp2", "io2", "io1", "st1", "sc1"],
        machine_type: "t3.medium",
        timing: Timing {
            create_machine: Duration::from_secs(30),
            join: Duration::from_mins(2),
            delete_machine: Duration::from_mins(1),
            drain: Duration::from_mins(1),
            register: Duration::from_mins(2),
            deregister: Duration::from_secs(30),
            hand_over: Duration::ZERO,
        },
    }
}

#[async_trait]
impl Cloud for Aws {
    fn name(&self) -> &'static str {
        "AWS"
    }

    fn region(&self) -> &str {
        &self.settings().region
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    fn requests(&self) -> u64 {
        self.sender().sent()
    }

    fn unanswered(&self) -> Option<Unanswered> {
        self.sender().unanswered()
    }

    async fn zones(&self) -> Result<Vec<Zone>> {
        Box::pin(self.zones_on_offer()).await
    }

    async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        Box::pin(self.machine_type_in(zone, name)).await
    }

    async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory> {
        Box::pin(self.inventory_of(cluster)).await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network> {
        Box::pin(self.ensure_network_of(spec)).await
    }

    async fn existing_subnets(&self, ids: &[String]) -> Result<Vec<ExistingSubnet>> {
        Box::pin(self.subnets_that_exist(ids)).await
    }

    fn room(&self, range: &ipnet::Ipv4Net) -> Option<u64> {
        Some((1_u64 << (32 - range.prefix_len())).saturating_sub(RESERVED))
    }

    async fn free_addresses(&self, cluster: &ClusterName, zone: &str) -> Result<Option<u64>> {
        Box::pin(self.addresses_left(cluster, zone)).await
    }

    async fn delete_network(&self, cluster: &ClusterName) -> Result<()> {
        Box::pin(self.delete_network_of(cluster)).await
    }

    async fn delete_subnet(&self, cluster: &ClusterName, zone: &str) -> Result<()> {
        Box::pin(self.delete_subnet_of(cluster, zone)).await
    }

    async fn ensure_firewall_rule(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        Box::pin(self.ensure_firewall(spec)).await
    }

    async fn delete_firewall_rule(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        Box::pin(self.delete_firewall(cluster, name)).await
    }

    async fn ensure_address(&self, spec: &AddressSpec) -> Result<Address> {
        Box::pin(self.ensure_address_of(spec)).await
    }

    async fn delete_address(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        Box::pin(self.delete_address_of(cluster, name)).await
    }

    async fn attach_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        Box::pin(self.attach_to(cluster, address, to)).await
    }

    async fn detach_address(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        Box::pin(self.detach(cluster, address)).await
    }

    async fn ensure_balancer(&self, spec: &BalancerSpec) -> Result<Balancer> {
        Box::pin(self.ensure_balancer_of(spec)).await
    }

    async fn delete_balancer(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        Box::pin(self.delete_balancer_of(cluster, name)).await
    }

    async fn register_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        Box::pin(async {
            self.check_balancer(cluster, balancer).await?;
            self.register(cluster, zone, machine).await
        })
        .await
    }

    async fn deregister_target(&self, cluster: &ClusterName, _: &str, zone: &str, machine: &str) -> Result<()> {
        Box::pin(self.deregister(cluster, zone, machine)).await
    }

    async fn ensure_machine(&self, spec: &MachineSpec) -> Result<Machine> {
        Box::pin(self.ensure_machine_runs(spec)).await
    }

    async fn start_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.run_existing(cluster, zone, name)).await.map(drop)
    }

    async fn stop_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.stop_instance(cluster, zone, name)).await
    }

    async fn delete_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.delete_instance(cluster, zone, name)).await
    }

    async fn machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        Box::pin(self.find_machine(zone, name)).await
    }

    async fn set_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        Box::pin(self.label_instance(cluster, zone, name, labels)).await
    }

    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        Box::pin(self.ensure_zonal_disk(spec)).await
    }

    async fn resize_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        Box::pin(self.grow_disk(cluster, zone, name, size_gb)).await
    }

    async fn modify_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        size_gb: i64,
        performance: &Performance,
    ) -> Result<()> {
        Box::pin(self.change_disk(cluster, zone, name, size_gb, Some(performance))).await
    }

    fn unfit_disk(&self, kind: &str, size_gb: i64, performance: &Performance) -> Option<(&'static str, String)> {
        crate::disks::limits::unfit(kind, size_gb, performance)
    }

    async fn disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        Box::pin(self.find_disk(zone, name)).await
    }

    async fn set_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        Box::pin(self.label_disk(cluster, zone, name, labels)).await
    }

    async fn delete_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        Box::pin(self.delete_zonal_disk(cluster, zone, name)).await
    }

    async fn ensure_snapshot(&self, zone: &str, disk: &str, snapshot: &str, labels: &Labels) -> Result<()> {
        Box::pin(self.ensure_snapshot_of(zone, disk, snapshot, labels)).await
    }

    async fn delete_snapshot(&self, cluster: &ClusterName, snapshot: &str) -> Result<()> {
        Box::pin(self.delete_snapshot_named(cluster, snapshot)).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Box::pin(self.latest_secret(name)).await
    }

    async fn ensure_secret(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        Box::pin(self.ensure_stored(spec)).await
    }

    async fn replace_secret(&self, spec: &SecretSpec) -> Result<()> {
        Box::pin(self.replace_stored(spec)).await
    }

    async fn grant_secret(&self, name: &str, reader: &str) -> Result<()> {
        Box::pin(self.grant_reader(name, reader)).await
    }

    async fn delete_secret(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        Box::pin(self.delete_stored(cluster, name)).await
    }

    async fn notice(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>> {
        Box::pin(self.notice_of(cluster, name)).await
    }

    async fn post_notice(
        &self,
        cluster: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>> {
        Box::pin(self.post(cluster, name, text, over)).await
    }

    async fn remove_notice(&self, _: &ClusterName, name: &str, notice: &Notice) -> Result<()> {
        Box::pin(self.take_down(name, notice)).await
    }

    async fn default_machine_identity(&self, cluster: &ClusterName) -> Result<String> {
        Box::pin(self.ensure_identity(cluster)).await
    }

    fn provider_id(&self, zone: &str, _machine: &str) -> String {
        format!("aws:///{zone}/{INSTANCE_ID}")
    }

    fn provider_id_of(&self, machine: &Machine) -> String {
        format!("aws:///{}/{}", machine.zone, machine.id)
    }

    fn volume(&self, _zone: &str, _disk: &str, id: Option<&str>) -> Option<(String, String)> {
        Some(("ebs.csi.aws.com".to_owned(), id?.to_owned()))
    }

    fn secret_source(&self, name: &str) -> String {
        let region = &self.settings().region;
        match &self.settings().endpoint {
            Some(endpoint) => format!("{}/?region={region}#{name}", endpoint.trim_end_matches('/')),
            None => format!("https://secretsmanager.{region}.amazonaws.com/?region={region}#{name}"),
        }
    }
}
