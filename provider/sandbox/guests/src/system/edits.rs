//! The edits of files that user data makes.

use super::HOSTS;
use super::boot::is_swap_entry;
use super::commands::{Failure, failure};
use crate::machine::Machine;

/// How a script begins and ends that writes the instance's ID where a file has something else; the two are between.
const FILL_IN: (&str, &str) = ("sed -i \"s/", "/$(cloud-init query instance_id)/g\" ");

/// `sed -i EXPRESSION FILE`, for the edits that matter here: swap entries commented out or deleted, a line appended to
/// the known hosts, lines that end with a remark deleted from them.
pub(super) fn sed(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    let [options @ .., expression, file @ ("/etc/fstab" | HOSTS)] = arguments else {
        return Err(unknown(arguments));
    };
    let in_place = options
        .iter()
        .any(|option| option.starts_with('-') && option.contains('i'));
    let text = machine.disk.required_text(file)?;
    let edited = if *file == HOSTS {
        edit_hosts(expression, &text)
    } else {
        without_swap(expression, &text)
    };
    let edited = edited.filter(|_| in_place).ok_or_else(|| unknown(arguments))?;
    Ok(machine.disk.write(file, edited, 0o644)?)
}

fn without_swap(expression: &str, fstab: &str) -> Option<String> {
    let known = expression.contains("swap") && (expression.contains('#') || expression.ends_with('d'));
    let off = |line| if is_swap_entry(line) { "#" } else { "" };
    known.then(|| fstab.lines().flat_map(|line| [off(line), line, "\n"]).collect())
}

fn edit_hosts(expression: &str, hosts: &str) -> Option<String> {
    if let Some(line) = expression.strip_prefix("$ a ") {
        return Some(format!("{hosts}{line}\n"));
    }
    let ending = expression.strip_prefix('/')?.strip_suffix("$/ d")?;
    let plain = ending.chars().all(|it| it.is_alphanumeric() || " #-".contains(it));
    let kept = hosts.lines().filter(|line| !line.ends_with(ending));
    plain.then(|| kept.flat_map(|line| [line, "\n"]).collect())
}

/// `sh -c SCRIPT`, for the one script that there is: a file gets the instance's ID, which only the machine itself knows.
pub(super) fn fill_in_instance_id(machine: &Machine, script: &str) -> Result<(), Failure> {
    let parts = script
        .strip_prefix(FILL_IN.0)
        .and_then(|rest| rest.split_once(FILL_IN.1));
    let Some((place, file)) = parts else {
        return Err(failure(format!("sh: this machine does not understand {script}")));
    };
    let text = machine.disk.required_text(file)?;
    let filled = text.replace(place, &machine.spec.instance_id);
    Ok(machine.disk.write(file, filled, 0o600)?)
}

fn unknown(arguments: &[&str]) -> Failure {
    failure(format!("sed: this machine does not understand {}", arguments.join(" ")))
}
