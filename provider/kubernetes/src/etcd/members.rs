//! Members: who they are, how each is doing, who leads, and the two things the provider changes.

use multizone_etcd_api::cluster_client::ClusterClient;
use multizone_etcd_api::kv_client::KvClient;
use multizone_etcd_api::maintenance_client::MaintenanceClient;
use multizone_etcd_api::{
    AlarmRequest, AlarmType, MemberListRequest, MemberRemoveRequest, MoveLeaderRequest, RangeRequest, Refusal,
    StatusRequest,
};

use super::route::{Endpoint, Route};
use super::{Etcd, EtcdError};

/// The key that is read to see whether a quorum answers; it does not have to exist.
const HEALTH_KEY: &[u8] = b"health";

/// A member, as the cluster lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its ID: what it is removed by.
    pub id: u64,
    /// Its name; empty while it has not started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty while it has not started.
    pub client_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub learner: bool,
}

impl Member {
    /// Whether it ever came up: one that was added and never started has no name.
    pub fn is_started(&self) -> bool {
        !self.name.is_empty()
    }
}

/// How a member is doing, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its ID.
    pub id: u64,
    /// Its version, for example 3.6.5.
    pub version: String,
    /// Whom it takes for the leader; `None` when it knows none.
    pub leader: Option<u64>,
    /// How far its log is.
    pub raft_index: u64,
    /// How far it has carried its log out.
    pub raft_applied_index: u64,
    /// The current term.
    pub raft_term: u64,
    /// The size of its data, in bytes.
    pub db_size: u64,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// What it complains about.
    pub errors: Vec<String>,
}

/// What the whole of etcd looks like, every member asked for itself.
#[derive(Debug)]
pub struct EtcdView {
    /// The members as the first one that answered lists them, by ID.
    pub members: Vec<Member>,
    /// Each endpoint's own status, in the order of the endpoints.
    pub statuses: Vec<(Endpoint, Result<MemberStatus, EtcdError>)>,
    /// Whether a quorum answered a read: `Err` says why not.
    pub quorum: Result<(), EtcdError>,
}

impl EtcdView {
    /// A member's own status, if it gave one.
    pub fn status_of(&self, id: u64) -> Option<&MemberStatus> {
        let mut answered = self.statuses.iter().filter_map(|(_, status)| status.as_ref().ok());
        answered.find(|status| status.id == id)
    }

    /// The leader, if a member knows one in the latest term.
    pub fn leader(&self) -> Option<u64> {
        let answered = self.statuses.iter().filter_map(|(_, status)| status.as_ref().ok());
        answered.max_by_key(|status| status.raft_term)?.leader
    }

    /// Voters that answer and know the leader.
    pub fn healthy_voters(&self) -> usize {
        let voters = self.members.iter().filter(|member| !member.learner);
        let leader = self.leader();
        voters
            .filter(|voter| {
                self.status_of(voter.id)
                    .is_some_and(|status| leader.is_some() && status.leader == leader)
            })
            .count()
    }

    /// How many voters have to agree.
    pub fn quorum_size(&self) -> usize {
        self.members.iter().filter(|member| !member.learner).count() / 2 + 1
    }

    /// How many entries a member is behind the leader; `None` when either did not answer.
    pub fn lag_of(&self, id: u64) -> Option<u64> {
        let leader = self.status_of(self.leader()?)?;
        Some(leader.raft_index.saturating_sub(self.status_of(id)?.raft_applied_index))
    }
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmKind {
    /// The space quota is used up: etcd takes no more writes.
    NoSpace,
    /// The member's data is corrupt.
    Corrupt,
    /// Something that this provider does not know, etcd's number.
    Other(i32),
}

/// An alarm that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The member it is about.
    pub member: u64,
    /// What about it.
    pub kind: AlarmKind,
}

impl<R: Route> Etcd<R> {
    /// The members, as the first one that answers knows them (etcd 3.4 does not ask the others, later versions are told
    /// not to: the list can be read without a quorum, and may then be old; [`Etcd::check_quorum`] tells).
    pub async fn members(&self) -> Result<Vec<Member>, EtcdError> {
        self.by_anyone(async |endpoint| {
            let mut client = ClusterClient::new(self.channel(&endpoint)?);
            let request = client.member_list(MemberListRequest { linearizable: false });
            let answer = self.answer("list the members", &endpoint, request).await?;
            let mut members: Vec<_> = answer.members.into_iter().map(member).collect();
            members.sort_by_key(|member| member.id);
            Ok(members)
        })
        .await
    }

    /// How one member is doing, in its own words. Answers without a quorum.
    pub async fn status(&self, endpoint: &Endpoint) -> Result<MemberStatus, EtcdError> {
        let mut client = MaintenanceClient::new(self.channel(endpoint)?);
        let request = client.status(StatusRequest {});
        let answer = self.answer("say how it is", endpoint, request).await?;
        Ok(MemberStatus {
            id: answer.header.map(|header| header.member_id).unwrap_or_default(),
            version: answer.version,
            leader: Some(answer.leader).filter(|leader| *leader != 0),
            raft_index: answer.raft_index,
            raft_applied_index: answer.raft_applied_index,
            raft_term: answer.raft_term,
            db_size: u64::try_from(answer.db_size).unwrap_or_default(),
            learner: answer.is_learner,
            errors: answer.errors,
        })
    }

    /// Whether a quorum answers: a read that every quorum has to confirm.
    pub async fn check_quorum(&self) -> Result<(), EtcdError> {
        self.by_anyone(async |endpoint| {
            let mut client = KvClient::new(self.channel(&endpoint)?);
            let request = client.range(RangeRequest {
                key: HEALTH_KEY.to_vec(),
                count_only: true,
                ..RangeRequest::default()
            });
            self.answer("read by quorum", &endpoint, request).await.map(drop)
        })
        .await
    }

    /// Everything at once; all members are asked at the same time. Fails when no member lists the others.
    pub async fn view(&self) -> Result<EtcdView, EtcdError> {
        let statuses = futures::future::join_all(self.endpoints.iter().map(|endpoint| self.status(endpoint)));
        let (members, statuses, quorum) = futures::join!(self.members(), statuses, self.check_quorum());
        Ok(EtcdView {
            members: members?,
            statuses: self.endpoints.iter().cloned().zip(statuses).collect(),
            quorum,
        })
    }

    /// Hands leadership over to a member. Only the leader can: it is looked for among the endpoints.
    pub async fn move_leader(&self, to: u64) -> Result<(), EtcdError> {
        let action = format!("move the leadership to member {to:x}");
        let mut unknown = EtcdError::NoEndpoint;
        for endpoint in &self.endpoints {
            match self.status(endpoint).await {
                Ok(status) if status.leader == Some(to) => return Ok(()),
                Ok(status) if status.leader == Some(status.id) => {
                    let mut client = MaintenanceClient::new(self.channel(endpoint)?);
                    let request = client.move_leader(MoveLeaderRequest { target_id: to });
                    return match self.answer(&action, endpoint, request).await {
                        Err(EtcdError::Refused {
                            refusal: Refusal::BadLeaderTransferee,
                            action,
                        }) => Err(EtcdError::UnknownMember { id: to, action }),
                        answer => answer.map(drop),
                    };
                }
                Ok(status) => {
                    let said = match status.leader {
                        Some(leader) => format!("the leader is member {leader:x}, which is not reachable"),
                        None => "there is no leader".to_owned(),
                    };
                    let (member, action) = (endpoint.name.clone(), action.clone());
                    unknown = EtcdError::NoQuorum { member, action, said };
                }
                Err(error) => {
                    if matches!(unknown, EtcdError::NoEndpoint) {
                        unknown = error;
                    }
                }
            }
        }
        Err(unknown)
    }

    /// Removes a member. Whether that is safe is the planner's rule; etcd refuses the worst itself. A member that is
    /// gone already is fine.
    pub async fn remove(&self, id: u64) -> Result<(), EtcdError> {
        let action = format!("remove member {id:x}");
        self.by_anyone(async |endpoint| {
            let mut client = ClusterClient::new(self.channel(&endpoint)?);
            let request = client.member_remove(MemberRemoveRequest { id });
            match self.answer(&action, &endpoint, request).await {
                Err(EtcdError::Refused {
                    refusal: Refusal::MemberNotFound,
                    ..
                }) => Ok(()),
                answer => answer.map(drop),
            }
        })
        .await
    }

    /// The alarms that are on.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, EtcdError> {
        self.by_anyone(async |endpoint| {
            let mut client = MaintenanceClient::new(self.channel(&endpoint)?);
            let request = client.alarm(AlarmRequest::default());
            let answer = self.answer("list the alarms", &endpoint, request).await?;
            let alarms = answer.alarms.into_iter().map(|alarm| Alarm {
                member: alarm.member_id,
                kind: match AlarmType::try_from(alarm.alarm) {
                    Ok(AlarmType::Nospace) => AlarmKind::NoSpace,
                    Ok(AlarmType::Corrupt) => AlarmKind::Corrupt,
                    _ => AlarmKind::Other(alarm.alarm),
                },
            });
            Ok(alarms.collect())
        })
        .await
    }
}

fn member(member: multizone_etcd_api::Member) -> Member {
    Member {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        learner: member.is_learner,
    }
}
