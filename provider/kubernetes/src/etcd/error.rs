//! What can go wrong between the provider and etcd.

use std::error::Error as _;

use multizone_etcd_api::{ChannelError, Refusal};
use tonic::{Code, Status};

use super::Endpoint;

/// A request to etcd that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// There is nobody to ask.
    #[error("there is no etcd member to ask")]
    NoEndpoint,
    /// No connection to the member, or it broke.
    #[error("etcd member {member} does not answer (to {action}): {reason}")]
    Unreachable {
        /// The member.
        member: String,
        /// What was to be done.
        action: String,
        /// What failed on the way.
        reason: String,
    },
    /// The member accepts connections and does not answer: it stands still, or it waits for others that do.
    #[error(
        "etcd member {member} did not answer within {seconds} s (to {action}); a change may still be carried out later"
    )]
    NoAnswer {
        /// The member.
        member: String,
        /// What was to be done.
        action: String,
        /// For how long it was waited for.
        seconds: u64,
    },
    /// The member answers and has no quorum behind it. A change may still be carried out when there is one again.
    #[error("etcd has no quorum: member {member}, asked to {action}, says {said:?}")]
    NoQuorum {
        /// The member.
        member: String,
        /// What was to be done.
        action: String,
        /// What it said.
        said: String,
    },
    /// No member has this ID.
    #[error("etcd has no member {id:x} (to {action})")]
    UnknownMember {
        /// The ID.
        id: u64,
        /// What was to be done.
        action: String,
    },
    /// etcd refuses: nothing was changed.
    #[error("etcd refuses to {action}: {refusal}")]
    Refused {
        /// What was to be done.
        action: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// Any other answer.
    #[error("etcd member {member} failed to {action}: it says {said:?}")]
    Failed {
        /// The member.
        member: String,
        /// What was to be done.
        action: String,
        /// What it said.
        said: String,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The snapshot could not be written.
    #[error("cannot write the snapshot of etcd: {0}")]
    Write(std::io::Error),
    /// The snapshot did not arrive whole.
    #[error("the snapshot of etcd member {member} is damaged: {reason}")]
    Damaged {
        /// The member.
        member: String,
        /// How.
        reason: String,
    },
}

impl EtcdError {
    /// What a failed request means.
    pub(super) fn of_status(action: &str, endpoint: &Endpoint, status: &Status) -> Self {
        let (action, member) = (action.to_owned(), endpoint.name.clone());
        let said = status.message().to_owned();
        match Refusal::of(status) {
            Some(Refusal::NoLeader | Refusal::LeaderChanged) => Self::NoQuorum { member, action, said },
            Some(refusal) if refusal.is_timeout() => Self::NoQuorum { member, action, said },
            // Of this member alone: the others go on.
            Some(Refusal::Stopped | Refusal::NotSupportedForLearner) => Self::Failed { member, action, said },
            Some(refusal) => Self::Refused { action, refusal },
            None if is_transport(status) => Self::Unreachable {
                member,
                action,
                reason: reason_of(status),
            },
            None => Self::Failed { member, action, said },
        }
    }

    /// Whether another member may know better.
    pub(super) fn is_of_one_member(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::NoQuorum { .. } | Self::Failed { .. }
        )
    }

    /// How much it tells about etcd as a whole, when every member failed in its own way.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::NoEndpoint => 0,
            Self::Unreachable { .. } => 1,
            Self::NoAnswer { .. } => 2,
            Self::NoQuorum { .. } => 4,
            _ => 3,
        }
    }

    /// Whether etcd refuses for now only: it changes its membership when all its voters have been connected for a few
    /// seconds, so one that was started just now holds it up.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                refusal: Refusal::Unhealthy,
                ..
            }
        )
    }

    /// Whether it says that there is no quorum, or may.
    pub fn is_without_quorum(&self) -> bool {
        matches!(self, Self::NoQuorum { .. } | Self::NoAnswer { .. })
    }
}

/// Errors of the connection have no text from etcd.
fn is_transport(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    ) && !status.message().starts_with("etcdserver: ")
}

/// The innermost reason, without the layers that only say that something failed.
fn reason_of(status: &Status) -> String {
    let mut reason = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        reason = error.to_string();
        source = error.source();
    }
    reason
}
