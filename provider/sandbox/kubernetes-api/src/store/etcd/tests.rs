//! On a real etcd, where there is one.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use multizone_sandbox_etcd::kept_address;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::compaction::compact;
use super::{Etcd, feed};
use crate::store::{Key, Store, StoreError};

/// A member that runs until it is dropped.
struct Member {
    child: Child,
    endpoint: String,
    _directory: TempDir,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A member that answers; none, said loudly, where etcd is not installed.
async fn member() -> Option<(Member, Etcd)> {
    let binary = std::env::var_os("MULTIZONE_ETCD").unwrap_or_else(|| "etcd".into());
    let directory = tempfile::tempdir().unwrap();
    let [endpoint, peer] = [(); 2].map(|()| format!("http://{}", kept_address().unwrap()));
    let spawned = Command::new(binary)
        .arg(format!("--data-dir={}", directory.path().display()))
        .args(["--unsafe-no-fsync", "--logger=zap", "--log-outputs=/dev/null"])
        .arg(format!("--listen-client-urls={endpoint}"))
        .arg(format!("--advertise-client-urls={endpoint}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = spawned else {
        println!("SKIPPED: neither MULTIZONE_ETCD nor PATH leads to etcd, so this test on a real etcd did not run");
        return None;
    };
    let member = Member {
        child,
        endpoint,
        _directory: directory,
    };
    let etcd = Etcd::new(std::slice::from_ref(&member.endpoint), None, 1.0).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = etcd.current_revision().await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some((member, etcd))
}

fn key(name: &str) -> Key {
    Key::new("pods", "default", name)
}

#[tokio::test]
async fn the_past_is_compacted_after_a_while_by_one_server_each_time() {
    let Some((_member, etcd)) = member().await else { return };
    let stopping = CancellationToken::new();
    let _guard = stopping.clone().drop_guard();
    let store = Store::open(etcd.clone(), &stopping).await.unwrap();
    let first = store
        .create(key("a"), json!({"metadata": {"name": "a"}}))
        .await
        .unwrap();
    let old = crate::object::ObjectExt::revision(&*first);
    // Two servers do it.
    let often = Duration::from_millis(100);
    let compacting = async { tokio::join!(compact(&etcd, often), compact(&etcd, often)) };
    let looking = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match feed::load(&etcd, old).await {
                Err(error) if error.is_compacted() => return,
                Err(error) => panic!("{error}"),
                Ok(_) => assert!(Instant::now() < deadline, "nothing was compacted"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = compacting => unreachable!("it goes on for ever"),
        () = looking => {}
    }
    // The present is as it was.
    assert!(store.get("pods", "default", "a").is_some());
    let again = Store::open(etcd.clone(), &stopping).await.unwrap();
    assert!(again.get("pods", "default", "a").is_some());
    assert!(again.watch(old).is_err(), "what has been compacted cannot be followed");
}

#[tokio::test]
async fn two_stores_on_one_etcd_agree() {
    let Some((_member, etcd)) = member().await else { return };
    let stopping = CancellationToken::new();
    let _guard = stopping.clone().drop_guard();
    let one = Store::open(etcd.clone(), &stopping).await.unwrap();
    let two = Store::open(etcd.clone(), &stopping).await.unwrap();
    let revision = |object: &serde_json::Value| crate::object::ObjectExt::revision(object);
    let made = one.create(key("a"), json!({"x": 1})).await.unwrap();
    two.catch_up().await.unwrap();
    assert_eq!(two.get("pods", "default", "a").unwrap(), made);
    assert!(matches!(two.create(key("a"), json!({})).await, Err(StoreError::Exists)));
    let changed = two.update(key("a"), revision(&made), json!({"x": 2})).await.unwrap();
    // Whoever was too late sees at once what was in the way.
    assert!(matches!(
        one.update(key("a"), revision(&made), json!({"x": 3})).await,
        Err(StoreError::Changed)
    ));
    assert_eq!(one.get("pods", "default", "a").unwrap(), changed);
    let last = one.delete(key("a"), revision(&changed)).await.unwrap();
    assert!(revision(&last) > revision(&changed));
    let missing = two.update(key("a"), revision(&changed), json!({})).await;
    assert!(matches!(missing, Err(StoreError::Missing)), "{missing:?}");
    assert!(two.get("pods", "default", "a").is_none());
}
