//! A region in memory, for tests: one that can lose a call or its reply.

mod balancers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use multizone_cloud::{
    Address, AddressHolder, AddressSpec, Balancer, BalancerSpec, Capabilities, Cloud, CloudError, ClusterName, Disk,
    DiskSpec, EndpointKind, FirewallRule, FirewallSpec, Inventory, Labels, Machine, MachineSpec, MachineState,
    MachineType, Network, NetworkSpec, Notice, Outage, Performance, Result, SecretSpec, Subnet, Subnets, Timing, Zone,
    label,
};

use crate::configuration::{Configured, Destroy};

/// What happens to one changing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call never arrives.
    Before,
    /// The call is carried out, its reply is lost.
    After,
}

/// A region of one cluster, in memory.
#[derive(Debug)]
pub(crate) struct MemoryCloud {
    capabilities: Capabilities,
    state: Mutex<State>,
    changes: AtomicU64,
    looks: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    inventory: Inventory,
    secrets: BTreeMap<String, Vec<u8>>,
    notices: BTreeMap<String, Notice>,
    snapshots: BTreeSet<String>,
    fault: Option<(u64, Fault, CloudError)>,
    hidden: Option<CloudError>,
    lost_from: Option<u64>,
    /// Without the cluster's label, or with another's.
    strays: BTreeMap<String, Option<String>>,
    kept_back: BTreeMap<String, CloudError>,
    forgetful: bool,
    /// Of each zone's subnet.
    free_addresses: Option<u64>,
}

impl State {
    fn check_label(&self, secret: &str) -> Result<()> {
        if self.strays.contains_key(secret) {
            let object = format!("secret {secret}");
            return Err(CloudError::NotOurs { object });
        }
        Ok(())
    }

    fn check_owner(&self, kind: &str, zone: &str, name: &str) -> Result<()> {
        if self.stray(zone, name).is_some() {
            let object = format!("{kind} {name} in {zone}");
            return Err(CloudError::NotOurs { object });
        }
        Ok(())
    }

    /// Whether the cluster's label is missing (`None`) or another cluster's.
    fn stray(&self, zone: &str, name: &str) -> Option<&Option<String>> {
        let here = self.strays.get(&format!("{zone}/{name}"));
        here.or_else(|| self.strays.get(name))
    }

    /// The labels that a disk or a machine is found with.
    fn as_found(&self, zone: &str, name: &str, labels: &mut Labels) {
        if let Some(other) = self.stray(zone, name) {
            labels.remove(label::CLUSTER);
            labels.extend(other.iter().map(|other| (label::CLUSTER.to_owned(), other.clone())));
        }
    }

    /// A cluster's label is given to what has none; another cluster's stays.
    fn labelled_again(&mut self, name: &str, labels: &Labels) {
        if labels.contains_key(label::CLUSTER) && self.strays.get(name) == Some(&None) {
            self.strays.remove(name);
        }
    }
}

impl MemoryCloud {
    /// An empty region, and a provider on it.
    pub(crate) fn region() -> (Arc<Self>, Configured) {
        Self::region_with(Subnets::Regional, EndpointKind::Address)
    }

    /// The same, whose endpoints are the names of balancers.
    #[allow(dead_code)]
    pub(crate) fn region_of_names() -> (Arc<Self>, Configured) {
        Self::region_with(Subnets::Regional, EndpointKind::DnsName)
    }

    /// The same as the first, whose zones have subnets of their own, with that many free addresses each.
    pub(crate) fn region_with_free_addresses(free: u64) -> (Arc<Self>, Configured) {
        let (cloud, provider) = Self::region_with(Subnets::Zonal, EndpointKind::Address);
        cloud.lock().free_addresses = Some(free);
        (cloud, provider)
    }

    fn region_with(subnets: Subnets, endpoint: EndpointKind) -> (Arc<Self>, Configured) {
        let second = Duration::from_secs(1);
        let cloud = Arc::new(Self {
            capabilities: Capabilities {
                subnets,
                existing_networks: false,
                endpoint,
                disk_types: &["pd-balanced", "pd-ssd", "pd-standard"],
                machine_type: "n1-standard-2",
                timing: Timing {
                    create_machine: second,
                    join: second,
                    delete_machine: second,
                    drain: second,
                    register: second,
                    deregister: second,
                    hand_over: second,
                },
            },
            state: Mutex::default(),
            changes: AtomicU64::new(0),
            looks: AtomicU64::new(0),
        });
        let provider = Configured::new(cloud.clone(), Destroy::default());
        (cloud, provider)
    }

    /// The changing calls made so far.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// How often the inventory was asked for.
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    /// Lets the changing call after `after` further ones fail.
    pub(crate) fn fail(&self, after: u64, fault: Fault) {
        let lost = CloudError::Unavailable {
            object: "the call".into(),
            outage: Outage::Silent,
            attempts: 3,
            reason: "lost".into(),
        };
        self.lock().fault = Some((self.changes() + after, fault, lost));
    }

    /// Refuses the changing call after `after` further ones.
    #[allow(dead_code)]
    pub(crate) fn refuse(&self, after: u64, error: CloudError) {
        self.lock().fault = Some((self.changes() + after, Fault::Before, error));
    }

    /// Answers every question with this error, or as usual again.
    #[allow(dead_code)]
    pub(crate) fn hide(&self, error: Option<CloudError>) {
        self.lock().hidden = error;
    }

    /// Answers every question about this secret with this error, or as usual again.
    #[allow(dead_code)]
    pub(crate) fn keep_back(&self, secret: &str, error: Option<CloudError>) {
        let mut state = self.lock();
        match error {
            Some(error) => state.kept_back.insert(secret.to_owned(), error),
            None => state.kept_back.remove(secret),
        };
    }

    /// Confirms every change of machines, addresses and balancers from now on, and shows none.
    #[allow(dead_code)]
    pub(crate) fn forget_changes(&self) {
        self.lock().forgetful = true;
    }

    /// Becomes unreachable at the changing call after `after` further ones.
    #[allow(dead_code)]
    pub(crate) fn lose(&self, after: u64) {
        self.lock().lost_from = Some(self.changes() + after);
    }

    /// Takes the cluster's label from a secret, a disk or a machine.
    #[allow(dead_code)]
    pub(crate) fn unlabel(&self, name: &str) {
        self.lock().strays.insert(name.to_owned(), None);
    }

    /// Gives a disk or a machine (`NAME`, or `ZONE/NAME`) another cluster's label.
    #[allow(dead_code)]
    pub(crate) fn give(&self, name: &str, cluster: &str) {
        self.lock().strays.insert(name.to_owned(), Some(cluster.to_owned()));
    }

    /// Stores a secret behind the provider's back, or takes it away.
    pub(crate) fn tamper_with_secret(&self, name: &str, content: Option<&[u8]>) {
        let mut state = self.lock();
        match content {
            Some(content) => state.secrets.insert(name.to_owned(), content.to_vec()),
            None => state.secrets.remove(name),
        };
    }

    /// Answers a question, unless it is hidden.
    fn answer<T>(&self, answer: impl FnOnce(&State) -> T) -> Result<T> {
        let state = self.lock();
        state.hidden.clone().map_or_else(|| Ok(answer(&state)), Err)
    }

    /// Changes what exists behind the provider's back.
    pub(crate) fn tamper(&self, change: impl FnOnce(&mut Inventory)) {
        change(&mut self.lock().inventory);
    }

    /// Everything that exists.
    pub(crate) fn all(&self) -> Inventory {
        let state = self.lock();
        let mut inventory = state.inventory.clone();
        let labelled = |name: &&String| !state.strays.contains_key(*name);
        inventory.secrets = state.secrets.keys().filter(labelled).cloned().collect();
        inventory.snapshots = state.snapshots.iter().cloned().collect();
        inventory
            .disks
            .retain(|disk| state.stray(&disk.zone, &disk.name).is_none());
        let ours = |machine: &Machine| state.stray(&machine.zone, &machine.name).is_none();
        inventory.machines.retain(ours);
        inventory
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Carries out a change, unless it is the one that fails.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        let mut state = self.lock();
        if state.lost_from.is_some_and(|from| number >= from) {
            let error = CloudError::Unavailable {
                object: "the region".into(),
                outage: Outage::Silent,
                attempts: 5,
                reason: "connection refused".into(),
            };
            state.hidden = Some(error.clone());
            return Err(error);
        }
        match state.fault.take_if(|(at, _, _)| *at == number) {
            Some((_, Fault::Before, error)) => Err(error),
            Some((_, Fault::After, error)) => change(&mut state).and(Err(error)),
            None if state.forgetful => {
                let before = state.inventory.clone();
                let confirmed = change(&mut state);
                state.inventory = before;
                confirmed
            }
            None => change(&mut state),
        }
    }
}

/// A machine of this name, zone and these labels, that runs.
pub(crate) fn machine(zone: &str, name: &str, labels: Labels) -> Machine {
    Machine {
        id: name.to_owned(),
        name: name.to_owned(),
        zone: zone.to_owned(),
        state: MachineState::Running,
        machine_type: "n1-standard-2".to_owned(),
        address: None,
        external_address: None,
        disks: Vec::new(),
        labels,
        created: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn missing(kind: &str, name: &str) -> CloudError {
    CloudError::NotFound {
        object: format!("{kind} {name}"),
    }
}

fn in_use(object: &str, reason: String) -> CloudError {
    CloudError::InUse {
        object: object.to_owned(),
        reason,
    }
}

#[async_trait]
impl Cloud for MemoryCloud {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn region(&self) -> &'static str {
        "us-central1"
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    fn requests(&self) -> u64 {
        self.changes()
    }
    async fn zones(&self) -> Result<Vec<Zone>> {
        let zone = |name: &str| Zone {
            name: name.to_owned(),
            up: true,
        };
        self.answer(|_| ["us-central1-a", "us-central1-b"].map(zone).to_vec())
    }
    async fn free_addresses(&self, _: &ClusterName, _: &str) -> Result<Option<u64>> {
        self.answer(|state| state.free_addresses)
    }
    async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        if !self.zones().await?.iter().any(|known| known.name == zone) {
            return Err(missing("zone", zone));
        }
        let offered = |cpus, memory_mib| {
            Some(MachineType {
                name: name.to_owned(),
                cpus,
                memory_mib,
            })
        };
        Ok(match name {
            "n1-standard-2" => offered(2, 7680),
            "n1-standard-4" => offered(4, 15_360),
            "n1-standard-1" => offered(1, 3840),
            "e2-micro" => offered(2, 1024),
            _ => None,
        })
    }
    async fn inventory(&self, _cluster: &ClusterName) -> Result<Inventory> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let all = self.answer(|_| ()).map(|()| self.all());
        // An answer takes its time, and what it says was true when it began.
        tokio::task::yield_now().await;
        all
    }
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network> {
        let cidr = spec.cidr.unwrap_or_else(|| "10.0.0.0/20".parse().unwrap());
        let name = format!("network-{}", spec.cluster);
        let subnets = vec![Subnet {
            name: name.clone(),
            zone: None,
            cidr,
        }];
        let made = Network {
            name,
            cidr: Some(cidr),
            subnets,
            existing: false,
            unexpected: None,
        };
        self.change(|state| Ok(state.inventory.network.get_or_insert(made).clone()))
    }
    async fn delete_network(&self, _cluster: &ClusterName) -> Result<()> {
        self.change(|state| {
            if !state.inventory.machines.is_empty() {
                return Err(in_use("network", "machines".to_owned()));
            }
            state.inventory.network = None;
            state.inventory.firewall_rules.clear();
            Ok(())
        })
    }
    async fn ensure_firewall_rule(&self, spec: &FirewallSpec) -> Result<FirewallRule> {
        let rule = FirewallRule {
            name: spec.name.clone(),
            spec: spec.clone(),
            unexpected: None,
        };
        self.change(|state| {
            state.inventory.firewall_rules.retain(|known| known.name != rule.name);
            state.inventory.firewall_rules.push(rule.clone());
            Ok(rule)
        })
    }
    async fn delete_firewall_rule(&self, _cluster: &ClusterName, name: &str) -> Result<()> {
        self.change(|state| {
            state.inventory.firewall_rules.retain(|known| known.name != name);
            Ok(())
        })
    }
    async fn ensure_address(&self, spec: &AddressSpec) -> Result<Address> {
        self.change(|state| {
            if let Some(known) = state.inventory.address(&spec.name) {
                return Ok(known.clone());
            }
            let address = Address {
                name: spec.name.clone(),
                address: [203, 0, 113, 10].into(),
                holder: None,
                labels: spec.labels.clone(),
                unexpected: None,
            };
            state.inventory.addresses.push(address.clone());
            Ok(address)
        })
    }
    async fn delete_address(&self, _cluster: &ClusterName, name: &str) -> Result<()> {
        self.change(|state| {
            if let Some(holder) = state.inventory.address(name).and_then(|known| known.holder.clone()) {
                return Err(in_use(&format!("address {name}"), format!("{holder} holds it")));
            }
            state.inventory.addresses.retain(|known| known.name != name);
            Ok(())
        })
    }
    async fn attach_address(&self, _cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        self.change(|state| state.attach(address, to))
    }
    async fn detach_address(&self, _cluster: &ClusterName, address: &str) -> Result<()> {
        self.change(|state| state.detach(address))
    }
    async fn ensure_balancer(&self, spec: &BalancerSpec) -> Result<Balancer> {
        let zones = self.zones().await?;
        if let Some(zone) = spec
            .zones
            .iter()
            .find(|zone| zones.iter().all(|known| known.name != **zone))
        {
            return Err(missing("zone", zone));
        }
        self.change(|state| state.ensure_balancer(spec))
    }
    async fn delete_balancer(&self, _cluster: &ClusterName, name: &str) -> Result<()> {
        self.change(|state| state.delete_balancer(name))
    }
    async fn register_target(&self, _cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        self.change(|state| state.register(balancer, zone, machine))
    }
    async fn deregister_target(&self, _cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        self.change(|state| {
            state.deregister(balancer, zone, machine);
            Ok(())
        })
    }
    async fn ensure_machine(&self, spec: &MachineSpec) -> Result<Machine> {
        self.change(|state| {
            if let Some(known) = state.inventory.machine(&spec.zone, &spec.name) {
                return Ok(known.clone());
            }
            if let Some(address) = &spec.address {
                let known = state.inventory.address(address);
                let known = known.ok_or_else(|| missing("address", address))?;
                if let Some(holder) = &known.holder {
                    return Err(in_use(&format!("address {address}"), format!("{holder} holds it")));
                }
            }
            let machine = machine(&spec.zone, &spec.name, spec.labels.clone());
            state.inventory.machines.push(machine.clone());
            if let Some(address) = &spec.address {
                state.attach(
                    address,
                    &AddressHolder::Machine {
                        zone: spec.zone.clone(),
                        name: spec.name.clone(),
                    },
                )?;
            }
            Ok(machine)
        })
    }
    async fn start_machine(&self, _: &ClusterName, _zone: &str, name: &str) -> Result<()> {
        self.change(|state| {
            let found = state.inventory.machines.iter_mut().find(|machine| machine.name == name);
            found.ok_or_else(|| missing("machine", name))?.state = MachineState::Running;
            Ok(())
        })
    }
    async fn stop_machine(&self, _: &ClusterName, _zone: &str, name: &str) -> Result<()> {
        self.change(|state| {
            let mut found = state
                .inventory
                .machines
                .iter_mut()
                .filter(|machine| machine.name == name);
            if let Some(machine) = found.next() {
                machine.state = MachineState::Halted;
            }
            Ok(())
        })
    }
    async fn delete_machine(&self, _: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.change(|state| {
            state.check_owner("machine", zone, name)?;
            state.lose_machine(zone, name);
            state
                .inventory
                .machines
                .retain(|known| known.zone != zone || known.name != name);
            Ok(())
        })
    }
    async fn machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        self.answer(|state| {
            let mut found = state.inventory.machine(zone, name).cloned()?;
            state.as_found(zone, name, &mut found.labels);
            Some(found)
        })
    }
    async fn set_machine_labels(&self, _: &ClusterName, _zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.change(|state| {
            let found = state.inventory.machines.iter_mut().find(|machine| machine.name == name);
            found.ok_or_else(|| missing("machine", name))?.labels = labels.clone();
            state.labelled_again(name, labels);
            Ok(())
        })
    }
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<Disk> {
        self.change(|state| {
            if let Some(known) = state.inventory.disk(&spec.zone, &spec.name) {
                return Ok(known.clone());
            }
            if let Some(snapshot) = spec
                .snapshot
                .as_ref()
                .filter(|snapshot| !state.snapshots.contains(*snapshot))
            {
                return Err(missing("snapshot", snapshot));
            }
            let disk = Disk {
                id: spec.name.clone(),
                name: spec.name.clone(),
                zone: spec.zone.clone(),
                size_gb: spec.size_gb,
                disk_type: spec.disk_type.clone(),
                performance: spec.performance,
                usual: Performance::default(),
                attached_to: Vec::new(),
                labels: spec.labels.clone(),
            };
            state.inventory.disks.push(disk.clone());
            Ok(disk)
        })
    }
    async fn resize_disk(&self, _: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()> {
        self.change(|state| {
            let found = state
                .inventory
                .disks
                .iter_mut()
                .find(|disk| disk.zone == zone && disk.name == name);
            found.ok_or_else(|| missing("disk", name))?.size_gb = size_gb;
            Ok(())
        })
    }
    async fn disk(&self, zone: &str, name: &str) -> Result<Option<Disk>> {
        self.answer(|state| {
            let mut found = state.inventory.disk(zone, name).cloned()?;
            state.as_found(zone, name, &mut found.labels);
            Some(found)
        })
    }
    async fn set_disk_labels(&self, _: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.change(|state| {
            let found = state
                .inventory
                .disks
                .iter_mut()
                .find(|disk| disk.zone == zone && disk.name == name);
            found.ok_or_else(|| missing("disk", name))?.labels = labels.clone();
            state.labelled_again(name, labels);
            Ok(())
        })
    }
    async fn delete_disk(&self, _: &ClusterName, zone: &str, name: &str) -> Result<()> {
        self.change(|state| {
            state.check_owner("disk", zone, name)?;
            state
                .inventory
                .disks
                .retain(|known| known.zone != zone || known.name != name);
            Ok(())
        })
    }
    async fn ensure_snapshot(&self, zone: &str, disk: &str, snapshot: &str, labels: &Labels) -> Result<()> {
        assert!(labels.contains_key(label::CLUSTER));
        self.change(|state| {
            if state.inventory.disk(zone, disk).is_none() {
                return Err(missing("disk", disk));
            }
            state.snapshots.insert(snapshot.to_owned());
            Ok(())
        })
    }
    async fn delete_snapshot(&self, _: &ClusterName, snapshot: &str) -> Result<()> {
        self.change(|state| {
            state.snapshots.remove(snapshot);
            Ok(())
        })
    }
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        // As any cloud it lets others go on before it answers.
        tokio::task::yield_now().await;
        let kept_back = self.lock().kept_back.get(name).cloned();
        kept_back.map_or_else(|| self.answer(|state| state.secrets.get(name).cloned()), Err)
    }
    async fn ensure_secret(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        self.change(|state| {
            state.check_label(&spec.name)?;
            Ok(state
                .secrets
                .entry(spec.name.clone())
                .or_insert(spec.content.clone())
                .clone())
        })
    }
    async fn replace_secret(&self, spec: &SecretSpec) -> Result<()> {
        self.change(|state| {
            state.check_label(&spec.name)?;
            state.secrets.insert(spec.name.clone(), spec.content.clone());
            Ok(())
        })
    }
    async fn grant_secret(&self, _name: &str, _reader: &str) -> Result<()> {
        self.change(|_| Ok(()))
    }
    async fn delete_secret(&self, _: &ClusterName, name: &str) -> Result<()> {
        self.change(|state| {
            state.secrets.remove(name);
            state.notices.remove(name);
            Ok(())
        })
    }
    async fn notice(&self, _: &ClusterName, name: &str) -> Result<Option<Notice>> {
        self.answer(|state| state.notices.get(name).cloned())
    }
    async fn post_notice(
        &self,
        _: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>> {
        self.change(|state| {
            if state.notices.get(name) != over {
                return Ok(None);
            }
            let earlier = over.map_or(0, |over| over.version.parse::<u64>().unwrap_or_default());
            let notice = Notice {
                text: text.to_owned(),
                version: (earlier + 1).to_string(),
            };
            state.notices.insert(name.to_owned(), notice.clone());
            Ok(Some(notice))
        })
    }
    async fn remove_notice(&self, _: &ClusterName, name: &str, notice: &Notice) -> Result<()> {
        self.change(|state| {
            if state.notices.get(name) == Some(notice) {
                state.notices.remove(name);
            }
            Ok(())
        })
    }
    async fn default_machine_identity(&self, _: &ClusterName) -> Result<String> {
        Ok("default@example".to_owned())
    }
    fn provider_id(&self, zone: &str, machine: &str) -> String {
        format!("memory://{zone}/{machine}")
    }
    fn volume(&self, zone: &str, disk: &str, _: Option<&str>) -> Option<(String, String)> {
        Some(("memory.example".to_owned(), format!("{zone}/{disk}")))
    }
    fn secret_source(&self, name: &str) -> String {
        format!("https://secrets.example/v1/projects/p/secrets/{name}")
    }
}
