//! After an interruption the configuration is not what it was: the object is not wanted any more, or another one is.

use crate::{
    faults::{Faults, Moment, Point, SAVE},
    world::{Operation, Snapshot, report},
};

/// Kills the provider before and after every call of a create, and destroys the rest instead of creating it again; returns
/// how many points that were.
///
/// What the create has left goes with the cluster, unless it had finished: then somebody's state may have it.
pub(crate) async fn abandon_everywhere(before: &Snapshot, create: &Operation, deletes: &[Operation]) -> usize {
    let mut world = before.thaw();
    let faults = Faults::at(None);
    assert!(matches!(world.run(create, &faults).await, Some(Ok(()))));
    let mut calls = faults.calls();
    calls.dedup();
    drop(world);
    let mut world = before.thaw();
    let mut expected = String::new();
    for delete in deletes {
        expected = world.converge(delete).await;
    }
    drop(world);

    let mut covered = 0;
    let cloud = |name: &str| name.starts_with("ensure_") || name.starts_with("grant_");
    for call in calls.into_iter().filter(|(name, _)| cloud(name)) {
        for moment in [Moment::KilledBefore, Moment::KilledAfter] {
            let point = Point {
                call: call.clone(),
                moment,
            };
            let mut world = before.thaw();
            let faults = Faults::at(Some(point.clone()));
            world.run(create, &faults).await;
            covered += usize::from(faults.hit());
            let mut found = String::new();
            for delete in deletes {
                found = world
                    .try_to_converge(delete)
                    .await
                    .unwrap_or_else(|trouble| panic!("{point}, {}: {trouble}", delete.name));
            }
            assert_eq!(found, expected, "{point}");
        }
    }
    report(&format!("{}, then destroy", create.name), covered);
    covered
}

/// Kills Terraform after a create and before it saves its state, and applies another configuration: it must refuse to
/// adopt what is finished, name the import, and change nothing.
pub(crate) async fn another_configuration_is_refused(before: &Snapshot, create: &Operation, other: &Operation) {
    let mut world = before.thaw();
    let saving = Point {
        call: (SAVE.to_owned(), 1),
        moment: Moment::KilledBefore,
    };
    let faults = Faults::at(Some(saving));
    assert!(world.run(create, &faults).await.is_none(), "killed before it saved");
    let left = world.everything();
    let refused = world.run(other, &Faults::at(None)).await;
    let Some(Err(refused)) = refused else {
        panic!("{} is not refused: {refused:?}", other.name);
    };
    assert!(refused.to_string().contains("terraform import"), "{refused}");
    assert_eq!(world.everything(), left, "nothing was changed");
    world.converge(create).await;
}
