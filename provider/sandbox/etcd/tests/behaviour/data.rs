//! Keys, transactions, compaction, snapshots.

use multizone_etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use multizone_etcd_api::range_request::{SortOrder, SortTarget};
use multizone_etcd_api::request_op::Request;
use multizone_etcd_api::response_op::Response;
use multizone_etcd_api::{
    AlarmRequest, CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, Refusal, RequestOp,
    ResponseHeader, SnapshotRequest, TxnRequest, TxnResponse, prefix_end,
};
use multizone_sandbox_etcd::Kind;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::fixture::{Client, Machine, Place, assert_refused};

/// A cluster of one.
pub(crate) async fn alone(place: &Place) -> Machine {
    let mut machine = place.machine("a");
    machine.start().await;
    machine.client.serving().await;
    machine
}

fn revision(header: Option<ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

fn range(prefix: &str) -> RangeRequest {
    RangeRequest {
        key: prefix.into(),
        range_end: prefix_end(prefix.as_bytes()),
        ..RangeRequest::default()
    }
}

async fn keys(client: &Client, request: RangeRequest) -> Vec<String> {
    let found = client.range(request).await.expect("read");
    let keys = found
        .kvs
        .into_iter()
        .map(|pair| String::from_utf8(pair.key).expect("text"));
    keys.collect()
}

pub(crate) async fn keys_have_revisions(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    let first = revision(client.put("a/1", "one").await.expect("written").header);
    assert_eq!(first, 2, "an empty etcd is at revision 1");
    client.put("a/2", "two").await.expect("written");
    client.put("b/1", "other").await.expect("written");
    client.put("a/1", "one again").await.expect("written");
    let found = client.range(range("a/")).await.expect("read");
    assert_eq!((found.count, found.more, revision(found.header)), (2, false, first + 3));
    let pair = &found.kvs[0];
    assert_eq!(
        (pair.create_revision, pair.mod_revision, pair.version),
        (first, first + 3, 2)
    );

    // As of an earlier revision, in parts, sorted, only keys, only the number.
    let before = RangeRequest {
        revision: first + 1,
        ..range("a/")
    };
    assert_eq!(client.range(before).await.expect("read").kvs[0].value, b"one");
    let part = client
        .range(RangeRequest {
            limit: 1,
            ..range("a/")
        })
        .await
        .expect("read");
    assert_eq!((part.kvs.len(), part.more, part.count), (1, true, 2));
    let newest = RangeRequest {
        sort_order: SortOrder::Descend as i32,
        sort_target: SortTarget::Mod as i32,
        ..range("a/")
    };
    assert_eq!(keys(client, newest).await, ["a/1", "a/2"]);
    let bare = client
        .range(RangeRequest {
            keys_only: true,
            ..range("a/")
        })
        .await
        .expect("read");
    assert!(bare.kvs.iter().all(|pair| pair.value.is_empty()));
    let counted = client
        .range(RangeRequest {
            count_only: true,
            ..range("")
        })
        .await
        .expect_err("no key");
    assert_eq!(Refusal::of(&counted), Some(Refusal::EmptyKey));
    let all = RangeRequest {
        key: vec![0],
        range_end: vec![0],
        count_only: true,
        ..RangeRequest::default()
    };
    let all = client.range(all).await.expect("read");
    assert_eq!((all.kvs.len(), all.count), (0, 3));
    let changed = RangeRequest {
        min_mod_revision: first + 2,
        ..range("a/")
    };
    assert_eq!(keys(client, changed).await, ["a/1"]);
    let inverted = RangeRequest {
        key: "b".into(),
        range_end: "a".into(),
        ..RangeRequest::default()
    };
    assert!(keys(client, inverted).await.is_empty());
}

pub(crate) async fn keys_are_deleted_and_kept(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    client.put("a/1", "one").await.expect("written");
    let last = revision(client.put("a/2", "two").await.expect("written").header);
    let delete = DeleteRangeRequest {
        key: "a/".into(),
        range_end: prefix_end(b"a/"),
        prev_kv: true,
    };
    let deleted = client
        .kv()
        .delete_range(delete.clone())
        .await
        .expect("deleted")
        .into_inner();
    assert_eq!(
        (deleted.deleted, deleted.prev_kvs.len(), revision(deleted.header)),
        (2, 2, last + 1)
    );
    let nothing = client
        .kv()
        .delete_range(delete)
        .await
        .expect("nothing to delete")
        .into_inner();
    assert_eq!(
        (nothing.deleted, revision(nothing.header)),
        (0, last + 1),
        "nothing has changed"
    );
    let anew = client.put("a/1", "anew").await.expect("written");
    assert!(anew.prev_kv.is_none());
    let pair = client.range(range("a/1")).await.expect("read").kvs.remove(0);
    assert_eq!((pair.create_revision, pair.version), (last + 2, 1));

    let put = |put: PutRequest| async { client.kv().put(put).await };
    let keep = PutRequest {
        key: "a/1".into(),
        ignore_value: true,
        prev_kv: true,
        ..PutRequest::default()
    };
    let kept = put(keep.clone()).await.expect("written").into_inner();
    assert_eq!(kept.prev_kv.expect("there was one").value, b"anew");
    assert_eq!(client.get("a/1", false).await.expect("read").as_deref(), Some("anew"));
    assert_refused(
        put(PutRequest {
            key: "none".into(),
            ..keep.clone()
        })
        .await,
        Refusal::KeyNotFound,
    );
    assert_refused(
        put(PutRequest {
            value: "new".into(),
            ..keep
        })
        .await,
        Refusal::ValueProvided,
    );
    assert_refused(client.put("", "no key").await, Refusal::EmptyKey);
    let leased = PutRequest {
        key: "x".into(),
        lease: 77,
        ..PutRequest::default()
    };
    assert_refused(put(leased).await, Refusal::LeaseNotFound);
}

fn put(key: &str, value: &str) -> RequestOp {
    let put = PutRequest {
        key: key.into(),
        value: value.into(),
        ..PutRequest::default()
    };
    RequestOp {
        request: Some(Request::RequestPut(put)),
    }
}

fn get(key: &str) -> RequestOp {
    let get = RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    };
    RequestOp {
        request: Some(Request::RequestRange(get)),
    }
}

/// Whether the key is at this revision; 0 means that it does not exist.
fn unchanged(key: &str, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Mod as i32,
        key: key.into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        range_end: Vec::new(),
    }
}

async fn txn(client: &Client, request: TxnRequest) -> Result<TxnResponse, Status> {
    client.kv().txn(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn transactions_compare_and_write(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    let create = TxnRequest {
        compare: vec![unchanged("object", 0)],
        success: vec![put("object", "made"), put("index", "object"), get("object")],
        failure: vec![get("object")],
    };
    let made = txn(client, create.clone()).await.expect("made");
    let revision = made.header.expect("a header").revision;
    assert!(made.succeeded);
    let Some(Response::ResponseRange(found)) = &made.responses[2].response else {
        panic!("{made:?}");
    };
    assert_eq!(found.kvs[0].value, b"made", "it sees what it wrote");
    let again = txn(client, create).await.expect("answered");
    assert!(!again.succeeded);
    let Some(Response::ResponseRange(found)) = &again.responses[0].response else {
        panic!("{again:?}");
    };
    assert_eq!(found.kvs[0].mod_revision, revision);
    let both = client.range(range("index")).await.expect("read");
    assert_eq!(both.kvs[0].mod_revision, revision, "one revision for all of it");

    let update = |revision, value| TxnRequest {
        compare: vec![unchanged("object", revision)],
        success: vec![put("object", value)],
        failure: vec![get("object")],
    };
    assert!(
        txn(client, update(revision, "first"))
            .await
            .expect("answered")
            .succeeded
    );
    assert!(
        !txn(client, update(revision, "second"))
            .await
            .expect("answered")
            .succeeded,
        "it has changed"
    );
    assert_eq!(
        client.get("object", false).await.expect("read").as_deref(),
        Some("first")
    );
}

pub(crate) async fn transactions_are_whole_or_refused(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    client.put("object", "made").await.expect("written");
    let twice = TxnRequest {
        success: vec![put("x", "1"), put("x", "2")],
        ..TxnRequest::default()
    };
    assert_refused(txn(client, twice).await, Refusal::DuplicateKey);
    let many = (0..129).map(|number| put(&format!("many-{number}"), "")).collect();
    let many = TxnRequest {
        success: many,
        ..TxnRequest::default()
    };
    assert_refused(txn(client, many).await, Refusal::TooManyOperations);
    let missing = Compare {
        target: CompareTarget::Value as i32,
        result: CompareResult::NotEqual as i32,
        key: "nowhere".into(),
        target_union: Some(TargetUnion::Value("x".into())),
        range_end: Vec::new(),
    };
    let valued = TxnRequest {
        compare: vec![missing],
        success: vec![put("y", "")],
        failure: Vec::new(),
    };
    assert!(
        !txn(client, valued).await.expect("answered").succeeded,
        "no key has no value"
    );
    let nested = TxnRequest {
        compare: vec![unchanged("object", 0)],
        success: vec![],
        failure: vec![put("inner", "1")],
    };
    let outer = RequestOp {
        request: Some(Request::RequestTxn(nested)),
    };
    let outer = TxnRequest {
        success: vec![outer, put("outer", "1")],
        ..TxnRequest::default()
    };
    assert!(txn(client, outer).await.expect("answered").succeeded);
    assert_eq!(client.get("inner", false).await.expect("read").as_deref(), Some("1"));
    // All or nothing.
    let leased = PutRequest {
        key: "z".into(),
        lease: 77,
        ..PutRequest::default()
    };
    let leased = RequestOp {
        request: Some(Request::RequestPut(leased)),
    };
    let half = TxnRequest {
        success: vec![put("half", "1"), leased],
        ..TxnRequest::default()
    };
    assert_refused(txn(client, half).await, Refusal::LeaseNotFound);
    assert_eq!(client.get("half", false).await.expect("read"), None);
}

pub(crate) async fn compaction_forgets(kind: Kind) {
    let place = Place::new(kind);
    let mut machine = alone(&place).await;
    let client = &machine.client;
    for value in ["one", "two", "three"] {
        client.put("key", value).await.expect("written");
    }
    let last = client
        .put("other", "kept")
        .await
        .expect("written")
        .header
        .expect("a header")
        .revision;
    let compact = |revision| CompactionRequest {
        revision,
        physical: true,
    };
    assert_refused(client.kv().compact(compact(last + 1)).await, Refusal::FutureRevision);
    client.kv().compact(compact(last - 1)).await.expect("compacted");
    assert_refused(client.kv().compact(compact(last - 1)).await, Refusal::Compacted);
    let at = |revision| RangeRequest {
        revision,
        ..range("key")
    };
    assert_refused(client.range(at(last - 2)).await, Refusal::Compacted);
    assert_refused(client.range(at(last + 1)).await, Refusal::FutureRevision);
    assert_eq!(client.range(at(last - 1)).await.expect("read").kvs[0].value, b"three");
    // And it stays so.
    machine.member().stop().await;
    machine.start().await;
    machine.client.serving().await;
    assert_refused(machine.client.range(at(last - 2)).await, Refusal::Compacted);
    let found = machine.client.range(at(0)).await.expect("read").kvs.remove(0);
    assert_eq!((found.version, found.value.as_slice()), (3, b"three".as_slice()));
}

pub(crate) async fn snapshots_carry_their_digest(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    for number in 0..50 {
        client
            .put(&format!("key-{number}"), &"value ".repeat(100))
            .await
            .expect("written");
    }
    let mut stream = client
        .maintenance()
        .snapshot(SnapshotRequest {})
        .await
        .expect("a snapshot")
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.expect("a part") {
        bytes.extend_from_slice(&part.blob);
    }
    let (data, digest) = bytes.split_at(bytes.len() - 32);
    assert_eq!(data.len() % 512, 0, "etcd tells by this that a digest follows");
    assert_eq!(Sha256::digest(data)[..], *digest);
    assert!(data.windows(6).any(|window| window == b"key-49"), "it holds the data");
    let status = client.status().await.expect("a status");
    assert!(status.db_size > 0 && status.raft_applied_index > 50);
    let alarms = client
        .maintenance()
        .alarm(AlarmRequest::default())
        .await
        .expect("a list")
        .into_inner();
    assert!(alarms.alarms.is_empty());
}
