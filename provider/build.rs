//! Compiles the protocol definitions in `proto/`, without an external compiler, and packs the program's relocations.

use std::{env, error::Error, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    if loads_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rerun-if-changed=proto");
    let files = ["terraform/plugin/v6.proto", "plugin/plugin.proto", "grpc/health.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Whether the program's loader, which is this machine's, knows packed relocations: glibc's since 2.36.  Terraform starts the
/// program three times at every command, and each time all relocations are read and stay in memory.
fn loads_packed_relocations() -> bool {
    let is = |variable: &str, value: &str| env::var(variable).is_ok_and(|found| found == value);
    let here = env::var_os("HOST") == env::var_os("TARGET");
    if !here || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return false;
    }
    let Ok(said) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&said.stdout);
    let minor = version
        .trim()
        .strip_prefix("glibc 2.")
        .and_then(|minor| minor.parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 36)
}
