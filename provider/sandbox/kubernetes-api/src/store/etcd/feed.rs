//! The cache, filled from etcd and kept up by its watch.
//!
//! The watch is over all keys, not only `/registry/`: so every revision arrives, and "the cache has this revision" can
//! be waited for without asking etcd for progress.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use multizone_etcd_api::event::EventType;
use multizone_etcd_api::watch_request::RequestUnion;
use multizone_etcd_api::{KeyValue, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse, prefix_end};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Etcd, EtcdError, keys, unsigned};
use crate::store::cache::{Cache, Change};
use crate::store::{Key, at_revision};

/// How many revisions of the past a server takes along when it starts, unless etcd has compacted them: watchers of
/// another server, or of this one before a restart, then go on here without listing again.
const PAST: u64 = 1_000;

/// How many objects are read at once.
const PAGE: i64 = 1_000;

/// Pauses between attempts to follow again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Why a watch ended.
enum Ended {
    /// The connection or the member went away.
    Lost(String),
    /// What comes next has been compacted away, or etcd's past is another one than the cache's.
    Unknown,
}

/// Reads everything and follows every change until `stopping`.
pub(in crate::store) async fn follow(etcd: &Etcd, stopping: &CancellationToken) -> Result<Arc<Cache>, EtcdError> {
    let now = etcd.current_revision().await?;
    let (revision, objects) = match load(etcd, now.saturating_sub(PAST).max(1)).await {
        Err(error) if error.is_compacted() => load(etcd, now).await?,
        other => other?,
    };
    let cache = Arc::new(Cache::new(revision, objects));
    let (etcd, patience, fed, stopping) = (etcd.clone(), etcd.patience(), Arc::clone(&cache), stopping.clone());
    tokio::spawn(async move {
        stopping.run_until_cancelled(keep_up(&etcd, &fed)).await;
    });
    tokio::time::timeout(patience, cache.reached(now))
        .await
        .map_err(|_| EtcdError::Deadline)?;
    Ok(cache)
}

async fn keep_up(etcd: &Etcd, cache: &Cache) {
    let mut pause = FIRST_PAUSE;
    loop {
        let before = cache.revision();
        match watch(etcd, cache).await {
            Ended::Lost(why) => tracing::debug!(why, revision = cache.revision(), "etcd's watch ended"),
            Ended::Unknown => {
                tracing::warn!(
                    revision = before,
                    "etcd does not have what followed this revision: reading everything"
                );
                if let Err(error) = start_anew(etcd, cache).await {
                    tracing::debug!(%error, "etcd cannot be read");
                }
            }
        }
        pause = if cache.revision() == before {
            (pause * 2).min(LONGEST_PAUSE)
        } else {
            FIRST_PAUSE
        };
        tokio::time::sleep(pause).await;
    }
}

async fn start_anew(etcd: &Etcd, cache: &Cache) -> Result<(), EtcdError> {
    let now = etcd.current_revision().await?;
    let (revision, objects) = load(etcd, now).await?;
    cache.replace(revision, objects);
    Ok(())
}

/// Follows one watch for as long as it lasts.
async fn watch(etcd: &Etcd, cache: &Cache) -> Ended {
    let lost = |error: &dyn std::fmt::Display| Ended::Lost(error.to_string());
    match etcd.current_revision().await {
        Ok(now) if now < cache.revision() => return Ended::Unknown,
        Ok(_) => {}
        Err(error) => return lost(&error),
    }
    let create = WatchCreateRequest {
        key: vec![0],
        range_end: vec![0],
        start_revision: i64::try_from(cache.revision() + 1).unwrap_or(i64::MAX),
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The member ends the watch when its side of requests ends.
    let requests = futures::stream::iter([request]).chain(futures::stream::pending());
    let mut responses = match etcd.watch.clone().watch(requests).await {
        Ok(responses) => responses.into_inner(),
        Err(status) => return lost(&EtcdError::of(&status)),
    };
    loop {
        match responses.message().await {
            Ok(Some(response)) if response.canceled => {
                return if response.compact_revision > 0 {
                    Ended::Unknown
                } else {
                    Ended::Lost(response.cancel_reason)
                };
            }
            Ok(Some(response)) => take_over(cache, response),
            Ok(None) => return lost(&"the member ended it"),
            Err(status) => return lost(&EtcdError::of(&status)),
        }
    }
}

/// Gives the cache what a response brings, revision by revision: etcd keeps those together and in order.
fn take_over(cache: &Cache, response: WatchResponse) {
    let mut changes = Vec::new();
    let mut revision = 0;
    for event in response.events {
        let deleted = event.r#type() == EventType::Delete;
        let Some(pair) = event.kv else { continue };
        let at = unsigned(pair.mod_revision);
        if at != revision && revision != 0 {
            cache.apply(revision, std::mem::take(&mut changes));
        }
        revision = at;
        changes.extend(change(cache, &pair, deleted));
    }
    if revision != 0 {
        cache.apply(revision, changes);
    }
}

fn change(cache: &Cache, pair: &KeyValue, deleted: bool) -> Option<Change> {
    if !deleted {
        let (key, object) = object_of(pair)?;
        return Some(Change { key, object, deleted });
    }
    let key = keys::read(&pair.key)?;
    let mut last = (*cache.get(&key)?).clone();
    at_revision(&mut last, unsigned(pair.mod_revision));
    Some(Change {
        key,
        object: Arc::new(last),
        deleted,
    })
}

fn object_of(pair: &KeyValue) -> Option<(Key, Arc<Value>)> {
    let key = keys::read(&pair.key)?;
    match serde_json::from_slice::<Value>(&pair.value) {
        Ok(mut object) => {
            at_revision(&mut object, unsigned(pair.mod_revision));
            Some((key, Arc::new(object)))
        }
        Err(error) => {
            tracing::warn!(?key, %error, "what etcd holds is no JSON: left out");
            None
        }
    }
}

pub(super) type Objects = BTreeMap<Key, Arc<Value>>;

/// Everything as it was at a revision.
pub(super) async fn load(etcd: &Etcd, revision: u64) -> Result<(u64, Objects), EtcdError> {
    let mut objects = Objects::new();
    let mut from = keys::ROOT.to_vec();
    loop {
        let request = RangeRequest {
            key: from.clone(),
            range_end: prefix_end(keys::ROOT),
            limit: PAGE,
            revision: i64::try_from(revision).unwrap_or(i64::MAX),
            ..RangeRequest::default()
        };
        let page = etcd.answer(etcd.kv.clone().range(request)).await?;
        for pair in &page.kvs {
            if let Some((key, object)) = object_of(pair) {
                objects.insert(key, object);
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => {
                from.clone_from(&last.key);
                from.push(0);
            }
            _ => return Ok((revision, objects)),
        }
    }
}
