//! What people can run by hand. Terraform runs the program without arguments.

mod docs;
mod proxy;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime;

pub use proxy::except_loopback;

use crate::protocol::catalog::Catalog;
use crate::protocol::handshake::{HandshakeError, Invitation};
use crate::protocol::plugin::PluginError;
use crate::protocol::{debug, logs, plugin};

/// Shown to whoever starts the program by hand and says nothing.
const ABOUT: &str = "\
This is the Terraform provider \"multizone\": highly available, self-managed Kubernetes clusters
over the zones of one region. Terraform starts it by itself; name it in a configuration:

    terraform {
      required_providers { multizone = { source = \"multizone/multizone\" } }
    }

and run terraform init, terraform apply. What can be run by hand:
";

/// Threads that serve Terraform.
const MOST_THREADS: usize = 4;

/// The Terraform provider `multizone`. Terraform starts it by itself, without arguments.
#[derive(Debug, Parser)]
#[command(name = "terraform-provider-multizone", version)]
struct Arguments {
    /// Serve until interrupted, and print the `TF_REATTACH_PROVIDERS` that makes Terraform connect here
    #[arg(long)]
    debug: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run and look after a sandbox region
    #[command(subcommand)]
    Sandbox(multizone_sandbox::cli::Command),
    /// Write the documentation pages of everything the provider serves
    Docs(docs::Docs),
}

/// Why a command ended in failure.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Docs(#[from] docs::DocsError),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Runs the program: as a plugin when Terraform started it, otherwise as the arguments say.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let result = match Invitation::read(variable) {
        // Terraform passes no arguments; its environment may have been inherited by something that does.
        Ok(invitation) if arguments.len() <= 1 => serve_terraform(invitation),
        Err(error @ (HandshakeError::Version { .. } | HandshakeError::ClientCertificate(_)))
            if arguments.len() <= 1 =>
        {
            Err(error.into())
        }
        _ => return by_hand(Arguments::parse_from(arguments)),
    };
    finish(result)
}

fn by_hand(arguments: Arguments) -> ExitCode {
    match (arguments.command, arguments.debug) {
        (None, false) => introduce(),
        (None, true) => finish(serve_by_hand()),
        (Some(Command::Sandbox(command)), _) => multizone_sandbox::cli::run(command),
        (Some(Command::Docs(docs)), _) => finish(docs.run(&Catalog::multizone()).map_err(CommandError::from)),
    }
}

fn finish(result: Result<(), CommandError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Terraform shows this to its user when the handshake fails.
            let _ = writeln!(io::stderr(), "terraform-provider-multizone: {error}");
            ExitCode::FAILURE
        }
    }
}

fn introduce() -> ExitCode {
    use clap::CommandFactory as _;
    let help = Arguments::command().render_help();
    let _ = write!(io::stderr(), "{ABOUT}\n{help}");
    ExitCode::FAILURE
}

fn serve_terraform(invitation: Invitation) -> Result<(), CommandError> {
    logs::install(logs::filter(variable));
    logs::report_panics();
    let runtime = multi_threaded()?;
    let served = runtime.block_on(plugin::run(invitation, Catalog::multizone(), std::env::temp_dir()));
    // An operation that did not stop in time does not keep the process.
    runtime.shutdown_background();
    Ok(served?)
}

fn serve_by_hand() -> Result<(), CommandError> {
    logs::install(logs::filter(variable));
    logs::report_panics();
    let runtime = multi_threaded()?;
    let served = runtime.block_on(debug::run(Catalog::multizone(), std::env::temp_dir()));
    runtime.shutdown_background();
    Ok(served?)
}

/// Terraform has ten operations under way at most, which wait more than they compute: a thread for each core of a large
/// machine would only cost memory.
fn multi_threaded() -> io::Result<runtime::Runtime> {
    let threads = std::thread::available_parallelism()?.get().min(MOST_THREADS);
    runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
