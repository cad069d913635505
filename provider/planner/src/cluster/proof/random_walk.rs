//! Random walks through the model: any clusters, any changes, any interleaving of all operations, any faults.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};
use stateright::Model;

use super::{
    model::{Action, Configuration, Situation, State},
    properties::{ZONES, cases, intent, world},
};
use crate::{
    cluster::{ControlPlane, Endpoint, World, gates::Gates},
    node_group::{self, properties as groups},
};

/// What the walk begins with, and what is asked for first and later.
fn situation() -> impl Strategy<Value = Situation> {
    let workers = || groups::workers(4);
    let wanted = || (intent(), groups::intent(), groups::intent());
    (
        world(),
        [workers(), workers()],
        [wanted(), wanted()],
        1..4_usize,
        0..6_u8,
    )
        .prop_map(|(mut start, workers, wanted, at_once, disturbances)| {
            start.membership_known = true;
            if start.machines.is_empty() {
                // What only an API server or etcd could say went with the last machine.
                start.members.clear();
                start.nodes.clear();
                start.endpoints.clear();
            }
            let configurations = wanted
                .into_iter()
                .map(|(masters, one, other)| configuration(&start, masters, [one, other]))
                .collect();
            Situation {
                starts: vec![(start, workers.into())],
                configurations,
                disturbances,
                at_once,
                gates: Gates::default(),
                worker_gates: node_group::Gates::default(),
                unreachable: false,
                only_the_address: false,
                futile: None,
                proven: Arc::default(),
            }
        })
}

/// A configuration that fits together: the zones are those of the masters and the workers, and the balancer spans them.
fn configuration(start: &World, mut masters: ControlPlane, mut groups: [node_group::Desired; 2]) -> Configuration {
    if start.cloud.endpoint == Endpoint::DnsName && !masters.replicas.is_empty() {
        // The endpoint is the balancer's name, or it is not: that never changes.
        masters.balancer = start.balancer.as_ref().map(|_| "api".to_owned());
    }
    for (index, group) in groups.iter_mut().enumerate() {
        group.names.group = format!("pool{index}");
        group.zone = ZONES[index].to_owned();
        group.force = false;
        group.version = masters.version;
        if masters.replicas.is_empty() {
            group.size = 0;
        }
        if group.max_surge == 0 && group.max_unavailable == 0 {
            group.max_surge = 1;
        }
    }
    let mut zones: BTreeSet<String> = masters.replicas.values().map(|replica| replica.zone.clone()).collect();
    zones.extend(
        groups
            .iter()
            .filter(|group| group.size > 0)
            .map(|group| group.zone.clone()),
    );
    if masters.balancer.is_some() && zones.is_empty() {
        masters.balancer = None;
    }
    Configuration {
        control_plane: masters,
        balanced: zones.clone(),
        zones,
        groups: groups.into(),
    }
}

fn actions(situation: &Situation, state: &State) -> Vec<Action> {
    let mut actions = Vec::new();
    situation.actions(state, &mut actions);
    actions
}

proptest! {
    #![proptest_config(cases(300))]

    /// Gates compose: whatever runs beside whatever, and whatever happens, every invariant holds; once nothing happens
    /// any more, everything comes to an end.
    ///
    /// Rules: random-clusters, random-node-groups, terraform-order
    #[test]
    fn operations_run_beside_one_another_and_through_faults(
        situation in situation(), choices in vec(any::<u16>(), 20..150),
    ) {
        let mut state = situation.init_states().remove(0);
        let mut choices = choices.into_iter().map(usize::from).cycle();
        let mut taken: Vec<Action> = Vec::new();
        let mut calm = 0;
        loop {
            if taken.len() > 120 {
                // What began is brought to its end.
                state.disturbances = 0;
                calm += 1;
            }
            prop_assert!(calm < 2500, "does not end: {:?}", &taken[taken.len() - 40..]);
            let possible = actions(&situation, &state);
            if possible.is_empty() {
                break;
            }
            let action = possible[choices.next().unwrap_or(0) % possible.len()].clone();
            taken.push(action.clone());
            let Some(next) = situation.next_state(&state, action) else { continue };
            prop_assert_eq!(next.broken, None, "{:?} in {:?}", &taken, &state);
            prop_assert!(!next.cut_off, "cut off by {:?} in {:?}", &taken, &state);
            state = next;
        }
        let missed = situation.missed(&state);
        prop_assert!(missed.is_none(), "{:?} after {:?}: {:?}", missed, &taken, &state);
    }
}
