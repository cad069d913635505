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
    start(workspace, "apply")
}

fn start(workspace: &Workspace, command: &str) -> Child {
    workspace
        .terraform_command(&[command, "-auto-approve"])
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
fn plugin_processes(workspace: &Workspace) -> Vec<i32> {
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
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn kill_provider(workspace: &Workspace) {
    for pid in plugin_processes(workspace) {
        // One that has just ended needs no killing.
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
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
        plugin_processes(&workspace).is_empty()
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
        plugin_processes(&workspace).is_empty()
    });
    fs::remove_file(workspace.path().join(".terraform.tfstate.lock.info")).unwrap_or_default();
    assert_converges(&workspace);
}

/// The provider is killed as soon as the condition holds; Terraform goes on and reports it.
fn kill_the_provider_when(what: &str, command: &str, condition: impl Fn(&Workspace) -> bool) -> Option<Workspace> {
    if !installed("terraform") {
        return None;
    }
    let workspace = Workspace::of_example("multi-zone");
    if command == "destroy" {
        let _ = workspace.apply(ONE_ZONE);
    }
    let mut running = start(&workspace, command);
    wait_until(what, || condition(&workspace));
    kill_provider(&workspace);
    let _ = running.wait().unwrap();
    Some(workspace)
}

#[test]
fn a_provider_killed_while_it_makes_the_cluster_loses_nothing() {
    let some_secret = |workspace: &Workspace| !workspace.status()["secrets"].as_array().unwrap().is_empty();
    if let Some(workspace) = kill_the_provider_when("the first secret appears", "apply", some_secret) {
        assert_converges(&workspace);
    }
}

#[test]
fn a_provider_killed_while_it_makes_the_workers_loses_nothing() {
    if let Some(workspace) = kill_the_provider_when("a worker appears", "apply", |it| machines(it) > 1) {
        assert_converges(&workspace);
    }
}

#[test]
fn a_provider_killed_while_it_destroys_is_destroyed_by_the_next_one() {
    if let Some(workspace) = kill_the_provider_when("the machines are gone", "destroy", |it| machines(it) == 0) {
        let _ = workspace
            .terraform(&[&["destroy", "-auto-approve"], ONE_ZONE].concat())
            .succeeded();
        let status = workspace.sandbox(&["status"]).succeeded();
        assert!(status.text().contains("nothing here"), "{}", status.stdout);
    }
}

#[test]
fn a_sandbox_killed_and_started_again_in_the_middle_of_an_apply_is_carried_on_with() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let mut apply = start_apply(&workspace);
    wait_until("a worker appears", || machines(&workspace) > 1);
    let pid = i32::try_from(workspace.status()["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let _ = workspace.sandbox(&["start"]).succeeded();
    // Whether it waited long enough or gave up: the next apply finishes it.
    let _ = apply.wait().unwrap();
    assert_converges(&workspace);
}
