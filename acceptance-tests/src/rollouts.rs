//! What a plan says that will be done to the masters of an example, and what is done.

use std::fs;

use serde_json::Value;

use crate::{Run, Workspace};

/// The control plane of the examples.
const CONTROL_PLANE: &str = "multizone_control_plane.demo";

/// The nodes that are masters of the cluster `demo`.
#[track_caller]
pub fn masters(workspace: &Workspace) -> Vec<String> {
    let role = "node-role.kubernetes.io/control-plane";
    let run = workspace
        .kubectl("demo", &["get", "nodes", "-l", role, "-o", "json"])
        .succeeded();
    let list: Value = serde_json::from_str(&run.stdout).expect("kubectl prints JSON");
    let names = list["items"].as_array().into_iter().flatten();
    let names = names.filter_map(|node| node["metadata"]["name"].as_str());
    names.map(str::to_owned).collect()
}

/// The steps that a plan's `rollout` has, without numbers and durations.  The plan is what [`applied`] applies.
///
/// # Panics
/// When nothing is planned for the control plane.
#[track_caller]
pub fn planned(workspace: &Workspace, arguments: &[&str]) -> Vec<String> {
    let _ = workspace
        .terraform(&[&["plan", "-out=planned"], arguments].concat())
        .succeeded();
    let plan = workspace.json(&["show", "-json", "planned"]);
    let changes = plan["resource_changes"].as_array();
    let of_the_masters = |change: &&Value| change["address"] == CONTROL_PLANE;
    let change = changes.into_iter().flatten().find(of_the_masters);
    let rollout = &change.expect("a control plane")["change"]["after"]["rollout"];
    let text = |line: &Value| {
        let (_, line) = line.as_str()?.split_once(". ")?;
        Some(line.rsplit_once('~')?.0.trim().to_owned())
    };
    let steps: Option<Vec<_>> = rollout.as_array().and_then(|lines| lines.iter().map(text).collect());
    steps.unwrap_or_else(|| panic!("this is no rollout: {rollout}"))
}

/// Applies the plan, and returns the control plane's steps that the log has.
#[track_caller]
pub fn applied(workspace: &Workspace) -> Vec<String> {
    let log = workspace.path().join("log");
    let _ = fs::remove_file(&log);
    let mut apply = workspace.terraform_command(&["apply", "planned"]);
    apply.env("TF_LOG_PROVIDER", "INFO").env("TF_LOG_PATH", &log);
    let _ = Run::of(&mut apply).succeeded();
    let log = fs::read_to_string(log).expect("terraform leaves a log");
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
