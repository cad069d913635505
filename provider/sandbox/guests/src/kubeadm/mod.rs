//! kubeadm: the phases of `init` and `join`, one after the other, each leaving on the disk what the real one
//! leaves, so that losing power between two phases has the real consequences.

mod addons;
mod certificates;
mod documents;
mod etcd;
mod files;
mod init;
mod join;
mod join_master;
mod kubelet_files;
mod manifests;
mod mark;
mod objects;
mod patches;
mod preflight;
mod settings;
mod version;

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

pub(crate) use join_master::may_vote;

use crate::api::Api;
use crate::machine::Machine;
use crate::system::{Failure, failure};

/// Waiting is scaled like everything else, but not below what a busy host needs to do real work (unless a shorter
/// time was asked for).
const LEAST_PATIENCE: Duration = Duration::from_secs(30);
/// How often kubeadm looks whether something has happened.
const POLL: Duration = Duration::from_secs(1);
const LEAST_POLL: Duration = Duration::from_millis(50);

/// Runs `kubeadm` with these arguments.
pub(crate) async fn run(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    match arguments {
        ["init", options @ ..] => {
            let path = configuration(options, &["--upload-certs", "--skip-token-print"])?;
            init::run(machine, &path).await.map_err(Failure::from)
        }
        ["join", options @ ..] => {
            let path = configuration(options, &[])?;
            join::run(machine, &path).await.map_err(Failure::from)
        }
        _ => Err(failure(format!(
            "kubeadm: the sandbox's machines do not know {}",
            arguments.join(" ")
        ))),
    }
}

/// The file that `--config` names; `allowed` options change nothing here.
fn configuration(options: &[&str], allowed: &[&str]) -> Result<String, Failure> {
    let mut path = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match option.strip_prefix("--config") {
            Some("") => path = rest.next().map(|path| (*path).to_owned()),
            Some(value) if value.starts_with('=') => path = Some(value[1..].to_owned()),
            _ if allowed.contains(option) => {}
            _ => return Err(failure(format!("unknown flag: {option}"))),
        }
    }
    path.ok_or_else(|| failure("the sandbox's kubeadm needs --config FILE"))
}

/// Why kubeadm gave up.
#[derive(Debug, thiserror::Error)]
#[error("error execution phase {phase}: {reason}")]
struct PhaseFailed {
    phase: &'static str,
    reason: String,
}

/// Turns an error into the failure of a phase.
fn in_phase<E: std::fmt::Display>(phase: &'static str) -> impl Fn(E) -> PhaseFailed {
    move |reason| PhaseFailed {
        phase,
        reason: reason.to_string(),
    }
}

/// What kubeadm tries again until its patience ends.
struct Attempts<'m> {
    machine: &'m Machine,
    deadline: Instant,
}

impl<'m> Attempts<'m> {
    /// Begins to try what kubeadm tries for that long on a real machine.
    fn within(machine: &'m Machine, real: Duration) -> Self {
        let deadline = Instant::now() + machine.interval(real, LEAST_PATIENCE.min(real));
        Self { machine, deadline }
    }

    fn are_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn pause(&self) {
        sleep(self.machine.interval(POLL, LEAST_POLL)).await;
    }

    /// Waits until the API server is alive.
    async fn until_alive(&self, api: &Api, url: &str) -> Result<(), String> {
        while !api.healthy("/livez").await {
            if self.are_over() {
                return Err(format!(
                    "failed while waiting for the control plane to start: kube-apiserver check failed at {url}/livez"
                ));
            }
            self.pause().await;
        }
        Ok(())
    }
}

/// Says something as kubeadm.
fn say(machine: &Machine, text: impl AsRef<str>) {
    machine.console.say("kubeadm", text);
}

/// A Go duration such as `5m0s` or `1h30m`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, length) = match rest {
            _ if rest.starts_with("ms") => (0.001, 2),
            _ if rest.starts_with('h') => (3600.0, 1),
            _ if rest.starts_with('m') => (60.0, 1),
            _ if rest.starts_with('s') => (1.0, 1),
            _ => return None,
        };
        total += number * unit;
        rest = &rest[length..];
    }
    Duration::try_from_secs_f64(total).ok()
}

/// Whole seconds as Go writes them.
fn go_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value` as YAML.
fn yaml(value: &Value) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        assert_eq!(go_duration("5m0s"), Some(Duration::from_mins(5)));
        assert_eq!(go_duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(go_duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "5", "5x", "m", "-1s"] {
            assert_eq!(go_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_configuration_file_is_the_only_source() {
        assert_eq!(configuration(&["--config", "/a"], &[]).unwrap(), "/a");
        assert_eq!(
            configuration(&["--config=/a", "--upload-certs"], &["--upload-certs"]).unwrap(),
            "/a"
        );
        assert!(configuration(&[], &[]).is_err());
        assert!(configuration(&["--config", "/a", "--token", "x"], &[]).is_err());
    }
}
