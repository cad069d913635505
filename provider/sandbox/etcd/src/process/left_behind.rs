//! Processes that an earlier run of the sandbox left behind: written down when they start, ended before the member
//! starts again.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::MemberConfig;
use crate::member::StartError;

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the process of the member with this data directory is written down: beside the directory, which is etcd's own.
pub(super) fn record_of(data_directory: &Path) -> PathBuf {
    let mut name = data_directory.as_os_str().to_owned();
    name.push(".pid");
    PathBuf::from(name)
}

/// Writes a process down.
pub(super) fn write(record: &Path, pid: u32) -> io::Result<()> {
    std::fs::write(record, pid.to_string())
}

/// Removes the record of a process that has ended, unless it is already that of the next one. A record that stays says
/// nothing: the process is gone.
pub(super) fn forget(record: &Path, pid: u32) {
    let own = std::fs::read_to_string(record).is_ok_and(|text| text == pid.to_string());
    if own && let Err(error) = remove(record) {
        tracing::debug!(record = %record.display(), %error, "a record of a process stays");
    }
}

/// Removes a record, which may be gone already.
fn remove(record: &Path) -> io::Result<()> {
    match std::fs::remove_file(record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Ends the recorded process if it still runs and is this member's etcd: the record may be old and its number by now
/// another program's, so the process must have this member's data directory on its command line.
pub(super) async fn end(config: &MemberConfig, record: &Path) -> Result<(), StartError> {
    let failed = |source| StartError::Files {
        name: config.name.clone(),
        path: record.to_owned(),
        source,
    };
    let text = match std::fs::read_to_string(record) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
        return remove(record).map_err(failed);
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while is_member(pid, config) {
        // It may end by itself in between: then the next look finds it gone.
        let _ = kill_process(pid, Signal::KILL);
        if tokio::time::Instant::now() > deadline {
            return Err(StartError::LeftBehind {
                name: config.name.clone(),
                pid: pid.as_raw_nonzero().get().unsigned_abs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    remove(record).map_err(failed)
}

fn is_member(pid: Pid, config: &MemberConfig) -> bool {
    let mut wanted = OsString::from("--data-dir=");
    wanted.push(&config.data_directory);
    command_line(pid).is_some_and(|arguments| arguments.contains(&wanted))
}

/// The arguments of a running process; `None` when it does not run any more (a zombie has none either).
fn command_line(pid: Pid) -> Option<Vec<OsString>> {
    let pid = pid.as_raw_nonzero();
    if Path::new("/proc/self/cmdline").exists() {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments = line.split(|byte| *byte == 0);
        return Some(
            arguments
                .map(|argument| OsString::from_vec(argument.to_owned()))
                .collect(),
        );
    }
    // Where there is no /proc; a data directory with blanks in its name is not recognised there.
    let asked = std::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let line = OsString::from_vec(asked.stdout);
    let arguments = line.as_bytes().split(u8::is_ascii_whitespace);
    Some(
        arguments
            .map(|argument| OsString::from_vec(argument.to_owned()))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
