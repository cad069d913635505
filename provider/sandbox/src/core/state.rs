//! All objects of the region in memory, in tables that know how they are stored.

use super::balancers::records::{BackendService, ForwardingRule, HealthCheck, InstanceGroup, Target};
use super::balancers::targets::target_key;
use super::operations::Operation;
use super::records::{
    Address, AnsweredRequest, Disk, Firewall, Instance, Network, Outage, Secret, ServiceAccount, Snapshot, Subnetwork,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers that only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// IDs given out.
    pub ids: u64,
    /// Events recorded.
    pub events: u64,
}

/// Everything the region knows.
#[derive(Default)]
pub struct State {
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) subnetworks: BTreeMap<String, Subnetwork>,
    pub(super) firewalls: BTreeMap<String, Firewall>,
    pub(super) addresses: BTreeMap<String, Address>,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) disks: BTreeMap<String, Disk>,
    pub(super) snapshots: BTreeMap<String, Snapshot>,
    pub(super) health_checks: BTreeMap<String, HealthCheck>,
    pub(super) instance_groups: BTreeMap<String, InstanceGroup>,
    pub(super) backend_services: BTreeMap<String, BackendService>,
    pub(super) forwarding_rules: BTreeMap<String, ForwardingRule>,
    pub(super) targets: BTreeMap<String, Target>,
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) service_accounts: BTreeMap<String, ServiceAccount>,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) outages: BTreeMap<String, Outage>,
    pub(super) answered: BTreeMap<String, AnsweredRequest>,
    pub(super) counters: BTreeMap<String, Counters>,
    /// Operations that are not done, by the moment of their next step.
    pub(super) due: BTreeSet<(Timestamp, String)>,
    /// Grows whenever something changes that machines, network or guests depend on.
    pub(super) layout: u64,
}

/// An object that has a table in the state and rows in the store.
pub trait Record: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Name of the table, and Compute Engine's singular for the object.
    const TABLE: &'static str;
    /// The object's key.
    fn key(&self) -> String;
    /// Its table.
    fn table(state: &State) -> &BTreeMap<String, Self>;
    /// Its table, to change.
    fn table_mut(state: &mut State) -> &mut BTreeMap<String, Self>;
}

macro_rules! record {
    ($type:ty, $table:literal, $field:ident, $key:expr) => {
        impl Record for $type {
            const TABLE: &'static str = $table;
            fn key(&self) -> String {
                let key: fn(&$type) -> String = $key;
                key(self)
            }
            fn table(state: &State) -> &BTreeMap<String, Self> {
                &state.$field
            }
            fn table_mut(state: &mut State) -> &mut BTreeMap<String, Self> {
                &mut state.$field
            }
        }
    };
}

record!(Network, "network", networks, |it| it.identity.name.clone());
record!(Subnetwork, "subnetwork", subnetworks, |it| format!(
    "{}/{}",
    it.region, it.identity.name
));
record!(Firewall, "firewall", firewalls, |it| it.identity.name.clone());
record!(Address, "address", addresses, |it| format!(
    "{}/{}",
    it.region, it.identity.name
));
record!(Instance, "instance", instances, |it| format!(
    "{}/{}",
    it.zone, it.identity.name
));
record!(Disk, "disk", disks, |it| format!("{}/{}", it.zone, it.identity.name));
record!(Snapshot, "snapshot", snapshots, |it| it.identity.name.clone());
record!(HealthCheck, "healthCheck", health_checks, |it| format!(
    "{}/{}",
    it.region, it.identity.name
));
record!(InstanceGroup, "instanceGroup", instance_groups, |it| format!(
    "{}/{}",
    it.zone, it.identity.name
));
record!(BackendService, "backendService", backend_services, |it| format!(
    "{}/{}",
    it.region, it.identity.name
));
record!(ForwardingRule, "forwardingRule", forwarding_rules, |it| format!(
    "{}/{}",
    it.region, it.identity.name
));
record!(Target, "target", targets, |it| target_key(&it.service, &it.instance));
record!(Secret, "secret", secrets, |it| it.identity.name.clone());
record!(ServiceAccount, "serviceAccount", service_accounts, |it| it
    .email
    .clone());
record!(Operation, "operation", operations, |it| it.name.clone());
record!(Outage, "outage", outages, |it| it.zone.clone());
record!(AnsweredRequest, "answeredRequest", answered, |it| it.token.clone());
record!(Counters, "counters", counters, |_| String::new());

macro_rules! read_access {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        impl State {
            $($(#[$doc])* pub fn $name(&self) -> &BTreeMap<String, $type> { &self.$name })*
        }
    };
}

read_access! {
    /// Networks by name.
    networks: Network,
    /// Subnetworks by `REGION/NAME`.
    subnetworks: Subnetwork,
    /// Firewall rules by name.
    firewalls: Firewall,
    /// Reserved addresses by `REGION/NAME`.
    addresses: Address,
    /// Machines by `ZONE/NAME`.
    instances: Instance,
    /// Disks by `ZONE/NAME`.
    disks: Disk,
    /// Snapshots by name.
    snapshots: Snapshot,
    /// Health checks by `REGION/NAME`.
    health_checks: HealthCheck,
    /// Instance groups by `ZONE/NAME`.
    instance_groups: InstanceGroup,
    /// Backend services by `REGION/NAME`.
    backend_services: BackendService,
    /// Forwarding rules by `REGION/NAME`.
    forwarding_rules: ForwardingRule,
    /// Machines behind backend services, by both keys.
    targets: Target,
    /// Secrets by name.
    secrets: Secret,
    /// Service accounts by e-mail address.
    service_accounts: ServiceAccount,
    /// Operations by name.
    operations: Operation,
    /// Zones that are out.
    outages: Outage,
}

impl State {
    /// Grows whenever something changes that the data plane or the guests depend on.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// How many events were recorded.
    pub fn event_count(&self) -> u64 {
        self.counters.get("").map_or(0, |counters| counters.events)
    }

    /// When the next thing happens by itself.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Operations that are not done and change the object at `path`.
    pub fn operations_on<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Operation> {
        self.due
            .iter()
            .filter_map(|(_, name)| self.operations.get(name))
            .filter(move |it| it.target == path)
    }
}
