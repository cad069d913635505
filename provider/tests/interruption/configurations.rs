//! No false drift: random valid configurations, each applied to a region of its own and followed by two empty plans, the
//! second from a fresh look, and by looks that leave the private data alone.  The same ones every time.

use serde_json::Value;

use crate::{
    CLUSTER, CONTROL_PLANE, DISK, NODE_GROUP, chance::Chance, of_a_cluster, of_a_control_plane, operation,
    world::Snapshot,
};

/// Applies each to a region of its own and finds two plans after it empty.
async fn quiet(before: &Snapshot, type_name: &'static str, count: usize, mut next: impl FnMut() -> Value) {
    for number in 0..count {
        let config = next();
        let apply = operation("apply it", type_name, Some(config.clone()));
        let mut world = before.thaw();
        let converged = match world.try_to_converge(&apply).await {
            Ok(_) => world.settle_private_data(&apply).await,
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = converged {
            panic!("configuration {number} of {count}, {config}: {trouble}");
        }
    }
}

#[tokio::test]
async fn disks_show_no_false_drift() {
    let mut chance = Chance(1);
    quiet(&of_a_cluster().await, DISK, 90, || chance.disk()).await;
}

#[tokio::test]
async fn clusters_show_no_false_drift() {
    let mut chance = Chance(2);
    let empty = Snapshot::of_an_empty_region().await;
    quiet(&empty, CLUSTER, 50, || chance.cluster()).await;
}

#[tokio::test]
async fn control_planes_show_no_false_drift() {
    let mut chance = Chance(3);
    quiet(&of_a_cluster().await, CONTROL_PLANE, 20, || chance.control_plane()).await;
}

/// Each group lives through three configurations: one creates it, two change it, in place or by replacing its workers.
async fn living_groups(seed: u64, count: usize) {
    let mut chance = Chance(seed);
    let before = of_a_control_plane().await;
    for number in 0..count {
        let group = chance.node_group();
        let mut world = before.thaw();
        for age in ["created", "changed", "changed again"] {
            let config = chance.workers(&group);
            let apply = operation("apply it", NODE_GROUP, Some(config.clone()));
            let converged = match world.try_to_converge(&apply).await {
                Ok(_) => world.settle_private_data(&apply).await,
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = converged {
                panic!("group {number} of {count}, {age} as {config}: {trouble}");
            }
        }
    }
}

/// Most of it is waiting for machines, so several groups live at the same time, each in a region and on a thread of its own.
#[test]
fn node_groups_show_no_false_drift() {
    let lane = |seed| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(living_groups(seed, 4));
        })
    };
    let lanes: Vec<_> = (4..8).map(lane).collect();
    for lane in lanes {
        lane.join().unwrap();
    }
}
