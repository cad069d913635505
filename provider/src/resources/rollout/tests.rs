//! Steps on a region in memory.

use std::collections::BTreeMap;

use multizone_cloud::{AddressHolder, AddressSpec, Cloud as _, TargetHealth};
use multizone_planner::cluster::{Cloud, Endpoint};

use super::*;
use crate::resources::{
    memory_cloud::MemoryCloud,
    world::{
        Seen,
        tests::{Answers, master},
    },
};

const A: &str = "us-central1-a";
const CLOUD: Cloud = Cloud {
    endpoint: Endpoint::Address,
    zonal_subnets: false,
};

struct Region {
    cloud: std::sync::Arc<MemoryCloud>,
    provider: Configured,
    cluster: ClusterName,
    stop: Stop,
}

impl Region {
    /// One master that serves and holds the address, and a balancer over its zone.
    async fn new() -> Self {
        let (cloud, provider) = MemoryCloud::region();
        let cluster = ClusterName::new("demo");
        let spec = AddressSpec {
            cluster: cluster.clone(),
            name: "api".into(),
            labels: Labels::new(),
        };
        cloud.ensure_address(&spec).await.unwrap();
        cloud.tamper(|inventory| inventory.machines.push(master(A, "a")));
        let holder = AddressHolder::Machine {
            zone: A.into(),
            name: "demo-master-a".into(),
        };
        cloud.attach_address(&cluster, "api", &holder).await.unwrap();
        Self {
            cloud,
            provider,
            cluster,
            stop: Stop::new(),
        }
    }

    fn traffic<'a>(&'a self, asks: &'a Answers) -> Traffic<'a> {
        Traffic {
            provider: &self.provider,
            cluster: &self.cluster,
            balancer: Some("api"),
            labels: None,
            asks,
            patience: Duration::ZERO,
            deadline: Instant::now() + Duration::from_mins(1),
            stop: &self.stop,
            situation: Situation {
                doing: "update the control plane of cluster demo",
                left: "",
            },
        }
    }

    fn world(&self) -> World {
        let inventory = self.cloud.all();
        let seen = Seen {
            inventory: &inventory,
            region: &[],
            spanned: None,
            balancer: Some("api"),
        };
        let mut world = seen.world(CLOUD);
        for machine in world.machines.values_mut() {
            machine.api = multizone_planner::cluster::ApiServer::Serving;
        }
        world
    }

    async fn carry_out(&self, step: Step, answers: &[bool]) -> Outcome {
        let asks = Answers::new(&[], answers);
        self.traffic(&asks).carry_out(&step, &self.world()).await.unwrap()
    }

    fn holder(&self) -> Holder {
        self.world().address.holder
    }
}

const MASTER: &str = "demo-master-a";

#[tokio::test]
async fn a_master_goes_behind_a_new_balancer_which_takes_the_address_and_gives_it_back() {
    let region = Region::new().await;
    for step in [
        Step::CreateBalancer,
        Step::Span(A.into()),
        Step::Register(MASTER.into()),
    ] {
        assert_eq!(region.carry_out(step, &[]).await, Outcome::Done);
    }
    let made = region.cloud.all().balancers[0].clone();
    assert_eq!(made.target(A, MASTER).unwrap().health, TargetHealth::Serving);
    assert_eq!(made.labels[multizone_cloud::label::CLUSTER], "demo");

    let master = Holder::Machine(MASTER.into());
    let over = Step::HandOver(master.clone(), Holder::Balancer);
    assert_eq!(region.carry_out(over.clone(), &[true]).await, Outcome::Done);
    assert_eq!(region.holder(), Holder::Balancer);
    assert_eq!(
        region.carry_out(over, &[true]).await,
        Outcome::Done,
        "once more is no harm"
    );

    let back = Step::HandOver(Holder::Balancer, master.clone());
    assert_eq!(region.carry_out(back, &[true]).await, Outcome::Done);
    assert_eq!(region.holder(), master);
    for step in [
        Step::Deregister(MASTER.into()),
        Step::Unspan(A.into()),
        Step::DeleteBalancer,
    ] {
        assert_eq!(region.carry_out(step, &[]).await, Outcome::Done);
    }
    assert!(region.cloud.all().balancers.is_empty());
}

#[tokio::test]
async fn an_address_that_does_not_answer_goes_back_only_to_who_serves() {
    let region = Region::new().await;
    for step in [
        Step::CreateBalancer,
        Step::Span(A.into()),
        Step::Register(MASTER.into()),
    ] {
        region.carry_out(step, &[]).await;
    }
    let over = Step::HandOver(Holder::Machine(MASTER.into()), Holder::Balancer);
    assert_eq!(
        region.carry_out(over, &[false]).await,
        Outcome::Failed(Holder::Balancer)
    );
    assert_eq!(region.holder(), Holder::Machine(MASTER.into()));

    let gone = Step::HandOver(Holder::Machine("demo-master-x".into()), Holder::Balancer);
    assert_eq!(region.carry_out(gone, &[false]).await, Outcome::Done);
    assert_eq!(region.holder(), Holder::Balancer, "nobody else could take it");

    let back = Step::RollBack(Holder::Balancer, Holder::Machine(MASTER.into()));
    assert_eq!(region.carry_out(back, &[]).await, Outcome::Failed(Holder::Balancer));
    assert_eq!(
        region
            .carry_out(Step::Release(Holder::Machine(MASTER.into())), &[])
            .await,
        Outcome::Done
    );
    assert_eq!(region.holder(), Holder::Nobody);
    assert_eq!(region.carry_out(Step::BackUp, &[]).await, Outcome::NotMine);
}

#[tokio::test]
async fn a_target_that_does_not_become_healthy_is_said_to_be_so() {
    let region = Region::new().await;
    for step in [Step::CreateBalancer, Step::Span(A.into())] {
        region.carry_out(step, &[]).await;
    }
    region
        .cloud
        .tamper(|inventory| inventory.machines[0].state = multizone_cloud::MachineState::Halted);
    let asks = Answers::new(&[], &[]);
    let traffic = Traffic {
        deadline: Instant::now() + Duration::from_millis(50),
        ..region.traffic(&asks)
    };
    let error = traffic
        .carry_out(&Step::Register(MASTER.into()), &region.world())
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("demo-master-a in us-central1-a to serve behind balancer api: it is unhealthy"),
        "{error}"
    );
    assert!(error.contains("/readyz"), "{error}");
    let zones: BTreeMap<_, _> = region.world().zones;
    assert!(zones.is_empty(), "no zone of the region was named");
}
