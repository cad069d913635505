//! The Maintenance service.

use std::io::Read as _;
use std::path::Path;
use std::pin::Pin;

use futures::Stream;
use multizone_etcd_api::alarm_request::AlarmAction;
use multizone_etcd_api::maintenance_server::Maintenance;
use multizone_etcd_api::{
    AlarmMember, AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, MoveLeaderRequest,
    MoveLeaderResponse, Refusal, SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse,
};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};

use super::command::Command;
use super::service::Service;

/// How much of a snapshot goes in one message.
const CHUNK: usize = 32 * 1024;

fn on_disk(error: &rusqlite::Error) -> Status {
    Status::internal(format!("the member's disk failed: {error}"))
}

impl Service {
    /// A copy of this member's data, followed by its SHA-256 as etcd's snapshots are.
    fn snapshot_bytes(&self) -> Result<Vec<u8>, Status> {
        let directory = tempfile::tempdir().map_err(|error| Status::internal(error.to_string()))?;
        let file = directory.path().join("snapshot");
        let copied = self.seat.cluster.files(self.seat.id, |files| files.copy_to(&file));
        copied.ok_or(Refusal::Stopped)?.map_err(|error| on_disk(&error))?;
        let mut bytes = read(&file).map_err(|error| Status::internal(error.to_string()))?;
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(&digest);
        Ok(bytes)
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[tonic::async_trait]
impl Maintenance for Service {
    type SnapshotStream = Pin<Box<dyn Stream<Item = Result<SnapshotResponse, Status>> + Send>>;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        let active = match request.action() {
            AlarmAction::Get => None,
            AlarmAction::Activate => Some(true),
            AlarmAction::Deactivate => Some(false),
        };
        if let Some(active) = active {
            let (member, alarm) = (request.member_id, request.alarm);
            self.seat.propose(&Command::Alarm { member, alarm, active }).await?;
        }
        let alarms = self.seat.look(|state| {
            let alarms = state.alarms.iter();
            alarms
                .map(|(member_id, alarm)| AlarmMember {
                    member_id: *member_id,
                    alarm: *alarm,
                })
                .collect()
        })?;
        let header = self.seat.header()?;
        Ok(Response::new(AlarmResponse { header, alarms }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        self.admit(request.metadata(), true)?;
        let seat = &self.seat;
        let size = seat.cluster.files(seat.id, super::files::Files::size);
        let db_size = size.ok_or(Refusal::Stopped)?.map_err(|error| on_disk(&error))?;
        let leader = self.leader();
        let errors = match leader {
            Some(_) => Vec::new(),
            None => vec![Refusal::NoLeader.text().to_owned()],
        };
        let answer = seat.look(|state| StatusResponse {
            header: Some(seat.cluster.header(seat.id, state)),
            version: seat.version.to_string(),
            db_size,
            leader: leader.unwrap_or_default(),
            raft_index: state.index,
            raft_term: state.term,
            raft_applied_index: state.index,
            errors,
            db_size_in_use: db_size,
            is_learner: state.is_learner(seat.id),
        })?;
        Ok(Response::new(answer))
    }

    async fn defragment(&self, request: Request<DefragmentRequest>) -> Result<Response<DefragmentResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let done = self.seat.cluster.files(self.seat.id, super::files::Files::defragment);
        done.ok_or(Refusal::Stopped)?.map_err(|error| on_disk(&error))?;
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        self.admit(request.metadata(), false)?;
        let service = self.clone();
        let bytes = tokio::task::spawn_blocking(move || service.snapshot_bytes())
            .await
            .map_err(|error| Status::internal(error.to_string()))??;
        let mut left = bytes.len();
        let chunks: Vec<_> = bytes
            .chunks(CHUNK)
            .map(|chunk| {
                left -= chunk.len();
                Ok(SnapshotResponse {
                    header: None,
                    remaining_bytes: u64::try_from(left).unwrap_or_default(),
                    blob: chunk.to_vec(),
                })
            })
            .collect();
        Ok(Response::new(Box::pin(futures::stream::iter(chunks))))
    }

    async fn move_leader(&self, request: Request<MoveLeaderRequest>) -> Result<Response<MoveLeaderResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let to = request.into_inner().target_id;
        let header = self
            .seat
            .led(Some(self.seat.patience), |led| {
                led.move_leader(to)?;
                led.header()
            })
            .await?;
        Ok(Response::new(MoveLeaderResponse { header }))
    }
}
