//! The core by itself, on a clock of the test's own.
#![allow(clippy::unwrap_used)]

use super::addresses::NewAddress;
use super::disks::{DiskSource, NewDisk};
use super::firewalls::FirewallSettings;
use super::instance_changes::Attachment;
use super::instances::{DiskOrigin, NewAccess, NewAttachment, NewInstance};
use super::names::fingerprint;
use super::networks::{NewNetwork, NewSubnetwork};
use super::operations::{Operation, OperationStatus};
use super::records::{Allowed, Binding, InstanceStatus, Labels, MachineIdentity};
use super::{Block, Core, Refusal, Settings, Store, Transaction, catalogue, view};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const A: &str = "us-central1-a";
const B: &str = "us-central1-b";
const REGION: &str = "us-central1";

struct Bench {
    core: Core,
    now: Timestamp,
}

fn settings() -> Settings {
    Settings {
        region: catalogue::region(REGION).unwrap(),
        project: "sandbox".to_owned(),
        project_number: 1,
        block: Block::new(9).unwrap(),
        speed: 1.0,
    }
}

impl Bench {
    fn new() -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Self {
            core: Core::open(settings(), Store::in_memory().unwrap(), now).unwrap(),
            now,
        }
    }

    fn ask<T>(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.core.transact("api", self.now, work)
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.core.advance(self.now).unwrap();
    }

    /// Asks, and lets the operation end.
    fn done(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<Operation, Refusal>) -> Operation {
        let name = self.ask(work).unwrap().name;
        self.pass(120);
        let operation = self.core.state().operations()[&name].clone();
        assert_eq!(operation.status, OperationStatus::Done);
        operation
    }

    /// Asks for what must be refused, and checks that nothing has changed.
    fn refused(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<Operation, Refusal>) -> Refusal {
        let before = self.snapshot();
        let refusal = self.ask(work).unwrap_err();
        assert_eq!(before, self.snapshot(), "a refusal changed something");
        refusal
    }

    fn snapshot(&self) -> String {
        let state = self.core.state();
        serde_json::to_string(&(
            (
                state.networks(),
                state.subnetworks(),
                state.firewalls(),
                state.addresses(),
            ),
            (state.instances(), state.disks(), state.snapshots(), state.operations()),
            (state.event_count(), state.next_due()),
        ))
        .unwrap()
    }

    fn disk(&mut self, zone: &str, name: &str) -> Operation {
        let new = disk(zone, name);
        self.done(|it| it.insert_disk(&new))
    }

    fn machine(&mut self, zone: &str, name: &str) -> Operation {
        self.done(|it| it.insert_instance(machine(zone, name)))
    }

    fn status(&self, key: &str) -> InstanceStatus {
        self.core.state().instances()[key].status
    }
}

fn disk(zone: &str, name: &str) -> NewDisk {
    NewDisk {
        name: name.to_owned(),
        zone: zone.to_owned(),
        size_gb: Some(10),
        ..NewDisk::default()
    }
}

fn boot_disk() -> NewAttachment {
    let family = DiskSource::Image {
        project: "ubuntu-os-cloud".to_owned(),
        name: "ubuntu-2404-lts-amd64".to_owned(),
        family: true,
    };
    NewAttachment {
        origin: DiskOrigin::New(Box::new(NewDisk {
            source: family,
            ..NewDisk::default()
        })),
        boot: true,
        auto_delete: true,
        device_name: None,
        read_only: false,
    }
}

fn machine(zone: &str, name: &str) -> NewInstance {
    NewInstance {
        name: name.to_owned(),
        zone: zone.to_owned(),
        machine_type: (None, "n1-standard-2".to_owned()),
        disks: vec![boot_disk()],
        interfaces: 1,
        access: Some(NewAccess::default()),
        ..NewInstance::default()
    }
}

fn existing(zone: &str, name: &str) -> NewAttachment {
    NewAttachment {
        origin: DiskOrigin::Existing(zone.to_owned(), name.to_owned()),
        boot: false,
        auto_delete: false,
        device_name: None,
        read_only: false,
    }
}

fn address(name: &str) -> NewAddress {
    NewAddress {
        name: name.to_owned(),
        region: REGION.to_owned(),
        ..NewAddress::default()
    }
}

fn network(name: &str) -> NewNetwork {
    NewNetwork {
        name: name.to_owned(),
        auto_create_subnetworks: Some(false),
        ..NewNetwork::default()
    }
}

fn subnetwork(network: &str, name: &str, range: &str) -> NewSubnetwork {
    NewSubnetwork {
        name: name.to_owned(),
        region: REGION.to_owned(),
        network: network.to_owned(),
        range: range.to_owned(),
        ..NewSubnetwork::default()
    }
}

fn labels(key: &str, value: &str) -> Labels {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

#[test]
fn a_machine_goes_through_its_states_and_its_operation_with_it() {
    let mut bench = Bench::new();
    let operation = bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    assert_eq!((operation.status, operation.progress()), (OperationStatus::Pending, 0));
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Provisioning);
    bench.pass(5);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Running
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Staging);
    assert!(!bench.core.state().instances()["us-central1-a/m"].powered);
    bench.pass(7);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);

    bench.ask(|it| it.stop_instance(A, "m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Stopping);
    bench.pass(25);
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Terminated);
    assert_eq!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address,
        None
    );
    bench.done(|it| it.start_instance(A, "m"));
    assert!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address
            .is_some()
    );

    bench.ask(|it| it.delete_instance(A, "m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Stopping);
    bench.pass(30);
    assert!(bench.core.state().instances().is_empty());
    assert!(
        bench.core.state().disks().is_empty(),
        "the boot disk goes with its machine"
    );
}

#[test]
fn a_reset_takes_the_power_for_a_moment() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.ask(|it| it.reset_instance(A, "m")).unwrap();
    bench.pass(1);
    assert!(!bench.core.state().instances()["us-central1-a/m"].powered);
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    bench.pass(4);
    assert!(bench.core.state().instances()["us-central1-a/m"].powered);
}

#[test]
fn names_zones_types_and_images_are_checked() {
    let mut bench = Bench::new();
    let refusal = bench.refused(|it| it.insert_instance(machine(A, "Bad_Name")));
    assert_eq!((refusal.status, refusal.reason), (400, "invalid"));
    assert!(refusal.message.contains("Must be a match of regex"), "{refusal}");
    let refusal = bench.refused(|it| it.insert_instance(machine("us-central1-z", "m")));
    assert!(refusal.message.contains("Unknown zone"), "{refusal}");
    let refusal = bench.refused(|it| it.insert_instance(machine("europe-west1-b", "m")));
    assert!(refusal.message.contains("europe-west1"), "{refusal}");

    let mut new = machine(A, "m");
    new.machine_type = (None, "n9-huge".to_owned());
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("does not exist in zone")
    );
    let mut new = machine(A, "m");
    new.machine_type = (Some(B.to_owned()), "n1-standard-1".to_owned());
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("must be in the instance's zone")
    );

    let mut new = disk(A, "d");
    new.source = DiskSource::Image {
        project: "ubuntu-os-cloud".to_owned(),
        name: "nope".to_owned(),
        family: false,
    };
    let refusal = bench.refused(|it| it.insert_disk(&new));
    assert_eq!((refusal.status, refusal.reason), (404, "notFound"));
    let mut new = disk(A, "d");
    new.disk_type = Some("pd-imaginary".to_owned());
    assert_eq!(bench.refused(|it| it.insert_disk(&new)).reason, "invalid");
    let mut new = disk(A, "d");
    new.labels = labels("Team", "web");
    assert_eq!(bench.refused(|it| it.insert_disk(&new)).reason, "invalid");
}

#[test]
fn what_exists_cannot_be_made_again_and_what_does_not_cannot_be_changed() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    let refusal = bench.refused(|it| it.insert_disk(&disk(A, "d")));
    assert_eq!((refusal.status, refusal.reason), (409, "alreadyExists"));
    assert_eq!(
        refusal.message,
        "The resource 'projects/sandbox/zones/us-central1-a/disks/d' already exists"
    );
    let refusal = bench.refused(|it| it.delete_disk(B, "d"));
    assert_eq!((refusal.status, refusal.reason), (404, "notFound"));
    assert_eq!(
        refusal.message,
        "The resource 'projects/sandbox/zones/us-central1-b/disks/d' was not found"
    );
    bench.disk(B, "d");
}

#[test]
fn disks_do_not_cross_zones_and_serve_one_machine() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    bench.machine(A, "m");
    bench.machine(B, "n");
    let attach = |zone: &str, name: &str| Attachment {
        disk: (zone.to_owned(), name.to_owned()),
        ..Attachment::default()
    };
    let refusal = bench.refused(|it| it.attach_disk(B, "n", attach(A, "d")));
    assert!(refusal.message.contains("same zone"), "{refusal}");
    let mut new = machine(B, "o");
    new.disks.push(existing(A, "d"));
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("same zone")
    );

    bench.done(|it| it.attach_disk(A, "m", attach(A, "d")));
    let mut new = machine(A, "o");
    new.disks.push(existing(A, "d"));
    assert_eq!(
        bench.refused(|it| it.insert_instance(new)).reason,
        "resourceInUseByAnotherResource"
    );
    let refusal = bench.refused(|it| it.delete_disk(A, "d"));
    assert_eq!(
        (refusal.status, refusal.reason),
        (400, "resourceInUseByAnotherResource")
    );

    assert_eq!(bench.refused(|it| it.detach_disk(A, "m", "nope")).reason, "invalid");
    assert!(
        bench
            .refused(|it| it.detach_disk(A, "m", "persistent-disk-0"))
            .message
            .contains("root disk")
    );
    bench.done(|it| it.detach_disk(A, "m", "persistent-disk-1"));
    bench.done(|it| it.delete_disk(A, "d"));
}

#[test]
fn disks_grow_only_and_are_no_smaller_than_their_source() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    for size in [10, 9] {
        let refusal = bench.refused(|it| it.resize_disk(A, "d", size));
        assert!(refusal.message.contains("greater than the current size"), "{refusal}");
    }
    bench.done(|it| it.resize_disk(A, "d", 20));
    assert_eq!(bench.core.state().disks()["us-central1-a/d"].size_gb, 20);
    bench.done(|it| it.insert_snapshot(A, "d", "s", "", Labels::new(), true));
    let from_snapshot = |zone: &str, size| NewDisk {
        size_gb: size,
        source: DiskSource::Snapshot("s".to_owned()),
        ..disk(zone, "copy")
    };
    assert!(
        bench
            .refused(|it| it.insert_disk(&from_snapshot(B, Some(5))))
            .message
            .contains("snapshot size")
    );
    bench.done(|it| it.insert_disk(&from_snapshot(B, None)));
    assert_eq!(bench.core.state().disks()["us-central1-b/copy"].size_gb, 20);
    bench.done(|it| it.delete_snapshot("s"));
}

#[test]
fn an_address_has_one_holder() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_address(address("api")));
    let ip = bench.core.state().addresses()["us-central1/api"].address.to_string();
    let holding = |zone: &str, name: &str| {
        let mut new = machine(zone, name);
        new.access = Some(NewAccess {
            name: None,
            address: Some(ip.clone()),
        });
        new
    };
    bench.done(|it| it.insert_instance(holding(A, "m")));
    assert_eq!(
        bench.core.state().addresses()["us-central1/api"].user.as_deref(),
        Some("us-central1-a/m")
    );
    assert!(
        bench
            .refused(|it| it.insert_instance(holding(B, "n")))
            .message
            .contains("already in-use")
    );
    assert_eq!(
        bench.refused(|it| it.delete_address(REGION, "api")).reason,
        "resourceInUseByAnotherResource"
    );

    // Handed over: detached from the one, then attached to the other.
    bench.done(|it| {
        it.insert_instance(NewInstance {
            access: None,
            ..machine(B, "n")
        })
    });
    let wanted = NewAccess {
        name: None,
        address: Some(ip.clone()),
    };
    assert!(
        bench
            .refused(|it| it.add_access_config(B, "n", "nic0", &wanted))
            .message
            .contains("already in-use")
    );
    assert!(
        bench
            .refused(|it| it.delete_access_config(A, "m", "nic0", "nope"))
            .message
            .contains("no access config")
    );
    bench.done(|it| it.delete_access_config(A, "m", "nic0", "External NAT"));
    assert_eq!(bench.core.state().addresses()["us-central1/api"].user, None);
    bench.ask(|it| it.add_access_config(B, "n", "nic0", &wanted)).unwrap();
    let topology = view::topology(bench.core.state());
    assert!(
        !topology.external_addresses.contains_key(&ip.parse().unwrap()),
        "it takes time"
    );
    bench.pass(6);
    let topology = view::topology(bench.core.state());
    assert_eq!(topology.external_addresses[&ip.parse().unwrap()], "us-central1-b/n");
    assert!(
        bench
            .refused(|it| it.add_access_config(B, "n", "nic0", &NewAccess::default()))
            .message
            .contains("At most one")
    );

    bench.done(|it| it.delete_instance(B, "n"));
    bench.done(|it| it.delete_address(REGION, "api"));
    let mut new = machine(A, "o");
    new.access = Some(NewAccess {
        name: None,
        address: Some(ip.clone()),
    });
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("was not found in region")
    );
}

#[test]
fn a_stopped_machine_keeps_a_reserved_address() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_address(address("api")));
    let ip = bench.core.state().addresses()["us-central1/api"].address;
    let mut new = machine(A, "m");
    new.access = Some(NewAccess {
        name: None,
        address: Some(ip.to_string()),
    });
    bench.done(|it| it.insert_instance(new));
    bench.done(|it| it.stop_instance(A, "m"));
    assert_eq!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address,
        Some(ip)
    );
    assert!(bench.core.state().addresses()["us-central1/api"].user.is_some());
}

#[test]
fn ranges_lie_within_the_block_and_do_not_overlap() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_network(network("n")));
    for (range, why) in [
        ("10.0.0.0/16", "must lie within 127.9.0.0/16"),
        ("127.9.0.0/24", "reserved for the sandbox itself"),
        ("127.9.240.0/24", "reserved for external addresses"),
        ("127.9.64.1/24", "first address of a range"),
        ("127.9.64.0/30", "too small"),
        ("what", "CIDR"),
    ] {
        let refusal = bench.refused(|it| it.insert_subnetwork(subnetwork("n", "s", range)));
        assert_eq!(refusal.reason, "invalid");
        assert!(refusal.message.contains(why), "{range}: {refusal}");
    }
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("n", "s", "")))
            .reason,
        "required"
    );
    bench.done(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")));
    let refusal = bench.refused(|it| it.insert_subnetwork(subnetwork("n", "t", "127.9.72.0/24")));
    assert!(
        refusal.message.contains("conflicts with existing subnetwork 's'"),
        "{refusal}"
    );
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("nope", "u", "127.9.80.0/24")))
            .status,
        404
    );
    let elsewhere = NewSubnetwork {
        region: "europe-west1".to_owned(),
        ..subnetwork("n", "t", "127.9.80.0/24")
    };
    assert!(
        bench
            .refused(|it| it.insert_subnetwork(elsewhere))
            .message
            .contains("This sandbox is region us-central1")
    );

    // Another network may have the same range; addresses stay unique all the same.
    bench.done(|it| it.insert_network(network("o")));
    bench.done(|it| it.insert_subnetwork(subnetwork("o", "t", "127.9.64.0/20")));
    for (name, subnetwork) in [("m", "s"), ("p", "t")] {
        let new = NewInstance {
            subnetwork: Some((None, subnetwork.to_owned())),
            ..machine(A, name)
        };
        bench.done(|it| it.insert_instance(new));
    }
    let addresses: BTreeSet<_> = bench
        .core
        .state()
        .instances()
        .values()
        .map(|it| it.interface.address)
        .collect();
    assert_eq!(addresses.len(), 2);
}

#[test]
fn networks_and_subnetworks_in_use_stay() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_network(network("n")));
    bench.done(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")));
    assert_eq!(
        bench.refused(|it| it.delete_network("n")).reason,
        "resourceInUseByAnotherResource"
    );
    let new = NewInstance {
        network: Some("n".to_owned()),
        ..machine(A, "m")
    };
    assert!(
        bench
            .refused(|it| it.insert_instance(new.clone()))
            .message
            .contains("must specify a subnet")
    );
    let new = NewInstance {
        network: Some("default".to_owned()),
        subnetwork: Some((None, "s".to_owned())),
        ..new
    };
    assert!(
        bench
            .refused(|it| it.insert_instance(new.clone()))
            .message
            .contains("not in the specified network")
    );
    let new = NewInstance { network: None, ..new };
    bench.done(|it| it.insert_instance(new));
    assert_eq!(
        bench.refused(|it| it.delete_subnetwork(REGION, "s")).reason,
        "resourceInUseByAnotherResource"
    );
    bench.done(|it| it.delete_instance(A, "m"));
    bench.done(|it| it.delete_subnetwork(REGION, "s"));
    let rule = FirewallSettings {
        network: Some("n".to_owned()),
        allowed: Some(vec![Allowed {
            protocol: "tcp".to_owned(),
            ports: vec!["6443".to_owned()],
        }]),
        ..FirewallSettings::default()
    };
    bench.done(|it| it.insert_firewall("api", rule));
    assert_eq!(
        bench.refused(|it| it.delete_network("n")).reason,
        "resourceInUseByAnotherResource"
    );
    bench.done(|it| it.delete_firewall("api"));
    bench.done(|it| it.delete_network("n"));
    assert!(
        bench
            .refused(|it| it.delete_subnetwork(REGION, "default"))
            .message
            .contains("auto subnetwork")
    );
}

#[test]
fn firewall_rules_are_checked_and_reach_the_data_plane() {
    let mut bench = Bench::new();
    let rule = |protocol: &str, ports: &[&str]| FirewallSettings {
        allowed: Some(vec![Allowed {
            protocol: protocol.to_owned(),
            ports: ports.iter().map(|it| (*it).to_owned()).collect(),
        }]),
        ..FirewallSettings::default()
    };
    for (protocol, ports) in [
        ("tcp", &["80-70"][..]),
        ("tcp", &["x"]),
        ("tcp", &["70000"]),
        ("icmp", &["1"]),
        ("foo", &[]),
    ] {
        assert_eq!(
            bench
                .refused(|it| it.insert_firewall("r", rule(protocol, ports)))
                .reason,
            "invalid",
            "{protocol}"
        );
    }
    assert!(
        bench
            .refused(|it| it.insert_firewall("r", FirewallSettings::default()))
            .message
            .contains("One of")
    );
    let denying = FirewallSettings {
        denies: true,
        ..rule("tcp", &[])
    };
    assert!(
        bench
            .refused(|it| it.insert_firewall("r", denying))
            .message
            .contains("rules that allow")
    );
    let from = FirewallSettings {
        source_ranges: Some(vec!["10.0.0.0/33".to_owned()]),
        ..rule("tcp", &[])
    };
    assert_eq!(bench.refused(|it| it.insert_firewall("r", from)).reason, "invalid");
    bench.done(|it| it.insert_firewall("r", rule("tcp", &["6443", "30000-32767"])));
    let ports: Vec<_> = view::topology(bench.core.state())
        .firewall_rules
        .into_iter()
        .flat_map(|it| it.ports)
        .collect();
    assert!(
        ports.contains(&(6443, 6443)) && ports.contains(&(30000, 32767)),
        "{ports:?}"
    );
    bench.done(|it| {
        it.patch_firewall(
            "r",
            FirewallSettings {
                disabled: Some(true),
                ..FirewallSettings::default()
            },
        )
    });
    let ports: Vec<_> = view::topology(bench.core.state())
        .firewall_rules
        .into_iter()
        .flat_map(|it| it.ports)
        .collect();
    assert!(!ports.contains(&(6443, 6443)), "{ports:?}");
}

#[test]
fn fingerprints_guard_labels_tags_and_metadata() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.done(|it| it.set_instance_labels(A, "m", labels("a", "1"), Some(&fingerprint(&Labels::new()))));
    for stale in [None, Some("stale")] {
        let refusal = bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "2"), stale));
        assert_eq!((refusal.status, refusal.reason), (412, "conditionNotMet"));
    }
    bench.done(|it| it.set_instance_labels(A, "m", labels("a", "2"), Some(&fingerprint(&labels("a", "1")))));
    let tags = BTreeSet::from(["web".to_owned()]);
    assert_eq!(bench.refused(|it| it.set_tags(A, "m", tags.clone(), None)).status, 412);
    bench.done(|it| it.set_tags(A, "m", tags, Some(&fingerprint(&BTreeSet::<String>::new()))));
    let metadata = labels("user-data", "#cloud-config");
    assert_eq!(
        bench
            .refused(|it| it.set_metadata(A, "m", metadata.clone(), Some("x")))
            .status,
        412
    );
    bench.done(|it| it.set_metadata(A, "m", metadata, Some(&fingerprint(&Labels::new()))));
}

#[test]
fn a_token_is_answered_once() {
    let mut bench = Bench::new();
    let token = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4c");
    let new = disk(A, "d");
    let first = bench.ask(|it| it.once(token, "r1", |it| it.insert_disk(&new))).unwrap();
    bench.pass(60);
    let again = bench.ask(|it| it.once(token, "r1", |it| it.insert_disk(&new))).unwrap();
    assert_eq!(
        (first.name.as_str(), again.status),
        (again.name.as_str(), OperationStatus::Done)
    );
    assert_eq!(bench.core.state().disks().len(), 1);
    let refusal = bench.refused(|it| it.once(token, "r2", |it| it.delete_disk(A, "d")));
    assert!(refusal.message.contains("other parameters"), "{refusal}");
    for bad in ["x", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(
            bench
                .refused(|it| it.once(Some(bad), "r", |it| it.delete_disk(A, "d")))
                .reason,
            "invalid"
        );
    }
    // A refused request leaves its token free.
    let other = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4d");
    bench.refused(|it| it.once(other, "r1", |it| it.insert_disk(&new)));
    bench.done(|it| it.once(other, "r3", |it| it.delete_disk(A, "d")));
}

#[test]
fn an_object_under_change_is_not_ready() {
    let mut bench = Bench::new();
    bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    for refusal in [
        bench.refused(|it| it.delete_instance(A, "m")),
        bench.refused(|it| it.stop_instance(A, "m")),
        bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "b"), None)),
    ] {
        assert_eq!((refusal.status, refusal.reason), (400, "resourceNotReady"));
    }
    bench.ask(|it| it.insert_network(network("n"))).unwrap();
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")))
            .reason,
        "resourceNotReady"
    );
    let new = disk(A, "d");
    bench.ask(|it| it.insert_disk(&new)).unwrap();
    assert_eq!(bench.refused(|it| it.delete_disk(A, "d")).reason, "resourceNotReady");
}

#[test]
fn protection_and_the_machine_type_of_running_machines_hold() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    let wanted = (None, "n1-standard-4".to_owned());
    assert!(
        bench
            .refused(|it| it.set_machine_type(A, "m", &wanted))
            .message
            .contains("must be stopped")
    );
    bench.done(|it| it.stop_instance(A, "m"));
    bench.done(|it| it.set_machine_type(A, "m", &wanted));
    bench.done(|it| it.set_deletion_protection(A, "m", true));
    assert!(
        bench
            .refused(|it| it.delete_instance(A, "m"))
            .message
            .contains("protected")
    );
    bench.done(|it| it.set_deletion_protection(A, "m", false));
    bench.done(|it| it.delete_instance(A, "m"));
}

#[test]
fn in_a_zone_that_is_out_nothing_starts_and_nothing_changes() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.machine(B, "other");
    bench.ask(|it| it.insert_instance(machine(A, "starting"))).unwrap();
    bench.pass(1);
    bench.ask(|it| it.take_zone_out(A)).unwrap();
    assert!(
        !bench.core.state().instances().contains_key("us-central1-a/starting"),
        "what was starting is gone"
    );
    assert!(
        !bench.core.state().disks().contains_key("us-central1-a/starting"),
        "with its disk"
    );
    assert!(view::topology(bench.core.state()).outages.contains(A));

    let failed = bench.ask(|it| it.insert_instance(machine(A, "n"))).unwrap();
    let error = failed.error.unwrap();
    assert_eq!(
        (failed.status, error.code.as_str(), error.http_status),
        (OperationStatus::Done, "ZONE_RESOURCE_POOL_EXHAUSTED", 503)
    );
    assert!(!bench.core.state().instances().contains_key("us-central1-a/n"));
    for refusal in [
        bench.refused(|it| it.delete_instance(A, "m")),
        bench.refused(|it| it.insert_disk(&disk(A, "d"))),
        bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "b"), None)),
    ] {
        assert_eq!(refusal.status, 503);
    }
    bench.done(|it| it.stop_instance(B, "other"));
    assert!(bench.ask(|it| it.take_zone_out(A)).is_err());
    bench.ask(|it| it.restore_zone(A)).unwrap();
    bench.done(|it| it.delete_instance(A, "m"));
}

#[test]
fn a_halted_machine_boots_again() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.ask(|it| it.halt("m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Terminated);
    assert!(!view::topology(bench.core.state()).machines["us-central1-a/m"].running);
    assert!(bench.ask(|it| it.halt("m")).is_err());
    bench.ask(|it| it.boot("us-central1-a/m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    assert!(bench.ask(|it| it.boot("m")).is_err());
    bench.machine(B, "m");
    assert!(
        bench
            .ask(|it| it.halt("m"))
            .unwrap_err()
            .message
            .contains("several machines")
    );
    assert_eq!(bench.ask(|it| it.halt("nope")).unwrap_err().status, 404);
}

#[test]
fn a_secret_is_read_by_machines_that_were_granted_it() {
    let mut bench = Bench::new();
    let default = bench.core.settings().default_service_account();
    let account = |scope: &str| MachineIdentity {
        email: "default".to_owned(),
        scopes: vec![scope.to_owned()],
    };
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    for (name, accounts) in [
        ("none", vec![]),
        ("narrow", vec![account("https://www.googleapis.com/auth/compute")]),
        ("wide", vec![account(scope)]),
    ] {
        bench.done(|it| {
            it.insert_instance(NewInstance {
                service_accounts: accounts,
                ..machine(A, name)
            })
        });
    }
    bench
        .ask(|it| {
            it.create_secret(
                "ca",
                Labels::new(),
                BTreeMap::new(),
                serde_json::json!({ "automatic": {} }),
            )
        })
        .unwrap();
    bench.ask(|it| it.add_secret_version("ca", b"key", None)).unwrap();
    let read =
        |bench: &mut Bench, name: &str| bench.ask(|it| it.access_secret_from_machine(&format!("{A}/{name}"), "ca"));
    assert_eq!(
        read(&mut bench, "wide").unwrap_err().status,
        403,
        "nobody is granted it yet"
    );
    let policy = vec![Binding {
        role: super::secrets::ACCESSOR.to_owned(),
        members: BTreeSet::from([format!("serviceAccount:{default}")]),
    }];
    bench.ask(|it| it.set_secret_policy("ca", policy, None)).unwrap();
    assert_eq!(read(&mut bench, "wide").unwrap(), b"key");
    assert!(read(&mut bench, "narrow").unwrap_err().message.contains("scopes"));
    assert!(
        read(&mut bench, "none")
            .unwrap_err()
            .message
            .contains("no service account")
    );
    let stranger = vec![Binding {
        role: super::secrets::ACCESSOR.to_owned(),
        members: BTreeSet::from(["serviceAccount:nobody@sandbox.iam.gserviceaccount.com".to_owned()]),
    }];
    assert!(bench.ask(|it| it.set_secret_policy("ca", stranger, None)).is_err());
}

#[test]
fn versions_of_a_secret_come_and_go() {
    let mut bench = Bench::new();
    let make = |it: &mut Transaction<'_>, name: &str| {
        it.create_secret(
            name,
            Labels::new(),
            BTreeMap::new(),
            serde_json::json!({ "automatic": {} }),
        )
    };
    bench.ask(|it| make(it, "s")).unwrap();
    assert_eq!(bench.ask(|it| make(it, "s")).err().unwrap().status, 409);
    assert_eq!(bench.ask(|it| make(it, "no good")).err().unwrap().status, 400);
    assert_eq!(
        bench
            .ask(|it| it.access_secret_version("s", "latest"))
            .unwrap_err()
            .status,
        404
    );
    bench.ask(|it| it.add_secret_version("s", b"one", None)).unwrap();
    assert!(
        bench.ask(|it| it.add_secret_version("s", b"two", Some(1))).is_err(),
        "the checksum is wrong"
    );
    bench
        .ask(|it| it.add_secret_version("s", b"two", Some(super::secrets::crc32c(b"two"))))
        .unwrap();
    assert_eq!(
        bench.ask(|it| it.access_secret_version("s", "latest")).unwrap(),
        (2, b"two".to_vec())
    );
    assert_eq!(
        bench.ask(|it| it.access_secret_version("s", "1")).unwrap(),
        (1, b"one".to_vec())
    );
    bench.ask(|it| it.destroy_secret_version("s", "2")).unwrap();
    assert!(
        bench
            .ask(|it| it.access_secret_version("s", "latest"))
            .unwrap_err()
            .message
            .contains("DESTROYED")
    );
    assert!(bench.ask(|it| it.add_secret_version("s", &[0; 65537], None)).is_err());
    bench.ask(|it| it.delete_secret("s", None)).unwrap();
    assert_eq!(bench.ask(|it| it.secret("s")).err().unwrap().status, 404);
}

#[test]
fn a_restart_keeps_everything_and_finishes_what_was_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("region.sqlite");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    bench.disk(A, "d");
    let operation = bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    let before = bench.snapshot();
    drop(bench.core);

    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now: bench.now,
    };
    assert_eq!(before, bench.snapshot());
    bench.pass(60);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    let events = bench.core.events(0, 100).unwrap();
    assert_eq!(
        events.iter().map(|it| it.sequence).collect::<Vec<_>>(),
        (1..=events.len() as u64).collect::<Vec<_>>()
    );
    let verbs: Vec<&str> = events.iter().map(|it| it.verb.as_str()).collect();
    assert_eq!(
        verbs,
        ["disks.insert", "operation.done", "instances.insert", "operation.done"]
    );
    assert_eq!(bench.core.state().event_count(), events.len() as u64);
}

#[test]
fn operations_are_forgotten_after_two_weeks() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("region.sqlite");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    let token = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4c");
    let operation = bench.done(|it| it.once(token, "r", |it| it.insert_disk(&disk(A, "d"))));
    drop(bench.core);
    for (days, kept) in [(13, true), (15, false)] {
        let later = now + SignedDuration::from_hours(days * 24);
        let core = Core::open(settings(), Store::open(&file).unwrap(), later).unwrap();
        assert_eq!(
            core.state().operations().contains_key(&operation.name),
            kept,
            "{days} days"
        );
        assert!(core.state().disks().contains_key("us-central1-a/d"));
    }
}
