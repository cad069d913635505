//! Health checks, instance groups, backend services, forwarding rules and their targets.

use super::*;
use crate::core::balancers::backend_services::{BackendServiceSettings, NewBackend};
use crate::core::balancers::forwarding_rules::{NewForwardingRule, WantedAddress};
use crate::core::balancers::health_checks::HealthCheckSettings;
use crate::core::balancers::instance_groups::NewInstanceGroup;
use crate::core::balancers::records::{Ports, Protocol};
use multizone_sandbox_data_plane::TargetState;
use std::net::Ipv4Addr;

const SERVICE: &str = "us-central1/lb";

fn https() -> HealthCheckSettings {
    HealthCheckSettings {
        protocol: Some(Protocol::Https),
        port: Some(6443),
        request_path: Some("/readyz".to_owned()),
        ..HealthCheckSettings::default()
    }
}

fn group(zone: &str) -> NewInstanceGroup {
    NewInstanceGroup {
        name: "lb".to_owned(),
        zone: zone.to_owned(),
        ..NewInstanceGroup::default()
    }
}

fn backend(zone: &str) -> NewBackend {
    NewBackend {
        group: (Some(zone.to_owned()), "lb".to_owned()),
        balancing_mode: Some("CONNECTION".to_owned()),
        description: String::new(),
    }
}

fn service(zones: &[&str]) -> BackendServiceSettings {
    BackendServiceSettings {
        scheme: Some("EXTERNAL".to_owned()),
        protocol: Some("TCP".to_owned()),
        backends: Some(zones.iter().map(|zone| backend(zone)).collect()),
        health_checks: Some(vec![(Some(REGION.to_owned()), "lb".to_owned())]),
        draining_timeout_sec: Some(60),
        ..BackendServiceSettings::default()
    }
}

fn rule(address: Option<Ipv4Addr>) -> NewForwardingRule {
    NewForwardingRule {
        name: "lb".to_owned(),
        region: REGION.to_owned(),
        scheme: Some("EXTERNAL".to_owned()),
        protocol: Some("TCP".to_owned()),
        address: address.map(WantedAddress::Literal),
        ports: Some(Ports::Listed(vec![6443])),
        backend_service: Some((Some(REGION.to_owned()), "lb".to_owned())),
        ..NewForwardingRule::default()
    }
}

fn named(name: &str) -> Vec<(Option<String>, String)> {
    vec![(None, name.to_owned())]
}

impl Bench {
    /// Two zones, a group in each, a service over them, an address; no rule yet. Answers the address.
    fn balancer(&mut self) -> Ipv4Addr {
        self.machine(A, "m");
        self.machine(B, "n");
        self.done(|it| it.insert_address(address("api")));
        self.done(|it| it.insert_health_check(REGION, "lb", https()));
        for zone in [A, B] {
            self.done(|it| it.insert_instance_group(group(zone)));
        }
        self.done(|it| it.insert_backend_service(REGION, "lb", service(&[A, B])));
        self.core.state().addresses()["us-central1/api"].address
    }

    fn add(&mut self, zone: &str, name: &str) {
        self.done(|it| it.add_to_instance_group(zone, "lb", &named(name)));
    }

    fn healthy(&mut self, machine: &str, healthy: bool) {
        self.ask(|it| {
            it.find_health(SERVICE, machine, healthy);
            Ok(())
        })
        .unwrap();
    }

    /// What the data plane hears of the address's targets.
    fn targets(&self, address: Ipv4Addr) -> Option<BTreeMap<String, TargetState>> {
        let topology = view::topology(self.core.state());
        topology.balancers.get(&address).map(|it| it.targets.clone())
    }

    fn verbs(&self) -> Vec<String> {
        let events = self.core.events(0, 1000).unwrap();
        events.into_iter().map(|event| event.verb).collect()
    }
}

#[test]
fn a_rule_puts_its_address_in_front_of_the_targets_when_it_is_made_and_until_it_is_gone() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    bench.add(A, "m");
    bench.ask(|it| it.insert_forwarding_rule(rule(Some(address)))).unwrap();
    assert_eq!(bench.targets(address), None, "it takes time");
    assert_eq!(
        bench.core.state().addresses()["us-central1/api"].forwarding_rule(),
        Some(SERVICE)
    );
    bench.pass(6);
    let seen = |state: TargetState| Some(BTreeMap::from([("us-central1-a/m".to_owned(), state)]));
    assert_eq!(bench.targets(address), seen(TargetState::Unhealthy));
    bench.healthy("us-central1-a/m", true);
    assert_eq!(bench.targets(address), seen(TargetState::Serving));
    bench.healthy("us-central1-a/m", false);
    assert_eq!(bench.targets(address), seen(TargetState::Unhealthy));

    bench.ask(|it| it.delete_forwarding_rule(REGION, "lb")).unwrap();
    assert_eq!(bench.targets(address), seen(TargetState::Unhealthy));
    bench.pass(6);
    assert_eq!(bench.targets(address), None);
    assert_eq!(bench.core.state().addresses()["us-central1/api"].user, None);
    bench.done(|it| it.delete_address(REGION, "api"));
}

#[test]
fn an_address_is_a_machines_or_a_balancers() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    let access = NewAccess {
        name: None,
        address: Some(address.to_string()),
    };
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    let mut second = rule(Some(address));
    second.name = "other".to_owned();
    assert!(
        bench
            .refused(|it| it.insert_forwarding_rule(second))
            .message
            .contains("in-use")
    );
    assert_eq!(
        bench.refused(|it| it.delete_address(REGION, "api")).reason,
        "resourceInUseByAnotherResource"
    );
    bench.done(|it| it.delete_access_config(A, "m", "nic0", "External NAT"));
    let refusal = bench.refused(|it| it.add_access_config(A, "m", "nic0", &access));
    assert!(refusal.message.contains("forwardingRules/lb"), "{refusal}");

    // Handed over from the balancer to the machine, and back.
    bench.done(|it| it.delete_forwarding_rule(REGION, "lb"));
    bench.done(|it| it.add_access_config(A, "m", "nic0", &access));
    let refusal = bench.refused(|it| it.insert_forwarding_rule(rule(Some(address))));
    assert!(refusal.message.contains("instances/m"), "{refusal}");
    bench.done(|it| it.delete_access_config(A, "m", "nic0", "External NAT"));
    let mut by_name = rule(None);
    by_name.address = Some(WantedAddress::Reserved("us-central1/api".to_owned()));
    bench.done(|it| it.insert_forwarding_rule(by_name));

    let unreserved = bench.refused(|it| {
        it.insert_forwarding_rule(NewForwardingRule {
            name: "x".to_owned(),
            ..rule(Some(Ipv4Addr::new(127, 9, 240, 77)))
        })
    });
    assert!(unreserved.message.contains("not a reserved one"), "{unreserved}");
}

#[test]
fn an_ephemeral_address_of_a_rule_is_nobody_elses() {
    let mut bench = Bench::new();
    bench.balancer();
    bench.done(|it| it.insert_forwarding_rule(rule(None)));
    let taken = bench.core.state().forwarding_rules()[SERVICE].address;
    bench.done(|it| it.insert_address(address("next")));
    assert_ne!(bench.core.state().addresses()["us-central1/next"].address, taken);
    let mut wanted = address("same");
    wanted.address = Some(taken.to_string());
    assert!(bench.refused(|it| it.insert_address(wanted)).message.contains("in-use"));
}

#[test]
fn what_is_in_use_stays() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    for (refusal, user) in [
        (
            bench.refused(|it| it.delete_health_check(REGION, "lb")),
            "backendServices/lb",
        ),
        (
            bench.refused(|it| it.delete_instance_group(A, "lb")),
            "backendServices/lb",
        ),
        (
            bench.refused(|it| it.delete_backend_service(REGION, "lb")),
            "forwardingRules/lb",
        ),
    ] {
        assert_eq!(refusal.reason, "resourceInUseByAnotherResource");
        assert!(refusal.message.contains(user), "{refusal}");
    }
    bench.done(|it| it.delete_forwarding_rule(REGION, "lb"));
    bench.done(|it| it.delete_backend_service(REGION, "lb"));
    bench.done(|it| it.delete_instance_group(A, "lb"));
    bench.done(|it| it.delete_instance_group(B, "lb"));
    bench.done(|it| it.delete_health_check(REGION, "lb"));
    assert!(bench.core.state().targets().is_empty());
}

#[test]
fn a_network_with_groups_stays() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_network(network("demo")));
    let mut new = group(A);
    new.network = Some("demo".to_owned());
    bench.done(|it| it.insert_instance_group(new));
    let refusal = bench.refused(|it| it.delete_network("demo"));
    assert!(refusal.message.contains("instanceGroups/lb"), "{refusal}");
    bench.done(|it| it.delete_instance_group(A, "lb"));
    bench.done(|it| it.delete_network("demo"));
}

#[test]
fn a_group_has_machines_of_its_zone_and_network_each_once() {
    let mut bench = Bench::new();
    bench.balancer();
    bench.add(A, "m");
    let add = |bench: &mut Bench, machines: Vec<(Option<String>, String)>| {
        bench.refused(move |it| it.add_to_instance_group(A, "lb", &machines))
    };
    assert_eq!(add(&mut bench, named("m")).reason, "memberAlreadyExists");
    assert_eq!(add(&mut bench, named("nobody")).reason, "notFound");
    let other_zone = vec![(Some(B.to_owned()), "n".to_owned())];
    assert!(add(&mut bench, other_zone).message.contains("is in the zone"));
    bench.done(|it| it.insert_network(network("other")));
    bench.done(|it| it.insert_subnetwork(subnetwork("other", "other", "127.9.64.0/24")));
    bench.done(|it| {
        it.insert_instance(NewInstance {
            subnetwork: Some((None, "other".to_owned())),
            ..machine(A, "stranger")
        })
    });
    assert!(add(&mut bench, named("stranger")).message.contains("same network"));
    let refusal = bench.refused(|it| it.remove_from_instance_group(A, "lb", &named("stranger")));
    assert_eq!(refusal.reason, "memberNotFound");
    assert_eq!(
        bench.refused(|it| it.insert_instance_group(group(A))).reason,
        "alreadyExists"
    );
    assert_eq!(
        bench
            .refused(|it| it.insert_instance_group(group("us-central1-x")))
            .reason,
        "invalid"
    );

    // Being in a second balanced group is refused when it would become so.
    let mut second = group(A);
    second.name = "second".to_owned();
    bench.done(|it| it.insert_instance_group(second));
    bench.done(|it| it.add_to_instance_group(A, "second", &named("m")));
    let mut new = service(&[]);
    new.backends = Some(vec![NewBackend {
        group: (Some(A.to_owned()), "second".to_owned()),
        ..backend(A)
    }]);
    let refusal = bench.refused(|it| it.insert_backend_service(REGION, "second", new));
    assert!(refusal.message.contains("at most one load-balanced"), "{refusal}");
}

#[test]
fn services_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    bench.balancer();
    let utilization = NewBackend {
        balancing_mode: Some("UTILIZATION".to_owned()),
        ..backend(A)
    };
    let good = || service(&[A]);
    let text = |text: &str| Some(text.to_owned());
    #[rustfmt::skip]
    let wrong = [
        ("resource.backends[0].balancingMode", BackendServiceSettings { backends: Some(vec![utilization]), ..good() }),
        ("resource.backends[1].group", BackendServiceSettings { backends: Some(vec![backend(A), backend(A)]), ..good() }),
        ("resource.protocol", BackendServiceSettings { protocol: text("HTTP"), ..good() }),
        ("resource.protocol", BackendServiceSettings { protocol: None, ..good() }),
        ("resource.loadBalancingScheme", BackendServiceSettings { scheme: text("INTERNAL_MANAGED"), ..good() }),
        ("resource.healthChecks", BackendServiceSettings { health_checks: None, ..good() }),
        ("resource.healthChecks[0]", BackendServiceSettings { health_checks: Some(named("lb")), ..good() }),
        ("resource.connectionDraining", BackendServiceSettings { draining_timeout_sec: Some(3601), ..good() }),
        ("resource.sessionAffinity", BackendServiceSettings { session_affinity: text("CLIENT_IP"), ..good() }),
        ("resource.portName", BackendServiceSettings { port_name: text("https"), ..good() }),
        ("instanceGroups/lb", service(&["us-central1-c"])),
        ("Unknown zone", service(&["mars-a"])),
    ];
    for (field, settings) in wrong {
        let refusal = bench.refused(|it| it.insert_backend_service(REGION, "x", settings));
        assert!(refusal.message.contains(field), "{field}: {refusal}");
    }
    let refusal = bench.refused(|it| it.insert_backend_service(REGION, "lb", good()));
    assert_eq!((refusal.status, refusal.reason), (409, "alreadyExists"));
}

#[test]
fn rules_and_health_checks_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    bench.balancer();
    let text = |text: &str| Some(text.to_owned());
    #[rustfmt::skip]
    let wrong = [
        ("resource.IPProtocol", NewForwardingRule { protocol: text("UDP"), ..rule(None) }),
        ("resource.loadBalancingScheme", NewForwardingRule { scheme: text("INTERNAL"), ..rule(None) }),
        ("resource.ports", NewForwardingRule { ports: None, ..rule(None) }),
        ("resource.ports", NewForwardingRule { ports: Some(Ports::Listed(vec![1; 6])), ..rule(None) }),
        ("resource.backendService", NewForwardingRule { backend_service: None, ..rule(None) }),
        ("resource.backendService", NewForwardingRule { backend_service: Some((None, "lb".to_owned())), ..rule(None) }),
    ];
    for (field, wrong) in wrong {
        let refusal = bench.refused(|it| it.insert_forwarding_rule(wrong));
        assert!(refusal.message.contains(field), "{field}: {refusal}");
    }
    #[rustfmt::skip]
    let wrong = [
        ("resource.timeoutSec", HealthCheckSettings { timeout_sec: Some(6), ..https() }),
        ("resource.healthyThreshold", HealthCheckSettings { healthy_threshold: Some(11), ..https() }),
        ("resource.port", HealthCheckSettings { port: Some(70000), ..https() }),
        ("resource.requestPath", HealthCheckSettings { request_path: text("readyz"), ..https() }),
        ("resource.type", HealthCheckSettings { protocol: None, ..https() }),
    ];
    for (field, wrong) in wrong {
        let refusal = bench.refused(|it| it.insert_health_check(REGION, "x", wrong));
        assert!(refusal.message.contains(field), "{field}: {refusal}");
    }
    let refusal = bench.refused(|it| it.insert_health_check(REGION, "lb", https()));
    assert_eq!((refusal.status, refusal.reason), (409, "alreadyExists"));
}

#[test]
fn who_leaves_a_group_drains_before_the_operation_ends() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    bench.add(A, "m");
    bench.add(B, "n");
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    bench.healthy("us-central1-a/m", true);
    let operation = bench
        .ask(|it| it.remove_from_instance_group(A, "lb", &named("m")))
        .unwrap();
    let state = |bench: &Bench| bench.targets(address).unwrap().get("us-central1-a/m").copied();
    assert_eq!(state(&bench), Some(TargetState::Draining));
    assert!(
        bench.core.state().instance_groups()["us-central1-a/lb"]
            .members
            .is_empty()
    );
    bench.pass(62);
    assert_eq!(state(&bench), Some(TargetState::Draining));
    assert_ne!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    bench.pass(1);
    assert_eq!(state(&bench), None);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    let verbs = bench.verbs();
    let position = |verb: &str| verbs.iter().rposition(|it| it == verb).unwrap();
    assert!(position("instanceGroups.removeInstances") < position("target.drained"));
    assert!(position("target.healthy") < position("instanceGroups.removeInstances"));
}

#[test]
fn who_comes_back_while_draining_serves_on() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    bench.add(A, "m");
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    bench.healthy("us-central1-a/m", true);
    bench
        .ask(|it| it.remove_from_instance_group(A, "lb", &named("m")))
        .unwrap();
    bench.pass(10);
    bench.add(A, "m");
    let serving = BTreeMap::from([("us-central1-a/m".to_owned(), TargetState::Serving)]);
    assert_eq!(bench.targets(address), Some(serving));
}

#[test]
fn without_draining_time_and_with_its_group_a_target_goes_at_once() {
    let mut bench = Bench::new();
    let address = bench.balancer();
    bench.add(A, "m");
    bench.add(B, "n");
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    let current = fingerprint(&bench.core.state().backend_services()[SERVICE]);
    let change = BackendServiceSettings {
        draining_timeout_sec: Some(0),
        ..BackendServiceSettings::default()
    };
    let refusal = bench.refused(|it| it.patch_backend_service(REGION, "lb", change.clone(), Some("old")));
    assert_eq!((refusal.status, refusal.reason), (412, "conditionNotMet"));
    bench.done(|it| it.patch_backend_service(REGION, "lb", change, Some(&current)));
    bench
        .ask(|it| it.remove_from_instance_group(A, "lb", &named("m")))
        .unwrap();
    let keys = |bench: &Bench| bench.targets(address).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&bench), ["us-central1-b/n"]);
    let current = fingerprint(&bench.core.state().backend_services()[SERVICE]);
    let change = BackendServiceSettings {
        backends: Some(vec![backend(A)]),
        ..BackendServiceSettings::default()
    };
    bench
        .ask(|it| it.patch_backend_service(REGION, "lb", change, Some(&current)))
        .unwrap();
    assert_eq!(keys(&bench), Vec::<String>::new());
}

#[test]
fn a_deleted_machine_is_in_no_group() {
    let mut bench = Bench::new();
    bench.balancer();
    bench.add(A, "m");
    bench.done(|it| it.delete_instance(A, "m"));
    assert!(
        bench.core.state().instance_groups()["us-central1-a/lb"]
            .members
            .is_empty()
    );
    assert!(bench.core.state().targets().is_empty());
}

#[test]
fn a_zone_that_is_out_changes_no_groups() {
    let mut bench = Bench::new();
    bench.balancer();
    bench.ask(|it| it.take_zone_out(A)).unwrap();
    for refusal in [
        bench.refused(|it| it.add_to_instance_group(A, "lb", &named("m"))),
        bench.refused(|it| it.delete_instance_group(A, "lb")),
    ] {
        assert_eq!(refusal.status, 503);
    }
    bench.add(B, "n");
}

#[test]
fn balancers_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("region.sqlite");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    let address = bench.balancer();
    bench.add(A, "m");
    bench.done(|it| it.insert_forwarding_rule(rule(Some(address))));
    bench.healthy("us-central1-a/m", true);
    let before = bench.snapshot();
    let now = bench.now;
    drop(bench);
    let bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    assert_eq!(bench.snapshot(), before);
    assert_eq!(bench.targets(address).unwrap()["us-central1-a/m"], TargetState::Serving);
}
