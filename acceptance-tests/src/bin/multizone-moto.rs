//! An account of AWS as moto plays it, whose instances are machines that come up, for `make bench`: prints as a line of JSON
//! where it answers, which range its networks may have and where its requests are recorded, and ends with its standard input.

use std::{
    io::{self, Read as _},
    process::ExitCode,
};

use multizone_acceptance_tests::Moto;
use serde_json::json;

fn main() -> ExitCode {
    let Some(moto) = Moto::start_with_machines() else {
        return ExitCode::FAILURE;
    };
    let where_it_is = json!({
        "endpoint": moto.endpoint(),
        "network_cidr": moto.networks(),
        "recording": moto.recording(),
    });
    println!("{where_it_is}");
    match io::stdin().read_to_end(&mut Vec::new()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
