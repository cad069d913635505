//! Disks and snapshots.

use multizone_cloud::{Cloud as _, CloudError, ClusterName, DiskSpec, Performance};
use serde_json::json;

use super::{A, Account, B, labels};

pub(super) async fn a_disk_grows_and_moves_by_a_snapshot(account: &Account) {
    let (aws, cluster) = (&account.aws, account.cluster("demo", &[A, B]).await);
    let spec = DiskSpec {
        cluster: cluster.clone(),
        name: "demo-data".into(),
        zone: A.to_owned(),
        size_gb: 10,
        disk_type: "gp3".into(),
        performance: Performance::default(),
        snapshot: None,
        labels: labels(&cluster),
    };
    let made = aws.ensure_disk(&spec).await.unwrap();
    assert_eq!(aws.ensure_disk(&spec).await.unwrap(), made);
    assert_eq!(made.labels, spec.labels);
    let handle = aws.volume(A, &spec.name, Some(&made.id)).unwrap();
    assert_eq!(handle, ("ebs.csi.aws.com".to_owned(), made.id.clone()));
    aws.resize_disk(&cluster, A, &spec.name, 20).await.unwrap();
    assert!(matches!(
        aws.resize_disk(&cluster, A, &spec.name, 5).await,
        Err(CloudError::Differs { .. })
    ));
    let other = DiskSpec {
        disk_type: "io2".into(),
        ..spec.clone()
    };
    assert!(matches!(aws.ensure_disk(&other).await, Err(CloudError::Differs { .. })));

    aws.ensure_snapshot(A, &spec.name, "move", &spec.labels).await.unwrap();
    aws.ensure_snapshot(A, &spec.name, "move", &spec.labels).await.unwrap();
    assert_eq!(aws.inventory(&cluster).await.unwrap().snapshots, ["move"]);
    let there = DiskSpec {
        zone: B.to_owned(),
        size_gb: 20,
        snapshot: Some("move".into()),
        ..spec.clone()
    };
    let moved = aws.ensure_disk(&there).await.unwrap();
    let found = account.boto3(
        "answer = sorted((v['AvailabilityZone'], v['Size'], v['Encrypted'], bool(v.get('SnapshotId')))\n\
         for v in ec2.describe_volumes()['Volumes'])",
    );
    assert_eq!(found, json!([[A, 20, true, false], [B, 20, true, true]]));
    // One whose name begins like the cluster's.
    let (stranger, own) = (ClusterName::new("demo-2"), labels(&ClusterName::new("demo-2")));
    for refused in [
        aws.resize_disk(&stranger, A, &spec.name, 40).await,
        aws.set_disk_labels(&stranger, A, &spec.name, &own).await,
        aws.delete_disk(&stranger, A, &spec.name).await,
        aws.ensure_snapshot(A, &spec.name, "theirs", &own).await,
        aws.delete_snapshot(&stranger, "move").await,
    ] {
        assert!(matches!(refused, Err(CloudError::NotOurs { .. })), "{refused:?}");
    }
    aws.delete_snapshot(&cluster, "move").await.unwrap();
    aws.delete_disk(&cluster, A, &spec.name).await.unwrap();
    aws.delete_disk(&cluster, A, &spec.name).await.unwrap();
    assert_eq!(aws.inventory(&cluster).await.unwrap().disks, [moved]);
    let fast = DiskSpec {
        name: "demo-fast".into(),
        disk_type: "io2".into(),
        ..spec
    };
    assert_eq!(aws.ensure_disk(&fast).await.unwrap().disk_type, "io2");
    aws.delete_disk(&cluster, A, "demo-fast").await.unwrap();
    aws.delete_disk(&cluster, B, "demo-data").await.unwrap();
    account.finish(&cluster).await;
}
