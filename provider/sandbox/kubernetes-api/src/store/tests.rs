use serde_json::json;

use super::*;

fn store(directory: &tempfile::TempDir) -> Store {
    Store::open_file(directory.path()).unwrap()
}

fn key(name: &str) -> Key {
    Key::new("pods", "default", name)
}

#[tokio::test]
async fn a_stale_update_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let first = store
        .create(key("a"), json!({"metadata": {"name": "a"}}))
        .await
        .unwrap();
    let second = store.update(key("a"), first.revision(), json!({"x": 1})).await.unwrap();
    assert!(second.revision() > first.revision());
    assert!(matches!(
        store.update(key("a"), first.revision(), json!({})).await,
        Err(StoreError::Changed)
    ));
    assert!(matches!(
        store.create(key("a"), json!({})).await,
        Err(StoreError::Exists)
    ));
    assert!(matches!(store.delete(key("b"), 1).await, Err(StoreError::Missing)));
}

#[tokio::test]
async fn a_watcher_sees_every_change_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let mut watcher = store.watch(store.revision()).unwrap();
    let created = store.create(key("a"), json!({})).await.unwrap();
    let updated = store
        .update(key("a"), created.revision(), json!({"x": 1}))
        .await
        .unwrap();
    store.delete(key("a"), updated.revision()).await.unwrap();
    let seen: Vec<_> = watcher.next().await.unwrap().iter().map(|event| event.kind).collect();
    assert_eq!(seen, [EventKind::Added, EventKind::Modified, EventKind::Deleted]);
}

#[tokio::test]
async fn everything_survives_a_restart_except_the_history() {
    let directory = tempfile::tempdir().unwrap();
    let before = {
        let store = store(&directory);
        store.create(key("a"), json!({"kept": true})).await.unwrap();
        store.create(key("b"), json!({})).await.unwrap();
        store.revision()
    };
    let store = store(&directory);
    assert_eq!(store.revision(), before);
    assert!(store.get("pods", "default", "a").unwrap().flag("/kept"));
    assert!(store.watch(before - 1).is_err());
    assert!(store.watch(before).is_ok());
}

#[tokio::test]
async fn lists_one_namespace_or_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    for (namespace, name) in [("a", "1"), ("b", "2"), ("a", "3")] {
        store
            .create(Key::new("pods", namespace, name), json!({"metadata": {"name": name}}))
            .await
            .unwrap();
    }
    store
        .create(Key::new("pods.metrics", "a", "4"), json!({}))
        .await
        .unwrap();
    let names = |list: Vec<Arc<Value>>| list.iter().map(|one| one.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(store.list("pods", Some("a")).0), ["1", "3"]);
    assert_eq!(names(store.all("pods")), ["1", "3", "2"]);
}

#[tokio::test]
async fn a_replaced_past_ends_every_watch_whatever_the_revision_is() {
    for revision in [3, 7, 20] {
        let cache = Arc::new(Cache::new(7, std::collections::BTreeMap::new()));
        let mut watcher = Cache::watch(&cache, 7).unwrap();
        let waiting = tokio::spawn(async move { watcher.next().await });
        tokio::task::yield_now().await;
        cache.replace(revision, std::collections::BTreeMap::new());
        assert!(waiting.await.unwrap().is_err(), "{revision}");
        assert!(Cache::watch(&cache, revision).is_ok());
        assert_eq!(cache.revision(), revision);
    }
}
