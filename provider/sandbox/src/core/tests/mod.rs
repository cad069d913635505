//! The core by itself, on a clock of the test's own.
#![allow(clippy::unwrap_used)]

mod balancers;
mod disks;
mod machines;
mod networks;
mod requests;
mod secrets;

use crate::core::addresses::NewAddress;
use crate::core::disks::{DiskSource, NewDisk};
use crate::core::firewalls::FirewallSettings;
use crate::core::instance_changes::Attachment;
use crate::core::instances::{DiskOrigin, NewAccess, NewAttachment, NewInstance};
use crate::core::names::fingerprint;
use crate::core::networks::{NewNetwork, NewSubnetwork};
use crate::core::operations::{Operation, OperationStatus};
use crate::core::records::{Allowed, Binding, InstanceStatus, Labels, MachineIdentity};
use crate::core::{Block, Core, Refusal, Settings, Store, Transaction, catalogue, view};
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
            (
                state.health_checks(),
                state.instance_groups(),
                state.backend_services(),
                state.forwarding_rules(),
                state.targets(),
            ),
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
