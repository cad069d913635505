//! Watches and leases.

use multizone_etcd_api::event::EventType;
use multizone_etcd_api::watch_create_request::FilterType;
use multizone_etcd_api::watch_request::RequestUnion;
use multizone_etcd_api::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, Refusal, WatchCancelRequest, WatchCreateRequest,
    WatchProgressRequest, WatchRequest, WatchResponse, prefix_end,
};
use multizone_sandbox_etcd::Kind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::data::alone;
use crate::fixture::{Client, PATIENCE, Place, assert_refused, until};

struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Stream {
    async fn open(client: &Client, first: WatchCreateRequest) -> Self {
        let (requests, receiver) = mpsc::channel(8);
        requests
            .send(asking(RequestUnion::CreateRequest(first)))
            .await
            .expect("sent");
        let answers = client
            .watch()
            .watch(ReceiverStream::new(receiver))
            .await
            .expect("a stream");
        Self {
            requests,
            answers: answers.into_inner(),
        }
    }

    async fn ask(&self, request: RequestUnion) {
        self.requests.send(asking(request)).await.expect("sent");
    }

    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(PATIENCE, self.answers.message()).await;
        next.expect("in time").expect("an answer").expect("not the end")
    }

    /// So many events of one watch, in however many answers.
    async fn events(&mut self, watch_id: i64, count: usize) -> Vec<(EventType, String, i64, Option<String>)> {
        let mut events = Vec::new();
        while events.len() < count {
            let answer = self.next().await;
            assert!(!answer.canceled, "{answer:?}");
            assert_eq!(answer.watch_id, watch_id);
            for event in answer.events {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
                let kind = event.r#type();
                let pair = event.kv.expect("a pair");
                let previous = event.prev_kv.map(|pair| text(pair.value));
                events.push((kind, text(pair.key), pair.mod_revision, previous));
            }
        }
        events
    }
}

fn asking(request: RequestUnion) -> WatchRequest {
    WatchRequest {
        request_union: Some(request),
    }
}

fn prefix(prefix: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: prefix.into(),
        range_end: prefix_end(prefix.as_bytes()),
        ..WatchCreateRequest::default()
    }
}

pub(crate) async fn watches_begin_where_they_are_told(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    let first = client
        .put("w/1", "one")
        .await
        .expect("written")
        .header
        .expect("a header")
        .revision;
    client.put("elsewhere", "unseen").await.expect("written");
    client.put("w/1", "two").await.expect("written");
    let delete = DeleteRangeRequest {
        key: "w/1".into(),
        ..DeleteRangeRequest::default()
    };
    client.kv().delete_range(delete).await.expect("deleted");

    let past = WatchCreateRequest {
        start_revision: first,
        prev_kv: true,
        ..prefix("w/")
    };
    let mut stream = Stream::open(client, past).await;
    let created = stream.next().await;
    assert!(
        created.created && created.watch_id == 0 && created.events.is_empty(),
        "{created:?}"
    );
    let key = || "w/1".to_owned();
    let expected = [
        (EventType::Put, key(), first, None),
        (EventType::Put, key(), first + 2, Some("one".to_owned())),
        (EventType::Delete, key(), first + 3, Some("two".to_owned())),
    ];
    assert_eq!(stream.events(0, 3).await, expected);
    client.put("w/2", "new").await.expect("written");
    assert_eq!(
        stream.events(0, 1).await,
        [(EventType::Put, "w/2".to_owned(), first + 4, None)]
    );

    // A second one on the same stream, for deletions only, then the first one is cancelled.
    let deletions = WatchCreateRequest {
        filters: vec![FilterType::Noput as i32],
        watch_id: 7,
        ..prefix("w/")
    };
    stream.ask(RequestUnion::CreateRequest(deletions)).await;
    let created = stream.next().await;
    assert!(created.created && created.watch_id == 7, "{created:?}");
    stream
        .ask(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 0 }))
        .await;
    let canceled = stream.next().await;
    assert!(canceled.canceled && canceled.watch_id == 0, "{canceled:?}");
    client.put("w/2", "unseen").await.expect("written");
    let delete = DeleteRangeRequest {
        key: "w/2".into(),
        ..DeleteRangeRequest::default()
    };
    client.kv().delete_range(delete).await.expect("deleted");
    assert_eq!(
        stream.events(7, 1).await,
        [(EventType::Delete, "w/2".to_owned(), first + 6, None)]
    );

    // Where it is, on request. etcd 3.4 may not answer a request that comes too early.
    stream.ask(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    let progress = stream.next().await;
    assert!(progress.watch_id == -1 && progress.events.is_empty(), "{progress:?}");
    assert_eq!(progress.header.expect("a header").revision, first + 6);
}

pub(crate) async fn watches_of_the_past_and_of_the_future(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    let mut first = 0;
    for value in ["one", "two", "three"] {
        let written = client.put("w/1", value).await.expect("written");
        first = written.header.expect("a header").revision - 2;
    }
    // What has been compacted cannot be watched any more; what comes can.
    let compact = CompactionRequest {
        revision: first + 2,
        physical: false,
    };
    client.kv().compact(compact).await.expect("compacted");
    let mut late = Stream::open(
        client,
        WatchCreateRequest {
            start_revision: first,
            ..prefix("w/")
        },
    )
    .await;
    assert!(late.next().await.created);
    let canceled = late.next().await;
    assert!(
        canceled.canceled && canceled.compact_revision == first + 2,
        "{canceled:?}"
    );
    let mut future = Stream::open(
        client,
        WatchCreateRequest {
            start_revision: first + 4,
            ..prefix("w/")
        },
    )
    .await;
    assert!(future.next().await.created);
    client.put("w/3", "too early").await.expect("written");
    client.put("w/4", "seen").await.expect("written");
    assert_eq!(
        future.events(0, 1).await,
        [(EventType::Put, "w/4".to_owned(), first + 4, None)]
    );
}

pub(crate) async fn every_member_has_watches(kind: Kind) {
    let place = Place::new(kind);
    let machines = place.cluster_of_three().await;
    let mut streams = Vec::new();
    for machine in &machines {
        let mut stream = Stream::open(&machine.client, prefix("w/")).await;
        assert!(stream.next().await.created);
        streams.push(stream);
    }
    let written = machines[0]
        .client
        .put("w/1", "one")
        .await
        .expect("written")
        .header
        .expect("a header")
        .revision;
    for stream in &mut streams {
        assert_eq!(
            stream.events(0, 1).await,
            [(EventType::Put, "w/1".to_owned(), written, None)]
        );
    }
    // Those of the others go on when one dies, and its own end.
    machines[2].member().kill().await;
    let mut broken = streams.pop().expect("three");
    let end = tokio::time::timeout(PATIENCE, broken.answers.message())
        .await
        .expect("in time");
    assert!(end.is_err() || end.is_ok_and(|answer| answer.is_none()));
    let written = until("a write", async || machines[0].client.put("w/2", "two").await.ok()).await;
    let written = written.header.expect("a header").revision;
    for stream in &mut streams {
        let events = stream.events(0, 1).await;
        assert_eq!(events.last().map(|event| event.2), Some(written));
    }
}

pub(crate) async fn leases_end(kind: Kind) {
    let place = Place::new(kind);
    let machine = alone(&place).await;
    let client = &machine.client;
    let grant = |id, ttl| async move { client.lease().lease_grant(LeaseGrantRequest { ttl, id }).await };
    let long = grant(4711, 600).await.expect("granted").into_inner();
    assert_eq!((long.id, long.ttl), (4711, 600));
    assert_refused(grant(4711, 600).await, Refusal::LeaseExists);
    assert_refused(grant(0, i64::MAX).await, Refusal::LeaseTtlTooLarge);

    let mut watch = Stream::open(client, prefix("leased/")).await;
    assert!(watch.next().await.created);
    let put = |key: &str, lease| {
        let put = PutRequest {
            key: key.into(),
            lease,
            ..PutRequest::default()
        };
        async { client.kv().put(put).await.map(tonic::Response::into_inner) }
    };
    put("leased/long", long.id).await.expect("written");
    // It ends so soon that it may not live to be used twice.
    let (short, last) = until("a lease that is used", async || {
        let short = grant(0, 1).await.expect("granted").into_inner();
        assert!(short.id > 0 && short.ttl >= 1, "{short:?}");
        put("leased/moved", short.id).await.ok()?;
        let last = put("leased/short", short.id).await.ok()?;
        Some((short, last.header.expect("a header").revision))
    })
    .await;
    // A later write takes the key away from the lease.
    client.put("leased/moved", "stays").await.expect("written");
    let mut ended = Vec::new();
    while !ended.iter().any(|key| key == "leased/short") {
        let events = watch.events(0, 1).await.into_iter();
        let ends = events.filter(|event| event.0 == EventType::Delete && event.2 > last);
        ended.extend(ends.map(|event| event.1));
    }
    assert!(!ended.contains(&"leased/long".to_owned()), "{ended:?}");
    assert!(client.get("leased/moved", false).await.expect("read").is_some());

    let time = |id| async move {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        client
            .lease()
            .lease_time_to_live(request)
            .await
            .expect("answered")
            .into_inner()
    };
    assert_eq!(time(short.id).await.ttl, -1);
    let left = time(long.id).await;
    assert!((1..=600).contains(&left.ttl) && left.granted_ttl == 600, "{left:?}");
    assert_eq!(left.keys, [b"leased/long".to_vec()]);
    let listed = client
        .lease()
        .lease_leases(LeaseLeasesRequest {})
        .await
        .expect("a list")
        .into_inner();
    assert_eq!(
        listed.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(),
        [long.id]
    );

    let (asking, receiver) = mpsc::channel(2);
    for id in [long.id, short.id] {
        asking.send(LeaseKeepAliveRequest { id }).await.expect("sent");
    }
    let answers = client
        .lease()
        .lease_keep_alive(ReceiverStream::new(receiver))
        .await
        .expect("a stream");
    let mut answers = answers.into_inner();
    for ttl in [600, 0] {
        assert_eq!(
            answers.message().await.expect("an answer").expect("not the end").ttl,
            ttl
        );
    }
    let revoke = LeaseRevokeRequest { id: long.id };
    client.lease().lease_revoke(revoke).await.expect("revoked");
    assert_eq!(client.get("leased/long", false).await.expect("read"), None);
    assert_refused(client.lease().lease_revoke(revoke).await, Refusal::LeaseNotFound);
}
