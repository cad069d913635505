//! The provider's binary. Everything is in the library.

use std::{io::Write as _, process::ExitCode};

fn main() -> ExitCode {
    if let Err(error) = multizone_provider::cli::except_loopback() {
        let _ = writeln!(
            std::io::stderr(),
            "terraform-provider-multizone: cannot start again with NO_PROXY for this machine's own addresses: {error}"
        );
        return ExitCode::FAILURE;
    }
    // Fails when one is installed already, which nobody can have done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    multizone_provider::cli::run(std::env::args_os())
}
