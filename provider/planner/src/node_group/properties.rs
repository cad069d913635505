//! What holds for every group: random worlds, random configurations.

use proptest::prelude::*;

use super::*;

fn member() -> impl Strategy<Value = Member> {
    let machine = (any::<bool>(), prop_oneof!["old", "new"], 0_i64..50, any::<bool>()).prop_map(
        |(on, specification, created, joinable)| Machine {
            power: if on { Power::On } else { Power::Off },
            specification,
            created,
            joinable,
            mislabelled: false,
        },
    );
    let node = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(joined, leaving, cordoned, labelled)| Node {
            joined,
            leaving,
            cordoned,
            not_ready: None,
            record: None,
            labels: labelled
                .then(|| ("team".to_owned(), "web".to_owned()))
                .into_iter()
                .collect(),
            taints: BTreeSet::new(),
        },
    );
    (
        proptest::option::weighted(0.85, machine),
        proptest::option::weighted(0.85, node),
        any::<bool>(),
    )
        .prop_map(|(machine, node, drained)| Member { machine, node, drained })
        .prop_filter("something exists", |member| {
            member.machine.is_some() || member.node.is_some()
        })
}

fn world() -> impl Strategy<Value = Observed> {
    let api = prop_oneof![8 => Just(Api::Serving), 1 => Just(Api::Silent), 1 => Just(Api::Gone)];
    (api, proptest::collection::btree_map("[a-f][0-9]", member(), 0..12)).prop_map(|(api, members)| Observed {
        api,
        api_version: Some(Version::new(1, 34, 1)),
        members,
    })
}

fn intent() -> impl Strategy<Value = Desired> {
    (0_usize..8, 0_usize..4, 0_usize..4, any::<bool>()).prop_map(|(size, max_surge, max_unavailable, force)| Desired {
        names: Names {
            cluster: "demo".to_owned(),
            group: "pool".to_owned(),
        },
        zone: "z".to_owned(),
        size,
        version: Version::new(1, 34, 1),
        specification: "new".to_owned(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        record: None,
        absent_labels: BTreeSet::new(),
        taints: BTreeSet::new(),
        absent_taints: BTreeSet::new(),
        max_surge,
        max_unavailable,
        force,
    })
}

fn available(observed: &Observed) -> usize {
    let available = |member: &&Member| {
        member
            .machine
            .as_ref()
            .is_some_and(|machine| machine.power == Power::On)
            && member.node.as_ref().is_some_and(|node| node.joined && !node.leaving)
    };
    observed.members.values().filter(available).count()
}

fn machines(observed: &Observed) -> usize {
    observed
        .members
        .values()
        .filter(|member| member.machine.is_some())
        .count()
}

/// What must hold of a step in the world in which it is taken.
fn check(observed: &Observed, step: &Step, desired: &Desired) -> Result<(), TestCaseError> {
    prop_assert!(!step.names().is_empty());
    match step {
        Step::CreateMachines(names) => {
            prop_assert!(machines(observed) + names.len() <= desired.size + desired.max_surge);
            prop_assert!(
                names.iter().all(|name| !observed.members.contains_key(name)),
                "a name is used once"
            );
        }
        Step::DeleteMachines(names) => {
            for name in names {
                let member = &observed.members[name];
                let nothing_runs = member
                    .machine
                    .as_ref()
                    .is_some_and(|machine| machine.power == Power::Off);
                let left = member.node.as_ref().is_none_or(|node| node.leaving && member.drained);
                let nobody_to_ask = observed.api != Api::Serving && desired.size == 0;
                let forced = desired.force && desired.size == 0;
                prop_assert!(
                    nothing_runs || left || nobody_to_ask || forced,
                    "{name} was not drained"
                );
            }
        }
        Step::Cordon(names) => {
            let floor = desired.size.saturating_sub(desired.max_unavailable);
            let taken = |name: &&String| {
                observed.members[*name].node.as_ref().is_some_and(|node| node.joined)
                    && observed.members[*name]
                        .machine
                        .as_ref()
                        .is_some_and(|machine| machine.power == Power::On)
            };
            let lost = names.iter().filter(taken).count();
            prop_assert!(
                lost == 0 || available(observed) >= floor + lost,
                "too few would be left"
            );
        }
        Step::DeleteNodes(names) => {
            prop_assert!(names.iter().all(|name| observed.members[name].machine.is_none()));
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_sequence_ends_keeps_its_gates_and_reaches_the_goal(observed in world(), desired in intent()) {
        let foreseen = preview(&observed, &desired);
        let bound = 20 + 10 * (observed.members.len() + desired.size);
        let mut world = observed;
        let mut taken = Vec::new();
        let end = loop {
            prop_assert!(taken.len() < bound, "does not end: {taken:?}");
            let answer = next(&world, &desired);
            prop_assert_eq!(&answer, &next(&world, &desired), "the same facts give the same step");
            match answer {
                Next::Step(step) => {
                    check(&world, &step, &desired)?;
                    world = effect(world, &step, &desired);
                    taken.push(step);
                }
                end => break end,
            }
        };
        prop_assert_eq!(&foreseen.steps, &taken, "what is previewed is what is done");
        prop_assert_eq!(&foreseen.end, &end);
        if end == Next::Done && world.api == Api::Serving {
            prop_assert_eq!(world.members.len(), desired.size);
            prop_assert_eq!(available(&world), desired.size);
        }
    }

    /// A crash forgets what only the executor knew: which nodes it drained and which machines hold its token.
    #[test]
    fn a_crash_between_any_two_steps_is_healed_by_asking_again(
        observed in world(), desired in intent(), crashes in proptest::collection::vec(0_usize..6, 0..4),
    ) {
        let mut world = observed;
        for survive in crashes {
            for _ in 0..survive {
                let Next::Step(step) = next(&world, &desired) else { break };
                check(&world, &step, &desired)?;
                world = effect(world, &step, &desired);
            }
            for member in world.members.values_mut() {
                member.drained = false;
                if let Some(machine) = &mut member.machine {
                    machine.joinable = false;
                }
            }
        }
        let finished = preview(&world, &desired);
        if finished.end == Next::Done && world.api == Api::Serving {
            let last = finished.steps.iter().fold(world, |world, step| effect(world, step, &desired));
            prop_assert_eq!(available(&last), desired.size);
            prop_assert_eq!(last.members.len(), desired.size);
        }
    }
}
