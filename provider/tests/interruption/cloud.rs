//! A cloud whose calls can be interrupted.

use std::{
    fmt,
    future::{Future, pending},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use multizone_cloud::{
    Address, AddressHolder, AddressSpec, Balancer, BalancerSpec, Capabilities, Cloud, CloudError, ClusterName, Disk,
    DiskSpec, FirewallRule, FirewallSpec, Inventory, Labels, Machine, MachineSpec, MachineType, Network, NetworkSpec,
    Notice, Outage, Result, SecretSpec, Zone,
};

use crate::{
    faults::{Faults, Moment},
    region::Region,
};

/// Passes calls on to a cloud, interrupted as the faults say.
pub(crate) struct Interrupted<C> {
    pub(crate) cloud: C,
    pub(crate) faults: Arc<Faults>,
    pub(crate) region: Arc<Mutex<Region>>,
}

impl<C> fmt::Debug for Interrupted<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupted").finish_non_exhaustive()
    }
}

impl<C> Interrupted<C> {
    async fn pass<T>(&self, name: &str, object: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.faults.call(&format!("{name} {object}")) {
            None => call.await,
            Some(Moment::KilledBefore) => {
                self.faults.kill();
                pending().await
            }
            Some(Moment::KilledAfter) => {
                let _ = call.await;
                self.faults.kill();
                pending().await
            }
            Some(Moment::ReplyLost) => {
                let _ = call.await;
                Err(CloudError::Unavailable {
                    object: object.to_owned(),
                    outage: Outage::Silent,
                    attempts: 1,
                    reason: "the reply was lost on purpose".to_owned(),
                })
            }
            Some(Moment::SandboxRestarted) => {
                self.region.lock().unwrap().restart();
                call.await
            }
            Some(Moment::Outage(zone)) => {
                self.region.lock().unwrap().operate("outage", zone);
                call.await
            }
            Some(Moment::KilledInOutage(zone)) => {
                let _ = call.await;
                self.region.lock().unwrap().operate("outage", zone);
                self.faults.kill();
                pending().await
            }
            Some(Moment::Meddled(verb, machine)) => {
                let made = call.await;
                self.region.lock().unwrap().operate(verb, machine);
                made
            }
        }
    }
}

#[async_trait]
impl<C: Cloud> Cloud for Interrupted<C> {
    fn name(&self) -> &str {
        self.cloud.name()
    }
    fn region(&self) -> &str {
        self.cloud.region()
    }
    fn capabilities(&self) -> &Capabilities {
        self.cloud.capabilities()
    }
    fn requests(&self) -> u64 {
        self.cloud.requests()
    }
    async fn zones(&self) -> Result<Vec<Zone>> {
        self.cloud.zones().await
    }
    async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        self.cloud.machine_type(zone, name).await
    }
    async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory> {
        self.cloud.inventory(cluster).await
    }
    async fn machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        self.cloud.machine(zone, name).await
    }
    async fn disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        self.cloud.disk(zone, name).await
    }
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network> {
        self.pass("ensure_network", "", self.cloud.ensure_network(spec)).await
    }
    async fn delete_network(&self, cluster: &ClusterName) -> Result<()> {
        self.pass("delete_network", "", self.cloud.delete_network(cluster))
            .await
    }
    async fn ensure_firewall_rule(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        self.pass(
            "ensure_firewall_rule",
            &spec.name,
            self.cloud.ensure_firewall_rule(spec),
        )
        .await
    }
    async fn delete_firewall_rule(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let call = self.cloud.delete_firewall_rule(cluster, name);
        self.pass("delete_firewall_rule", name, call).await
    }
    async fn ensure_address(&self, spec: &AddressSpec) -> Result<Address> {
        self.pass("ensure_address", &spec.name, self.cloud.ensure_address(spec))
            .await
    }
    async fn delete_address(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.pass("delete_address", name, self.cloud.delete_address(cluster, name))
            .await
    }
    async fn attach_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        let call = self.cloud.attach_address(cluster, address, to);
        self.pass("attach_address", address, call).await
    }
    async fn detach_address(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        self.pass("detach_address", address, self.cloud.detach_address(cluster, address))
            .await
    }
    async fn move_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        let call = self.cloud.move_address(cluster, address, to);
        self.pass("move_address", address, call).await
    }
    fn is_cut_off(&self, machine: &Machine) -> bool {
        self.cloud.is_cut_off(machine)
    }
    async fn reconnect_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let call = self.cloud.reconnect_machine(cluster, zone, name);
        self.pass("reconnect_machine", name, call).await
    }
    async fn ensure_balancer(&self, spec: &BalancerSpec) -> Result<Balancer> {
        self.pass("ensure_balancer", &spec.name, self.cloud.ensure_balancer(spec))
            .await
    }
    async fn delete_balancer(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.pass("delete_balancer", name, self.cloud.delete_balancer(cluster, name))
            .await
    }
    async fn register_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        let call = self.cloud.register_target(cluster, balancer, zone, machine);
        self.pass("register_target", machine, call).await
    }
    async fn deregister_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        let call = self.cloud.deregister_target(cluster, balancer, zone, machine);
        self.pass("deregister_target", machine, call).await
    }
    async fn ensure_machine(&self, spec: &MachineSpec) -> Result<Machine> {
        self.pass("ensure_machine", &spec.name, self.cloud.ensure_machine(spec))
            .await
    }
    async fn start_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.pass("start_machine", name, self.cloud.start_machine(cluster, zone, name))
            .await
    }
    async fn stop_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.pass("stop_machine", name, self.cloud.stop_machine(cluster, zone, name))
            .await
    }
    async fn delete_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.pass("delete_machine", name, self.cloud.delete_machine(cluster, zone, name))
            .await
    }
    async fn set_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        let call = self.cloud.set_machine_labels(cluster, zone, name, labels);
        self.pass("set_machine_labels", name, call).await
    }
    async fn note_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        let call = self.cloud.note_machine_labels(cluster, zone, name, labels);
        self.pass("set_machine_labels", name, call).await
    }
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        self.pass("ensure_disk", &spec.zone, self.cloud.ensure_disk(spec)).await
    }
    async fn resize_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        self.pass(
            "resize_disk",
            zone,
            self.cloud.resize_disk(cluster, zone, name, size_gb),
        )
        .await
    }
    async fn set_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        let call = self.cloud.set_disk_labels(cluster, zone, name, labels);
        self.pass("set_disk_labels", zone, call).await
    }
    async fn note_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        let call = self.cloud.note_disk_labels(cluster, zone, name, labels);
        self.pass("set_disk_labels", zone, call).await
    }
    async fn delete_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.pass("delete_disk", zone, self.cloud.delete_disk(cluster, zone, name))
            .await
    }
    async fn ensure_snapshot(&self, zone: &str, disk: &str, snapshot: &str, labels: &Labels) -> Result<()> {
        let call = self.cloud.ensure_snapshot(zone, disk, snapshot, labels);
        self.pass("ensure_snapshot", zone, call).await
    }
    async fn delete_snapshot(&self, cluster: &ClusterName, snapshot: &str) -> Result<()> {
        self.pass("delete_snapshot", "", self.cloud.delete_snapshot(cluster, snapshot))
            .await
    }
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.cloud.secret(name).await
    }
    async fn ensure_secret(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        self.pass("ensure_secret", &spec.name, self.cloud.ensure_secret(spec))
            .await
    }
    async fn replace_secret(&self, spec: &SecretSpec) -> Result<()> {
        self.pass("replace_secret", &spec.name, self.cloud.replace_secret(spec))
            .await
    }
    async fn grant_secret(&self, name: &str, reader: &str) -> Result<()> {
        self.pass("grant_secret", name, self.cloud.grant_secret(name, reader))
            .await
    }
    async fn delete_secret(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        self.pass("delete_secret", name, self.cloud.delete_secret(cluster, name))
            .await
    }
    async fn notice(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>> {
        self.cloud.notice(cluster, name).await
    }
    async fn post_notice(
        &self,
        cluster: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>> {
        let call = self.cloud.post_notice(cluster, name, text, over);
        self.pass("post_notice", name, call).await
    }
    async fn remove_notice(&self, cluster: &ClusterName, name: &str, notice: &Notice) -> Result<()> {
        let call = self.cloud.remove_notice(cluster, name, notice);
        self.pass("remove_notice", name, call).await
    }
    async fn default_machine_identity(&self, cluster: &ClusterName) -> Result<String> {
        self.cloud.default_machine_identity(cluster).await
    }
    fn provider_id(&self, zone: &str, machine: &str) -> String {
        self.cloud.provider_id(zone, machine)
    }
    fn volume(&self, zone: &str, disk: &str, id: Option<&str>) -> Option<(String, String)> {
        self.cloud.volume(zone, disk, id)
    }
    fn secret_source(&self, name: &str) -> String {
        self.cloud.secret_source(name)
    }
}
