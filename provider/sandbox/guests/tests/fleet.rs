//! Many machines at once.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use futures::future::join_all;
use support::{Region, node_is};

#[tokio::test]
async fn nine_workers_join_at_once_and_stay_ready() {
    let mut region = Region::with_master().await;
    let names: Vec<String> = (0..9).map(|index| format!("worker-{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        region.worker(name, u8::try_from(index).unwrap() + 10).await;
    }
    let admin = region.admin();
    join_all(names.iter().map(|name| node_is(&admin, name, "True"))).await;
    let since = |node: &serde_json::Value| {
        let conditions = node["status"]["conditions"].as_array().unwrap().clone();
        conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .unwrap()["lastTransitionTime"]
            .clone()
    };
    let before: Vec<_> = join_all(names.iter().map(|name| node_is(&admin, name, "True"))).await;
    // As long as it takes each kubelet to renew its lease several times.
    for name in &names {
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
        let first = admin.get(&lease).await.unwrap()["spec"]["renewTime"].clone();
        support::until("the lease to be renewed", || async {
            (admin.get(&lease).await?["spec"]["renewTime"] != first).then_some(())
        })
        .await;
    }
    for (name, before) in names.iter().zip(&before) {
        let after = node_is(&admin, name, "True").await;
        assert_eq!(since(before), since(&after), "{name} was not ready in between");
    }
    region.guests.stop().await;
}
