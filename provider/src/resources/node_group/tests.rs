//! What is refused by itself, and what changes in place.

use multizone_schema::Path;

use super::*;

fn group() -> NodeGroup {
    NodeGroup {
        control_plane: "us-central1/demo".into(),
        kubernetes_version: "1.34.1".into(),
        name: "pool".into(),
        zone: "us-central1-a".into(),
        size: 3,
        machine_type: "n1-standard-2".into(),
        ..blank()
    }
}

fn said(group: NodeGroup) -> String {
    NodeGroupResource.validate(&group.into()).to_string()
}

#[test]
fn a_replacement_needs_room() {
    assert_eq!(said(group()), "");
    assert!(
        said(NodeGroup {
            max_surge: 0,
            ..group()
        })
        .contains("at max_unavailable")
    );
    assert_eq!(
        said(NodeGroup {
            max_surge: 0,
            max_unavailable: 1,
            ..group()
        }),
        ""
    );
}

#[test]
fn names_are_short_enough_for_machines() {
    let name = "p".repeat(54);
    assert!(said(NodeGroup { name, ..group() }).contains("at name"));
}

#[test]
fn a_taint_is_given_once() {
    let taint = |value: &str| Taint {
        key: "k".into(),
        value: value.into(),
        effect: "NoSchedule".into(),
    };
    assert!(
        said(NodeGroup {
            taints: Some(vec![taint("a"), taint("b")]),
            ..group()
        })
        .contains("taints[1]")
    );
}

#[test]
fn a_control_plane_is_named_by_its_id() {
    let mut diagnostics = Diagnostics::new();
    control_plane_id(&"demo".into(), &Path::from("control_plane"), &mut diagnostics);
    assert!(diagnostics.to_string().contains("multizone_control_plane.NAME.id"));
}

mod in_a_region {
    use multizone_cloud::{Role, label};
    use multizone_planner::node_group::{Step, effect, preview};
    use multizone_schema::Planned;

    use super::*;
    use crate::resources::memory_cloud::{MemoryCloud, machine};

    fn planned(change: impl FnOnce(&mut NodeGroupPlanned)) -> NodeGroupPlanned {
        let mut planned = NodeGroupPlanned::from(group());
        planned.id = Planned::Unknown;
        planned.region = Planned::Unknown;
        planned.nodes = Planned::Unknown;
        planned.rollout = Planned::Unknown;
        change(&mut planned);
        planned
    }

    async fn plan(planned: NodeGroupPlanned) -> Planning<NodeGroup> {
        let (_, provider) = MemoryCloud::region();
        plan_in(&provider, None, planned).await
    }

    /// The plan of a group that is all there, or of a new one.
    async fn plan_in(
        provider: &Configured,
        prior: Option<&NodeGroup>,
        planned: NodeGroupPlanned,
    ) -> Planning<NodeGroup> {
        let config = planned.clone();
        let private = prior.map(|prior| {
            let wanted = worker::Wanted::of(&prior.clone().into()).unwrap();
            let desired = wanted.desired("us-central1", None, false);
            let mut observed = facts::nothing();
            for step in preview(&observed, &desired).steps {
                observed = effect(observed, &step, &desired);
            }
            facts::encode(&observed)
        });
        let request = PlanRequest {
            config: &config,
            prior,
            planned,
            prior_private: &private.unwrap_or_default(),
        };
        NodeGroupResource.plan(provider, request).await
    }

    #[tokio::test]
    async fn a_replacement_needs_addresses_for_its_surge() {
        let prior = NodeGroup {
            id: "us-central1/demo/pool".into(),
            region: "us-central1".into(),
            ..group()
        };
        let other_type = |max_surge, max_unavailable, size| {
            planned(|planned| {
                planned.machine_type = "n1-standard-4".into();
                planned.max_surge = Planned::Known(max_surge);
                planned.max_unavailable = Planned::Known(max_unavailable);
                planned.size = Planned::Known(size);
            })
        };
        let refused = async |free, wanted| {
            let (_, provider) = MemoryCloud::region_with_free_addresses(free);
            let said = plan_in(&provider, Some(&prior), wanted).await.diagnostics;
            let refused = said.has_errors();
            assert_eq!(refused, said.to_string().contains("Too few addresses"), "{said}");
            refused.then(|| said.to_string())
        };
        let said = refused(0, other_type(1, 0, 3)).await.unwrap();
        assert!(said.contains("at max_surge"), "{said}");
        assert!(
            said.contains("1 new machine is planned in zone us-central1-a of cluster demo, whose subnet has 0 free"),
            "{said}"
        );
        assert!(
            said.contains("Of these, 1 only while others are replaced: a node group with max_surge = 0"),
            "{said}"
        );
        assert_eq!(refused(1, other_type(1, 0, 3)).await, None);
        assert_eq!(refused(0, other_type(0, 1, 3)).await, None, "one goes first");
        assert!(refused(1, other_type(1, 0, 4)).await.unwrap().contains("at size"));
        assert_eq!(refused(2, other_type(1, 0, 4)).await, None);
        assert_eq!(refused(0, planned(|_| {})).await, None, "nothing is to be made");
    }

    #[tokio::test]
    async fn groups_that_are_replaced_at_the_same_time_need_addresses_together() {
        let (_, provider) = MemoryCloud::region_with_free_addresses(1);
        for (name, refused) in [("pool", false), ("other", true)] {
            let prior = NodeGroup {
                name: name.into(),
                ..group()
            };
            let wanted = planned(|planned| {
                planned.name = name.into();
                planned.machine_type = "n1-standard-4".into();
            });
            let said = plan_in(&provider, Some(&prior), wanted).await.diagnostics;
            assert_eq!(said.has_errors(), refused, "{name}: {said}");
        }
    }

    #[tokio::test]
    async fn a_plan_shows_every_step() {
        let planning = plan(planned(|_| {})).await;
        assert!(planning.diagnostics.is_empty(), "{}", planning.diagnostics);
        let rollout = planning.planned.rollout.into_known().unwrap();
        let rollout: Vec<String> = rollout.into_iter().filter_map(Planned::into_known).collect();
        assert_eq!(rollout.len(), 2);
        assert!(rollout[0].starts_with("1. create workers demo-pool-{"), "{rollout:?}");
        assert!(
            rollout[1].starts_with("2. wait until workers demo-pool-{"),
            "{rollout:?}"
        );
    }

    #[tokio::test]
    async fn steps_are_known_after_apply_when_the_cluster_is() {
        let planning = plan(planned(|planned| planned.control_plane = Planned::Unknown)).await;
        assert!(planning.diagnostics.is_empty());
        assert!(planning.planned.rollout.is_unknown());
    }

    #[tokio::test]
    async fn what_the_region_does_not_offer_is_refused_at_plan() {
        let said = plan(planned(|planned| planned.zone = "europe-west1-b".into()))
            .await
            .diagnostics
            .to_string();
        assert!(
            said.contains("at zone") && said.contains("us-central1-a, us-central1-b"),
            "{said}"
        );
        let said = plan(planned(|planned| planned.machine_type = "q9-huge".into()))
            .await
            .diagnostics
            .to_string();
        assert!(
            said.contains("at machine_type") && said.contains("us-central1-a"),
            "{said}"
        );
        let said = plan(planned(|planned| planned.control_plane = "asia-east1/demo".into()))
            .await
            .diagnostics;
        assert!(said.to_string().contains("at control_plane"), "{said}");
    }

    #[tokio::test]
    async fn teardown_without_a_control_plane_deletes_this_groups_workers_and_no_others() {
        let (cloud, provider) = MemoryCloud::region();
        let worker = |name: &str, group: &str| {
            let labels = [(label::ROLE, Role::Worker.as_str()), (label::NODE_GROUP, group)];
            machine(
                "us-central1-a",
                name,
                labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            )
        };
        cloud.tamper(|inventory| {
            inventory.machines = vec![worker("demo-pool-a", "pool"), worker("demo-pool-2-a", "pool-2")];
        });
        NodeGroupResource
            .delete(&provider, group(), Vec::new(), &Stop::new())
            .await
            .unwrap();
        let left: Vec<String> = cloud.all().machines.into_iter().map(|machine| machine.name).collect();
        assert_eq!(
            left,
            ["demo-pool-2-a"],
            "a group whose name begins alike is another group"
        );
    }

    #[tokio::test]
    async fn a_drain_fails_closed_while_the_master_is_halted() {
        let (cloud, provider) = MemoryCloud::region();
        let labels = |role: Role| {
            let labels = [(label::ROLE, role.as_str()), (label::NODE_GROUP, "pool")];
            labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
        };
        cloud.tamper(|inventory| {
            let mut master = machine("us-central1-a", "demo-master-a", labels(Role::Master));
            master.state = multizone_cloud::MachineState::Halted;
            inventory.machines = vec![master, machine("us-central1-a", "demo-pool-a", labels(Role::Worker))];
        });
        let failed = NodeGroupResource
            .delete(&provider, group(), Vec::new(), &Stop::new())
            .await
            .unwrap_err();
        assert!(
            failed.to_string().contains("master demo-master-a is halted"),
            "{failed}"
        );
        assert_eq!(cloud.all().machines.len(), 2, "nothing was deleted");
    }

    #[tokio::test]
    async fn a_machine_that_another_cluster_has_is_not_touched() {
        let (_, provider) = MemoryCloud::region();
        let wanted = worker::Wanted::of(&group().into()).unwrap();
        let desired = wanted.desired("us-central1", None, false);
        let stop = Stop::new();
        let deadline = tokio::time::Instant::now();
        let situation = Situation {
            doing: "update node group pool",
            left: CONTINUED,
        };
        let executor = executor::Executor::new(&provider, wanted, desired, deadline, &stop, situation);
        let of = |name: &str, cluster: &str| {
            let labels = [(label::CLUSTER.to_owned(), cluster.to_owned())];
            machine("us-central1-a", name, labels.into())
        };
        let inventory = multizone_cloud::Inventory {
            machines: vec![of("demo-pool-a", "demo"), of("demo-pool-b", "other")],
            ..multizone_cloud::Inventory::default()
        };
        let check = |step: Step| executor.check_taken(&step, &inventory);
        let (ours, both) = (["demo-pool-a"], ["demo-pool-a", "demo-pool-b"]);
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for step in [
            Step::Cordon,
            Step::Drain,
            Step::DeleteMachines,
            Step::Relabel,
            Step::StartMachines,
        ] {
            assert!(check(step(named(&ours))).is_ok());
            let said = check(step(named(&both))).unwrap_err().to_string();
            assert!(
                said.contains("demo-pool-b in us-central1-a belongs to cluster other now"),
                "{said}"
            );
            assert!(said.contains("delete its Node"), "{said}");
        }
        // Its Node is still the cluster's.
        assert!(check(Step::Patch(named(&both))).is_ok());
    }
}
