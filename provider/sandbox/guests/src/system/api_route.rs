//! The effect of a master's `multizone-api-route` service: the API's address is on the loopback device while the
//! machine's own API server is ready, so that the master reaches itself there, and is not while it is not.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::machine::Machine;

/// The script that the user data writes.
pub(crate) const PROGRAM: &str = "/usr/local/sbin/multizone-api-route";
/// The unit that the user data writes.
pub(crate) const UNIT: &str = "/etc/systemd/system/multizone-api-route.service";
/// How long the script needs to see that the API server is ready.
const NOTICE: Duration = Duration::from_secs(1);
/// How long until it has seen three times that it is not.
const PATIENCE: Duration = Duration::from_secs(4);

/// Runs the service whenever systemd wants it to run.
pub(crate) async fn service(machine: &Machine) {
    let mut unit = machine.api_route.subscribe();
    while unit.wait_for(|(running, _)| *running).await.is_ok() {
        let work = async {
            match endpoint(machine) {
                Ok(address) => lead(machine, address).await,
                Err(problem) => {
                    machine.console.say("multizone-api-route", problem);
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = unit.wait_for(|(running, _)| !*running) => {}
        }
    }
}

/// The address that the unit names.
fn endpoint(machine: &Machine) -> Result<Ipv4Addr, String> {
    let unit = machine.disk.required_text(UNIT).map_err(|error| error.to_string())?;
    let argument = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .and_then(|command| command.strip_prefix(PROGRAM))
        .map(str::trim);
    argument
        .and_then(|argument| argument.strip_suffix("/32"))
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| {
            format!(
                "usage: multizone-api-route ADDRESS/PREFIX, not {}",
                argument.unwrap_or("this")
            )
        })
}

async fn lead(machine: &Machine, address: Ipv4Addr) {
    let mut ready = machine.api_ready.subscribe();
    loop {
        let now = *ready.borrow_and_update();
        machine.takes(if now { NOTICE } else { PATIENCE }).await;
        if *ready.borrow() != now {
            continue;
        }
        let present = machine.kernel().local_addresses.contains(&address);
        let name = &machine.spec.name;
        let result = match (now, present) {
            (true, false) => machine.network.add_local_address(name, address),
            (false, true) => machine.network.remove_local_address(name, address),
            _ => Ok(()),
        };
        match result {
            Ok(()) if now => drop(machine.kernel().local_addresses.insert(address)),
            Ok(()) => drop(machine.kernel().local_addresses.remove(&address)),
            Err(error) => machine.console.say("multizone-api-route", error.to_string()),
        }
        if now != present {
            machine.remember();
        }
        if ready.changed().await.is_err() {
            return;
        }
    }
}
