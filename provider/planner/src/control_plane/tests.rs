//! The exact steps of each situation; each test is named after the rule that it holds.

use std::time::Duration;

use super::*;
use crate::{Timing, lines};

fn desired() -> Desired {
    Desired {
        replica: "a".to_owned(),
        zone: "us-central1-a".to_owned(),
        specification: "v1".to_owned(),
        endpoint: None,
        pod_network: Some("calico".to_owned()),
    }
}

fn nothing() -> Observed {
    Observed {
        machine: None,
        serving: false,
        access: false,
        pod_network: None,
        joined: false,
    }
}

fn serving() -> Observed {
    Observed {
        machine: Some(Machine {
            power: Power::On,
            specification: "v1".to_owned(),
        }),
        serving: true,
        access: true,
        pod_network: Some("calico".to_owned()),
        joined: true,
    }
}

fn steps(observed: &Observed, desired: &Desired) -> Vec<Step> {
    preview(observed, desired).steps
}

#[test]
fn the_pod_network_is_installed_between_the_first_master_and_readiness() {
    assert_eq!(
        steps(&nothing(), &desired()),
        [
            Step::CreateMaster,
            Step::WaitServing,
            Step::InstallAccess,
            Step::ApplyPodNetwork,
            Step::WaitJoined
        ]
    );
}

#[test]
fn without_a_manifest_readiness_means_registered() {
    let desired = Desired {
        pod_network: None,
        ..desired()
    };
    assert_eq!(
        steps(&nothing(), &desired),
        [
            Step::CreateMaster,
            Step::WaitServing,
            Step::InstallAccess,
            Step::WaitJoined
        ]
    );
}

#[test]
fn a_create_that_was_interrupted_goes_on_where_it_was() {
    let mut world = nothing();
    let mut left = steps(&world, &desired());
    while let Next::Step(step) = next(&world, &desired()) {
        assert_eq!(steps(&world, &desired()), left);
        world = effect(world, step, &desired());
        left.remove(0);
    }
    assert_eq!(left, []);
    assert_eq!(world, serving());
}

#[test]
fn a_halted_master_is_started_again() {
    let mut world = serving();
    world.machine.as_mut().unwrap().power = Power::Off;
    world.serving = false;
    world.joined = false;
    assert_eq!(
        steps(&world, &desired()),
        [Step::StartMaster, Step::WaitServing, Step::WaitJoined]
    );
}

#[test]
fn the_only_master_is_never_replaced() {
    let desired = Desired {
        specification: "v2".to_owned(),
        ..desired()
    };
    assert_eq!(
        next(&serving(), &desired),
        Next::Refused(Violation::ReplacesTheOnlyMaster)
    );
}

#[test]
fn another_pod_network_is_applied_in_place() {
    let desired = Desired {
        pod_network: Some("flannel".to_owned()),
        ..desired()
    };
    assert_eq!(steps(&serving(), &desired), [Step::ApplyPodNetwork]);
}

#[test]
fn an_api_that_does_not_answer_is_waited_for_and_that_alone_is_no_change() {
    let world = Observed {
        serving: false,
        ..serving()
    };
    assert!(!preview(&world, &desired()).changes_anything());
}

#[test]
fn the_wording_of_a_create() {
    let timing = Timing {
        create_machine: Duration::from_secs(40),
        join: Duration::from_mins(2),
        delete_machine: Duration::from_secs(30),
        drain: Duration::from_secs(30),
    };
    let desired = desired();
    insta::assert_snapshot!(lines(&preview(&nothing(), &desired).describe(&desired, &timing)).join("\n"), @r"
    1. create master a in us-central1-a, which initialises the cluster                      ~40 s
    2. wait until the API serves at the cluster's address                                   ~2 min
    3. let node groups join, label and drain nodes                                          ~1 s
    4. apply the pod network's manifest                                                     ~1 s
    5. wait until master a is Ready                                                         ~30 s
    ");
}
