//! What is shown and said of clusters that were seen so.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use multizone_cloud::{
    Address, AddressHolder, Balancer, BalancerTarget, ClusterName, Inventory, Labels, Machine, MachineState,
    TargetHealth, Zone, label,
};
use multizone_kubernetes::{
    cluster_access::NodeFacts,
    labels::{CONTROL_PLANE_ROLE, ZONE},
};
use multizone_planner::{
    Version,
    cluster::{ApiServer, Cloud, Endpoint, Member, Target},
};
use multizone_schema::PlannedOf;

use super::{ClusterStatus, ClusterStatusSource, describe::describe, look::Sight};
use crate::{
    data_sources::DataSource as _,
    resources::{memory_cloud, memory_cloud::MemoryCloud, world::Seen},
    stop::Stop,
};

const NOW: &str = "2026-03-04T05:06:07Z";
const CLOUD: Cloud = Cloud {
    endpoint: Endpoint::Address,
    zonal_subnets: false,
};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn machine(name: &str, zone: &str) -> Machine {
    let labels = match name.strip_prefix("demo-master-") {
        Some(replica) => labels(&[
            (label::ROLE, "master"),
            (label::REPLICA, replica),
            (label::VERSION, "1-34-1"),
        ]),
        None => labels(&[(label::ROLE, "worker"), (label::NODE_GROUP, "pool")]),
    };
    memory_cloud::machine(zone, name, labels)
}

fn node(name: &str, zone: &str) -> (String, NodeFacts) {
    let mut labels = BTreeMap::from([(ZONE.to_owned(), zone.to_owned())]);
    if name.contains("master") {
        labels.insert(CONTROL_PLANE_ROLE.to_owned(), String::new());
    }
    let node = NodeFacts {
        name: name.to_owned(),
        ready: true,
        labels,
        kubelet_version: "v1.34.1".to_owned(),
        provider_id: Some(format!("gce://p/{zone}/{name}")),
        ..NodeFacts::default()
    };
    (name.to_owned(), node)
}

const MASTERS: [(&str, &str); 3] = [
    ("demo-master-a", "z1"),
    ("demo-master-b", "z2"),
    ("demo-master-c", "z3"),
];

fn cloud() -> Inventory {
    let target = |(name, zone): &(&str, &str)| BalancerTarget {
        zone: (*zone).to_owned(),
        machine: (*name).to_owned(),
        health: TargetHealth::Serving,
    };
    let mut machines: Vec<Machine> = MASTERS.iter().map(|(name, zone)| machine(name, zone)).collect();
    machines.push(machine("demo-pool-1", "z1"));
    Inventory {
        machines,
        addresses: vec![Address {
            name: "api".to_owned(),
            address: [203, 0, 113, 10].into(),
            holder: Some(AddressHolder::Balancer { name: "api".into() }),
            labels: Labels::new(),
            unexpected: None,
        }],
        balancers: vec![Balancer {
            name: "api".to_owned(),
            zones: ["z1", "z2", "z3"].map(str::to_owned).into(),
            targets: MASTERS.iter().map(target).collect(),
            address: None,
            dns_name: None,
            labels: Labels::new(),
            unexpected: None,
        }],
        ..Inventory::default()
    }
}

/// What the cloud says with these zones out, and nobody could be asked.
fn silent(inventory: Inventory, out: &[&str]) -> Sight {
    let region = ["z1", "z2", "z3"].map(|name| Zone {
        name: name.to_owned(),
        up: !out.contains(&name),
    });
    let spanned: BTreeSet<String> = ["z1", "z2", "z3"].map(str::to_owned).into();
    let seen = Seen {
        inventory: &inventory,
        region: &region,
        spanned: Some(&spanned),
        balancer: Some("api"),
    };
    Sight {
        world: seen.world(CLOUD),
        inventory,
        balancer: Some("api".to_owned()),
        endpoint: Some("https://203.0.113.10:6443".to_owned()),
        asked: false,
        without_etcd: BTreeSet::new(),
        nodes: None,
        certificates: BTreeMap::new(),
        not_asked: vec!["the Kubernetes API and etcd's members: the secret is gone".to_owned()],
    }
}

/// The same, and everybody answered who could.
fn answered(inventory: Inventory, out: &[&str]) -> Sight {
    let mut sight = silent(inventory, out);
    sight.asked = true;
    sight.not_asked.clear();
    let running: BTreeSet<String> = sight
        .world
        .machines
        .iter()
        .filter(|(_, machine)| sight.world.runs(machine))
        .map(|(name, _)| name.clone())
        .collect();
    for name in &running {
        sight.world.machines.get_mut(name).unwrap().api = ApiServer::Serving;
        let end = "2027-01-01T00:00:00Z".parse().unwrap();
        sight.certificates.insert(name.clone(), end);
    }
    for (id, (name, _)) in (1..).zip(MASTERS) {
        let member = Member {
            machine: Some(name.to_owned()),
            learner: false,
            started: true,
            healthy: running.contains(name),
            version: Version::new(3, 6, 0),
        };
        sight.world.members.insert(id, member);
    }
    for (name, target) in &mut sight.world.balancer.as_mut().unwrap().targets {
        if !running.contains(name) {
            *target = Target::Unhealthy;
        }
    }
    sight.world.membership_known = true;
    sight.world.leader = Some(1);
    sight.world.endpoints.clone_from(&running);
    sight.world.address.answers = true;
    let nodes = MASTERS
        .iter()
        .chain(&[("demo-pool-1", "z1")])
        .map(|(name, zone)| node(name, zone));
    sight.nodes = Some(nodes.collect());
    for (name, node) in sight.nodes.as_mut().unwrap() {
        let machine = sight.inventory.machines.iter().find(|machine| machine.name == *name);
        node.ready = machine
            .is_some_and(|machine| machine.state == MachineState::Running && !out.contains(&machine.zone.as_str()));
    }
    sight
}

fn status(sight: &Sight) -> ClusterStatus {
    describe(
        &ClusterName::new("demo"),
        Some(sight),
        NOW.parse::<Timestamp>().unwrap(),
    )
}

#[tokio::test]
async fn a_cluster_that_is_not_there_does_not_exist() {
    let (_, provider) = MemoryCloud::region();
    let config = ClusterStatus {
        cluster: "demo".to_owned(),
        ..describe(&ClusterName::new("demo"), None, Timestamp::UNIX_EPOCH)
    };
    let config = PlannedOf::<ClusterStatus>::from(config);
    let status = ClusterStatusSource.read(&provider, config, &Stop::new()).await.unwrap();
    assert!(!status.exists && !status.api_answers && status.masters.is_empty());
    assert_eq!((status.quorum_margin, status.etcd), (None, None));
    assert!(status.disagreements.is_empty() && status.not_asked.is_empty());
}

#[tokio::test]
async fn a_cluster_without_its_secrets_is_shown_as_the_cloud_has_it() {
    let (cloud, provider) = MemoryCloud::region();
    cloud.tamper(|inventory| *inventory = self::cloud());
    let config = PlannedOf::<ClusterStatus>::from(describe(&ClusterName::new("demo"), None, Timestamp::UNIX_EPOCH));
    let status = ClusterStatusSource.read(&provider, config, &Stop::new()).await.unwrap();
    assert!(status.exists);
    assert_eq!(status.masters.len(), 3);
    assert_eq!(status.not_asked.len(), 1, "{:?}", status.not_asked);
    assert!(
        status.not_asked[0].starts_with("the Kubernetes API and etcd's members: "),
        "{:?}",
        status.not_asked
    );
}

#[test]
fn a_healthy_cluster_has_a_margin_and_no_disagreement() {
    let status = status(&answered(cloud(), &[]));
    assert_eq!(status.disagreements, Vec::<String>::new());
    assert_eq!(status.quorum_margin, Some(1));
    assert_eq!(status.survives_loss_of, ["z1", "z2", "z3"]);
    assert_eq!(status.address_holder.as_deref(), Some("balancer api"));
    assert_eq!(status.certificates_expire_at.as_deref(), Some("2027-01-01T00:00:00Z"));
    let a = &status.masters["demo-master-a"];
    assert_eq!(
        [&a.machine, &a.api_server, &a.target, &a.etcd, &a.node],
        ["running", "serving", "serving", "leader", "ready"]
    );
    assert_eq!((a.zone.as_deref(), a.node_zone.as_deref()), (Some("z1"), Some("z1")));
    assert_eq!(a.kubernetes_version.as_deref(), Some("1.34.1"));
    let worker = &status.workers["demo-pool-1"];
    assert_eq!(
        (worker.node_group.as_deref(), worker.node.as_str()),
        (Some("pool"), "ready")
    );
    let z1 = &status.zones["z1"];
    assert_eq!(
        (z1.masters.len(), z1.workers.len(), z1.writes_go_on, z1.api_answers),
        (1, 1, Some(true), true)
    );
}

#[test]
fn a_halted_master_costs_the_margin_and_is_named_once_for_each_place() {
    let mut inventory = cloud();
    inventory.machines[1].state = MachineState::Halted;
    let status = status(&answered(inventory, &[]));
    assert_eq!(status.quorum_margin, Some(0));
    assert_eq!(status.survives_loss_of, ["z2"]);
    let b = &status.masters["demo-master-b"];
    assert_eq!(
        [&b.machine, &b.api_server, &b.target, &b.etcd, &b.node],
        ["halted", "not serving", "unhealthy", "unhealthy", "not ready"]
    );
    assert_eq!(status.disagreements, ["master demo-master-b in z2 is halted"]);
}

#[test]
fn what_a_zones_outage_explains_is_said_once() {
    let mut sight = answered(cloud(), &["z1"]);
    // The balancer, the endpoints and the Nodes are as they were before anybody noticed.
    let targets = &mut sight.world.balancer.as_mut().unwrap().targets;
    targets.insert("demo-master-a".to_owned(), Target::Serving);
    sight.world.endpoints.insert("demo-master-a".to_owned());
    sight.nodes.as_mut().unwrap().get_mut("demo-master-a").unwrap().ready = true;
    let status = status(&sight);
    assert_eq!(
        status.disagreements,
        ["zone z1 is out, and with it demo-master-a, demo-pool-1"]
    );
    assert!(!status.zones["z1"].up);
    assert_eq!(status.zones["z2"].writes_go_on, Some(false));
    assert_eq!((status.quorum_margin, status.api_answers), (Some(0), true));
}

#[test]
fn without_a_quorum_the_margin_is_below_nothing() {
    let status = status(&answered(cloud(), &["z1", "z2"]));
    assert_eq!(status.quorum_margin, Some(-1));
    assert!(status.survives_loss_of.is_empty());
    let no_quorum = "etcd has no quorum: 1 of 3 members answer, and 2 are needed; writes are refused";
    assert!(
        status.disagreements.iter().any(|said| said == no_quorum),
        "{:?}",
        status.disagreements
    );
}

#[test]
fn what_could_not_be_asked_is_unknown_and_not_wrong() {
    let status = status(&silent(cloud(), &[]));
    assert_eq!(status.disagreements, Vec::<String>::new());
    assert_eq!((status.quorum_margin, status.etcd), (None, None));
    let a = &status.masters["demo-master-a"];
    assert_eq!(
        [&a.machine, &a.api_server, &a.etcd, &a.node],
        ["running", "unknown", "unknown", "unknown"]
    );
    assert_eq!(status.zones["z1"].writes_go_on, None);
}

#[test]
fn too_few_masters_to_ask_are_said_to_be_too_few() {
    let mut sight = silent(cloud(), &["z1", "z2"]);
    sight.asked = true;
    let seen = status(&sight);
    assert_eq!((seen.quorum_margin, seen.etcd), (Some(-1), None));
    let said = seen.disagreements;
    let few = "1 of 3 masters run where they can be reached";
    assert!(said.iter().any(|said| said.starts_with(few)), "{said:?}");
}

#[test]
fn masters_that_run_and_miss_etcd_are_too_few_as_well() {
    let mut sight = silent(cloud(), &[]);
    sight.asked = true;
    assert_eq!(status(&sight).quorum_margin, None, "they do not answer at all");
    sight.without_etcd = BTreeSet::from(["demo-master-a".to_owned()]);
    assert_eq!(status(&sight).quorum_margin, None, "two others may be a quorum");
    sight.without_etcd.insert("demo-master-b".to_owned());
    let seen = status(&sight);
    assert_eq!(seen.quorum_margin, Some(-1));
    let said = "etcd does not answer the API servers of demo-master-a, demo-master-b: unless etcd has fewer members than \
                there are masters, it has no quorum, and writes are refused";
    assert!(
        seen.disagreements.iter().any(|one| one == said),
        "{:?}",
        seen.disagreements
    );
}

/// Something that is wrong.
type Break = fn(&mut Sight);

/// Each thing that is wrong, and what is said of it alone.
#[track_caller]
fn said_alone(cases: &[(Break, &str)]) {
    for (wrong, said) in cases {
        let mut sight = answered(cloud(), &[]);
        wrong(&mut sight);
        assert_eq!(status(&sight).disagreements, [*said]);
    }
}

#[test]
fn every_disagreement_about_members_targets_and_the_address_is_said_in_words() {
    said_alone(&[
        (
            |sight| drop(sight.world.members.remove(&2)),
            "master demo-master-b in z2 is no member of etcd",
        ),
        (
            |sight| sight.world.members.get_mut(&2).unwrap().healthy = false,
            "the etcd member of demo-master-b does not answer",
        ),
        (
            |sight| {
                let unstarted = Member {
                    machine: None,
                    learner: true,
                    started: false,
                    healthy: false,
                    version: Version::new(3, 6, 0),
                };
                sight.world.members.insert(0xabc, unstarted);
            },
            "etcd has a member abc that has not started, and no machine has its address",
        ),
        (
            |sight| {
                let gone = Member {
                    machine: Some("demo-master-x".to_owned()),
                    ..sight.world.members[&1].clone()
                };
                sight.world.members.insert(9, gone);
            },
            "etcd has a member demo-master-x, and there is no such machine",
        ),
        (
            |sight| {
                let balancer = sight.world.balancer.as_mut().unwrap();
                balancer.targets.remove("demo-master-c");
            },
            "demo-master-c is not behind balancer api",
        ),
        (
            |sight| {
                let balancer = sight.world.balancer.as_mut().unwrap();
                balancer.targets.insert("demo-master-c".to_owned(), Target::Unhealthy);
            },
            "demo-master-c serves, and balancer api does not find it healthy",
        ),
        (
            |sight| {
                let balancer = sight.world.balancer.as_mut().unwrap();
                balancer.targets.insert("demo-master-x".to_owned(), Target::Unhealthy);
            },
            "balancer api has the target demo-master-x, and there is no such machine",
        ),
        (
            |sight| sight.world.address.answers = false,
            "a master serves, and the API does not answer at its address",
        ),
        (
            |sight| sight.world.endpoints.extend(["10.0.0.9".to_owned()]),
            "the Service kubernetes sends requests to 10.0.0.9, which does not serve",
        ),
        (
            |sight| {
                let soon = "2026-03-20T00:00:00Z".parse().unwrap();
                sight.certificates.insert("demo-master-a".to_owned(), soon);
            },
            "the certificates of master demo-master-a end 2026-03-20T00:00:00Z",
        ),
    ]);
}

#[test]
fn every_disagreement_about_nodes_is_said_in_words() {
    said_alone(&[
        (
            |sight| sight.inventory.machines.retain(|machine| machine.name != "demo-pool-1"),
            "there is a Node demo-pool-1, and no such machine",
        ),
        (
            |sight| drop(sight.nodes.as_mut().unwrap().remove("demo-master-b")),
            "master demo-master-b in z2 has no Node",
        ),
        (
            |sight| {
                let node = sight.nodes.as_mut().unwrap().get_mut("demo-pool-1").unwrap();
                node.labels.insert(ZONE.to_owned(), "z2".to_owned());
            },
            "Node demo-pool-1 is labelled z2, and its machine is in z1",
        ),
        (
            |sight| {
                let node = sight.nodes.as_mut().unwrap().get_mut("demo-pool-1").unwrap();
                node.provider_id = Some("gce://p/z3/demo-pool-1".to_owned());
            },
            "Node demo-pool-1 has the providerID gce://p/z3/demo-pool-1, and its machine is in z1",
        ),
        (
            |sight| {
                let node = sight.nodes.as_mut().unwrap().get_mut("demo-pool-1").unwrap();
                node.ready = false;
                node.not_ready_reason = Some("KubeletNotReady: no network".to_owned());
            },
            "worker demo-pool-1 in z1 is not ready: KubeletNotReady: no network",
        ),
        (
            |sight| {
                sight
                    .nodes
                    .as_mut()
                    .unwrap()
                    .get_mut("demo-pool-1")
                    .unwrap()
                    .unschedulable = true;
            },
            "worker demo-pool-1 is cordoned",
        ),
    ]);
}
