//! A snapshot that the provider has saved is restored as the guide "Recovery" says, with real etcd's own program; the next
//! apply makes the masters that are missing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use multizone_cloud::{Cloud as _, ClusterName};
use multizone_sandbox::process::Etcd;
use serde_json::Value;

use super::{
    A, B,
    change::Change,
    masters,
    quorum::{installed, refuses_writes},
    region,
};
use crate::{CONTROL_PLANE, faults::Faults, operation, with, world::World};

/// etcd's program for snapshots: what `MULTIZONE_ETCDCTL` names, or what is installed.
fn etcdctl() -> Option<PathBuf> {
    let named = env::var_os("MULTIZONE_ETCDCTL").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let mut installed = env::split_paths(&path).map(|directory| directory.join("etcdctl"));
    named.or_else(|| installed.find(|program| program.is_file()))
}

/// The only snapshot that is there.
fn snapshot(directory: &Path) -> PathBuf {
    let found: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[tokio::test]
async fn a_snapshot_is_restored_as_the_guide_says() {
    let etcd = installed();
    let (Etcd::Process(_), Some(etcdctl)) = (&etcd, etcdctl()) else {
        println!("SKIPPED: restoring a snapshot: etcd or its etcdctl is not installed");
        return;
    };
    let backups = tempfile::tempdir().unwrap();
    let two = |size: &str| {
        let two = with(masters(&[A, B], true), "etcd_backup", backups.path().to_str().into());
        with(two, "machine_type", Value::from(size))
    };
    let name = "from one master to two, with a snapshot before";
    let grow = Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(two("n1-standard-2")))],
    };
    let mut world = region(&[A], true, etcd.clone()).await.thaw();
    world.settled().await;
    let api = world.api().await.patient();
    api.accepts_writes("before-the-snapshot").await;
    grow.watched(&mut world, &Faults::at(None)).await;
    api.accepts_writes("after-the-snapshot").await;
    let cluster = ClusterName::new("demo");
    world
        .cloud
        .delete_machine(&cluster, B.1, "demo-master-b")
        .await
        .unwrap();
    println!("one of two masters lost: {}", refuses_writes(&api).await);

    restore(&world, &etcdctl, &snapshot(backups.path())).await;
    api.accepts_writes("restored").await;
    let there = api.records().await.unwrap();
    let has = |record: &str| there.iter().any(|found| found == record);
    assert!(has("before-the-snapshot") && has("restored"), "{there:?}");
    assert!(!has("after-the-snapshot"), "it is what was saved: {there:?}");

    let found = world.try_to_converge_all(&grow.operations).await;
    let found = found.unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(
        found.lines().filter(|line| line.starts_with("machine ")).count(),
        2,
        "{found}"
    );
    api.accepts_writes("with-two-members").await;
}

/// The guide's commands, on the only machine.
async fn restore(world: &World, etcdctl: &Path, snapshot: &Path) {
    let manifest = world.file_of_a_machine("etc/kubernetes/manifests/etcd.yaml");
    let manifests = manifest.parent().unwrap();
    let root = manifests.ancestors().nth(3).unwrap();
    let aside = root.join("root/manifests");
    fs::create_dir_all(&aside).unwrap();
    for entry in fs::read_dir(manifests).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, aside.join(path.file_name().unwrap())).unwrap();
    }
    world.until_etcd_has_ended().await;
    let data = root.join("var/lib/etcd");
    fs::rename(&data, root.join("root/etcd-before-recovery")).unwrap();
    let peer = format!("https://{}:2380", world.address_of_the_only_machine());
    let restored = Command::new(etcdctl)
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(snapshot)
        .arg("--data-dir")
        .arg(&data)
        .args(["--name", "demo-master-a"])
        .args(["--initial-cluster", &format!("demo-master-a={peer}")])
        .args(["--initial-advertise-peer-urls", &peer])
        .output()
        .unwrap();
    assert!(restored.status.success(), "{restored:?}");
    for entry in fs::read_dir(&aside).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, manifests.join(path.file_name().unwrap())).unwrap();
    }
}
