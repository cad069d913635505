//! Objects in etcd, which several API servers share, as in a stacked control plane.
//!
//! Every write is a transaction that compares the revision at which the object was last written, so that of two
//! servers that change the same object one is told to look again.  An object's `resourceVersion` is that revision; it
//! is not part of the value, as in Kubernetes.

mod compaction;
mod errors;
mod feed;
mod keys;

use std::time::Duration;

use multizone_etcd_api::kv_client::KvClient;
use multizone_etcd_api::lease_client::LeaseClient;
use multizone_etcd_api::watch_client::WatchClient;
use multizone_etcd_api::{
    ChannelError, Compare, Credentials, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, PutRequest, RangeRequest, Refusal, RequestOp, TxnRequest, channel, compare, request_op,
    response_op,
};
use serde_json::Value;
use tonic::transport::Channel;

pub(crate) use compaction::{KEPT, compact};
pub(crate) use errors::EtcdError;
pub(super) use feed::follow;

use super::Key;
use crate::object::ObjectExt as _;
use crate::time;

/// How long a request waits for etcd at real time, as kube-apiserver's requests do.
const PATIENCE: Duration = Duration::from_mins(1);

/// What no pace shortens the patience below: etcd itself says after seven seconds that no quorum answers.
const LEAST_PATIENCE: Duration = Duration::from_secs(9);

/// How long etcd may take to answer a health check, as for kube-apiserver.
const HEALTH: Duration = Duration::from_secs(2);

/// How often a question that changes nothing is repeated, and after which pause.
const REPEATS: usize = 3;
const REPEAT: Duration = Duration::from_millis(25);

/// Objects come in pages when a server starts.
const LARGEST_MESSAGE: usize = 64 * 1024 * 1024;

/// A client of the etcd cluster.  Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Etcd {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
    lease: LeaseClient<Channel>,
    patience: Duration,
}

/// A lease of etcd's: keys that hang on it go when nobody keeps it alive.
pub(crate) type LeaseId = i64;

/// What became of a write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It made this revision.
    Done(u64),
    /// The key is not at the revision that was expected; at this revision that is visible.
    Refused { revision: u64, exists: bool },
}

impl Etcd {
    /// A client of the members at `endpoints`: it talks to the first that accepts a connection, and connects at the
    /// first request.
    pub(crate) fn new(
        endpoints: &[String],
        credentials: Option<&Credentials>,
        pace: f64,
    ) -> Result<Self, ChannelError> {
        let channel = channel(endpoints, credentials)?;
        Ok(Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE),
            lease: LeaseClient::new(channel),
            patience: time::paced(PATIENCE, pace).max(LEAST_PATIENCE),
        })
    }

    /// How long a request waits for etcd.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, EtcdError> {
        match tokio::time::timeout(self.patience, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(EtcdError::of(&status)),
            Err(_) => Err(EtcdError::Deadline),
        }
    }

    /// The cluster's revision now: a quorum has confirmed that there is no later one.
    pub(super) async fn current_revision(&self) -> Result<u64, EtcdError> {
        let ask = || async {
            let request = RangeRequest {
                key: keys::ROOT.to_vec(),
                count_only: true,
                ..RangeRequest::default()
            };
            self.answer(self.kv.clone().range(request)).await
        };
        // As etcd's own client does with what only reads: a connection may have broken while nobody used it, and the leader
        // may have gone while it was asked.
        for _ in 0..REPEATS {
            match ask().await {
                Err(EtcdError::Connection(_) | EtcdError::Refused(Refusal::LeaderChanged)) => {
                    tokio::time::sleep(REPEAT).await;
                }
                answered => return answered.map(|found| header_revision(found.header.as_ref())),
            }
        }
        ask().await.map(|found| header_revision(found.header.as_ref()))
    }

    /// Whether a quorum answers, within the time that a health check has.
    pub(crate) async fn check(&self) -> Result<(), EtcdError> {
        match tokio::time::timeout(HEALTH, self.current_revision()).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(EtcdError::Deadline),
        }
    }

    /// Writes the object if it was last written at `expected`; 0 stands for an object that does not exist.
    pub(super) async fn put(&self, key: &Key, expected: u64, object: &Value) -> Result<Outcome, EtcdError> {
        let mut stored = object.clone();
        stored.take_out(&["metadata", "resourceVersion"]);
        let path = keys::path_of(key);
        let write = request_op::Request::RequestPut(PutRequest {
            key: path.clone(),
            value: stored.to_string().into_bytes(),
            ..PutRequest::default()
        });
        self.write_if(path, expected, write).await
    }

    /// Deletes the object if it was last written at `expected`.
    pub(super) async fn delete(&self, key: &Key, expected: u64) -> Result<Outcome, EtcdError> {
        let path = keys::path_of(key);
        let write = request_op::Request::RequestDeleteRange(DeleteRangeRequest {
            key: path.clone(),
            ..DeleteRangeRequest::default()
        });
        self.write_if(path, expected, write).await
    }

    async fn write_if(&self, path: Vec<u8>, expected: u64, write: request_op::Request) -> Result<Outcome, EtcdError> {
        let look = request_op::Request::RequestRange(RangeRequest {
            key: path.clone(),
            keys_only: true,
            ..RangeRequest::default()
        });
        let unchanged = Compare {
            result: compare::CompareResult::Equal.into(),
            target: compare::CompareTarget::Mod.into(),
            key: path,
            target_union: Some(compare::TargetUnion::ModRevision(
                i64::try_from(expected).unwrap_or(i64::MAX),
            )),
            ..Compare::default()
        };
        let operation = |request| RequestOp { request: Some(request) };
        let transaction = TxnRequest {
            compare: vec![unchanged],
            success: vec![operation(write)],
            failure: vec![operation(look)],
        };
        let answer = self.answer(self.kv.clone().txn(transaction)).await?;
        let revision = header_revision(answer.header.as_ref());
        if answer.succeeded {
            return Ok(Outcome::Done(revision));
        }
        let exists = answer.responses.into_iter().any(|one| match one.response {
            Some(response_op::Response::ResponseRange(range)) => !range.kvs.is_empty(),
            _ => false,
        });
        Ok(Outcome::Refused { revision, exists })
    }

    /// Keeps an object whether or not it is there, until the lease ends.
    pub(crate) async fn put_leased(&self, key: &Key, object: &Value, lease: LeaseId) -> Result<(), EtcdError> {
        let request = PutRequest {
            key: keys::path_of(key),
            value: object.to_string().into_bytes(),
            lease,
            ..PutRequest::default()
        };
        self.answer(self.kv.clone().put(request)).await.map(drop)
    }

    /// A new lease; etcd may give it more time than asked for.
    pub(crate) async fn grant(&self, life: Duration) -> Result<LeaseId, EtcdError> {
        let request = LeaseGrantRequest {
            ttl: time::whole_seconds(life),
            id: 0,
        };
        Ok(self.answer(self.lease.clone().lease_grant(request)).await?.id)
    }

    /// Gives a lease its whole time again; answers whether it was still alive.
    pub(crate) async fn keep_alive(&self, lease: LeaseId) -> Result<bool, EtcdError> {
        let request = futures::stream::iter([LeaseKeepAliveRequest { id: lease }]);
        let mut client = self.lease.clone();
        let answer = async {
            let mut beats = client.lease_keep_alive(request).await?;
            let beat = beats.get_mut().message().await?;
            Ok(tonic::Response::new(beat))
        };
        Ok(self.answer(answer).await?.is_some_and(|beat| beat.ttl > 0))
    }

    /// Ends a lease and everything that hangs on it.
    pub(crate) async fn revoke(&self, lease: LeaseId) -> Result<(), EtcdError> {
        let request = LeaseRevokeRequest { id: lease };
        self.answer(self.lease.clone().lease_revoke(request)).await.map(drop)
    }
}

fn header_revision(header: Option<&multizone_etcd_api::ResponseHeader>) -> u64 {
    unsigned(header.map_or(0, |header| header.revision))
}

fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

#[cfg(test)]
mod tests;
