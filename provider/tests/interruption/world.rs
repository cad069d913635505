//! A region, Terraform's state of it, and what must be true after every interruption.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use multizone_cloud::{AddressSpec, Cloud, ClusterName, DiskSpec, Labels, NetworkSpec, Performance, SecretSpec, label};
use multizone_cloud_compute_engine::ComputeEngine;
use multizone_provider::configuration::{Configured, Destroy};
use multizone_sandbox::process::Etcd;
use multizone_schema::Diagnostics;
use serde_json::Value;
use tempfile::TempDir;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    cloud::Interrupted,
    faults::{Call, Faults, KubernetesCalls, Point, STEP, moments, until_killed},
    region::{self, Region},
    terraform::{State, Terraform},
};

/// How long a cluster may take to answer after its sandbox was started again.
const PATIENCE: Duration = Duration::from_mins(1);

/// A region at rest, and the state of what is in it.
pub(crate) struct Snapshot {
    directory: TempDir,
    state: State,
    cloud: ComputeEngine,
    etcd: Option<Etcd>,
}

/// A region at work.
pub(crate) struct World {
    pub(crate) region: Arc<Mutex<Region>>,
    state: State,
    directory: TempDir,
    /// Copies of a region listen where it did, so that one client serves them all.
    pub(crate) cloud: ComputeEngine,
    etcd: Option<Etcd>,
}

/// An operation on one object; `config` is `None` when it is to be destroyed.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) config: Option<Value>,
}

impl Snapshot {
    /// A region that holds nothing but what belongs to others.
    pub(crate) async fn of_an_empty_region() -> Self {
        Self::of_an_empty_region_on(None).await
    }

    /// The same, whose masters run that etcd.
    pub(crate) async fn of_an_empty_region_on(etcd: Option<Etcd>) -> Self {
        let directory = tempfile::Builder::new().prefix("mz").tempdir().unwrap();
        let region = Region::start(&directory.path().join("region"), etcd.clone());
        let cloud = ComputeEngine::connect(region.settings()).await.unwrap();
        let world = World {
            region: Arc::new(Mutex::new(region)),
            state: State::new(),
            directory,
            cloud,
            etcd,
        };
        world.others().await;
        world.freeze()
    }

    /// This region with one more object.
    pub(crate) async fn with(&self, type_name: &'static str, config: &Value) -> Self {
        let mut world = self.thaw();
        let operation = Operation {
            name: "prepare",
            type_name,
            config: Some(config.clone()),
        };
        world.converge(&operation).await;
        world.freeze()
    }

    /// This region, where the next apply replaces the object of that type: somebody has tainted it, or says -replace.
    pub(crate) fn replacing(&self, type_name: &str) -> Self {
        let mut world = self.thaw();
        world.taint(type_name, true);
        world.freeze()
    }

    pub(crate) fn thaw(&self) -> World {
        let directory = tempfile::Builder::new().prefix("mz").tempdir().unwrap();
        let place: PathBuf = directory.path().join("region");
        region::copy(&self.directory.path().join("region"), &place).unwrap();
        World {
            region: Arc::new(Mutex::new(Region::start(&place, self.etcd.clone()))),
            state: self.state.clone(),
            directory,
            cloud: self.cloud.clone(),
            etcd: self.etcd.clone(),
        }
    }
}

impl World {
    pub(crate) fn freeze(self) -> Snapshot {
        self.region.lock().unwrap().kill();
        Snapshot {
            directory: self.directory,
            state: self.state,
            cloud: self.cloud,
            etcd: self.etcd,
        }
    }

    /// What is not ours: another cluster whose name begins like ours, with a disk, and nobody's disk.
    async fn others(&self) {
        let cloud = &self.cloud;
        let cluster = ClusterName::new("demo-2");
        let labels = Labels::from([(label::CLUSTER.to_owned(), "demo-2".to_owned())]);
        let network = NetworkSpec {
            cluster: cluster.clone(),
            cidr: None,
            zones: vec![("us-central1-a".to_owned(), None)],
            existing: None,
            labels: labels.clone(),
        };
        cloud.ensure_network(&network).await.unwrap();
        let address = AddressSpec {
            cluster: cluster.clone(),
            name: "api".to_owned(),
            labels: labels.clone(),
        };
        cloud.ensure_address(&address).await.unwrap();
        let secret = SecretSpec {
            cluster: cluster.clone(),
            name: "multizone-us-central1-demo-2-keys".to_owned(),
            content: b"theirs".to_vec(),
            labels: labels.clone(),
        };
        cloud.ensure_secret(&secret).await.unwrap();
        let disk = DiskSpec {
            cluster,
            name: "demo-2-data".to_owned(),
            zone: "us-central1-a".to_owned(),
            size_gb: 7,
            disk_type: "pd-balanced".to_owned(),
            performance: Performance::default(),
            snapshot: None,
            labels: Labels::from([
                (label::CLUSTER.to_owned(), "demo-2".to_owned()),
                (label::DISK.to_owned(), "data".to_owned()),
                (label::CREATING.to_owned(), "true".to_owned()),
            ]),
        };
        cloud.ensure_disk(&disk).await.unwrap();
    }

    /// A run of Terraform with a new process of the provider.
    pub(crate) async fn run(&mut self, operation: &Operation, faults: &Arc<Faults>) -> Option<Result<(), Diagnostics>> {
        self.run_all(std::slice::from_ref(operation), faults).await
    }

    /// A run of Terraform on one object, with these settings for what is destroyed.
    pub(crate) async fn run_with(&mut self, operation: &Operation, destroy: Destroy) -> Result<(), Diagnostics> {
        let mut terraform = Terraform {
            provider: Configured::new(Arc::new(self.cloud.clone()), destroy),
            state: &mut self.state,
            faults: Faults::at(None),
        };
        terraform.apply(operation.type_name, operation.config.as_ref()).await
    }

    /// A run of Terraform over several objects, in the order of its graph, to the first error.
    pub(crate) async fn run_all(
        &mut self,
        operations: &[Operation],
        faults: &Arc<Faults>,
    ) -> Option<Result<(), Diagnostics>> {
        let cloud = Interrupted {
            cloud: self.cloud.clone(),
            faults: Arc::clone(faults),
            region: Arc::clone(&self.region),
        };
        let calls = KubernetesCalls {
            faults: Arc::clone(faults),
            region: Arc::clone(&self.region),
        };
        // Of this thread, with all tasks on it: one run at a time on each.
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(calls));
        let mut terraform = Terraform {
            provider: Configured::new(Arc::new(cloud), Destroy::default()),
            state: &mut self.state,
            faults: Arc::clone(faults),
        };
        let apply = async {
            for operation in operations {
                terraform.apply(operation.type_name, operation.config.as_ref()).await?;
            }
            Ok(())
        };
        until_killed(faults, apply).await
    }

    /// Applies, looks again, and finds nothing left to do; returns what there is then.
    pub(crate) async fn converge(&mut self, operation: &Operation) -> String {
        self.try_to_converge(operation)
            .await
            .unwrap_or_else(|trouble| panic!("{}: {trouble}", operation.name))
    }

    pub(crate) async fn try_to_converge(&mut self, operation: &Operation) -> Result<String, String> {
        self.try_to_converge_all(std::slice::from_ref(operation)).await
    }

    /// The same, of several objects.
    pub(crate) async fn try_to_converge_all(&mut self, operations: &[Operation]) -> Result<String, String> {
        let faults = Faults::at(None);
        match self.run_all(operations, &faults).await {
            Some(Ok(())) => {}
            Some(Err(errors)) => return Err(format!("the next apply failed: {errors}")),
            None => return Err("the next apply was killed".to_owned()),
        }
        let began = Instant::now();
        for look in 1.. {
            for operation in operations {
                self.nothing_to_do(operation, look).await?;
            }
            // A cluster whose sandbox was started again takes its time to answer.
            let answers = !self.node_states().iter().any(|state| state == "unknown");
            if look >= 2 && (answers || began.elapsed() > PATIENCE) {
                break;
            }
        }
        Ok(self.everything())
    }

    /// Refuses a plan that is not empty.
    async fn nothing_to_do(&mut self, operation: &Operation, look: usize) -> Result<(), String> {
        let mut terraform = Terraform {
            provider: Configured::new(Arc::new(self.cloud.clone()), Destroy::default()),
            state: &mut self.state,
            faults: Faults::at(None),
        };
        let pending = terraform
            .pending(operation.type_name, operation.config.as_ref())
            .await
            .map_err(|errors| format!("plan {look} after it failed: {errors}"))?;
        if pending.is_empty() {
            return Ok(());
        }
        Err(format!(
            "plan {look} after it is not empty, it changes {}: {:#?}",
            pending.join(", "),
            self.state.get(operation.type_name)
        ))
    }

    /// Looks until two looks in a row leave the same private data; nothing in a region that is left alone changes it.
    pub(crate) async fn settle_private_data(&mut self, operation: &Operation) -> Result<(), String> {
        const LOOKS: usize = 10;
        let mut before = self.private_data(operation);
        for _ in 0..LOOKS {
            let mut terraform = Terraform {
                provider: Configured::new(Arc::new(self.cloud.clone()), Destroy::default()),
                state: &mut self.state,
                faults: Faults::at(None),
            };
            let pending = terraform.pending(operation.type_name, operation.config.as_ref()).await;
            pending.map_err(|errors| format!("a look failed: {errors}"))?;
            let now = self.private_data(operation);
            if now == before {
                return Ok(());
            }
            before = now;
        }
        Err(format!(
            "{LOOKS} looks each left other private data, the last one {before}"
        ))
    }

    fn private_data(&self, operation: &Operation) -> String {
        let saved = self.state.get(operation.type_name);
        saved.map_or_else(String::new, |saved| {
            String::from_utf8_lossy(&saved.private).into_owned()
        })
    }

    /// What there is, whoever's it is, without what differs from run to run.
    pub(crate) fn everything(&self) -> String {
        let status = self.region.lock().unwrap().status();
        let mut lines = BTreeSet::new();
        let mut line = |kind: &str, number: usize, text: String| {
            let mut line = format!("{kind} {text}");
            // Equal workers are told apart by nothing but their number.
            while lines.contains(&line) {
                let _ = write!(line, " (and {number})");
            }
            lines.insert(line);
        };
        let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
        for (number, it) in list("machines").into_iter().enumerate() {
            let mut labels = it["labels"].clone();
            if let Some(labels) = labels.as_object_mut() {
                // A time: until when the machine could join.
                labels.remove("multizone-joining-until");
            }
            let what = format!("{} {} {} {labels}", it["zone"], it["type"], it["status"]);
            line("machine", number.min(1), what);
        }
        for (number, it) in list("disks").into_iter().enumerate() {
            let what = if it["boot"] == true {
                format!("boot {} {}", it["zone"], it["size_gb"])
            } else {
                it.to_string()
            };
            line("disk", number.min(1), what);
        }
        for kind in ["addresses", "networks", "snapshots", "secrets"] {
            for it in list(kind) {
                // Who was killed while it changed the masters leaves its notice: the next one takes it over, and the last
                // goes with the cluster.
                if it.as_str().is_some_and(|name| name.ends_with("-demo-turn")) {
                    continue;
                }
                let what = match kind {
                    "addresses" => format!("{} {} {}", it["name"], unnumbered(&it["machine"]), it["balancer"]),
                    _ => it.to_string(),
                };
                line(kind, 1, what);
            }
        }
        for it in list("balancers") {
            let targets = it["targets"].as_array().cloned().unwrap_or_default();
            let target = |it: &Value| format!("{} {} {}", it["zone"], unnumbered(&it["machine"]), it["health"]);
            let targets: BTreeSet<String> = targets.iter().map(target).collect();
            line(
                "balancer",
                1,
                format!("{} {} {targets:?}", it["name"], it["forwarding_rule"]),
            );
        }
        for state in self.node_states() {
            line("node", 1, state);
        }
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }
}

impl World {
    /// Where the region keeps what is on its machines.
    pub(crate) fn place(&self) -> PathBuf {
        self.directory.path().join("region")
    }

    /// Terraform's state.
    pub(crate) fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// Taints an object that Terraform has in its state, or untaints it.
    pub(crate) fn taint(&mut self, type_name: &str, tainted: bool) {
        if let Some(saved) = self.state.get_mut(type_name) {
            saved.tainted = tainted;
        }
    }

    /// How the state shows the nodes.
    fn node_states(&self) -> Vec<String> {
        let nodes = |saved: &crate::terraform::Saved| saved.value.attribute("nodes")?.as_map().cloned();
        let state = |node: &multizone_schema::Value| node.attribute("state")?.as_str().map(str::to_owned);
        let all = self.state.values().filter_map(nodes).flatten();
        all.map(|(_, node)| state(&node).unwrap_or_default()).collect()
    }
}

/// The name of a machine without the number that it has when another one had its name before.
fn unnumbered(machine: &Value) -> String {
    let name = machine.as_str().unwrap_or_default();
    match name.rsplit_once('-') {
        Some((name, number)) if number.parse::<u32>().is_ok() => name.to_owned(),
        _ => name.to_owned(),
    }
}

/// Interrupts an operation at every point there is, each time on a region of its own; returns how many points that were.
pub(crate) async fn interrupt_everywhere(before: &Snapshot, operation: &Operation) -> usize {
    let mut world = before.thaw();
    let faults = Faults::at(None);
    let done = world.run(operation, &faults).await;
    assert!(matches!(done, Some(Ok(()))), "{}: {done:?}", operation.name);
    let calls = faults.calls();
    let expected = world.converge(operation).await;
    drop(world);

    let mut covered = 0;
    let mut troubles = Vec::new();
    for point in points(&calls) {
        let mut world = before.thaw();
        let faults = Faults::at(Some(point.clone()));
        let ended = world.run(operation, &faults).await;
        if faults.hit() {
            covered += 1;
        }
        match world.try_to_converge(operation).await {
            Ok(found) if found == expected => {}
            Ok(found) => troubles.push(format!("{point}: there is\n{found}\ninstead of\n{expected}")),
            Err(trouble) => troubles.push(format!("{point} (which ended it with {ended:?}): {trouble}")),
        }
    }
    report(operation.name, covered);
    assert!(
        troubles.is_empty(),
        "{}: {} of {covered} interruptions did not heal:\n{}",
        operation.name,
        troubles.len(),
        troubles.join("\n\n")
    );
    covered
}

/// Prints how many points were covered, and leaves it where `make test` adds them up.
pub(crate) fn report(name: &str, covered: usize) {
    let line = format!("interruption: {name}: {covered} points\n");
    print!("{line}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.work/interruption");
    let file = directory.join(format!("{}.txt", name.replace([' ', ','], "-")));
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(file, line))
        .unwrap_or_else(|error| println!("the number of points is not kept: {error}"));
}

/// Every point in these calls. A look at the Kubernetes API is interrupted once, however often it is repeated.
fn points(calls: &[Call]) -> Vec<Point> {
    let mut points = Vec::new();
    for call in calls {
        let (name, count) = call;
        // The kill before a step is the kill before its first call.
        let moments = if (name.starts_with("GET") && *count > 1) || name.starts_with(STEP) {
            &[]
        } else {
            moments(name)
        };
        points.extend(moments.iter().map(|moment| Point {
            call: call.clone(),
            moment: *moment,
        }));
    }
    points
}
