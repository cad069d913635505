//! The orders in which Terraform's graph calls operations: what the region's own event log says was done, in which order,
//! and an empty plan afterwards (terraform-protocol.md, "How Terraform's graph orders operations").

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Workspace, installed};
use serde_json::Value;

const A: &str = r#"-var=zones=["us-central1-a"]"#;
const AB: &str = r#"-var=zones=["us-central1-a","us-central1-b"]"#;
const ONE: &str = "-var=nodes_per_zone=1";
const TWO: &str = "-var=nodes_per_zone=2";
const POOL_A: &str = r#"multizone_node_group.pool["us-central1-a"]"#;

/// A workspace, and how much of its region's log has been read.
struct Watched {
    workspace: Workspace,
    read: u64,
}

impl Watched {
    fn new(workspace: Workspace) -> Self {
        Self { workspace, read: 0 }
    }

    /// What was made and deleted since the last look, in order, as `insert networks multizone-demo-us-central1`.
    fn changes(&mut self) -> Vec<String> {
        let after = self.read.to_string();
        let run = self
            .workspace
            .sandbox(&["events", "--json", "--after", &after])
            .succeeded();
        let events: Vec<Value> = run
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        self.read = events
            .last()
            .and_then(|event| event["sequence"].as_u64())
            .unwrap_or(self.read);
        events.iter().filter_map(change).collect()
    }

    /// `terraform apply ARGUMENTS`, the changes it made, and an empty plan.
    #[track_caller]
    fn apply(&mut self, arguments: &[&str], variables: &[&str]) -> Vec<String> {
        let _ = self.workspace.apply(&[arguments, variables].concat());
        let changes = self.changes();
        self.workspace.assert_empty_plan(variables);
        changes
    }

    #[track_caller]
    fn destroy(&mut self, arguments: &[&str]) -> Vec<String> {
        let _ = self
            .workspace
            .terraform(&[&["destroy", "-auto-approve"], arguments].concat())
            .succeeded();
        self.changes()
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        let readable = self.workspace.sandbox(&["status"]).succeeded();
        assert!(readable.text().contains("nothing here"), "{}", readable.stdout);
    }
}

/// Something that was made or deleted.  The mark of a create is neither, since the first look takes it away, and no more is
/// the notice of who changes the masters now.
fn change(event: &Value) -> Option<String> {
    let (collection, verb) = event["verb"].as_str()?.split_once('.')?;
    let verb = match verb {
        "insert" | "create" => "insert",
        "delete" => "delete",
        _ => return None,
    };
    let name = event["object"].as_str()?.rsplit('/').next()?;
    let passing = name.ends_with("-creating") || name.ends_with("-turn");
    (event["actor"] == "api" && !passing).then(|| format!("{verb} {collection} {name}"))
}

/// Asserts that every change that begins with `first` came before every one that begins with `then`, and that there were
/// such changes.
#[track_caller]
fn assert_order(changes: &[String], first: &str, then: &str) {
    let last = changes.iter().rposition(|change| change.starts_with(first));
    let next = changes.iter().position(|change| change.starts_with(then));
    match (last, next) {
        (Some(last), Some(next)) => assert!(last < next, "{first} before {then}:\n{}", changes.join("\n")),
        _ => panic!("{first} and {then} happen:\n{}", changes.join("\n")),
    }
}

#[track_caller]
fn assert_created_in_order(changes: &[String]) {
    for object in [
        "insert networks",
        "insert addresses",
        "insert firewalls",
        "insert secrets",
    ] {
        assert_order(changes, object, "insert instances demo-master-a");
        assert_order(changes, object, "insert disks demo-data");
    }
    assert_order(changes, "insert instances demo-master-a", "insert instances demo-pool");
}

#[track_caller]
fn assert_destroyed_in_order(changes: &[String]) {
    assert_order(changes, "delete instances demo-pool", "delete instances demo-master-a");
    for object in ["delete instances", "delete disks demo-data"] {
        assert_order(changes, object, "delete addresses");
        assert_order(changes, object, "delete networks");
    }
}

fn count(changes: &[String], what: &str) -> usize {
    changes.iter().filter(|change| change.starts_with(what)).count()
}

fn lives_and_dies(parallelism: &str) {
    if !installed("terraform") {
        return;
    }
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    let changes = it.apply(&[parallelism], &[AB, ONE]);
    assert_created_in_order(&changes);
    let changes = it.apply(&[parallelism], &[A, ONE]);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(
        changes[0].starts_with("delete instances demo-pool-us-central1-b"),
        "{changes:?}"
    );
    let changes = it.apply(&[parallelism], &[AB, TWO]);
    assert_eq!(count(&changes, "insert instances demo-pool-us-central1-a"), 1);
    assert_eq!(count(&changes, "insert instances demo-pool-us-central1-b"), 2);
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert_destroyed_in_order(&it.destroy(&[parallelism, AB, TWO]));
    it.assert_nothing_left();
}

#[test]
fn one_operation_at_a_time() {
    lives_and_dies("-parallelism=1");
}

#[test]
fn ten_operations_at_a_time() {
    lives_and_dies("-parallelism=10");
}

#[test]
fn fifty_operations_at_a_time() {
    lives_and_dies("-parallelism=50");
}

/// Three masters behind their balancer; then two zones go, with all that is in them.
fn several_masters_live_and_die(parallelism: &str) {
    if !installed("terraform") {
        return;
    }
    let mut it = Watched::new(Workspace::of_example("highly-available"));
    let changes = it.apply(&[parallelism], &[]);
    for object in [
        "insert networks",
        "insert addresses",
        "insert firewalls",
        "insert secrets",
        "insert backendServices",
    ] {
        assert_order(&changes, object, "insert instances demo-master-a");
    }
    assert_order(
        &changes,
        "insert instances demo-master-a",
        "insert instances demo-master-b",
    );
    assert_order(
        &changes,
        "insert instances demo-master-b",
        "insert instances demo-master-f",
    );
    assert_order(&changes, "insert instances demo-master", "insert instances demo-pool");

    let smaller = [A, r#"-var=masters=["us-central1-a"]"#];
    let changes = it.apply(&[parallelism], &smaller);
    assert_eq!(count(&changes, "delete instances demo-master"), 2, "{changes:?}");
    assert_eq!(count(&changes, "delete instances demo-pool"), 2, "{changes:?}");
    assert_eq!(count(&changes, "insert instances"), 0, "{changes:?}");

    let changes = it.destroy(&[&[parallelism], &smaller[..]].concat());
    assert_order(&changes, "delete instances demo-pool", "delete instances demo-master-a");
    assert_order(&changes, "delete instances", "delete backendServices");
    for object in ["delete addresses", "delete networks"] {
        assert_order(&changes, "delete backendServices", object);
    }
    it.assert_nothing_left();
}

#[test]
fn several_masters_with_one_operation_at_a_time() {
    several_masters_live_and_die("-parallelism=1");
}

#[test]
fn several_masters_with_fifty_operations_at_a_time() {
    several_masters_live_and_die("-parallelism=50");
}

#[test]
fn replace_and_taint_replace_what_depends_on_it_and_nothing_else() {
    if !installed("terraform") {
        return;
    }
    let variables = &[AB, ONE];
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    it.apply(&[], variables);

    let changes = it.apply(&[&format!("-replace={POOL_A}")], variables);
    assert_order(
        &changes,
        "delete instances demo-pool-us-central1-a",
        "insert instances demo-pool-us-central1-a",
    );
    assert_eq!(changes.len(), 2, "{changes:?}");

    let _ = it.workspace.terraform(&["taint", "multizone_disk.data"]).succeeded();
    let _ = it.workspace.terraform(&["taint", POOL_A]).succeeded();
    let _ = it.workspace.terraform(&["untaint", POOL_A]).succeeded();
    let changes = it.apply(&[], variables);
    assert_eq!(changes, ["delete disks demo-data", "insert disks demo-data"]);

    // Node groups refer to the control plane's ID, so they go before it and come after it.
    let changes = it.apply(&["-replace=multizone_control_plane.demo"], variables);
    assert_order(&changes, "delete instances demo-pool", "delete instances demo-master-a");
    assert_order(
        &changes,
        "delete instances demo-master-a",
        "insert instances demo-master-a",
    );
    assert_order(&changes, "insert instances demo-master-a", "insert instances demo-pool");
    assert_eq!(changes.len(), 6, "{changes:?}");
}

#[test]
fn a_cluster_with_machines_is_not_replaced_under_them() {
    if !installed("terraform") {
        return;
    }
    let variables = &[A, ONE];
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    it.apply(&[], variables);
    let _ = it.workspace.terraform(&["taint", "multizone_cluster.demo"]).succeeded();
    let refused = it
        .workspace
        .terraform(&[&["apply", "-auto-approve"], &variables[..]].concat())
        .exited(1);
    assert!(
        refused.text().contains("Cluster demo still has machine"),
        "{}",
        refused.text()
    );
    assert_eq!(it.changes(), Vec::<String>::new(), "nothing was changed");
    let _ = it
        .workspace
        .terraform(&["untaint", "multizone_cluster.demo"])
        .succeeded();
    it.workspace.assert_empty_plan(variables);
    assert_destroyed_in_order(&it.destroy(variables));
    it.assert_nothing_left();
}

#[test]
fn targets_are_steps_on_the_way() {
    if !installed("terraform") {
        return;
    }
    let variables = &[A, ONE];
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    let mut changes = Vec::new();
    for target in ["multizone_cluster.demo", "multizone_control_plane.demo"] {
        let _ = it
            .workspace
            .apply(&[&[format!("-target={target}").as_str()], &variables[..]].concat());
        let made = it.changes();
        assert_eq!(
            count(&made, "insert instances"),
            usize::from(target.contains("control")),
            "{made:?}"
        );
        changes.extend(made);
    }
    changes.extend(it.apply(&[], variables));
    assert_created_in_order(&changes);

    // A target that is destroyed takes along what depends on it.
    let changes = it.destroy(&["-target=multizone_control_plane.demo", A, ONE]);
    assert_order(&changes, "delete instances demo-pool", "delete instances demo-master-a");
    assert_eq!(changes.len(), 2, "{changes:?}");
    let changes = it.apply(&[], variables);
    assert_order(&changes, "insert instances demo-master-a", "insert instances demo-pool");
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[test]
fn without_a_refresh_the_state_is_enough() {
    if !installed("terraform") {
        return;
    }
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    // No plan in between: nothing has read what the first apply made.
    let _ = it.workspace.apply(&[A, ONE]);
    it.changes();
    let _ = it.workspace.apply(&["-refresh=false", AB, TWO]);
    let changes = it.changes();
    assert_eq!(count(&changes, "insert instances demo-pool-us-central1-a"), 1);
    assert_eq!(count(&changes, "insert instances demo-pool-us-central1-b"), 2);
    assert_eq!(changes.len(), 3, "{changes:?}");
    it.workspace.assert_empty_plan(&["-refresh=false", AB, TWO]);
    it.workspace.assert_empty_plan(&[AB, TWO]);
    assert_destroyed_in_order(&it.destroy(&["-refresh=false", AB, TWO]));
    it.assert_nothing_left();
}

#[test]
fn saved_plans_do_what_they_show() {
    if !installed("terraform") {
        return;
    }
    let mut it = Watched::new(Workspace::of_example("multi-zone"));
    let _ = it.workspace.terraform(&["plan", "-out=create", A, ONE]).succeeded();
    assert_eq!(it.changes(), Vec::<String>::new(), "a plan changes nothing");
    let _ = it.workspace.apply(&["create"]);
    assert_created_in_order(&it.changes());
    it.workspace.assert_empty_plan(&[A, ONE]);
    it.changes();

    let _ = it
        .workspace
        .terraform(&["apply", "-refresh-only", "-auto-approve", A, ONE])
        .succeeded();
    let _ = it.workspace.terraform(&["plan", "-destroy", A, ONE]).succeeded();
    assert_eq!(it.changes(), Vec::<String>::new(), "looking changes nothing");

    let _ = it
        .workspace
        .terraform(&["plan", "-destroy", "-out=destroy", A, ONE])
        .succeeded();
    let _ = it.workspace.apply(&["destroy"]);
    assert_destroyed_in_order(&it.changes());
    it.assert_nothing_left();
}

#[test]
fn what_is_asked_for_of_several_masters_is_done_and_nothing_else() {
    if !installed("terraform") {
        return;
    }
    let mut it = Watched::new(Workspace::of_example("highly-available"));
    // The balancer takes the cluster along, and no master.
    let _ = it.workspace.apply(&["-target=multizone_api_load_balancer.api"]);
    let changes = it.changes();
    assert_order(&changes, "insert networks", "insert backendServices");
    assert_eq!(count(&changes, "insert instances"), 0, "{changes:?}");
    let changes = it.apply(&[], &[]);
    assert_order(&changes, "insert instances demo-master", "insert instances demo-pool");
    assert_eq!(count(&changes, "insert instances demo-master"), 3, "{changes:?}");
    assert_eq!(count(&changes, "insert backendServices"), 0, "{changes:?}");

    let changes = it.apply(&[r#"-replace=multizone_node_group.pool["us-central1-b"]"#], &[]);
    let pool = "instances demo-pool-us-central1-b";
    assert_order(&changes, &format!("delete {pool}"), &format!("insert {pool}"));
    assert_eq!(changes.len(), 2, "{changes:?}");

    // The new balancer is one that the control plane does not know of before it is read again: that is the next plan's.
    let balancer = "multizone_api_load_balancer.api[0]";
    let _ = it.workspace.terraform(&["taint", balancer]).succeeded();
    let _ = it.workspace.apply(&[]).saying(&[
        "Balancer api of cluster demo is made anew",
        "Apply again: the next plan",
    ]);
    let changes = it.changes();
    assert_order(&changes, "delete backendServices", "insert backendServices");
    assert_eq!(count(&changes, "delete forwardingRules"), 1, "{changes:?}");
    assert_eq!(count(&changes, "insert forwardingRules"), 0, "{changes:?}");
    let next = it.workspace.planned_changes(&[]);
    assert_eq!(next, [("multizone_control_plane.demo".to_owned(), "update".to_owned())]);
    let changes = it.apply(&[], &[]);
    assert_eq!(count(&changes, "insert forwardingRules"), 1, "{changes:?}");
    assert_eq!(changes.len(), 1, "{changes:?}");

    let halted = it.workspace.sandbox(&["halt", "us-central1-b/demo-master-b"]);
    let _ = halted.succeeded().text();
    let looked = ["apply", "-refresh-only", "-auto-approve"];
    let _ = it
        .workspace
        .terraform(&looked)
        .succeeded()
        .saying(&[r#"~ state = "ready" -> "halted""#]);
    assert_eq!(it.changes(), Vec::<String>::new(), "looking changes nothing");
    let changes = it.apply(&[], &[]);
    assert_eq!(changes, Vec::<String>::new(), "the machine that was there is started");

    let _ = it
        .workspace
        .terraform(&["plan", "-destroy", "-out=destroy"])
        .succeeded();
    assert_eq!(it.changes(), Vec::<String>::new(), "a plan changes nothing");
    let _ = it.workspace.apply(&["destroy"]);
    let changes = it.changes();
    assert_order(&changes, "delete instances demo-pool", "delete instances demo-master");
    assert_order(&changes, "delete instances", "delete forwardingRules");
    assert_order(&changes, "delete backendServices", "delete addresses");
    assert_order(&changes, "delete addresses", "delete networks");
    it.assert_nothing_left();
}

/// Two clusters in one region, one's name a prefix of the other's, with objects of the same names within them.
const TWO_CLUSTERS: &str = r#"
variable "clusters" { type = set(string) }
variable "size" {
  type    = number
  default = 1
}
resource "multizone_cluster" "it" {
  for_each = var.clusters
  name     = each.key
  zones    = { "us-central1-a" = {} }
}
resource "multizone_control_plane" "it" {
  for_each           = var.clusters
  cluster            = multizone_cluster.it[each.key].name
  kubernetes_version = "1.34.1"
  machine_type       = "n1-standard-2"
  replicas           = { a = { zone = "us-central1-a" } }
}
resource "multizone_node_group" "it" {
  for_each           = var.clusters
  control_plane      = multizone_control_plane.it[each.key].id
  kubernetes_version = "1.34.1"
  name               = "pool"
  zone               = "us-central1-a"
  size               = each.key == "demo" ? var.size : 1
  machine_type       = "n1-standard-2"
}
resource "multizone_disk" "it" {
  for_each = var.clusters
  cluster  = multizone_cluster.it[each.key].name
  name     = "data"
  zone     = "us-central1-a"
  size_gb  = 5
}
"#;

#[test]
fn clusters_whose_names_begin_alike_never_touch_each_other() {
    if !installed("terraform") {
        return;
    }
    let both = r#"-var=clusters=["demo","demo-2"]"#;
    let second = r#"-var=clusters=["demo-2"]"#;
    let mut it = Watched::new(Workspace::of(TWO_CLUSTERS));
    it.apply(&[], &[both]);
    it.changes();

    let changes = it.apply(&[], &[both, "-var=size=2"]);
    assert_eq!(count(&changes, "insert instances demo-pool-"), 1);
    assert_eq!(changes.len(), 1, "{changes:?}");

    let changes = it.apply(&["-var=size=2"], &[second]);
    assert!(
        !changes.iter().any(|change| change.contains("demo-2")),
        "only demo goes:\n{}",
        changes.join("\n")
    );
    assert_eq!(count(&changes, "delete instances demo-"), 3);
    assert_eq!(count(&changes, "delete networks"), 1);
    assert_eq!(count(&changes, "delete disks demo-data"), 1);

    let status = it.workspace.status();
    let left = status["machines"].as_array().unwrap();
    assert!(
        left.iter()
            .all(|machine| machine["labels"]["multizone-cluster"] == "demo-2"),
        "{left:?}"
    );
    assert_eq!(left.len(), 2);
    it.destroy(&[second]);
    it.assert_nothing_left();
}
