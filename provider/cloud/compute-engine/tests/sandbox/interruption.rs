//! The caller ends while an operation runs; the next one finds the object half made or half gone.

use std::future::Future;

use multizone_cloud::{Cloud as _, CloudError};
use multizone_cloud_compute_engine::ComputeEngine;

use crate::{
    region::Sandbox,
    specs::{ZONE, address_spec, cluster, disk_spec, inventory, machine_spec, network_spec, rule_spec},
};

/// Begins a call, ends the caller while the operation runs, and makes the call again before the operation is done.
async fn interrupted<T, F>(sandbox: &Sandbox, call: impl Fn(ComputeEngine) -> F) -> Result<T, CloudError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CloudError>> + Send + 'static,
{
    sandbox.idle().await;
    sandbox.stop_time();
    let caller = tokio::spawn(call(sandbox.cloud.clone()));
    sandbox.busy().await;
    caller.abort();
    assert!(caller.await.is_err(), "the caller was ended before it was done");
    let before = sandbox.cloud.requests();
    let next = tokio::spawn(call(sandbox.cloud.clone()));
    // It has looked and tried, or found that it has nothing to do.
    sandbox
        .until(|_| next.is_finished() || sandbox.cloud.requests() > before + 2)
        .await;
    sandbox.resume_time();
    next.await.unwrap()
}

#[tokio::test]
async fn the_next_caller_finishes_what_the_last_one_began() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    interrupted(&sandbox, |cloud| async move {
        cloud.ensure_network(&network_spec(cluster())).await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.ensure_firewall_rule(&rule_spec()).await
    })
    .await
    .unwrap();
    interrupted(
        &sandbox,
        |cloud| async move { cloud.ensure_address(&address_spec()).await },
    )
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.ensure_machine(&machine_spec("demo-pool-1")).await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move { cloud.ensure_disk(&disk_spec()).await })
        .await
        .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.resize_disk(&cluster(), ZONE, "data", 20).await
    })
    .await
    .unwrap();
    let found = inventory(&sandbox).await;
    assert_eq!(
        (found.machines.len(), found.disks.len(), found.firewall_rules.len()),
        (1, 1, 1)
    );
    assert_eq!(found.disks[0].size_gb, 20);

    interrupted(&sandbox, |cloud| async move {
        cloud.delete_disk(&cluster(), ZONE, "data").await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.delete_machine(&cluster(), ZONE, "demo-pool-1").await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.delete_address(&cluster(), "api").await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move {
        cloud.delete_firewall_rule(&cluster(), "api").await
    })
    .await
    .unwrap();
    interrupted(&sandbox, |cloud| async move { cloud.delete_network(&cluster()).await })
        .await
        .unwrap();
    sandbox.idle().await;
    assert_eq!(sandbox.everything(), before);
}

#[tokio::test]
async fn a_machine_that_is_being_deleted_is_made_anew() {
    let sandbox = Sandbox::start().await;
    sandbox.cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let spec = machine_spec("demo-pool-1");
    let first = sandbox.cloud.ensure_machine(&spec).await.unwrap();
    sandbox.idle().await;
    sandbox.stop_time();
    let cloud = sandbox.cloud.clone();
    let deleting = tokio::spawn(async move { cloud.delete_machine(&cluster(), ZONE, "demo-pool-1").await });
    sandbox.busy().await;
    deleting.abort();
    let (cloud, before) = (sandbox.cloud.clone(), sandbox.cloud.requests());
    let making = tokio::spawn(async move { cloud.ensure_machine(&spec).await });
    sandbox.until(|_| sandbox.cloud.requests() > before + 2).await;
    sandbox.resume_time();
    assert_ne!(first.id, making.await.unwrap().unwrap().id);
}
