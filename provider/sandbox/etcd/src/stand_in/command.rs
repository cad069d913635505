//! What members agree on, one command after the other.

use multizone_etcd_api::{
    DeleteRangeRequest, DeleteRangeResponse, Member, PutRequest, PutResponse, TxnRequest, TxnResponse,
};

/// A change that every member makes alike.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(i64),
    Grant {
        id: i64,
        ttl: i64,
    },
    Revoke(i64),
    AddMember(Member),
    RemoveMember(u64),
    UpdateMember {
        id: u64,
        peer_urls: Vec<String>,
    },
    Promote(u64),
    Publish {
        id: u64,
        name: String,
        client_urls: Vec<String>,
    },
    Alarm {
        member: u64,
        alarm: i32,
        active: bool,
    },
}

impl Command {
    /// Whether it changes who is a member: only a healthy cluster may, and the quorum may change with it.
    pub(super) fn changes_membership(&self) -> bool {
        matches!(
            self,
            Self::AddMember(_) | Self::RemoveMember(_) | Self::UpdateMember { .. } | Self::Promote(_)
        )
    }
}

/// The answer to a command, without its header.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done,
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
}

/// What a command changed, for the disk.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Version(std::sync::Arc<super::store::Version>),
    Forgotten(i64, i64),
    Lease(i64, Option<i64>),
    Member(Member),
    MemberRemoved(u64),
    Alarm { member: u64, alarm: i32, active: bool },
}
