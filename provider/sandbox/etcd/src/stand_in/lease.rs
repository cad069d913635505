//! The Lease service.

use std::pin::Pin;

use futures::Stream;
use multizone_etcd_api::lease_server::Lease;
use multizone_etcd_api::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, Refusal, ResponseHeader,
};
use tonic::{Request, Response, Status, Streaming};

use super::command::Command;
use super::service::Service;

/// etcd's shortest lease, in seconds: one and a half election timeouts.
const SHORTEST: i64 = 2;
/// etcd's longest lease, in seconds.
const LONGEST: i64 = 9_000_000_000;

impl Service {
    async fn keep_alive(&self, id: i64) -> Result<LeaseKeepAliveResponse, Refusal> {
        let answer = |led: &mut super::led::Led<'_>| {
            Ok(LeaseKeepAliveResponse {
                header: led.header()?,
                id,
                // No time is left of a lease that does not exist.
                ttl: led.keep_alive(id)?.unwrap_or_default(),
            })
        };
        self.seat.led(Some(self.seat.patience), answer).await
    }
}

#[tonic::async_trait]
impl Lease for Service {
    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(&self, request: Request<LeaseGrantRequest>) -> Result<Response<LeaseGrantResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        if request.ttl > LONGEST {
            return Err(Refusal::LeaseTtlTooLarge.into());
        }
        self.check_space()?;
        let ttl = request.ttl.max(SHORTEST);
        let (id, header) = self
            .seat
            .led(Some(self.seat.patience), |led| {
                let id = match request.id {
                    0 => (led.new_member_id(&[])? >> 1).cast_signed().max(1),
                    wanted => wanted,
                };
                led.commit(&Command::Grant { id, ttl })?;
                Ok((id, led.header()?))
            })
            .await?;
        Ok(Response::new(LeaseGrantResponse {
            header,
            id,
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let (_, header) = self.seat.propose(&Command::Revoke(request.into_inner().id)).await?;
        Ok(Response::new(LeaseRevokeResponse { header }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.admit(request.metadata(), false)?;
        let state = (self.clone(), request.into_inner(), false);
        let answers = futures::stream::unfold(state, |(service, mut requests, ended)| async move {
            if ended {
                return None;
            }
            let answer = match requests.message().await {
                Ok(Some(request)) => service.keep_alive(request.id).await.map_err(Status::from),
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            let ended = answer.is_err();
            Some((answer, (service, requests, ended)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let found = |led: &mut super::led::Led<'_>| Ok((led.lease_time(id)?, led.header()?));
        let (found, header) = self.seat.led(Some(self.seat.patience), found).await?;
        Ok(Response::new(match found {
            Some(lease) => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: lease.left,
                granted_ttl: lease.granted,
                keys: if keys { lease.keys } else { Vec::new() },
            },
            None => LeaseTimeToLiveResponse {
                header,
                id,
                ttl: -1,
                ..LeaseTimeToLiveResponse::default()
            },
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let leases = self
            .seat
            .look(|state| state.leases.keys().map(|id| LeaseStatus { id: *id }).collect())?;
        let header: Option<ResponseHeader> = self.seat.header()?;
        Ok(Response::new(LeaseLeasesResponse { header, leases }))
    }
}
