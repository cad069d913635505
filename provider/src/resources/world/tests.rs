//! The cloud's facts in the planner's words, and answers that tests give.

use std::{collections::BTreeSet, sync::Mutex};

use async_trait::async_trait;
use multizone_cloud::{
    Address, AddressHolder, Balancer as CloudBalancer, BalancerTarget, Labels, Machine, MachineState, TargetHealth,
    label,
};
use multizone_planner::cluster::{ApiServer, Cloud, Endpoint, Target};

use super::*;
use crate::resources::memory_cloud;

/// Answers as a test wants them.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Masters whose own API server serves.
    pub(crate) serving: Mutex<BTreeSet<String>>,
    /// What is answered through the address, one answer after the other; the last one for good.
    pub(crate) answers: Mutex<Vec<bool>>,
}

impl Answers {
    pub(crate) fn new(serving: &[&str], answers: &[bool]) -> Self {
        Self {
            serving: Mutex::new(serving.iter().map(|name| (*name).to_owned()).collect()),
            answers: Mutex::new(answers.to_vec()),
        }
    }
}

#[async_trait]
impl Asks for Answers {
    async fn serves(&self, machine: &Machine) -> bool {
        self.serving.lock().unwrap().contains(&machine.name)
    }

    async fn answers(&self) -> bool {
        let mut answers = self.answers.lock().unwrap();
        match answers.len() {
            0 => false,
            1 => answers[0],
            _ => answers.remove(0),
        }
    }
}

/// A master of a replica.
pub(crate) fn master(zone: &str, replica: &str) -> Machine {
    let labels = [
        (label::ROLE, "master"),
        (label::REPLICA, replica),
        (label::VERSION, "1-34-1"),
    ];
    let labels: Labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    memory_cloud::machine(zone, &format!("demo-master-{replica}"), labels)
}

fn inventory(holder: Option<AddressHolder>) -> Inventory {
    let target = |machine: &str, health| BalancerTarget {
        zone: "z1".to_owned(),
        machine: machine.to_owned(),
        health,
    };
    Inventory {
        machines: vec![
            master("z1", "a"),
            Machine {
                state: MachineState::Halted,
                ..master("z2", "b")
            },
            memory_cloud::machine(
                "z3",
                "demo-pool-1",
                [(label::ROLE.to_owned(), "worker".to_owned())].into(),
            ),
        ],
        addresses: vec![Address {
            name: "api".to_owned(),
            address: [203, 0, 113, 10].into(),
            holder,
            labels: Labels::new(),
            unexpected: None,
        }],
        balancers: vec![CloudBalancer {
            name: "api".to_owned(),
            zones: BTreeSet::from(["z1".to_owned(), "z2".to_owned()]),
            targets: vec![
                target("demo-master-a", TargetHealth::Serving),
                target("demo-master-x", TargetHealth::Draining),
            ],
            address: None,
            dns_name: None,
            labels: Labels::new(),
            unexpected: None,
        }],
        ..Inventory::default()
    }
}

const CLOUD: Cloud = Cloud {
    endpoint: Endpoint::Address,
    zonal_subnets: false,
};

fn world(inventory: &Inventory, spanned: Option<&[&str]>) -> World {
    let region = ["z1", "z2", "z3", "z4"].map(|name| CloudZone {
        name: name.to_owned(),
        up: name != "z2",
    });
    let spanned = spanned.map(|zones| zones.iter().map(|zone| (*zone).to_owned()).collect());
    let seen = Seen {
        inventory,
        region: &region,
        spanned: spanned.as_ref(),
        balancer: Some("api"),
    };
    seen.world(CLOUD)
}

#[test]
fn masters_targets_and_zones_are_as_the_cloud_has_them() {
    let world = world(&inventory(None), Some(&["z1", "z2"]));
    assert_eq!(
        world.machines.keys().collect::<Vec<_>>(),
        ["demo-master-a", "demo-master-b"]
    );
    let a = &world.machines["demo-master-a"];
    assert_eq!(
        (a.replica.as_str(), a.version.minor, a.power),
        ("a", 34, multizone_planner::cluster::Power::On)
    );
    assert_eq!(
        world.machines["demo-master-b"].power,
        multizone_planner::cluster::Power::Off
    );
    assert_eq!(world.target("demo-master-a"), Some(Target::Serving));
    assert_eq!(world.target("demo-master-x"), Some(Target::Draining));
    assert!(
        world.zones["z3"].leaving && world.zones["z3"].workers == 1,
        "a zone that is left over leaves"
    );
    assert!(!world.zones["z1"].leaving && !world.zone_is_up("z2"));
    assert!(!world.zones.contains_key("z4"));
    assert!(
        self::world(&inventory(None), None)
            .zones
            .values()
            .all(|zone| !zone.leaving)
    );
}

#[test]
fn another_balancer_that_holds_the_address_is_not_this_one() {
    let held_by = |holder| world(&inventory(Some(holder)), None).address.holder;
    let machine = AddressHolder::Machine {
        zone: "z1".into(),
        name: "demo-master-a".into(),
    };
    assert_eq!(held_by(machine), Holder::Machine("demo-master-a".into()));
    assert_eq!(
        held_by(AddressHolder::Balancer { name: "api".into() }),
        Holder::Balancer
    );
    assert_eq!(
        held_by(AddressHolder::Balancer { name: "old".into() }),
        Holder::Machine("balancer old".into())
    );
}

#[tokio::test]
async fn only_who_runs_is_asked_and_who_is_healthy_behind_the_balancer_need_not_be() {
    let inventory = inventory(Some(AddressHolder::Balancer { name: "api".into() }));
    let mut world = world(&inventory, None);
    ask(&mut world, &inventory, &Answers::new(&["demo-master-b"], &[true])).await;
    assert_eq!(world.machines["demo-master-a"].api, ApiServer::Serving);
    assert_eq!(world.machines["demo-master-b"].api, ApiServer::Unready, "it is halted");
    assert!(world.address.answers);
}
