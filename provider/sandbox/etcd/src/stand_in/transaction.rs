//! Transactions: comparisons, then one of two lists of operations, which may be transactions again.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use multizone_etcd_api::compare::{CompareResult, CompareTarget, TargetUnion};
use multizone_etcd_api::request_op::Request;
use multizone_etcd_api::response_op::Response;
use multizone_etcd_api::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, Refusal, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse,
};

use super::state::{State, Writer};
use super::store::{Store, in_range};

/// How many operations etcd takes in one transaction.
const MOST_OPERATIONS: usize = 128;

/// Which way each transaction goes, the nested ones in order.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    succeeded: bool,
    nested: Vec<Choice>,
}

/// Refuses what makes no sense whatever the store holds.
pub(super) fn check_request(request: &TxnRequest) -> Result<(), Refusal> {
    let most = request
        .compare
        .len()
        .max(request.success.len())
        .max(request.failure.len());
    if most > MOST_OPERATIONS {
        return Err(Refusal::TooManyOperations);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for operations in [&request.success, &request.failure] {
        for operation in operations {
            match &operation.request {
                Some(Request::RequestRange(range)) if range.key.is_empty() => return Err(Refusal::EmptyKey),
                Some(Request::RequestDeleteRange(delete)) if delete.key.is_empty() => return Err(Refusal::EmptyKey),
                Some(Request::RequestPut(put)) => check_put_request(put)?,
                Some(Request::RequestTxn(nested)) => check_request(nested)?,
                _ => {}
            }
        }
        written_once(operations)?;
    }
    Ok(())
}

/// Refuses a put that makes no sense whatever the store holds.
pub(super) fn check_put_request(put: &PutRequest) -> Result<(), Refusal> {
    if put.key.is_empty() {
        Err(Refusal::EmptyKey)
    } else if put.ignore_value && !put.value.is_empty() {
        Err(Refusal::ValueProvided)
    } else if put.ignore_lease && put.lease != 0 {
        Err(Refusal::LeaseProvided)
    } else {
        Ok(())
    }
}

/// A transaction writes each key once: no two puts of a key, no put into a range that is deleted. The two ways of a
/// nested transaction do not disturb each other, so what either of them writes counts once.
fn written_once(operations: &[RequestOp]) -> Result<(), Refusal> {
    let (mut puts, mut deletes) = (BTreeSet::new(), Vec::new());
    collect(operations, &mut puts, &mut deletes)
}

fn collect<'a>(
    operations: &'a [RequestOp],
    puts: &mut BTreeSet<&'a [u8]>,
    deletes: &mut Vec<&'a DeleteRangeRequest>,
) -> Result<(), Refusal> {
    for operation in operations {
        match &operation.request {
            Some(Request::RequestDeleteRange(delete)) => deletes.push(delete),
            Some(Request::RequestTxn(nested)) => {
                let (mut other_puts, mut other_deletes) = (puts.clone(), deletes.clone());
                collect(&nested.success, puts, deletes)?;
                collect(&nested.failure, &mut other_puts, &mut other_deletes)?;
                puts.extend(other_puts);
                deletes.extend(other_deletes);
            }
            _ => {}
        }
    }
    for operation in operations {
        if let Some(Request::RequestPut(put)) = &operation.request
            && (deletes
                .iter()
                .any(|delete| in_range(&put.key, &delete.key, &delete.range_end))
                || !puts.insert(&put.key))
        {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok(())
}

/// Refuses a put that the store or the leases do not allow.
pub(super) fn check_put(state: &State, put: &PutRequest) -> Result<(), Refusal> {
    if (put.ignore_value || put.ignore_lease) && state.store.latest(&put.key).is_none() {
        Err(Refusal::KeyNotFound)
    } else if put.lease != 0 && !state.leases.contains_key(&put.lease) {
        Err(Refusal::LeaseNotFound)
    } else {
        Ok(())
    }
}

/// Which way a transaction goes.
pub(super) fn choose(store: &Store, request: &TxnRequest) -> Choice {
    let succeeded = request.compare.iter().all(|compare| holds(store, compare));
    let nested = operations(request, succeeded)
        .iter()
        .filter_map(|operation| match &operation.request {
            Some(Request::RequestTxn(nested)) => Some(choose(store, nested)),
            _ => None,
        });
    Choice {
        succeeded,
        nested: nested.collect(),
    }
}

fn operations(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &request.success } else { &request.failure }
}

/// Refuses a transaction one of whose operations would be refused: it is carried out as a whole or not at all.
pub(super) fn check(state: &State, request: &TxnRequest, choice: &Choice) -> Result<(), Refusal> {
    let mut nested = choice.nested.iter();
    for operation in operations(request, choice.succeeded) {
        match &operation.request {
            Some(Request::RequestPut(put)) => check_put(state, put)?,
            Some(Request::RequestRange(range)) => state.store.check_revision(range.revision)?,
            Some(Request::RequestTxn(inner)) => {
                if let Some(choice) = nested.next() {
                    check(state, inner, choice)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Carries out a checked transaction.
pub(super) fn run(writer: &mut Writer<'_>, request: &TxnRequest, choice: &Choice) -> TxnResponse {
    let mut nested = choice.nested.iter();
    let mut responses = Vec::new();
    for operation in operations(request, choice.succeeded) {
        let response = match &operation.request {
            Some(Request::RequestPut(put)) => {
                let mut answer = writer.put(put);
                answer.header = Some(header(writer));
                Response::ResponsePut(answer)
            }
            Some(Request::RequestDeleteRange(delete)) => {
                let mut answer = writer.delete(delete);
                answer.header = Some(header(writer));
                Response::ResponseDeleteRange(answer)
            }
            Some(Request::RequestRange(range)) => {
                // Checked before; what this transaction has written so far counts.
                let mut answer = writer.store().range(range, i64::MAX).unwrap_or_default();
                answer.header = Some(header(writer));
                Response::ResponseRange(answer)
            }
            Some(Request::RequestTxn(inner)) => match nested.next() {
                Some(choice) => Response::ResponseTxn(run(writer, inner, choice)),
                None => continue,
            },
            None => continue,
        };
        responses.push(ResponseOp {
            response: Some(response),
        });
    }
    TxnResponse {
        header: Some(header(writer)),
        succeeded: choice.succeeded,
        responses,
    }
}

/// Answers inside a transaction carry only the revision.
fn header(writer: &Writer<'_>) -> ResponseHeader {
    ResponseHeader {
        revision: writer.revision(),
        ..ResponseHeader::default()
    }
}

fn holds(store: &Store, compare: &Compare) -> bool {
    if compare.range_end.is_empty() {
        let missing = KeyValue::default();
        return match store.latest(&compare.key) {
            Some(version) => pair_holds(&version.pair, compare),
            // The value of a key that does not exist compares with nothing.
            None if compare.target() == CompareTarget::Value => false,
            None => pair_holds(&missing, compare),
        };
    }
    let mut found = store.all_at(&compare.key, &compare.range_end, i64::MAX).peekable();
    if found.peek().is_none() {
        return compare.target() != CompareTarget::Value && pair_holds(&KeyValue::default(), compare);
    }
    found.all(|version| pair_holds(&version.pair, compare))
}

fn pair_holds(pair: &KeyValue, compare: &Compare) -> bool {
    let wanted = compare.target_union.as_ref();
    let ordering = match compare.target() {
        CompareTarget::Value => match wanted {
            Some(TargetUnion::Value(value)) => pair.value.cmp(value),
            _ => pair.value.as_slice().cmp(&[]),
        },
        CompareTarget::Version => number(pair.version, wanted),
        CompareTarget::Create => number(pair.create_revision, wanted),
        CompareTarget::Mod => number(pair.mod_revision, wanted),
        CompareTarget::Lease => number(pair.lease, wanted),
    };
    match compare.result() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

fn number(found: i64, wanted: Option<&TargetUnion>) -> Ordering {
    let wanted = match wanted {
        Some(
            TargetUnion::Version(number)
            | TargetUnion::CreateRevision(number)
            | TargetUnion::ModRevision(number)
            | TargetUnion::Lease(number),
        ) => *number,
        Some(TargetUnion::Value(_)) | None => 0,
    };
    found.cmp(&wanted)
}
