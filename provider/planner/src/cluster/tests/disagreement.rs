//! Machine, member, target and Node of one master, disagreeing in every way.

use std::fmt::Write;

use super::*;
use crate::cluster::proof::disagreement::disagreeing;

/// Of master c everything or nothing may be there; each combination has its steps, towards three masters and towards two.
///
/// Rules: disagreement, removal-order, kubeadm-owns-the-learner, unstarted-learner-by-id, joiner-after-readyz
#[test]
fn every_combination_of_machine_member_target_and_node_has_its_steps() {
    let mut table = String::new();
    for (combination, world) in disagreeing(&running("ab")) {
        writeln!(table, "{combination}").unwrap();
        for keys in ["abc", "ab"] {
            let found = steps(&world, &desired(keys));
            let ends_well = found.last().is_none_or(|last| !last.contains(':'));
            assert!(ends_well, "{combination}: {found:?}");
            writeln!(table, "    {keys:3}  {}", found.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}
