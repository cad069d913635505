//! On etcd's stand-in.

use std::net::{Ipv4Addr, SocketAddr};

use multizone_etcd_api::Credentials;
use multizone_sandbox_etcd::{EtcdMember, Kind, MemberConfig, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::*;

/// A member that ends with the test, and what a client of it shows.
struct Member {
    etcd: Etcd,
    stopping: CancellationToken,
    _running: EtcdMember,
    _directory: tempfile::TempDir,
}

impl Member {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&params, &key);
        let own = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let credentials = Credentials {
            ca_pem: authority.pem(),
            certificate_pem: certificate.signed_by(&own, &issuer).unwrap().pem(),
            key_pem: own.serialize_pem(),
        };
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (certificate, key) = (
            write("member.crt", &credentials.certificate_pem),
            write("member.key", &credentials.key_pem),
        );
        let tls = Tls {
            server_certificate: certificate.clone(),
            server_key: key.clone(),
            peer_certificate: certificate,
            peer_key: key,
            trusted_ca: write("ca.crt", &credentials.ca_pem),
        };
        let config = MemberConfig::first("m0", directory.path(), [free_address(), free_address()], tls, 60.0);
        let endpoint = config.advertise_client();
        Self {
            _running: EtcdMember::start(&Kind::StandIn, config).await.unwrap(),
            etcd: Etcd::new(&[endpoint], Some(&credentials), 60.0).unwrap(),
            stopping: CancellationToken::new(),
            _directory: directory,
        }
    }

    async fn store(&self) -> Store {
        Store::open(self.etcd.clone(), &self.stopping).await.unwrap()
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn key(name: &str) -> Key {
    Key::new("pods", "default", name)
}

#[tokio::test]
async fn a_stale_update_is_refused() {
    let member = Member::start().await;
    let store = member.store().await;
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
    let member = Member::start().await;
    let store = member.store().await;
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
async fn everything_survives_a_restart() {
    let member = Member::start().await;
    let before = {
        let store = member.store().await;
        store.create(key("a"), json!({"kept": true})).await.unwrap();
        store.create(key("b"), json!({})).await.unwrap();
        store.revision()
    };
    let store = member.store().await;
    assert_eq!(store.revision(), before);
    assert!(store.get("pods", "default", "a").unwrap().flag("/kept"));
    assert!(store.watch(before).is_ok());
}

#[tokio::test]
async fn lists_one_namespace_or_all() {
    let member = Member::start().await;
    let store = member.store().await;
    for (namespace, name) in [("a", "1"), ("b", "2"), ("a", "3")] {
        store
            .create(Key::new("pods", namespace, name), json!({"metadata": {"name": name}}))
            .await
            .unwrap();
    }
    store
        .create(Key::new("podtemplates", "a", "4"), json!({}))
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
