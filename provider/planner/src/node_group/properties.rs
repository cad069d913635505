//! What holds for every group: random worlds, random configurations.

use proptest::prelude::*;

use super::{invariants::available, *};

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

/// Up to so many workers, each with any facts.
pub(crate) fn workers(most: usize) -> impl Strategy<Value = std::collections::BTreeMap<String, Member>> {
    proptest::collection::btree_map("[a-f][0-9]", member(), 0..=most)
}

fn world() -> impl Strategy<Value = Observed> {
    let api = prop_oneof![8 => Just(Api::Serving), 1 => Just(Api::Silent), 1 => Just(Api::Gone)];
    (api, workers(11)).prop_map(|(api, members)| Observed {
        api,
        api_version: Some(Version::new(1, 34, 1)),
        members,
    })
}

pub(crate) fn intent() -> impl Strategy<Value = Desired> {
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

proptest! {
    /// Rules: random-node-groups, node-groups-drain-first, node-groups-add-first
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
                    prop_assert_eq!(invariants::broken(&world, &step, &desired), None, "{:?}", step);
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
    ///
    /// Rules: random-node-groups
    #[test]
    fn a_crash_between_any_two_steps_is_healed_by_asking_again(
        observed in world(), desired in intent(), crashes in proptest::collection::vec(0_usize..6, 0..4),
    ) {
        let mut world = observed;
        for survive in crashes {
            for _ in 0..survive {
                let Next::Step(step) = next(&world, &desired) else { break };
                prop_assert_eq!(invariants::broken(&world, &step, &desired), None, "{:?}", step);
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
