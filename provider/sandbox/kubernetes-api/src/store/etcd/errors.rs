//! Why etcd did not do what it was asked, in the words that kube-apiserver passes on.

use multizone_etcd_api::{ChannelError, Refusal};
use tonic::{Code, Status};

/// etcd refused a request, or did not answer it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EtcdError {
    /// etcd's own words.
    #[error(transparent)]
    Refused(Refusal),
    /// Nobody answered in time; whether a write was made is not known.
    #[error("context deadline exceeded")]
    Deadline,
    /// There was no connection, or it broke.
    #[error("rpc error: code = Unavailable desc = connection error: desc = \"transport: {0}\"")]
    Connection(String),
    /// Anything else.
    #[error("rpc error: code = {code:?} desc = {message}")]
    Other { code: Code, message: String },
    /// The client could not be made.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl EtcdError {
    pub(super) fn of(status: &Status) -> Self {
        if let Some(refusal) = Refusal::of(status) {
            return Self::Refused(refusal);
        }
        // What tonic itself has to say has a cause; what the member says comes as a code and a message only.
        let mut cause = std::error::Error::source(status);
        let mut deepest = None;
        while let Some(error) = cause {
            deepest = Some(error.to_string());
            cause = error.source();
        }
        match (status.code(), deepest) {
            (Code::DeadlineExceeded, _) => Self::Deadline,
            (_, Some(deepest)) => Self::Connection(format!("Error while dialing: {deepest}")),
            (Code::Unavailable, None) => Self::Connection(status.message().to_owned()),
            (code, None) => Self::Other {
                code,
                message: status.message().to_owned(),
            },
        }
    }

    pub(crate) fn is_compacted(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Compacted))
    }
}
