//! Compacting etcd's past, which it keeps until it is told to.

use std::time::Duration;

use multizone_etcd_api::{CompactionRequest, Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use multizone_etcd_api::{compare, request_op, response_op};

use super::{Etcd, EtcdError, header_revision};

/// How long a revision can be asked for, as with kube-apiserver.
pub(crate) const KEPT: Duration = Duration::from_mins(5);

/// How often it was done is this key's version: of several servers only one does it each time.
const KEY: &[u8] = b"compact_rev_key";

/// Compacts once in a while what is older than that, in turns with the other servers.
pub(crate) async fn compact(etcd: &Etcd, kept: Duration) {
    let (mut turn, mut revision) = (0, 0);
    loop {
        tokio::time::sleep(kept).await;
        match take_turn(etcd, turn, revision).await {
            Ok(next) => (turn, revision) = next,
            Err(error) => tracing::debug!(%error, "etcd was not compacted"),
        }
    }
}

/// Compacts up to `revision` if nobody has taken this turn; answers the next turn and the revision now.
async fn take_turn(etcd: &Etcd, turn: i64, revision: i64) -> Result<(i64, i64), EtcdError> {
    let untaken = Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Version.into(),
        key: KEY.to_vec(),
        target_union: Some(compare::TargetUnion::Version(turn)),
        ..Compare::default()
    };
    let write = request_op::Request::RequestPut(PutRequest {
        key: KEY.to_vec(),
        value: revision.to_string().into_bytes(),
        ..PutRequest::default()
    });
    let look = request_op::Request::RequestRange(RangeRequest {
        key: KEY.to_vec(),
        ..RangeRequest::default()
    });
    let operation = |request| RequestOp { request: Some(request) };
    let transaction = TxnRequest {
        compare: vec![untaken],
        success: vec![operation(write)],
        failure: vec![operation(look)],
    };
    let answer = etcd.answer(etcd.kv.clone().txn(transaction)).await?;
    let now = i64::try_from(header_revision(answer.header.as_ref())).unwrap_or(i64::MAX);
    if !answer.succeeded {
        let found = answer.responses.into_iter().find_map(|one| match one.response {
            Some(response_op::Response::ResponseRange(range)) => Some(range.kvs.first()?.version),
            _ => None,
        });
        return Ok((found.unwrap_or(0), now));
    }
    if revision > 0 {
        let request = CompactionRequest {
            revision,
            physical: false,
        };
        etcd.answer(etcd.kv.clone().compact(request)).await?;
    }
    Ok((turn + 1, now))
}
