//! The KV service.

use multizone_etcd_api::kv_server::Kv;
use multizone_etcd_api::range_request::{SortOrder, SortTarget};
use multizone_etcd_api::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, Refusal, RequestOp, TxnRequest, TxnResponse, request_op,
};
use tonic::{Request, Response, Status};

use super::command::{Command, Outcome};
use super::service::Service;
use super::state::State;
use super::transaction;

fn check_range(request: &RangeRequest) -> Result<(), Refusal> {
    if request.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() {
        return Err(Refusal::InvalidSortOption);
    }
    Ok(())
}

/// Whether a transaction only reads, and only what a member may answer alone.
fn is_local_read(request: &TxnRequest) -> bool {
    let local = |operation: &RequestOp| match &operation.request {
        Some(request_op::Request::RequestRange(range)) => range.serializable,
        _ => false,
    };
    request.success.iter().chain(&request.failure).all(local)
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let local = request.get_ref().serializable;
        self.admit(request.metadata(), local)?;
        let request = request.into_inner();
        check_range(&request)?;
        let seat = &self.seat;
        // The header is of the same revision as the answer: watchers go on from it.
        let read = |state: &State| -> Result<RangeResponse, Refusal> {
            let mut answer = state.store.range(&request, state.store.revision())?;
            answer.header = Some(seat.cluster.header(seat.id, state));
            Ok(answer)
        };
        let answer = if local {
            seat.look(read)??
        } else {
            seat.led(Some(seat.patience), |led| read(led.state()?)).await?
        };
        Ok(Response::new(answer))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        transaction::check_put_request(&request)?;
        self.check_space()?;
        let (Outcome::Put(mut answer), header) = self.seat.propose(&Command::Put(request)).await? else {
            return Err(Status::internal("a put was not answered as one"));
        };
        answer.header = header;
        Ok(Response::new(answer))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey.into());
        }
        let (Outcome::Delete(mut answer), header) = self.seat.propose(&Command::Delete(request)).await? else {
            return Err(Status::internal("a deletion was not answered as one"));
        };
        answer.header = header;
        Ok(Response::new(answer))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        transaction::check_request(&request)?;
        let (outcome, header) = if is_local_read(&request) {
            let seat = &self.seat;
            seat.look(|state| {
                let (outcome, _) = state.clone().apply(&Command::Txn(request))?;
                Ok::<_, Refusal>((outcome, Some(seat.cluster.header(seat.id, state))))
            })??
        } else {
            self.check_space()?;
            self.seat.propose(&Command::Txn(request)).await?
        };
        let Outcome::Txn(mut answer) = outcome else {
            return Err(Status::internal("a transaction was not answered as one"));
        };
        answer.header = header;
        Ok(Response::new(answer))
    }

    async fn compact(&self, request: Request<CompactionRequest>) -> Result<Response<CompactionResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let command = Command::Compact(request.into_inner().revision);
        let (_, header) = self.seat.propose(&command).await?;
        Ok(Response::new(CompactionResponse { header }))
    }
}
