//! The Cluster service.

use std::net::SocketAddr;

use multizone_etcd_api::cluster_server::Cluster;
use multizone_etcd_api::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse,
    Refusal, ResponseHeader,
};
use tonic::{Request, Response, Status};

use super::command::Command;
use super::led::Led;
use super::service::Service;

impl Service {
    /// Changes the membership. It waits for a quorum as long as the client does.
    async fn change(
        &self,
        mut attempt: impl FnMut(&mut Led<'_>) -> Result<Command, Refusal>,
    ) -> Result<(Vec<Member>, Option<ResponseHeader>), Refusal> {
        self.seat
            .led(None, |led| {
                let command = attempt(led)?;
                // Taken before: a member that removes itself has no copy afterwards, and etcd's header has no revision.
                let header = led.header()?.map(|header| ResponseHeader { revision: 0, ..header });
                let mut after = led.state()?.clone();
                led.commit(&command)?;
                after.apply(&command)?;
                Ok((after.members.into_values().collect(), header))
            })
            .await
    }
}

fn check_urls(urls: &[String]) -> Result<(), Refusal> {
    let usable = |url: &String| {
        let address = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        address.is_some_and(|address| address.parse::<SocketAddr>().is_ok())
    };
    if urls.is_empty() || !urls.iter().all(usable) {
        return Err(Refusal::BadMemberUrls);
    }
    Ok(())
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(&self, request: Request<MemberAddRequest>) -> Result<Response<MemberAddResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check_urls(&request.peer_urls)?;
        let mut added = None;
        let (members, header) = self
            .change(|led| {
                led.check_addition(request.is_learner)?;
                let member = Member {
                    id: led.new_member_id(&request.peer_urls)?,
                    peer_urls: request.peer_urls.clone(),
                    is_learner: request.is_learner,
                    ..Member::default()
                };
                added = Some(member.clone());
                Ok(Command::AddMember(member))
            })
            .await?;
        Ok(Response::new(MemberAddResponse {
            header,
            member: added,
            members,
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let id = request.into_inner().id;
        let (members, header) = self
            .change(|led| {
                led.check_removal(id)?;
                Ok(Command::RemoveMember(id))
            })
            .await?;
        Ok(Response::new(MemberRemoveResponse { header, members }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check_urls(&request.peer_urls)?;
        let (id, peer_urls) = (request.id, request.peer_urls);
        let (members, header) = self
            .change(|_| {
                Ok(Command::UpdateMember {
                    id,
                    peer_urls: peer_urls.clone(),
                })
            })
            .await?;
        Ok(Response::new(MemberUpdateResponse { header, members }))
    }

    async fn member_list(&self, request: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        self.admit(request.metadata(), false)?;
        // As etcd 3.4: what this member knows.
        let members = self.seat.look(|state| state.members.values().cloned().collect())?;
        let header = self
            .seat
            .header()?
            .map(|header| ResponseHeader { revision: 0, ..header });
        Ok(Response::new(MemberListResponse { header, members }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let id = request.into_inner().id;
        let (members, header) = self
            .change(|led| {
                led.check_promotion(id)?;
                Ok(Command::Promote(id))
            })
            .await?;
        Ok(Response::new(MemberPromoteResponse { header, members }))
    }
}
