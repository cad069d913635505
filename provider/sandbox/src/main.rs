//! The sandbox region by itself: the same subcommands as the provider's `sandbox`.

use clap::{Parser, Subcommand};
use multizone_sandbox::cli;
use std::process::ExitCode;

/// A strict simulated region of Compute Engine on loopback addresses.
#[derive(Parser)]
#[command(name = "multizone-sandbox", version)]
struct Arguments {
    #[command(subcommand)]
    command: Top,
}

#[derive(Subcommand)]
enum Top {
    /// Run and look after a sandbox region
    #[command(subcommand)]
    Sandbox(cli::Command),
}

fn main() -> ExitCode {
    let Top::Sandbox(command) = Arguments::parse().command;
    cli::run(command)
}
