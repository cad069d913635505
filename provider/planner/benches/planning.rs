//! What a decision and a preview cost: 7 masters, 20 node groups, 500 workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
};

use criterion::{Criterion, criterion_group, criterion_main};
use multizone_planner::{
    Version,
    cluster::{self, Balancer, Cloud, ControlPlane, Endpoint, Operation, Replica, World},
    node_group::{self, Api, Member, Names, Node, Power, Taint},
};

fn control_plane(specification: &str) -> Operation {
    let replica = |index: usize| {
        let replica = Replica {
            zone: format!("z{}", index % 3),
            specification: specification.to_owned(),
        };
        (format!("r{index}"), replica)
    };
    Operation::ControlPlane(ControlPlane {
        prefix: "demo-master-".to_owned(),
        replicas: (0..7).map(replica).collect(),
        version: Version::new(1, 34, 1),
        settings: "k".to_owned(),
        addons: "p".to_owned(),
        balancer: Some("api".to_owned()),
        endpoint: None,
        backup: Some("somewhere".to_owned()),
        pod_network: None,
    })
}

fn seven() -> World {
    let cloud = Cloud {
        endpoint: Endpoint::Address,
        zonal_subnets: false,
    };
    let mut world = World::empty(cloud, &["z0", "z1", "z2"]);
    world.balancer = Some(Balancer {
        zones: ["z0", "z1", "z2"].map(str::to_owned).into(),
        ..Balancer::default()
    });
    let operation = control_plane("s1");
    let steps = cluster::preview(&world, &operation).steps;
    steps
        .iter()
        .fold(world, |world, step| cluster::effect(world, step, &operation))
}

/// A group of 25 workers, with labels and a taint as groups have them.
fn group(number: usize, specification: &str, max_surge: usize) -> (node_group::Observed, node_group::Desired) {
    let labels: BTreeMap<String, String> = ["environment", "example.com/pool", "example.com/team", "workload"]
        .map(|key| (key.to_owned(), format!("value-of-{key}")))
        .into();
    let taints: BTreeSet<Taint> = [Taint {
        key: "dedicated".to_owned(),
        value: "batch".to_owned(),
        effect: "NoSchedule".to_owned(),
    }]
    .into();
    let member = |index: usize| {
        let member = Member {
            machine: Some(node_group::Machine {
                power: Power::On,
                specification: "s1".to_owned(),
                created: i64::try_from(index).unwrap_or(0),
                joinable: false,
                mislabelled: false,
            }),
            node: Some(Node {
                joined: true,
                labels: labels.clone(),
                taints: taints.clone(),
                ..Node::default()
            }),
            drained: false,
        };
        (format!("demo-pool{number}-{index:04}"), member)
    };
    let observed = node_group::Observed {
        api: Api::Serving,
        api_version: Some(Version::new(1, 34, 1)),
        members: (0..25).map(member).collect(),
    };
    let desired = node_group::Desired {
        names: Names {
            cluster: "demo".to_owned(),
            group: format!("pool{number}"),
        },
        zone: "z0".to_owned(),
        size: 25,
        version: Version::new(1, 34, 1),
        specification: specification.to_owned(),
        labels: labels.clone(),
        absent_labels: BTreeSet::new(),
        record: None,
        taints: taints.clone(),
        absent_taints: BTreeSet::new(),
        max_surge,
        max_unavailable: 0,
        force: false,
    };
    (observed, desired)
}

fn planning(criterion: &mut Criterion) {
    let world = seven();
    let replaced = control_plane("s2");
    let groups = |max_surge| -> Vec<_> { (0..20).map(|number| group(number, "s2", max_surge)).collect() };
    let (one_by_one, waves) = (groups(1), groups(5));
    criterion.bench_function("next, 7 masters", |bencher| {
        bencher.iter(|| cluster::next(black_box(&world), &replaced));
    });
    criterion.bench_function("next, 25 workers", |bencher| {
        bencher.iter(|| node_group::next(black_box(&waves[0].0), &waves[0].1));
    });
    criterion.bench_function("preview, 7 masters replaced", |bencher| {
        bencher.iter(|| cluster::preview(black_box(&world), &replaced));
    });
    for (name, groups) in [("five at a time", &waves), ("one at a time", &one_by_one)] {
        let name = format!("preview, 7 masters and 500 workers of 20 groups replaced, {name}");
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                let masters = cluster::preview(black_box(&world), &replaced).steps.len();
                let workers = groups
                    .iter()
                    .map(|(observed, desired)| node_group::preview(observed, desired).steps.len());
                masters + workers.sum::<usize>()
            });
        });
    }
}

criterion_group!(benches, planning);
criterion_main!(benches);
