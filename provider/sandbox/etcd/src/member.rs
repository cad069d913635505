//! One member, whatever it is made of.

use std::path::PathBuf;

use crate::process::EtcdProcess;
use crate::stand_in::StandIn;
use crate::{Kind, MemberConfig};

/// Why a member was not started. That it ends right after its start, for example because it has been removed from its
/// cluster, is no such error but an [`Exit`].
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory or its log cannot be used.
    #[error("etcd member {name}: cannot use {}: {source}", path.display())]
    Files {
        /// The member.
        name: String,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such program, or it cannot be run.
    #[error("etcd member {name}: cannot run {}: {source}", program.display())]
    Program {
        /// The member.
        name: String,
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program is not an etcd.
    #[error("{} is not a usable etcd: asked for its version it said \"{said}\"", program.display())]
    NotEtcd {
        /// The program.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// A process of an earlier run is still there and does not end.
    #[error("etcd member {name}: process {pid} of an earlier run still has its data and does not end")]
    LeftBehind {
        /// The member.
        name: String,
        /// The process.
        pid: u32,
    },
}

/// How a member ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its status, in the words of the system: `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub status: String,
    /// The end of its log.
    pub said: String,
}

/// A started member. Dropping it kills the member.
#[derive(Debug)]
pub struct EtcdMember(Inner);

#[derive(Debug)]
enum Inner {
    Process(EtcdProcess),
    StandIn(StandIn),
}

impl EtcdMember {
    /// Starts a member. It serves once it has found its cluster, which may take a while or never happen: ask it
    /// (Maintenance.Status) or watch [`EtcdMember::exited`].
    pub async fn start(kind: &Kind, config: MemberConfig) -> Result<Self, StartError> {
        match kind {
            Kind::Process(program) => Ok(Self(Inner::Process(EtcdProcess::start(program, config).await?))),
            Kind::StandIn => Ok(Self(Inner::StandIn(StandIn::start(config).await?))),
        }
    }

    /// Whether it has not ended. A paused member has not.
    pub fn is_running(&self) -> bool {
        match &self.0 {
            Inner::Process(process) => process.is_running(),
            Inner::StandIn(member) => member.is_running(),
        }
    }

    /// Waits until it has ended, for whatever reason, and says how. May be waited for any number of times.
    pub async fn exited(&self) -> Exit {
        match &self.0 {
            Inner::Process(process) => process.exited().await,
            Inner::StandIn(member) => member.exited().await,
        }
    }

    /// Makes it stand still, as the members of a zone that has gone dark: connections stay open and nothing answers.
    pub async fn pause(&self) {
        match &self.0 {
            Inner::Process(process) => process.pause().await,
            Inner::StandIn(member) => member.pause(),
        }
    }

    /// Lets it go on after [`EtcdMember::pause`].
    pub async fn resume(&self) {
        match &self.0 {
            Inner::Process(process) => process.resume().await,
            Inner::StandIn(member) => member.resume(),
        }
    }

    /// Stops it gracefully (it hands leadership over if it can) and waits for its end; one that takes too long is
    /// killed.
    pub async fn stop(&self) -> Exit {
        match &self.0 {
            Inner::Process(process) => process.stop().await,
            Inner::StandIn(member) => member.stop().await,
        }
    }

    /// Kills it, as a power cut would, and waits for its end.
    pub async fn kill(&self) -> Exit {
        match &self.0 {
            Inner::Process(process) => process.kill().await,
            Inner::StandIn(member) => member.kill().await,
        }
    }
}
