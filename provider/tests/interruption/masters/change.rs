//! A change of a control plane: what Terraform does, object by object, and what comes of it when nothing goes wrong.

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use multizone_provider::configuration::{Configured, Destroy};
use multizone_schema::Diagnostics;
use serde_json::Value;
use tokio::net::TcpStream;

use super::api::Api;
use crate::{
    faults::Faults,
    terraform::Terraform,
    world::{Operation, World},
};

/// How long a region may take to be what it was before it was stopped.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where etcd's clients connect.
const ETCD: u16 = 2379;

/// A change, in the order of Terraform's graph.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) operations: Vec<Operation>,
}

impl Change {
    /// Runs it without a fault; asserts that the steps that were carried out are those that the plan showed, and returns
    /// what there is then.
    pub(crate) async fn undisturbed(&self, world: &mut World) -> String {
        world.settled().await;
        self.watched(world, &Faults::at(None)).await
    }

    /// The same, of a region as it is; what is done can be asked for.
    pub(crate) async fn watched(&self, world: &mut World, faults: &Arc<Faults>) -> String {
        let began = Instant::now();
        let done = world.run_all(&self.operations, faults).await;
        assert!(matches!(done, Some(Ok(()))), "{}: {done:?}", self.name);
        let steps = faults.planned();
        println!("{}: {} steps in {:?}", self.name, steps.len(), began.elapsed());
        assert_eq!(executed(faults), steps, "{}: executed, and planned", self.name);
        let found = world.try_to_converge_all(&self.operations).await;
        found.unwrap_or_else(|trouble| panic!("{}: {trouble}", self.name))
    }
}

/// The steps that were carried out.  Waiting changes nothing, and whether there is anything to wait for depends on how busy
/// the computer is.
fn executed(faults: &Faults) -> Vec<String> {
    let planned = faults.planned();
    let counts = |step: &String| !step.starts_with("wait until ") || planned.contains(step);
    faults.executed().into_iter().filter(counts).collect()
}

impl World {
    /// Waits until a region that was started again is what it was: its machines are up, and the balancer knows.
    pub(crate) async fn settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.region.lock().unwrap().status();
            let all = |list: &str, is: &dyn Fn(&Value) -> bool| status[list].as_array().unwrap().iter().all(is);
            let serves = |balancer: &Value| {
                let targets = balancer["targets"].as_array().unwrap();
                targets.iter().all(|target| target["health"] == "SERVING")
            };
            if all("machines", &|machine| machine["node_ready"] == true) && all("balancers", &serves) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the region does not come to rest: {status:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the computer keeps this file of the only machine that has it.
    pub(crate) fn file_of_a_machine(&self, path: &str) -> PathBuf {
        let mut found = Vec::new();
        let mut directories = vec![self.place()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                } else if entry.path().ends_with(path) {
                    found.push(entry.path());
                }
            }
        }
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Whether that machine has no power.
    pub(crate) fn is_off(&self, name: &str) -> bool {
        let status = self.region.lock().unwrap().status();
        let machines = status["machines"].as_array().unwrap();
        let found = machines.iter().find(|machine| machine["name"] == name);
        found.is_some_and(|machine| machine["status"] == "TERMINATED")
    }

    pub(crate) fn address_of_the_only_machine(&self) -> IpAddr {
        let status = self.region.lock().unwrap().status();
        assert_eq!(status["machines"].as_array().unwrap().len(), 1);
        status["machines"][0]["address"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until the only machine's etcd has ended.
    pub(crate) async fn until_etcd_has_ended(&self) {
        let address = self.address_of_the_only_machine();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((address, ETCD)).await.is_ok() {
            assert!(Instant::now() < deadline, "etcd goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The steps that a plan of this would show.
    pub(crate) async fn planned(&mut self, operation: &Operation) -> Vec<String> {
        let faults = Faults::at(None);
        let mut terraform = Terraform {
            provider: self.provider(),
            state: self.state(),
            faults: Arc::clone(&faults),
        };
        let pending = terraform.pending(operation.type_name, operation.config.as_ref()).await;
        pending.unwrap();
        faults.planned()
    }

    /// What a plan of this says beyond its steps.
    pub(crate) async fn foreseen(&mut self, operation: &Operation) -> Diagnostics {
        let mut terraform = Terraform {
            provider: self.provider(),
            state: self.state(),
            faults: Faults::at(None),
        };
        let foreseen = terraform.foreseen(operation.type_name, operation.config.as_ref()).await;
        foreseen.unwrap_or_else(|errors| panic!("it cannot be planned: {errors}"))
    }

    /// The provider as a process of its own.
    pub(crate) fn provider(&self) -> Configured {
        Configured::new(Arc::new(self.cloud.clone()), Destroy::default())
    }

    /// The cluster's API.
    pub(crate) async fn api(&self) -> Api {
        Api::of(&self.provider()).await
    }
}
