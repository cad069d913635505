//! The `sandbox` subcommands.

mod commands;
mod events;
mod status;

use crate::client::{Client, ClientError};
use crate::process::{self, Place, PlaceError, RunError, SandboxError};
use clap::{Args, Subcommand};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which sandbox is meant.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Directory of the sandbox's state [default: the region's, below `$MULTIZONE_SANDBOX_DIRECTORY` or
    /// `~/.local/state/multizone/sandbox`]
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Region [default: the only one that runs or has state, or us-central1]
    #[arg(long)]
    region: Option<String>,
}

/// Run and look after a sandbox region.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run a region in the foreground, until it is stopped
    Run {
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
        /// How many times faster than a real region [default: as before, or 60]
        #[arg(long)]
        speed: Option<f64>,
        /// Leave the caller's session
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// Start a region in the background, unless it runs already
    Start {
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
        /// How many times faster than a real region [default: as before, or 60]
        #[arg(long)]
        speed: Option<f64>,
    },
    /// Show what there is
    Status {
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a zone out: nothing in it can be reached or started
    Outage {
        /// The zone, for example us-central1-a
        zone: String,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Bring a zone back
    Restore {
        /// The zone
        zone: String,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Cut a machine's power
    Halt {
        /// The machine: NAME, or ZONE/NAME
        machine: String,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Give a halted machine power again
    Boot {
        /// The machine: NAME, or ZONE/NAME
        machine: String,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Show what happened
    Events {
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
        /// Only what came after the event of this number
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Go on showing what happens
        #[arg(long)]
        follow: bool,
        /// As JSON, one event a line
        #[arg(long)]
        json: bool,
    },
    /// Print the administrator's kubeconfig that a cluster's master has on its disk
    Kubeconfig {
        /// The cluster's name
        cluster: String,
        /// File to write instead, readable by you only
        #[arg(long)]
        output: Option<PathBuf>,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Print what a machine has written to its serial console
    Console {
        /// The machine: NAME, or ZONE/NAME
        machine: String,
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
    },
    /// Stop the region; its state stays
    Stop {
        /// Which sandbox.
        #[command(flatten)]
        which: Which,
        /// Remove the state too: everything in the region is lost
        #[arg(long)]
        delete: bool,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Which sandbox is meant is not clear.
    #[error("there are several sandboxes ({0}): say which with --region or --directory")]
    Several(String),
    /// The sandbox does not run.
    #[error(
        "the sandbox in {} does not run: start it with `terraform-provider-multizone sandbox start --directory {}`, or let Terraform do it", .0.display(), .0.display()
    )]
    NotRunning(PathBuf),
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] SandboxError),
    /// It could not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// It did not answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no such machine.
    #[error("there is no machine called {0}; `sandbox status` lists them")]
    NoMachine(String),
    /// The cluster has no kubeconfig.
    #[error("{0}")]
    NoKubeconfig(String),
    /// The process goes on.
    #[error("the sandbox (process {0}) was asked to stop and still runs")]
    StillRunning(u32),
    /// Output or files fail.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Runs a subcommand.
pub fn run(command: Command) -> ExitCode {
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
            match error {
                CliError::Run(RunError::RunningAlready(_)) => ExitCode::from(process::EXIT_RUNNING_ALREADY),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn carry_out(command: Command) -> Result<(), CliError> {
    match command {
        Command::Run { which, speed, detached } => commands::run(&which, speed, detached),
        Command::Start { which, speed } => commands::start(&which, speed),
        Command::Status { which, json } => commands::status(&which, json),
        Command::Outage { zone, which } => commands::zone(&which, &zone, "outage"),
        Command::Restore { zone, which } => commands::zone(&which, &zone, "restore"),
        Command::Halt { machine, which } => commands::machine(&which, &machine, "halt"),
        Command::Boot { machine, which } => commands::machine(&which, &machine, "boot"),
        Command::Events {
            which,
            after,
            follow,
            json,
        } => events::show(&which, after, follow, json),
        Command::Kubeconfig { cluster, output, which } => commands::kubeconfig(&which, &cluster, output.as_deref()),
        Command::Console { machine, which } => commands::console(&which, &machine),
        Command::Stop { which, delete } => commands::stop(&which, delete),
    }
}

impl Which {
    /// The sandbox that is meant.
    fn place(&self) -> Result<Place, CliError> {
        match (&self.directory, &self.region) {
            (Some(directory), _) => Ok(Place::of(Some(directory), "")?),
            (None, Some(region)) => Ok(Place::of(None, region)?),
            (None, None) => {
                let there = existing(&Place::base()?);
                let running: Vec<_> = there.iter().filter(|(_, place)| place.in_use()).collect();
                match (there.as_slice(), running.as_slice()) {
                    ([], _) => Ok(Place::of(None, process::DEFAULT_REGION)?),
                    ([(_, only)], _) | (_, [(_, only)]) => Ok(only.clone()),
                    (several, _) => {
                        let names: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
                        Err(CliError::Several(names.join(", ")))
                    }
                }
            }
        }
    }

    /// The sandbox that is meant, which must run.
    fn client(&self) -> Result<Client, CliError> {
        let place = self.place()?;
        let Some(description) = process::Description::read(&place) else {
            return Err(CliError::NotRunning(place.directory));
        };
        let client = Client::new(&description.endpoint)?;
        // The address may have gone to another sandbox since the description was written.
        let is_it = |status: &serde_json::Value| {
            status
                .get("directory")
                .and_then(serde_json::Value::as_str)
                .map(std::path::Path::new)
                == Some(place.directory.as_path())
        };
        match client.get("/sandbox/v1/status") {
            Ok(status) if is_it(&status) => Ok(client),
            Ok(_) | Err(ClientError::Unreachable { .. }) => Err(CliError::NotRunning(place.directory)),
            Err(other) => Err(other.into()),
        }
    }
}

/// Regions whose default directories hold state, by name.
fn existing(base: &std::path::Path) -> Vec<(String, Place)> {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let mut there: Vec<_> = entries
        .map(|entry| {
            let directory = entry.path();
            (entry.file_name().to_string_lossy().into_owned(), Place { directory })
        })
        .filter(|(_, place)| place.has_state())
        .collect();
    there.sort_by(|(one, _), (other, _)| one.cmp(other));
    there
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), CliError> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    match written {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::File {
            what: "standard output".to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
