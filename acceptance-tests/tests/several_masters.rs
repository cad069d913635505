//! The walk-through of a highly available cluster on `examples/highly-available` (domain-rules.md, source document 3): one
//! master behind a balancer, three, one of them halted and started again, each of them replaced, one again, none.  Every
//! master runs a member of etcd: real etcd where it is installed.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use multizone_acceptance_tests::{Prober, Region, Workspace, applied, installed, masters, planned};
use rustix::process::{Pid, Signal, kill_process};

const ONE: &str = r#"-var=masters=["us-central1-a"]"#;

#[test]
fn masters_grow_from_one_to_three_survive_a_halt_are_replaced_and_shrink_to_one_without_a_failed_request() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    if !installed("etcd") {
        println!("the members are stand-ins");
    }
    let workspace = Workspace::of_example("highly-available");
    let _ = workspace.apply(&[ONE]);
    assert_eq!(masters(&workspace), ["demo-master-a"]);
    workspace.assert_empty_plan(&[ONE]);

    let prober = Prober::start(&workspace);
    let steps = planned(&workspace, &[]);
    assert_eq!(steps.len(), 4, "{steps:#?}");
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("from one to three", &steps);
    assert_eq!(masters(&workspace), ["demo-master-a", "demo-master-b", "demo-master-f"]);
    workspace.assert_empty_plan(&[]);

    let _ = workspace.sandbox(&["halt", "us-central1-b/demo-master-b"]).succeeded();
    let _ = workspace
        .kubectl("demo", &["create", "namespace", "while-one-is-halted"])
        .succeeded();
    let steps = planned(&workspace, &[]);
    assert_eq!(steps, ["start master b in us-central1-b, wait until it serves"]);
    assert_eq!(applied(&workspace)[..1], steps);
    workspace.assert_empty_plan(&[]);

    let prober = Prober::start(&workspace);
    let machine_type = "machine_type         = var.master_machine_type";
    change(&workspace, machine_type, r#"machine_type = "n1-standard-4""#);
    let steps = planned(&workspace, &[]);
    for replica in ["a", "b", "f"] {
        let begins = format!("create master {replica}-2 in us-central1-{replica} to replace master {replica}, ");
        let joins = steps.iter().filter(|step| step.starts_with(&begins));
        assert_eq!(joins.count(), 1, "{steps:#?}");
    }
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("each of three masters is replaced", &steps);
    assert_eq!(
        masters(&workspace),
        ["demo-master-a-2", "demo-master-b-2", "demo-master-f-2"]
    );
    workspace.assert_empty_plan(&[]);

    let prober = Prober::start(&workspace);
    let steps = planned(&workspace, &[ONE]);
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("from three to one", &steps);
    assert_eq!(masters(&workspace), ["demo-master-a-2"]);
    workspace.assert_empty_plan(&[ONE]);
    let _ = workspace
        .kubectl("demo", &["get", "namespace", "while-one-is-halted"])
        .succeeded();

    let _ = workspace.terraform(&["destroy", "-auto-approve", ONE]).succeeded();
    let status = workspace.status();
    for kind in [
        "machines",
        "disks",
        "addresses",
        "networks",
        "balancers",
        "secrets",
        "snapshots",
    ] {
        assert_eq!(status[kind], serde_json::json!([]), "{kind} are left");
    }
}

/// The names of the masters' machines in the cloud.
fn machines(workspace: &Workspace) -> Vec<String> {
    let status = workspace.status();
    let names = status["machines"].as_array().unwrap().iter();
    let names = names.map(|machine| machine["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.contains("-master-")).collect()
}

/// Whether nobody has the turn to change the masters.
fn nobody_has_the_turn(workspace: &Workspace) -> bool {
    !workspace.status()["secrets"].to_string().contains("-turn")
}

/// Writes the example with something else in it.
fn change(workspace: &Workspace, from: &str, to: &str) {
    let path = workspace.path().join("main.tf");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn masters_are_replaced_in_order_and_one_that_is_gone_is_made_again() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("highly-available");
    let _ = workspace.apply(&[]);
    let _ = workspace.kubectl("demo", &["create", "namespace", "kept"]).succeeded();

    // One of three moves to another zone.
    let prober = Prober::start(&workspace);
    let replicas = r#"replicas = { for zone in var.masters : regex("[a-z]$", zone) => { zone = zone } }"#;
    let moved = r#"replicas = { a = { zone = "us-central1-a" }, b = { zone = "us-central1-f" }, f = { zone = "us-central1-f" } }"#;
    change(&workspace, replicas, moved);
    let steps = planned(&workspace, &[]);
    assert_eq!(
        steps[0],
        "create master b-2 in us-central1-f to replace master b, wait until it has joined"
    );
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("one of three moves", &steps);
    assert_eq!(
        masters(&workspace),
        ["demo-master-a", "demo-master-b-2", "demo-master-f"]
    );
    workspace.assert_empty_plan(&[]);

    // One of three is terminated: what it is just answering then is lost, and nothing of what is asked later.
    let prober = Prober::start(&workspace);
    Region::of(&workspace).delete("zones/us-central1-f/instances/demo-master-b-2");
    prober.saw_only_broken_connections("one of three is terminated");
    let prober = Prober::start(&workspace);
    let steps = planned(&workspace, &[]);
    assert_eq!(steps[0], "remove master b-2 from etcd");
    let done = applied(&workspace);
    prober.saw_no_failure("one of three is made again", &done);
    assert_eq!(masters(&workspace), ["demo-master-a", "demo-master-b", "demo-master-f"]);
    workspace.assert_empty_plan(&[]);

    // The only one gets another machine type, after a backup.
    change(&workspace, moved, replicas);
    let _ = workspace.apply(&[ONE]);
    let prober = Prober::start(&workspace);
    let machine_type = "machine_type         = var.master_machine_type";
    change(&workspace, machine_type, r#"machine_type = "n1-standard-4""#);
    let backups = workspace.path().join("backups");
    let backup = format!("-var=etcd_backup={}", backups.display());
    let steps = planned(&workspace, &[ONE, &backup]);
    assert!(steps[0].starts_with("back up etcd to "), "{steps:#?}");
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("the only master is replaced", &steps);
    assert_eq!(masters(&workspace), ["demo-master-a-2"]);
    assert_eq!(fs::read_dir(backups).unwrap().count(), 1);
    workspace.assert_empty_plan(&[ONE, &backup]);
    let _ = workspace.kubectl("demo", &["get", "namespace", "kept"]).succeeded();
    assert!(nobody_has_the_turn(&workspace));

    // Replaced as a whole, it begins anew.
    let _ = workspace.apply(&["-replace=multizone_control_plane.demo", ONE, &backup]);
    workspace.assert_empty_plan(&[ONE, &backup]);
    assert_eq!(masters(&workspace).len(), 1);
    let _ = workspace.kubectl("demo", &["get", "namespace", "kept"]).exited(1);
    let _ = workspace
        .terraform(&["taint", "multizone_control_plane.demo"])
        .succeeded();
    let text = workspace.terraform(&["plan", ONE, &backup]).succeeded().text();
    assert!(text.contains("anew loses its etcd"), "{text}");
}

#[test]
fn a_rollout_that_is_interrupted_stops_between_two_steps_and_the_next_apply_goes_on() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("highly-available");
    let _ = workspace.apply(&[ONE]);
    let mut apply = workspace.terraform_command(&["apply", "-auto-approve"]);
    let mut apply = apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(2);
    while machines(&workspace).len() < 2 {
        assert!(Instant::now() < deadline, "no second master");
        thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&apply), Signal::INT).unwrap();
    assert!(!apply.wait().unwrap().success(), "it was interrupted");
    assert!(nobody_has_the_turn(&workspace), "it was given back");
    let steps = planned(&workspace, &[]);
    assert!(!steps.is_empty(), "something is left to do");
    let again = |step: &String| step.starts_with("create master b ");
    assert!(!steps.iter().any(again), "master b is there already: {steps:#?}");
    let _ = workspace.apply(&[]);
    assert_eq!(masters(&workspace), ["demo-master-a", "demo-master-b", "demo-master-f"]);
    workspace.assert_empty_plan(&[]);
}

#[test]
fn two_applies_at_the_same_moment_make_one_master() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("highly-available");
    let _ = workspace.apply(&["-target=multizone_api_load_balancer.api"]);
    let other = workspace.path().join("other.tfstate");
    fs::copy(workspace.path().join("terraform.tfstate"), &other).unwrap();
    let start = |arguments: &[&str]| {
        let target = "-target=multizone_control_plane.demo";
        let mut apply = workspace.terraform_command(&[&["apply", "-auto-approve", target, ONE], arguments].concat());
        apply.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let state = format!("-state={}", other.display());
    let mut running = [start(&[]), start(&[&state])];
    let succeeded = running.iter_mut().map(|apply| apply.wait().unwrap().success());
    assert!(succeeded.collect::<Vec<_>>().contains(&true), "one of them has made it");
    assert_eq!(machines(&workspace), ["demo-master-a"]);
    assert!(nobody_has_the_turn(&workspace));
    let _ = workspace.apply(&[ONE]);
    workspace.assert_empty_plan(&[ONE]);
}
