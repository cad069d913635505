//! cloud-init: runs the user data, once in the life of an instance.

mod user_data;

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::machine::Machine;
use crate::memory::UserDataProgress;
use crate::system::execute;
use user_data::{RunCommand, UserData, WriteFile};

/// Written before the commands run, as cloud-init's own semaphore is: an instance that loses power half way
/// does not run them again.
const SEMAPHORE: &str = "/var/lib/cloud/instance/sem/config_scripts_user";
const RESULT: &str = "/var/lib/cloud/data/result.json";
const PROGRAM: &str = "cloud-init";

/// Runs cloud-init for this boot.
pub(crate) async fn run(machine: &Machine) {
    machine.console.say(PROGRAM, "Cloud-init v. 24.4 running 'init'");
    let interrupted = lock(machine).command;
    if machine.disk.exists(SEMAPHORE) && (machine.disk.exists(RESULT) || interrupted.is_none()) {
        later_boot(machine);
        return;
    }
    let errors = match first_boot(machine).await {
        Ok(errors) => errors,
        Err(error) => vec![error],
    };
    let result = json!({"v1": {"datasource": "DataSourceGCE", "errors": errors}});
    if let Err(error) = machine.disk.write(RESULT, format!("{result:#}\n"), 0o644) {
        machine.console.say(PROGRAM, error.to_string());
    }
    conclude(machine, &errors);
}

/// A later boot: nothing to do but to remember how the first one went.
fn later_boot(machine: &Machine) {
    let result = machine.disk.text(RESULT).ok().flatten();
    let Some(result) = result.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok()) else {
        machine.console.say(
            PROGRAM,
            "the first boot was interrupted; its commands are not run again",
        );
        machine
            .status
            .phase("failed: the machine was halted while its user data ran, which happens only once");
        return;
    };
    let errors: Vec<String> = result["v1"]["errors"]
        .as_array()
        .map(|errors| {
            errors
                .iter()
                .filter_map(|error| error.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    conclude(machine, &errors);
}

fn conclude(machine: &Machine, errors: &[String]) {
    machine.status.phase(match errors.first() {
        Some(error) => format!("failed: {error}"),
        None => "running".to_owned(),
    });
    machine.console.say(PROGRAM, "Cloud-init v. 24.4 finished");
}

async fn first_boot(machine: &Machine) -> Result<Vec<String>, String> {
    let user_data = match &machine.spec.user_data {
        None => UserData::default(),
        Some(text) => UserData::parse(text).map_err(|error| {
            machine
                .console
                .say(PROGRAM, format!("Failed loading yaml blob. {error}"));
            format!("user data: {error}")
        })?,
    };
    for key in &user_data.ignored {
        machine.console.say(
            PROGRAM,
            format!("{key}: the sandbox's machines ignore this part of the user data"),
        );
    }
    let mut errors = Vec::new();
    let first = !machine.disk.exists(SEMAPHORE);
    for file in user_data.write_files.iter().filter(|_| first) {
        if let Err(error) = write(machine, file) {
            machine
                .console
                .say(PROGRAM, format!("Failed to write {}: {error}", file.path));
            errors.push(format!("write_files {}: {error}", file.path));
        }
    }
    machine
        .disk
        .write(SEMAPHORE, "", 0o644)
        .map_err(|error| error.to_string())?;
    let interrupted = {
        let mut progress = lock(machine);
        progress.errors.splice(..0, errors);
        progress.command
    };
    for (index, command) in user_data.runcmd.iter().enumerate().skip(interrupted.unwrap_or(0)) {
        machine.repeating.store(interrupted == Some(index), Ordering::Relaxed);
        lock(machine).command = Some(index);
        machine.remember();
        if let Err(error) = run_command(machine, index, command).await {
            lock(machine).errors.push(error);
        }
    }
    Ok(lock(machine).errors.clone())
}

fn lock(machine: &Machine) -> MutexGuard<'_, UserDataProgress> {
    machine.user_data.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run_command(machine: &Machine, index: usize, command: &RunCommand) -> Result<(), String> {
    let RunCommand::Arguments(argv) = command else {
        machine.console.say(
            PROGRAM,
            format!("runcmd {}: there is no shell here; give a list", index + 1),
        );
        return Err(format!(
            "runcmd {}: a shell string, where the sandbox only runs lists",
            index + 1
        ));
    };
    machine.console.say(PROGRAM, format!("+ {}", argv.join(" ")));
    execute(machine, argv).await.map_err(|failure| {
        machine.console.say(PROGRAM, &failure.message);
        let last = failure
            .message
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        format!("{}: {}", title(argv), summary(&failure.message).unwrap_or(last))
    })
}

/// The command's name as people say it: the program, and its verb where it has one.
fn title(argv: &[String]) -> String {
    let name = argv
        .first()
        .map_or("", |program| program.rsplit('/').next().unwrap_or(program));
    match (name, argv.get(1)) {
        ("kubeadm" | "systemctl", Some(verb)) => format!("{name} {verb}"),
        ("multizone-join-control-plane", _) => "kubeadm join".to_owned(),
        _ => name.to_owned(),
    }
}

/// The line of a longer message that says what is wrong: kubeadm's first `[ERROR ...]`.
fn summary(message: &str) -> Option<&str> {
    message.lines().map(str::trim).find(|line| line.starts_with("[ERROR"))
}

fn write(machine: &Machine, file: &WriteFile) -> Result<(), String> {
    let content = match file.encoding.as_deref().unwrap_or("text/plain") {
        "text/plain" => file.content.clone().into_bytes(),
        "b64" | "base64" => {
            let packed: String = file.content.split_whitespace().collect();
            STANDARD.decode(packed).map_err(|error| error.to_string())?
        }
        encoding => return Err(format!("the sandbox does not decode {encoding}")),
    };
    let mode = match &file.permissions {
        None => 0o644,
        Some(mode) => u32::from_str_radix(mode.trim_start_matches("0o"), 8)
            .map_err(|_| format!("permissions {mode:?} are not octal"))?,
    };
    let written = if file.append {
        machine.disk.append(&file.path, &content, mode)
    } else {
        machine.disk.write(&file.path, &content, mode)
    };
    written.map_err(|error| error.to_string())
}
