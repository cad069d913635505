//! Stopping in the middle: nothing is lost, nothing is left running, the next apply converges.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use multizone_acceptance_tests::{Workspace, installed};
use rustix::process::{Pid, Signal, kill_process};

const ONE_ZONE: &[&str] = &[r#"-var=zones=["us-central1-a"]"#, "-var=nodes_per_zone=2"];

fn start_apply(workspace: &Workspace) -> Child {
    workspace
        .terraform_command(&["apply", "-auto-approve"])
        .args(ONE_ZONE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_mins(2),
            "not within two minutes: {what}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn machines(workspace: &Workspace) -> usize {
    workspace.status()["machines"].as_array().map_or(0, Vec::len)
}

/// Provider processes that terraform started for this workspace, told apart by their environment.
fn plugin_processes(workspace: &Workspace) -> usize {
    let mark = format!(
        "MULTIZONE_SANDBOX_DIRECTORY={}",
        workspace.path().join("sandbox").display()
    );
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            environment.contains(&mark)
                && command.contains("terraform-provider-multizone")
                && !command.contains("sandbox")
        })
        .count()
}

fn assert_converges(workspace: &Workspace) {
    let _ = workspace.apply(ONE_ZONE);
    workspace.assert_empty_plan(ONE_ZONE);
    assert_eq!(
        machines(workspace),
        3,
        "one master and two nodes, no duplicate and no orphan"
    );
    let _ = workspace
        .terraform(&[&["destroy", "-auto-approve"], ONE_ZONE].concat())
        .succeeded();
    assert_eq!(machines(workspace), 0);
}

#[test]
fn an_interrupt_stops_at_a_safe_point_and_the_next_apply_finishes() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let mut apply = start_apply(&workspace);
    wait_until("the master's machine appears", || machines(&workspace) > 0);
    kill_process(Pid::from_child(&apply), Signal::INT).unwrap();
    let _ = apply.wait().unwrap();
    wait_until("the provider has gone with terraform", || {
        plugin_processes(&workspace) == 0
    });
    assert_converges(&workspace);
}

#[test]
fn killing_terraform_leaves_no_provider_behind_and_the_next_apply_adopts_what_was_made() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let mut apply = start_apply(&workspace);
    wait_until("the master's machine appears", || machines(&workspace) > 0);
    kill_process(Pid::from_child(&apply), Signal::KILL).unwrap();
    let _ = apply.wait().unwrap();
    wait_until("the provider has gone with terraform", || {
        plugin_processes(&workspace) == 0
    });
    fs::remove_file(workspace.path().join(".terraform.tfstate.lock.info")).unwrap_or_default();
    assert_converges(&workspace);
}
