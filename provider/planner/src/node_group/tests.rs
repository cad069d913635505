//! The exact steps of each situation; each test is named after the rule that it holds.

use std::collections::BTreeMap;

use super::*;
use crate::{Timing, lines};

/// A group of the size given, `demo`/`pool`, that surges by one.
fn desired(size: usize) -> Desired {
    Desired {
        names: Names {
            cluster: "demo".to_owned(),
            group: "pool".to_owned(),
        },
        zone: "us-central1-a".to_owned(),
        size,
        version: Version::new(1, 34, 1),
        specification: "new".to_owned(),
        labels: BTreeMap::new(),
        record: None,
        absent_labels: BTreeSet::new(),
        taints: BTreeSet::new(),
        absent_taints: BTreeSet::new(),
        max_surge: 1,
        max_unavailable: 0,
        force: false,
    }
}

fn machine(specification: &str, created: i64) -> Machine {
    Machine {
        power: Power::On,
        specification: specification.to_owned(),
        created,
        joinable: false,
        mislabelled: false,
    }
}

fn joined(specification: &str, created: i64) -> Member {
    Member {
        machine: Some(machine(specification, created)),
        node: Some(Node {
            joined: true,
            ..Node::default()
        }),
        drained: false,
    }
}

fn world<const N: usize>(members: [(&str, Member); N]) -> Observed {
    Observed {
        api: Api::Serving,
        api_version: Some(Version::new(1, 34, 1)),
        members: members
            .into_iter()
            .map(|(name, member)| (name.to_owned(), member))
            .collect(),
    }
}

/// The steps in short: `verb name name`; new machines are called `+1`, `+2`, ... in the order in which they are made.
fn steps(observed: &Observed, desired: &Desired) -> Vec<String> {
    let Preview { steps, end } = preview(observed, desired);
    let mut new: BTreeMap<String, String> = BTreeMap::new();
    let mut short = Vec::new();
    for step in &steps {
        let verb = match step {
            Step::Relabel(_) => "relabel",
            Step::DeleteNodes(_) => "forget",
            Step::DeleteMachines(_) => "delete",
            Step::StartMachines(_) => "start",
            Step::Keep(_) => "keep",
            Step::Patch(_) => "patch",
            Step::CreateMachines(_) => "create",
            Step::WaitJoined(_) => "wait",
            Step::Cordon(_) => "cordon",
            Step::Drain(_) => "drain",
        };
        let mut names = Vec::new();
        for name in step.names() {
            if matches!(step, Step::CreateMachines(_)) && !observed.members.contains_key(name) {
                let number = new.len() + 1;
                new.entry(name.clone()).or_insert_with(|| format!("+{number}"));
            }
            names.push(new.get(name).unwrap_or(name).clone());
        }
        names.sort();
        short.push(format!("{verb} {}", names.join(" ")));
    }
    match end {
        Next::Done => {}
        Next::Blocked(blocked) => short.push(format!("BLOCKED: {blocked}")),
        Next::Refused(violation) => short.push(format!("REFUSED: {violation}")),
        Next::Step(_) => unreachable!("a preview ends with an end"),
    }
    short
}

/// Rules: further-zones-reuse-the-master
#[test]
fn a_new_group_is_created_at_once_and_waited_for() {
    assert_eq!(steps(&world([]), &desired(3)), ["create +1 +2 +3", "wait +1 +2 +3"]);
}

/// Rules: no-change-no-step
#[test]
fn a_group_as_desired_needs_nothing() {
    assert_eq!(
        steps(&world([("a", joined("new", 1))]), &desired(1)),
        Vec::<String>::new()
    );
}

/// Rules: node-groups-surge
#[test]
fn growing_adds_and_touches_nothing_else() {
    assert_eq!(
        steps(&world([("a", joined("new", 1))]), &desired(3)),
        ["create +1 +2", "wait +1 +2"]
    );
}

/// Rules: node-groups-resume
#[test]
fn an_interrupted_create_goes_on_with_the_machines_it_made() {
    let names = desired(3).names;
    let first = names.name("new", 0);
    let mut made = joined("new", 1);
    made.node = None;
    made.machine.as_mut().unwrap().joinable = true;
    assert_eq!(
        steps(&world([(first.as_str(), made)]), &desired(2)),
        ["create +1".to_owned(), format!("wait +1 {first}")]
    );
}

/// Rules: node-groups-never-joined
#[test]
fn a_machine_that_never_joined_and_has_no_token_is_replaced_under_its_own_name() {
    let first = desired(1).names.name("new", 0);
    let mut stuck = joined("new", 1);
    stuck.node = None;
    let observed = world([(first.as_str(), stuck)]);
    assert_eq!(
        steps(&observed, &desired(1)),
        [
            format!("delete {first}"),
            format!("create {first}"),
            format!("wait {first}")
        ]
    );
}

/// Rules: node-groups-shrink-order
#[test]
fn shrink_takes_what_never_joined_then_what_is_not_ready_then_the_old_specification_then_the_youngest() {
    let mut never = joined("new", 1);
    never.node = None;
    let mut unready = joined("new", 1);
    unready.node.as_mut().unwrap().joined = false;
    let observed = world([
        ("oldest", joined("new", 1)),
        ("young", joined("new", 5)),
        ("youngest", joined("new", 9)),
        ("earlier", joined("old", 0)),
        ("unready", unready),
        ("never", never),
    ]);
    let first_to_go = |size| {
        let Preview { steps, .. } = preview(&observed, &desired(size));
        let gone = |step: &Step| match step {
            Step::DeleteMachines(names) => names.clone(),
            _ => BTreeSet::new(),
        };
        steps.iter().flat_map(gone).collect::<Vec<String>>()
    };
    assert_eq!(
        first_to_go(4),
        ["never", "earlier"],
        "four of the new specification stay, the unready one too"
    );
    assert_eq!(first_to_go(3), ["never", "earlier", "unready"]);
    assert_eq!(first_to_go(2), ["never", "earlier", "unready", "youngest"]);
    assert_eq!(first_to_go(1), ["never", "earlier", "unready", "young", "youngest"]);
}

/// Rules: node-groups-drain-first, kube-up-6
#[test]
fn shrink_cordons_and_drains_before_the_machine_goes() {
    let observed = world([("a", joined("new", 1)), ("b", joined("new", 2))]);
    assert_eq!(
        steps(&observed, &desired(1)),
        ["cordon b", "drain b", "delete b", "forget b"]
    );
}

/// Rules: node-groups-add-first, node-groups-surge
#[test]
fn replacement_with_a_surge_adds_first() {
    let observed = world([("a", joined("old", 1)), ("b", joined("old", 2))]);
    assert_eq!(
        steps(&observed, &desired(2)),
        [
            "create +1",
            "wait +1",
            "cordon b",
            "drain b",
            "delete b",
            "forget b",
            "create +2",
            "wait +2",
            "cordon a",
            "drain a",
            "delete a",
            "forget a",
        ]
    );
}

/// Rules: node-groups-unavailability
#[test]
fn replacement_without_a_surge_removes_first() {
    let observed = world([("a", joined("old", 1)), ("b", joined("old", 2))]);
    let desired = Desired {
        max_surge: 0,
        max_unavailable: 1,
        ..desired(2)
    };
    assert_eq!(
        steps(&observed, &desired),
        [
            "cordon b",
            "drain b",
            "delete b",
            "forget b",
            "create +1",
            "wait +1",
            "cordon a",
            "drain a",
            "delete a",
            "forget a",
            "create +2",
            "wait +2",
        ]
    );
}

/// Rules: node-groups-surge
#[test]
fn replacement_with_room_for_all_goes_in_one_wave() {
    let observed = world([("a", joined("old", 1)), ("b", joined("old", 2))]);
    let desired = Desired {
        max_surge: 2,
        ..desired(2)
    };
    assert_eq!(
        steps(&observed, &desired),
        [
            "create +1 +2",
            "wait +1 +2",
            "cordon a b",
            "drain a b",
            "delete a b",
            "forget a b",
        ]
    );
}

/// Rules: node-groups-add-first
#[test]
fn no_worker_is_drained_before_its_replacement_has_joined() {
    let mut observed = world([("a", joined("old", 1)), ("b", joined("old", 2))]);
    let first = desired(2).names.name("new", 0);
    let mut joining = joined("new", 3);
    joining.node.as_mut().unwrap().joined = false;
    observed.members.insert(first.clone(), joining);
    assert_eq!(
        next(&observed, &desired(2)),
        Next::Step(Step::WaitJoined([first].into()))
    );
}

/// Rules: node-groups-dead-first
#[test]
fn a_dead_worker_is_removed_then_replaced() {
    let mut dead = joined("new", 1);
    dead.machine = None;
    assert_eq!(
        steps(&world([("a", dead), ("b", joined("new", 2))]), &desired(2)),
        ["forget a", "create +1", "wait +1"]
    );
}

/// Rules: node-groups-dead-first
#[test]
fn a_halted_worker_is_started_again() {
    let mut halted = joined("new", 1);
    halted.machine.as_mut().unwrap().power = Power::Off;
    halted.node.as_mut().unwrap().joined = false;
    assert_eq!(steps(&world([("a", halted)]), &desired(1)), ["start a", "wait a"]);
}

/// Rules: node-groups-dead-first
#[test]
fn a_halted_worker_that_is_to_go_is_not_drained() {
    let mut halted = joined("old", 1);
    halted.machine.as_mut().unwrap().power = Power::Off;
    assert_eq!(steps(&world([("a", halted)]), &desired(0)), ["delete a", "forget a"]);
}

/// Rules: node-groups-resume
#[test]
fn an_interrupted_removal_goes_on_with_the_same_worker() {
    let mut leaving = joined("new", 1);
    leaving.node.as_mut().unwrap().leaving = true;
    let observed = world([("a", leaving), ("b", joined("new", 9))]);
    assert_eq!(steps(&observed, &desired(1)), ["drain a", "delete a", "forget a"]);
}

/// Rules: node-groups-resume
#[test]
fn a_worker_that_is_to_stay_after_all_takes_pods_again() {
    let mut leaving = joined("new", 1);
    leaving.node.as_mut().unwrap().leaving = true;
    assert_eq!(
        steps(&world([("a", leaving), ("b", joined("new", 9))]), &desired(2)),
        ["keep a"]
    );
}

/// Rules: node-groups-in-place
#[test]
fn labels_and_taints_are_patched_in_place_and_what_others_set_stays() {
    let mut node = joined("new", 1);
    let taint = |key: &str| Taint {
        key: key.to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    node.node
        .as_mut()
        .unwrap()
        .labels
        .insert("old".to_owned(), "x".to_owned());
    node.node
        .as_mut()
        .unwrap()
        .labels
        .insert("others".to_owned(), "x".to_owned());
    node.node.as_mut().unwrap().taints.insert(taint("others"));
    let desired = Desired {
        labels: [("team".to_owned(), "web".to_owned())].into(),
        absent_labels: ["old".to_owned()].into(),
        taints: [taint("dedicated")].into(),
        ..desired(1)
    };
    let observed = world([("a", node)]);
    assert_eq!(steps(&observed, &desired), ["patch a"]);
    let after = effect(observed, &Step::Patch(["a".to_owned()].into()), &desired);
    let node = after.members["a"].node.clone().unwrap();
    assert_eq!(node.labels.into_keys().collect::<Vec<_>>(), ["others", "team"]);
    assert_eq!(node.taints.len(), 2);
}

/// Rules: node-groups-drain-first, kube-up-6
#[test]
fn a_whole_group_leaves_in_one_wave() {
    let observed = world([("a", joined("new", 1)), ("b", joined("new", 2))]);
    assert_eq!(
        steps(&observed, &desired(0)),
        ["cordon a b", "drain a b", "delete a b", "forget a b"]
    );
}

/// Rules: node-groups-without-api
#[test]
fn teardown_without_a_control_plane_deletes_the_workers_as_they_are() {
    let observed = Observed {
        api: Api::Gone,
        ..world([("a", joined("new", 1)), ("b", joined("old", 2))])
    };
    let mut undrained = observed.clone();
    undrained.members.values_mut().for_each(|member| member.node = None);
    assert_eq!(steps(&undrained, &desired(0)), ["delete a b"]);
}

/// Rules: node-groups-without-api
#[test]
fn a_drain_fails_closed_while_the_api_is_silent() {
    let observed = Observed {
        api: Api::Silent,
        ..world([("a", joined("new", 1))])
    };
    assert_eq!(next(&observed, &desired(0)), Next::Blocked(Blocked::ApiSilent));
    let forced = Desired {
        force: true,
        ..desired(0)
    };
    assert_eq!(
        next(&observed, &forced),
        Next::Step(Step::DeleteMachines(["a".to_owned()].into()))
    );
}

/// Rules: node-groups-without-api
#[test]
fn force_concerns_a_group_that_goes_and_nothing_else() {
    let observed = world([("a", joined("old", 1))]);
    let forced = |size| Desired {
        force: true,
        ..desired(size)
    };
    assert_eq!(steps(&observed, &forced(0)), ["delete a", "forget a"]);
    assert_eq!(
        steps(&observed, &forced(1)),
        ["create +1", "wait +1", "cordon a", "drain a", "delete a", "forget a"]
    );
}

/// Rules: node-groups-without-api, further-zones-reuse-the-master
#[test]
fn nothing_joins_where_there_is_no_control_plane() {
    let observed = Observed {
        api: Api::Gone,
        ..world([])
    };
    assert_eq!(next(&observed, &desired(1)), Next::Blocked(Blocked::ControlPlaneGone));
}

/// Rules: kubelet-skew, masters-before-workers
#[test]
fn a_kubelet_is_never_newer_than_the_api_server() {
    let desired = Desired {
        version: Version::new(1, 35, 0),
        ..desired(1)
    };
    assert!(matches!(
        next(&world([]), &desired),
        Next::Refused(Violation::VersionSkew { .. })
    ));
    let leaving = Desired { size: 0, ..desired };
    assert_eq!(
        next(&world([]), &leaving),
        Next::Done,
        "a group that goes is never held up by its version"
    );
}

/// Rules: node-groups-surge, node-groups-unavailability
#[test]
fn a_replacement_needs_room() {
    let desired = Desired {
        max_surge: 0,
        max_unavailable: 0,
        ..desired(1)
    };
    assert_eq!(next(&world([]), &desired), Next::Refused(Violation::NoRoomToReplace));
}

/// Rules: preview-in-words
#[test]
fn the_wording_of_a_replacement() {
    let timing = Timing {
        create_machine: std::time::Duration::from_secs(40),
        join: std::time::Duration::from_mins(2),
        delete_machine: std::time::Duration::from_secs(30),
        drain: std::time::Duration::from_secs(30),
    };
    let desired = desired(2);
    let observed = world([
        ("demo-pool-old1", joined("old", 1)),
        ("demo-pool-old2", joined("old", 2)),
    ]);
    let preview = preview(&observed, &desired);
    insta::assert_snapshot!(lines(&preview.describe(&desired, &timing)).join("\n"), @r"
     1. create worker demo-pool-dfwt in us-central1-a                ~40 s
     2. wait until worker demo-pool-dfwt has joined                  ~2 min
     3. cordon worker demo-pool-old2                                 ~1 s
     4. drain worker demo-pool-old2, PodDisruptionBudgets permitting ~30 s
     5. delete the machine of worker demo-pool-old2                  ~30 s
     6. delete the Node object demo-pool-old2                        ~1 s
     7. create worker demo-pool-gc25 in us-central1-a                ~40 s
     8. wait until worker demo-pool-gc25 has joined                  ~2 min
     9. cordon worker demo-pool-old1                                 ~1 s
    10. drain worker demo-pool-old1, PodDisruptionBudgets permitting ~30 s
    11. delete the machine of worker demo-pool-old1                  ~30 s
    12. delete the Node object demo-pool-old1                        ~1 s
    ");
}

/// Rules: node-groups-resume
#[test]
fn what_somebody_cordoned_takes_pods_again_and_what_is_to_leave_stays_cordoned() {
    let cordoned = |created| {
        let mut member = joined("new", created);
        member.node.as_mut().unwrap().cordoned = true;
        member
    };
    let observed = world([("a", cordoned(1)), ("b", cordoned(2))]);
    assert_eq!(steps(&observed, &desired(2)), ["keep a b"]);
    assert_eq!(
        steps(&observed, &desired(1)),
        ["keep a", "cordon b", "drain b", "delete b", "forget b"]
    );
}

/// Rules: node-groups-in-place
#[test]
fn labels_in_the_cloud_come_back_before_anything_else() {
    let mut member = joined("new", 1);
    member.machine.as_mut().unwrap().mislabelled = true;
    let observed = world([("a", member), ("b", joined("new", 2))]);
    assert_eq!(steps(&observed, &desired(2)), ["relabel a"]);
    assert_eq!(
        steps(&observed, &desired(1)),
        ["relabel a", "cordon b", "drain b", "delete b", "forget b"]
    );
}

/// Rules: node-groups-in-place
#[test]
fn nodes_without_the_groups_record_get_it_in_place() {
    let observed = world([("a", joined("new", 1))]);
    let desired = Desired {
        record: Some("settings".to_owned()),
        ..desired(1)
    };
    assert_eq!(steps(&observed, &desired), ["patch a"]);
}
