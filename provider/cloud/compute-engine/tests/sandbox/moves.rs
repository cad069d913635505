//! An address on its way, interrupted at every request: nobody is left without a way out of the network.

use std::future::Future;

use multizone_cloud::{AddressHolder, Cloud as _, CloudError, MachineSpec};
use multizone_cloud_compute_engine::ComputeEngine;

use crate::{
    balancers::{balancer, master},
    region::{Hang, Sandbox},
    specs::{ZONE, address_spec, balancer_spec, cluster, inventory, machine_spec, network_spec},
};

/// More requests than any call makes.
const ENOUGH: usize = 20;

fn other() -> AddressHolder {
    AddressHolder::Machine {
        zone: ZONE.into(),
        name: "demo-master-b".into(),
    }
}

/// Two masters and a balancer; this one of them has the address.
async fn region(holder: Option<&AddressHolder>) -> Sandbox {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_address(&address_spec()).await.unwrap();
    for name in ["demo-master-a", "demo-master-b"] {
        cloud.ensure_machine(&machine_spec(name)).await.unwrap();
    }
    cloud.ensure_balancer(&balancer_spec(&[ZONE])).await.unwrap();
    if let Some(holder) = holder {
        cloud.attach_address(&cluster(), "api", holder).await.unwrap();
    }
    sandbox.idle().await;
    sandbox
}

/// Interrupts a call at every change that it asks for, each time in a region of its own, and makes it again; returns how
/// many interruptions that were.
async fn interrupted_everywhere<F>(
    from: Option<&AddressHolder>,
    to: Option<&AddressHolder>,
    call: impl Fn(ComputeEngine) -> F,
) -> usize
where
    F: Future<Output = Result<(), CloudError>> + Send + 'static,
{
    let mut points = 0;
    for hang in [Hang::Before, Hang::After] {
        for number in 1.. {
            assert!(number < ENOUGH, "no end of changes");
            let sandbox = region(from).await;
            sandbox.hang_at(hang(number));
            let caller = tokio::spawn(call(sandbox.cloud.clone()));
            sandbox.until(|_| sandbox.hangs() || caller.is_finished()).await;
            if !sandbox.hangs() {
                caller.await.unwrap().unwrap();
                break;
            }
            caller.abort();
            points += 1;
            sandbox.idle().await;
            let point = format!("{from:?} to {to:?}, {:?}", hang(number));
            reconnect(&sandbox, &point).await;
            call(sandbox.cloud.clone())
                .await
                .unwrap_or_else(|error| panic!("{point}: {error}"));
            sandbox.idle().await;
            let found = inventory(&sandbox).await;
            assert_eq!(found.address("api").unwrap().holder.as_ref(), to, "{point}");
            for machine in &found.machines {
                assert!(!sandbox.cloud.is_cut_off(machine), "{point}: {machine:#?}");
            }
        }
    }
    points
}

/// What the provider does before it looks at its masters.
async fn reconnect(sandbox: &Sandbox, point: &str) {
    let found = inventory(sandbox).await;
    for machine in found
        .machines
        .iter()
        .filter(|machine| sandbox.cloud.is_cut_off(machine))
    {
        let connected = sandbox.cloud.reconnect_machine(&cluster(), ZONE, &machine.name).await;
        connected.unwrap_or_else(|error| panic!("{point}: {error}"));
    }
    let found = inventory(sandbox).await;
    for machine in &found.machines {
        assert!(!sandbox.cloud.is_cut_off(machine), "{point}: {machine:#?}");
        let again = sandbox.cloud.reconnect_machine(&cluster(), ZONE, &machine.name).await;
        again.unwrap_or_else(|error| panic!("{point}: {error}"));
    }
    assert_eq!(inventory(sandbox).await, found, "{point}: who has an address keeps it");
}

#[tokio::test]
async fn a_move_that_is_interrupted_anywhere_leaves_nobody_without_a_way_out() {
    let mut points = 0;
    let holders = [master(), other(), balancer()];
    for (from, to) in [(0, 1), (0, 2), (2, 1)] {
        let (from, to) = (&holders[from], &holders[to]);
        let target = to.clone();
        points += interrupted_everywhere(Some(from), Some(to), |cloud| {
            let target = target.clone();
            async move { cloud.move_address(&cluster(), "api", &target).await }
        })
        .await;
    }
    points += interrupted_everywhere(Some(&master()), None, |cloud| async move {
        cloud.detach_address(&cluster(), "api").await
    })
    .await;
    points += interrupted_everywhere(None, Some(&master()), |cloud| async move {
        cloud.attach_address(&cluster(), "api", &master()).await
    })
    .await;
    println!("interrupted at {points} points");
    assert!(points >= 20, "{points}");
}

#[tokio::test]
async fn a_machine_that_is_not_the_clusters_is_given_nothing() {
    let sandbox = region(None).await;
    let theirs = MachineSpec {
        cluster: multizone_cloud::ClusterName::new("demo-2"),
        ..machine_spec("demo-2-pool-1")
    };
    sandbox
        .cloud
        .ensure_network(&network_spec(theirs.cluster.clone()))
        .await
        .unwrap();
    sandbox.cloud.ensure_machine(&theirs).await.unwrap();
    let refused = sandbox.cloud.reconnect_machine(&cluster(), ZONE, "demo-2-pool-1").await;
    assert!(matches!(refused, Err(CloudError::NotOurs { .. })), "{refused:?}");
}
