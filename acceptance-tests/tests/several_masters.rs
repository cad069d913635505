//! The walk-through of a highly available cluster on `examples/highly-available` (domain-rules.md, source document 3): one
//! master behind a balancer, three, one of them halted and started again, one again, none.  Every master runs a member of
//! etcd: real etcd where it is installed.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use multizone_acceptance_tests::{Run, Workspace, installed};
use serde_json::Value;

const ONE: &str = r#"-var=masters=["us-central1-a"]"#;

/// Reads and writes through the API's endpoint, one after the other, until it is stopped.
struct Prober {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    running: JoinHandle<Vec<String>>,
}

impl Prober {
    fn start(workspace: &Workspace) -> Self {
        // The second prober finds the object of the first.
        let _ = workspace.kubectl("demo", &["create", "configmap", "prober"]);
        let kubeconfig = workspace.path().join("kubeconfig-of-the-prober");
        fs::copy(workspace.path().join("kubeconfig"), &kubeconfig).unwrap();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = thread::spawn({
            let (stop, answered) = (stop.clone(), answered.clone());
            move || probe(&kubeconfig, &stop, &answered)
        });
        Self {
            stop,
            answered,
            running,
        }
    }

    /// Stops, and asserts that no request failed and that there were some.
    #[track_caller]
    fn saw_no_failure(self, during: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.running.join().unwrap();
        let answered = self.answered.load(Ordering::Relaxed);
        println!("{during}: {answered} requests answered, {} failed", failed.len());
        assert!(failed.is_empty(), "{during}: {failed:#?}");
        assert!(answered > 0, "{during}: nothing was asked");
    }
}

fn probe(kubeconfig: &PathBuf, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let kubectl = |arguments: &[&str]| {
        let mut command = std::process::Command::new("kubectl");
        command
            .env("KUBECONFIG", kubeconfig)
            .args(["--request-timeout=10s"])
            .args(arguments);
        Run::of(&mut command)
    };
    let mut failed = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let written = number.to_string();
        let patch = format!(r#"{{"data":{{"number":"{written}"}}}}"#);
        let write = kubectl(&["patch", "configmap", "prober", "--type=merge", "-p", &patch]);
        let read = kubectl(&["get", "configmap", "prober", "-o", "jsonpath={.data.number}"]);
        for run in [&write, &read] {
            if run.code == 0 {
                answered.fetch_add(1, Ordering::Relaxed);
            } else {
                failed.push(run.stderr.clone());
            }
        }
        if write.code == 0 && read.code == 0 && read.stdout != written {
            failed.push(format!("{written} was acknowledged and {} is there", read.stdout));
        }
    }
    failed
}

fn masters(workspace: &Workspace) -> Vec<String> {
    let role = "node-role.kubernetes.io/control-plane";
    let run = workspace
        .kubectl("demo", &["get", "nodes", "-l", role, "-o", "json"])
        .succeeded();
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    let names = list["items"].as_array().unwrap().iter();
    names
        .map(|node| node["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The steps that a plan's `rollout` has, without numbers and durations.
fn planned(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let _ = workspace
        .terraform(&[&["plan", "-out=planned"], arguments].concat())
        .succeeded();
    let plan = workspace.json(&["show", "-json", "planned"]);
    let changes = plan["resource_changes"].as_array().unwrap();
    let of_the_masters = |change: &&Value| change["address"] == "multizone_control_plane.demo";
    let change = changes.iter().find(of_the_masters).unwrap();
    let rollout = change["change"]["after"]["rollout"].as_array().unwrap().iter();
    let text = |line: &str| {
        let (_, line) = line.split_once(". ").unwrap();
        line.rsplit_once('~').unwrap().0.trim().to_owned()
    };
    rollout.map(|line| text(line.as_str().unwrap())).collect()
}

/// Applies the plan, and returns the control plane's steps that the log has.
fn applied(workspace: &Workspace) -> Vec<String> {
    let log = workspace.path().join("log");
    let _ = fs::remove_file(&log);
    let mut apply = workspace.terraform_command(&["apply", "planned"]);
    apply.env("TF_LOG_PROVIDER", "INFO").env("TF_LOG_PATH", &log);
    let _ = Run::of(&mut apply).succeeded();
    let log = fs::read_to_string(log).unwrap();
    let step = |line: &str| {
        let line = line.split_once(": step ")?.1;
        let line = line.split_once(" of ")?.1.split_once(": ")?.1;
        // Behind it are the fields of the log, in any order.
        let end = line
            .match_indices(": ")
            .find(|(at, _)| line[at + 2..].split(' ').next().is_some_and(|word| word.contains('=')))?;
        Some(line[..end.0].to_owned())
    };
    let mine = |line: &&str| line.contains("control_plane");
    // An API server that ends takes its record with it, or the record is waited for: that is no change.
    let changes = |step: &String| !step.starts_with("wait until the API endpoint of");
    log.lines().filter(mine).filter_map(step).filter(changes).collect()
}

#[test]
fn masters_grow_from_one_to_three_survive_a_halt_and_shrink_to_one_without_a_failed_request() {
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
    prober.saw_no_failure("from one to three");
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
    let steps = planned(&workspace, &[ONE]);
    assert_eq!(applied(&workspace), steps);
    prober.saw_no_failure("from three to one");
    assert_eq!(masters(&workspace), ["demo-master-a"]);
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
