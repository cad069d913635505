//! What etcd refuses, in its own words: clients tell one refusal from another by them.

use tonic::{Code, Status};

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => {
        /// A refusal of etcd's: each has a gRPC code and a text of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Refusal {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Refusal {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The gRPC code it comes with.
            pub const fn code(self) -> Code {
                match self {
                    $(Self::$name => Code::$code,)*
                }
            }

            /// Its text on the wire.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

refusals! {
    /// A request without a key.
    EmptyKey = InvalidArgument, "etcdserver: key is not provided";
    /// The key whose value or lease was to stay does not exist.
    KeyNotFound = InvalidArgument, "etcdserver: key not found";
    /// A value came with a request to keep the old one.
    ValueProvided = InvalidArgument, "etcdserver: value is provided";
    /// A lease came with a request to keep the old one.
    LeaseProvided = InvalidArgument, "etcdserver: lease is provided";
    /// More operations in a transaction than allowed.
    TooManyOperations = InvalidArgument, "etcdserver: too many operations in txn request";
    /// A transaction writes a key twice.
    DuplicateKey = InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// The wanted order makes no sense.
    InvalidSortOption = InvalidArgument, "etcdserver: invalid sort option";
    /// The request is larger than etcd takes.
    RequestTooLarge = InvalidArgument, "etcdserver: request is too large";
    /// The revision has been compacted away.
    Compacted = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision has not been reached.
    FutureRevision = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// No space is left under the quota.
    NoSpace = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// No such lease.
    LeaseNotFound = NotFound, "etcdserver: requested lease not found";
    /// The wanted lease ID is taken.
    LeaseExists = FailedPrecondition, "etcdserver: lease already exists";
    /// The lease would live too long.
    LeaseTtlTooLarge = OutOfRange, "etcdserver: too large lease TTL";
    /// A member with these peer URLs exists.
    PeerUrlExists = FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// A member with this ID exists: the ID is made of the peer URLs and the second of the request.
    MemberIdExists = FailedPrecondition, "etcdserver: member ID already exist";
    /// Too few started members would be left for a quorum. Its code is what etcd sends, not what it means to send.
    NotEnoughStartedMembers = Unknown, "etcdserver: re-configuration failed due to not enough started members";
    /// The URLs of a member make no sense.
    BadMemberUrls = InvalidArgument, "etcdserver: given member URLs are invalid";
    /// No such member.
    MemberNotFound = NotFound, "etcdserver: member not found";
    /// The member to promote is a voter already.
    MemberNotLearner = FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The learner is not started or has not caught up.
    LearnerNotReady = FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    /// A learner exists already.
    TooManyLearners = FailedPrecondition, "etcdserver: too many learner members in cluster";
    /// Only the leader can do this.
    NotLeader = FailedPrecondition, "etcdserver: not leader";
    /// Leadership cannot go to that member.
    BadLeaderTransferee = FailedPrecondition, "etcdserver: bad leader transferee";
    /// Learners do not serve this.
    NotSupportedForLearner = Unavailable, "etcdserver: rpc not supported for learner";
    /// There is no leader.
    NoLeader = Unavailable, "etcdserver: no leader";
    /// The leader changed while the request was under way.
    LeaderChanged = Unavailable, "etcdserver: leader changed";
    /// The member is stopping.
    Stopped = Unavailable, "etcdserver: server stopped";
    /// No quorum answered in time.
    TimedOut = Unavailable, "etcdserver: request timed out";
    /// The leader was lost while the request was under way.
    TimedOutLeaderFailed = Unavailable, "etcdserver: request timed out, possibly due to previous leader failure";
    /// The connection to the quorum was lost while the request was under way.
    TimedOutConnectionLost = Unavailable, "etcdserver: request timed out, possibly due to connection lost";
    /// Members are not connected, or not for long enough.
    Unhealthy = Unavailable, "etcdserver: unhealthy cluster";
    /// A member's data is corrupt.
    Corrupt = DataLoss, "etcdserver: corrupt cluster";
}

impl Refusal {
    /// The refusal that a status is, if it is one.
    pub fn of(status: &Status) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|refusal| refusal.text() == status.message())
    }

    /// Whether it says that no quorum answered: the request may or may not have been carried out.
    pub const fn is_timeout(self) -> bool {
        matches!(
            self,
            Self::TimedOut | Self::TimedOutLeaderFailed | Self::TimedOutConnectionLost
        )
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.text())
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use tonic::Status;

    #[test]
    fn every_refusal_is_recognised_on_the_wire() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of(&Status::from(*refusal)), Some(*refusal));
        }
        assert_eq!(Refusal::of(&Status::internal("etcdserver: something else")), None);
    }
}
