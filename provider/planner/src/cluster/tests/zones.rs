//! Zones: joining, leaving, lost; in whatever order Terraform calls the operations.

use super::*;

fn zonal() -> Cloud {
    Cloud {
        endpoint: Endpoint::Address,
        zonal_subnets: true,
    }
}

/// Three masters on a cloud whose subnets are zonal, with a worker and a disk in each zone.
fn populated() -> World {
    let mut world = reached(
        with_balancer(World::empty(zonal(), &["z1", "z2", "z3"])),
        &desired("abc"),
    );
    for zone in world.zones.values_mut() {
        zone.workers = 1;
        zone.disks = 1;
    }
    world
}

/// Rules: zone-subnet-with-the-cluster
#[test]
fn a_zone_joins_with_its_subnet() {
    assert_steps(
        &steps_of(&populated(), &Operation::Zones(zones(&["z1", "z2", "z3", "z4"]))),
        &["add zone z4"],
    );
}

/// Rules: zone-subnet-with-the-cluster
#[test]
fn nothing_is_made_in_a_zone_before_its_subnet() {
    let mut world = reached(with_balancer(World::empty(zonal(), &["z1", "z2"])), &desired("ab"));
    let fresh = World::empty(zonal(), &["z3"]).zones["z3"].clone();
    world.zones.insert("z3".to_owned(), Zone { subnet: false, ..fresh });
    world.balancer.as_mut().unwrap().zones.remove("z3");
    let spans = |world: &World| steps_of(world, &Operation::Balancer(balancer_over(&["z1", "z2", "z3"])));
    assert_steps(&spans(&world), &[]);
    let found = steps(&world, &desired("abc"));
    assert!(
        found[0].starts_with("BLOCKED: replica c is to be in zone z3, which has no subnet of the cluster yet"),
        "{}",
        found[0]
    );
    let cluster = Operation::Zones(zones(&["z1", "z2", "z3"]));
    assert_steps(&steps_of(&world, &cluster), &["add zone z3"]);
    let world = effect(world, &Step::AddZone("z3".to_owned()), &cluster);
    assert_steps(&spans(&world), &["span z3"]);
    assert_steps(&steps(&world, &desired("abc"))[..1], &["join c z3"]);
}

/// Rules: further-zones-reuse-the-master
#[test]
fn a_further_zone_for_workers_needs_nothing_of_the_master() {
    let world = reached(World::empty(zonal(), &["z1"]), &alone("a"));
    let cluster = Operation::Zones(zones(&["z1", "z2"]));
    assert_steps(&steps_of(&world, &cluster), &["add zone z2"]);
    let world = effect(world, &Step::AddZone("z2".to_owned()), &cluster);
    assert_steps(&steps(&world, &alone("a")), &[]);
}

/// Rules: zone-leaving-refuses-new
#[test]
fn a_zone_that_leaves_takes_nothing_new() {
    let mut world = running("ab");
    world.zones.get_mut("z3").unwrap().leaving = true;
    let found = steps(&world, &desired("abc"));
    assert_eq!(
        found,
        [
            "BLOCKED: replica c is to be in zone z3, which is leaving the cluster. Give the replica another zone, or keep \
             this one among the cluster's zones"
        ]
    );
    world.zones.remove("z3");
    let found = steps(&world, &desired("abc"));
    assert_eq!(
        found,
        [
            "BLOCKED: replica c is to be in zone z3, which the cluster does not span. Give the replica another zone, or \
             add this one to the cluster's zones"
        ]
    );
}

/// Rules: zone-returns
#[test]
fn a_leaving_zone_can_stay_after_all() {
    let mut world = populated();
    world.zones.get_mut("z3").unwrap().leaving = true;
    assert_steps(
        &steps_of(&world, &Operation::Zones(zones(&["z1", "z2", "z3"]))),
        &["add zone z3"],
    );
}

/// Every order in which the operations that drop z3 can be called: whoever is last removes the zone, and only then.
///
/// Rules: last-one-cleans-up, zone-subnet-last, terraform-order, nothing-stranded
#[test]
fn in_every_order_each_does_its_part_and_the_last_one_removes_the_zone() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Call {
        NodeGroup,
        Disk,
        Cluster,
        Balancer,
        ControlPlane,
    }
    fn call(world: World, call: Call) -> (World, Vec<String>) {
        let mut world = world;
        match call {
            Call::NodeGroup => world.zones.get_mut("z3").unwrap().workers = 0,
            Call::Disk => world.zones.get_mut("z3").unwrap().disks = 0,
            _ => {}
        }
        let operation = match call {
            Call::NodeGroup | Call::Disk => Operation::LeaveZone,
            Call::Cluster => Operation::Zones(zones(&["z1", "z2"])),
            Call::Balancer => Operation::Balancer(balancer_over(&["z1", "z2"])),
            Call::ControlPlane => Operation::ControlPlane(desired("ab")),
        };
        let steps = steps_of(&world, &operation);
        let preview = preview(&world, &operation);
        assert_eq!(preview.end, Next::Done, "{call:?} waits for no other");
        let world = preview
            .steps
            .iter()
            .fold(world, |world, step| effect(world, step, &operation));
        (world, steps)
    }
    let all = [
        Call::NodeGroup,
        Call::Disk,
        Call::Cluster,
        Call::Balancer,
        Call::ControlPlane,
    ];
    let mut orders: Vec<Vec<Call>> = vec![Vec::new()];
    for _ in all {
        let mut longer = Vec::new();
        for order in &orders {
            for call in all.iter().filter(|call| !order.contains(call)) {
                longer.push([order.as_slice(), &[*call]].concat());
            }
        }
        orders = longer;
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut world = populated();
        for (index, which) in order.iter().enumerate() {
            let (after, steps) = call(world, *which);
            let removed = steps.iter().any(|step| step == "remove zone z3");
            // Who takes the last thing out of the zone takes the balancer out of it too.
            let rest = &order[index + 1..];
            let last = *which != Call::Balancer && rest.iter().all(|call| *call == Call::Balancer);
            assert_eq!(removed, last, "{order:?}: {which:?} did {steps:?}");
            world = after;
        }
        assert!(!world.balancer.unwrap().zones.contains("z3"), "{order:?}");
    }
}

/// Rules: teardown-extra-zones-first, zone-subnet-last
#[test]
fn the_clusters_own_objects_go_last() {
    let mut world = populated();
    let found = steps_of(&world, &Operation::Zones(BTreeSet::new()));
    assert_eq!(
        found[..3],
        ["mark z1 leaving", "mark z2 leaving", "mark z3 leaving"].map(str::to_owned)
    );
    assert!(found[3].starts_with("BLOCKED: zone z1 is not empty"), "{}", found[3]);
    world = World::empty(zonal(), &["z1", "z2"]);
    assert_steps(
        &steps_of(&world, &Operation::Zones(BTreeSet::new())),
        &["mark z1 leaving", "mark z2 leaving", "remove zone z1", "remove zone z2"],
    );
}
