//! Machine, member, target and Node of one master, disagreeing in every way.

use crate::{
    Version,
    cluster::{Disk, Machine, Member, Node, Power, Target, World},
};

/// A world with masters a and b, and of c every combination of what there may be.
pub(in crate::cluster) fn disagreeing(world: &World) -> Vec<(String, World)> {
    let machines = [
        ("no machine", None),
        ("machine halted", Some((Power::Off, false))),
        ("machine joining", Some((Power::On, true))),
        ("machine running", Some((Power::On, false))),
    ];
    // Of a member: whether it is a learner, and whether it has started.
    let members = [
        ("no member", None),
        ("unstarted learner", Some((true, false))),
        ("learner", Some((true, true))),
        ("voter", Some((false, true))),
    ];
    let targets = [
        ("no target", None),
        ("target unhealthy", Some(Target::Unhealthy)),
        ("target draining", Some(Target::Draining)),
    ];
    let nodes = [("no Node", None), ("Node leaving", Some(true)), ("Node", Some(false))];
    let mut worlds = Vec::new();
    for (machine_is, machine) in machines {
        for (member_is, member) in members {
            for (target_is, target) in targets {
                for (node_is, node) in nodes {
                    let mut world = world.clone();
                    let runs = machine.is_some_and(|(power, _)| power == Power::On);
                    if let Some((power, joining)) = machine {
                        let mut made: Machine = world.machines["m-a"].clone();
                        (made.replica, made.zone) = ("c".to_owned(), "z3".to_owned());
                        (made.power, made.joining) = (power, joining);
                        world.machines.insert("m-c".to_owned(), made);
                        world.disks.insert("m-c".to_owned(), Disk { zone: "z3".to_owned() });
                    }
                    if let Some((learner, started)) = member {
                        let member = Member {
                            machine: Some("m-c".to_owned()),
                            learner,
                            started,
                            healthy: started && runs,
                            version: Version::new(3, 6, 0),
                        };
                        world.members.insert(7, member);
                    }
                    if let (Some(target), Some(balancer)) = (target, &mut world.balancer) {
                        balancer.targets.insert("m-c".to_owned(), target);
                    }
                    if let Some(leaving) = node {
                        let node = Node {
                            joined: runs,
                            leaving,
                            pods: true,
                            ..Node::default()
                        };
                        world.nodes.insert("m-c".to_owned(), node);
                    }
                    world.settle();
                    let name = [machine_is, member_is, target_is, node_is].join(", ");
                    worlds.push((name, world));
                }
            }
        }
    }
    worlds
}
