//! What a decision and a preview cost: 7 masters, 20 node groups, 500 workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
};

use criterion::{Criterion, criterion_group, criterion_main};
use multizone_planner::{
    Version,
    cluster::{self, Balancer, Cloud, ControlPlane, Endpoint, Operation, Replica, World},
    node_group::{self, Api, Member, Names, Node, Power},
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

fn group(number: usize, specification: &str) -> (node_group::Observed, node_group::Desired) {
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
        labels: BTreeMap::new(),
        absent_labels: BTreeSet::new(),
        record: None,
        taints: BTreeSet::new(),
        absent_taints: BTreeSet::new(),
        max_surge: 5,
        max_unavailable: 0,
        force: false,
    };
    (observed, desired)
}

fn planning(criterion: &mut Criterion) {
    let world = seven();
    let replaced = control_plane("s2");
    let groups: Vec<_> = (0..20).map(|number| group(number, "s2")).collect();
    criterion.bench_function("next, 7 masters", |bencher| {
        bencher.iter(|| cluster::next(black_box(&world), &replaced));
    });
    criterion.bench_function("next, 25 workers", |bencher| {
        bencher.iter(|| node_group::next(black_box(&groups[0].0), &groups[0].1));
    });
    criterion.bench_function("preview, 7 masters replaced", |bencher| {
        bencher.iter(|| cluster::preview(black_box(&world), &replaced));
    });
    criterion.bench_function("preview, 7 masters and 500 workers replaced", |bencher| {
        bencher.iter(|| {
            let masters = cluster::preview(black_box(&world), &replaced).steps.len();
            let workers = groups
                .iter()
                .map(|(observed, desired)| node_group::preview(observed, desired).steps.len());
            masters + workers.sum::<usize>()
        });
    });
}

criterion_group!(benches, planning);
criterion_main!(benches);
