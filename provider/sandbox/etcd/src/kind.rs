//! Whether there is an etcd to run.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variable that names the etcd to run; empty means the stand-in, whatever is installed.
const VARIABLE: &str = "MULTIZONE_ETCD";

/// What members are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Processes of this etcd.
    Process(PathBuf),
    /// The stand-in inside this process.
    StandIn,
}

impl Kind {
    /// The etcd that `MULTIZONE_ETCD` names (empty: none), else `etcd` on the `PATH`, else the stand-in.
    pub fn found() -> Self {
        Self::choose(
            std::env::var_os(VARIABLE).as_deref(),
            std::env::var_os("PATH").as_deref(),
        )
    }

    /// As [`Kind::found`], given the two variables.
    pub fn choose(named: Option<&OsStr>, path: Option<&OsStr>) -> Self {
        match named {
            Some(name) if name.is_empty() => Self::StandIn,
            Some(name) => Self::Process(PathBuf::from(name)),
            None => program_on("etcd", path).map_or(Self::StandIn, Self::Process),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(program) => write!(formatter, "{}", program.display()),
            Self::StandIn => formatter.write_str("the built-in stand-in for etcd"),
        }
    }
}

/// The program of that name in the first directory of `path` that has it.
pub(crate) fn program_on(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .map(|directory| directory.join(name))
        .find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_named_etcd_comes_before_the_installed_one_and_the_stand_in_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let installed = directory.path().join("etcd");
        let path = Some(directory.path().as_os_str());
        assert_eq!(Kind::choose(None, path), Kind::StandIn, "nothing is installed");
        std::fs::write(&installed, "#!/bin/sh\n").expect("written");
        assert_eq!(Kind::choose(None, path), Kind::StandIn, "not a program");
        std::fs::set_permissions(&installed, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        assert_eq!(Kind::choose(None, path), Kind::Process(installed));
        let named = OsStr::new("/opt/etcd-3.6/etcd");
        assert_eq!(Kind::choose(Some(named), path), Kind::Process(PathBuf::from(named)));
        assert_eq!(Kind::choose(Some(OsStr::new("")), path), Kind::StandIn);
        assert_eq!(Kind::choose(None, None), Kind::StandIn);
    }
}
