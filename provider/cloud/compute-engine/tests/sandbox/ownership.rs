//! What belongs to another cluster is left as it is, whatever is asked.

use multizone_cloud::{Cloud as _, CloudError, ClusterName, Labels, Result, label};

use crate::{
    region::Sandbox,
    specs::{ZONE, cluster, disk_spec, inventory, machine_spec, network_spec, secret_spec},
};

#[tokio::test]
async fn what_is_another_clusters_is_not_touched() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_machine(&machine_spec("demo-master-a")).await.unwrap();
    cloud.ensure_machine(&machine_spec("demo-master-b")).await.unwrap();
    cloud.stop_machine(&cluster(), ZONE, "demo-master-b").await.unwrap();
    cloud.ensure_disk(&disk_spec()).await.unwrap();
    cloud.ensure_secret(&secret_spec("keys")).await.unwrap();
    let labels = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    cloud.ensure_snapshot(ZONE, "data", "demo-move", &labels).await.unwrap();
    let (before, facts) = (sandbox.everything(), inventory(&sandbox).await);

    // One whose name begins with the other's, both ways.
    for stranger in ["dem", "demo-2"] {
        let own = Labels::from([(label::CLUSTER.to_owned(), stranger.to_owned())]);
        let stranger = ClusterName::new(stranger);
        let refused: [(&str, Result<()>); 11] = [
            ("start", cloud.start_machine(&stranger, ZONE, "demo-master-b").await),
            ("stop", cloud.stop_machine(&stranger, ZONE, "demo-master-a").await),
            ("delete", cloud.delete_machine(&stranger, ZONE, "demo-master-a").await),
            (
                "label",
                cloud.set_machine_labels(&stranger, ZONE, "demo-master-a", &own).await,
            ),
            (
                "note",
                cloud.note_machine_labels(&stranger, ZONE, "demo-master-a", &own).await,
            ),
            ("grow", cloud.resize_disk(&stranger, ZONE, "data", 20).await),
            (
                "label a disk",
                cloud.set_disk_labels(&stranger, ZONE, "data", &own).await,
            ),
            ("delete a disk", cloud.delete_disk(&stranger, ZONE, "data").await),
            ("copy", cloud.ensure_snapshot(ZONE, "data", "theirs", &own).await),
            ("delete a snapshot", cloud.delete_snapshot(&stranger, "demo-move").await),
            ("delete a secret", cloud.delete_secret(&stranger, "demo-keys").await),
        ];
        for (what, result) in refused {
            assert!(matches!(result, Err(CloudError::NotOurs { .. })), "{what}: {result:?}");
        }
    }
    assert_eq!(sandbox.everything(), before);
    assert_eq!(inventory(&sandbox).await, facts);
}
