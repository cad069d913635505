//! Finding the running region, or starting it detached.

use super::description::Description;
use super::place::{Place, PlaceError};
use super::run::{RunError, require_possible};
use super::{EXIT_RUNNING_ALREADY, VERSION};
use crate::client::{Client, ClientError};
use ipnet::Ipv4Net;
use multizone_sandbox_etcd::Kind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a region may take to answer after its start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which region is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxSettings {
    /// The region, for example `us-central1`.
    pub region: String,
    /// Where its state is; `None` for the region's default directory.
    pub directory: Option<PathBuf>,
    /// How many times faster than a real region it starts; one that runs keeps its speed.
    pub speed: Option<f64>,
}

/// A region that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningSandbox {
    /// Base URL of its APIs, `http://127.N.0.1:PORT`.
    pub endpoint: String,
    /// The project in it.
    pub project: String,
    /// Where its state is.
    pub directory: PathBuf,
    /// Addresses for the subnetworks of clusters: the part of the region's block that nothing else uses.
    pub network_block: Ipv4Net,
    /// How many times faster than a real region it is.
    pub speed: f64,
}

/// Why there is no running region.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// There can be no such region.
    #[error(transparent)]
    Impossible(#[from] Box<RunError>),
    /// Another version of the program runs the region.
    #[error(
        "the sandbox in {} is run by version {found} of this program, which is version {VERSION}: stop it with `terraform-provider-multizone sandbox stop --directory {}` and try again (its state stays)", directory.display(), directory.display()
    )]
    OtherVersion {
        /// The directory.
        directory: PathBuf,
        /// The version that runs.
        found: String,
    },
    /// The directory is another region's.
    #[error("the sandbox in {} is region {found}, not {wanted}: name another directory", directory.display())]
    OtherRegion {
        /// The directory.
        directory: PathBuf,
        /// The region it is.
        found: String,
        /// The region wanted.
        wanted: String,
    },
    /// The process could not be started.
    #[error("{} cannot be started as the sandbox: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process ended at once.
    #[error("the sandbox ended at once ({status}): {said}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its log.
        said: String,
    },
    /// The process does not answer.
    #[error("the sandbox in {} does not answer after {} s; its log is {}", directory.display(), PATIENCE.as_secs(), log.display())]
    Silent {
        /// The directory.
        directory: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// It answers something that makes no sense.
    #[error("the sandbox does not answer as it should: {0}")]
    Client(#[from] ClientError),
}

/// Finds the running region, or starts this program as the region: detached, so that it outlives its caller.
pub async fn ensure_running(settings: &SandboxSettings) -> Result<RunningSandbox, SandboxError> {
    let program = std::env::current_exe().map_err(|source| SandboxError::Spawn {
        program: PathBuf::from("this program"),
        source,
    })?;
    let settings = settings.clone();
    let work = tokio::task::spawn_blocking(move || ensure_running_with(&program, &settings));
    match work.await {
        Ok(running) => running,
        Err(error) => Err(SandboxError::Spawn {
            program: PathBuf::from("this program"),
            source: std::io::Error::other(error.to_string()),
        }),
    }
}

/// As [`ensure_running`], with the program that has the `sandbox` subcommands, blocking.
pub fn ensure_running_with(program: &Path, settings: &SandboxSettings) -> Result<RunningSandbox, SandboxError> {
    require_possible(Some(&settings.region), settings.speed).map_err(Box::new)?;
    let place = Place::of(settings.directory.as_deref(), &settings.region)?;
    let deadline = Instant::now() + PATIENCE;
    let mut child: Option<Child> = None;
    loop {
        if let Some(running) = find(&place, &settings.region)? {
            return Ok(running);
        }
        if let Some(started) = &mut child
            && let Ok(Some(status)) = started.try_wait()
        {
            // Another starter was quicker, or an earlier process is about to end: look again, or start again.
            if status.code() != Some(i32::from(EXIT_RUNNING_ALREADY)) {
                return Err(SandboxError::Ended {
                    status: status.to_string(),
                    said: last_words(&place),
                });
            }
            child = None;
            std::thread::sleep(Duration::from_millis(100));
        } else if child.is_none() {
            child = Some(spawn(program, &place, settings)?);
        }
        if Instant::now() > deadline {
            return Err(SandboxError::Silent {
                directory: place.directory.clone(),
                log: place.log(),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The region that runs in the place, if one answers.
pub(crate) fn find(place: &Place, region: &str) -> Result<Option<RunningSandbox>, SandboxError> {
    let Some(description) = Description::read(place) else {
        return Ok(None);
    };
    let Ok(status) = Client::new(&description.endpoint)?.get("/sandbox/v1/status") else {
        return Ok(None);
    };
    let text = |name: &str| {
        status
            .get(name)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    // The address may have gone to a stranger since the description was written.
    if Path::new(&text("directory")) != place.directory {
        return Ok(None);
    }
    let directory = place.directory.clone();
    if text("version") != VERSION {
        return Err(SandboxError::OtherVersion {
            directory,
            found: text("version"),
        });
    }
    if text("region") != region {
        return Err(SandboxError::OtherRegion {
            directory,
            found: text("region"),
            wanted: region.to_owned(),
        });
    }
    let network_block = text("cluster_range").parse().map_err(|_| ClientError::Unreadable {
        endpoint: description.endpoint.clone(),
        what: "cluster_range".to_owned(),
    })?;
    Ok(Some(RunningSandbox {
        endpoint: description.endpoint,
        project: text("project"),
        directory,
        network_block,
        speed: status
            .get("speed")
            .and_then(serde_json::Value::as_f64)
            .unwrap_or(super::DEFAULT_SPEED),
    }))
}

/// Starts the process with all descriptors away from the caller's: a child that holds Terraform's would hang it.  The
/// child puts itself into a session of its own.
fn spawn(program: &Path, place: &Place, settings: &SandboxSettings) -> Result<Child, SandboxError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let etcd = Kind::found().map_err(RunError::from).map_err(Box::new)?;
    place.make()?;
    let failed = |source| SandboxError::Spawn {
        program: program.to_owned(),
        source,
    };
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(place.log())
        .map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args([
            "sandbox",
            "run",
            "--detached",
            "--region",
            &settings.region,
            "--directory",
        ])
        .arg(&place.directory)
        .envs([etcd.as_variable()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .current_dir("/");
    if let Some(speed) = settings.speed {
        command.args(["--speed", &speed.to_string()]);
    }
    command.spawn().map_err(failed)
}

fn last_words(place: &Place) -> String {
    let log = std::fs::read_to_string(place.log()).unwrap_or_default();
    log.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .map_or("it said nothing", |line| line.strip_prefix("Error: ").unwrap_or(line))
        .to_owned()
}
