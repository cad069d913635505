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

/// The variable names something that cannot be run: masters of such a sandbox would never come up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{VARIABLE} is {}, and there is no such program: set it to the path of an etcd, to nothing for the built-in stand-in, or \
     unset it for the etcd that is installed", .0.display()
)]
pub struct NoSuchEtcd(PathBuf);

impl Kind {
    /// The etcd that `MULTIZONE_ETCD` names (empty: none), else `etcd` on the `PATH`, else the stand-in.
    pub fn found() -> Result<Self, NoSuchEtcd> {
        Self::choose(
            std::env::var_os(VARIABLE).as_deref(),
            std::env::var_os("PATH").as_deref(),
        )
    }

    /// As [`Kind::found`], given the two variables.
    pub fn choose(named: Option<&OsStr>, path: Option<&OsStr>) -> Result<Self, NoSuchEtcd> {
        let Some(named) = named else {
            return Ok(program_on("etcd", path).map_or(Self::StandIn, Self::Process));
        };
        if named.is_empty() {
            return Ok(Self::StandIn);
        }
        // A name without a directory is looked for as a shell does.
        let program = match named.to_str().filter(|name| !name.contains('/')) {
            Some(name) => program_on(name, path),
            None => Some(PathBuf::from(named)).filter(|program| is_executable(program)),
        };
        // Whoever runs it may do so in another directory.
        let program = program.and_then(|program| std::path::absolute(program).ok());
        program.map(Self::Process).ok_or_else(|| NoSuchEtcd(named.into()))
    }

    /// The variable, and its value with which another process chooses the same.
    pub fn as_variable(&self) -> (&'static str, &OsStr) {
        let value = match self {
            Self::Process(program) => program.as_os_str(),
            Self::StandIn => OsStr::new(""),
        };
        (VARIABLE, value)
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
        assert_eq!(Kind::choose(None, path), Ok(Kind::StandIn), "nothing is installed");
        std::fs::write(&installed, "#!/bin/sh\n").expect("written");
        assert_eq!(Kind::choose(None, path), Ok(Kind::StandIn), "not a program");
        make_executable(&installed);
        let found = Kind::choose(None, path);
        assert_eq!(found, Ok(Kind::Process(installed.clone())));
        let named = directory.path().join("etcd-3.6");
        std::fs::copy(&installed, &named).expect("copied");
        let chosen = Kind::choose(Some(named.as_os_str()), path);
        assert_eq!(chosen, Ok(Kind::Process(named.clone())));
        assert_eq!(Kind::choose(Some(OsStr::new("etcd-3.6")), path), chosen);
        assert_eq!(Kind::choose(Some(OsStr::new("")), path), Ok(Kind::StandIn));
        assert_eq!(Kind::choose(None, None), Ok(Kind::StandIn));
        for kind in [Kind::Process(named), Kind::StandIn] {
            let (_, value) = kind.as_variable();
            assert_eq!(Kind::choose(Some(value), path), Ok(kind));
        }
    }

    #[test]
    fn a_name_of_no_program_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("etcd");
        std::fs::write(&file, "#!/bin/sh\n").expect("written");
        let path = Some(directory.path().as_os_str());
        for wrong in [
            file.as_path(),
            directory.path(),
            Path::new("/nowhere/etcd"),
            Path::new("etcd"),
        ] {
            let refused = Kind::choose(Some(wrong.as_os_str()), path);
            assert_eq!(refused, Err(NoSuchEtcd(wrong.to_owned())));
        }
    }

    fn make_executable(program: &Path) {
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    }
}
