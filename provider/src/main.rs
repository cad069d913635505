//! The provider's binary. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Fails when one is installed already, which nobody can have done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    multizone_provider::cli::run(std::env::args_os())
}
