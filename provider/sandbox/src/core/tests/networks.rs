//! Networks, subnetworks, firewall rules, addresses.

use super::*;

#[test]
fn an_address_has_one_holder() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_address(address("api")));
    let ip = bench.core.state().addresses()["us-central1/api"].address.to_string();
    let holding = |zone: &str, name: &str| {
        let mut new = machine(zone, name);
        new.access = Some(NewAccess {
            name: None,
            address: Some(ip.clone()),
        });
        new
    };
    bench.done(|it| it.insert_instance(holding(A, "m")));
    assert_eq!(
        bench.core.state().addresses()["us-central1/api"].machine(),
        Some("us-central1-a/m")
    );
    assert!(
        bench
            .refused(|it| it.insert_instance(holding(B, "n")))
            .message
            .contains("already in-use")
    );
    assert_eq!(
        bench.refused(|it| it.delete_address(REGION, "api")).reason,
        "resourceInUseByAnotherResource"
    );

    // Handed over: detached from the one, then attached to the other.
    bench.done(|it| {
        it.insert_instance(NewInstance {
            access: None,
            ..machine(B, "n")
        })
    });
    let wanted = NewAccess {
        name: None,
        address: Some(ip.clone()),
    };
    assert!(
        bench
            .refused(|it| it.add_access_config(B, "n", "nic0", &wanted))
            .message
            .contains("already in-use")
    );
    assert!(
        bench
            .refused(|it| it.delete_access_config(A, "m", "nic0", "nope"))
            .message
            .contains("no access config")
    );
    bench.done(|it| it.delete_access_config(A, "m", "nic0", "External NAT"));
    assert_eq!(bench.core.state().addresses()["us-central1/api"].user, None);
    bench.ask(|it| it.add_access_config(B, "n", "nic0", &wanted)).unwrap();
    let topology = view::topology(bench.core.state());
    assert!(
        !topology.external_addresses.contains_key(&ip.parse().unwrap()),
        "it takes time"
    );
    bench.pass(6);
    let topology = view::topology(bench.core.state());
    assert_eq!(topology.external_addresses[&ip.parse().unwrap()], "us-central1-b/n");
    assert!(
        bench
            .refused(|it| it.add_access_config(B, "n", "nic0", &NewAccess::default()))
            .message
            .contains("At most one")
    );

    bench.done(|it| it.delete_instance(B, "n"));
    bench.done(|it| it.delete_address(REGION, "api"));
    let mut new = machine(A, "o");
    new.access = Some(NewAccess {
        name: None,
        address: Some(ip.clone()),
    });
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("was not found in region")
    );
}

#[test]
fn a_stopped_machine_keeps_a_reserved_address() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_address(address("api")));
    let ip = bench.core.state().addresses()["us-central1/api"].address;
    let mut new = machine(A, "m");
    new.access = Some(NewAccess {
        name: None,
        address: Some(ip.to_string()),
    });
    bench.done(|it| it.insert_instance(new));
    bench.done(|it| it.stop_instance(A, "m"));
    assert_eq!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address,
        Some(ip)
    );
    assert!(bench.core.state().addresses()["us-central1/api"].user.is_some());
}

#[test]
fn ranges_lie_within_the_block_and_do_not_overlap() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_network(network("n")));
    for (range, why) in [
        ("10.0.0.0/16", "must lie within 127.9.0.0/16"),
        ("127.9.0.0/24", "reserved for the sandbox itself"),
        ("127.9.240.0/24", "reserved for external addresses"),
        ("127.9.64.1/24", "first address of a range"),
        ("127.9.64.0/30", "too small"),
        ("what", "CIDR"),
    ] {
        let refusal = bench.refused(|it| it.insert_subnetwork(subnetwork("n", "s", range)));
        assert_eq!(refusal.reason, "invalid");
        assert!(refusal.message.contains(why), "{range}: {refusal}");
    }
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("n", "s", "")))
            .reason,
        "required"
    );
    bench.done(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")));
    let refusal = bench.refused(|it| it.insert_subnetwork(subnetwork("n", "t", "127.9.72.0/24")));
    assert!(
        refusal.message.contains("conflicts with existing subnetwork 's'"),
        "{refusal}"
    );
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("nope", "u", "127.9.80.0/24")))
            .status,
        404
    );
    let elsewhere = NewSubnetwork {
        region: "europe-west1".to_owned(),
        ..subnetwork("n", "t", "127.9.80.0/24")
    };
    assert!(
        bench
            .refused(|it| it.insert_subnetwork(elsewhere))
            .message
            .contains("This sandbox is region us-central1")
    );

    // Another network may have the same range; addresses stay unique all the same.
    bench.done(|it| it.insert_network(network("o")));
    bench.done(|it| it.insert_subnetwork(subnetwork("o", "t", "127.9.64.0/20")));
    for (name, subnetwork) in [("m", "s"), ("p", "t")] {
        let new = NewInstance {
            subnetwork: Some((None, subnetwork.to_owned())),
            ..machine(A, name)
        };
        bench.done(|it| it.insert_instance(new));
    }
    let addresses: BTreeSet<_> = bench
        .core
        .state()
        .instances()
        .values()
        .map(|it| it.interface.address)
        .collect();
    assert_eq!(addresses.len(), 2);
}

#[test]
fn networks_and_subnetworks_in_use_stay() {
    let mut bench = Bench::new();
    bench.done(|it| it.insert_network(network("n")));
    bench.done(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")));
    assert_eq!(
        bench.refused(|it| it.delete_network("n")).reason,
        "resourceInUseByAnotherResource"
    );
    let new = NewInstance {
        network: Some("n".to_owned()),
        ..machine(A, "m")
    };
    assert!(
        bench
            .refused(|it| it.insert_instance(new.clone()))
            .message
            .contains("must specify a subnet")
    );
    let new = NewInstance {
        network: Some("default".to_owned()),
        subnetwork: Some((None, "s".to_owned())),
        ..new
    };
    assert!(
        bench
            .refused(|it| it.insert_instance(new.clone()))
            .message
            .contains("not in the specified network")
    );
    let new = NewInstance { network: None, ..new };
    bench.done(|it| it.insert_instance(new));
    assert_eq!(
        bench.refused(|it| it.delete_subnetwork(REGION, "s")).reason,
        "resourceInUseByAnotherResource"
    );
    bench.done(|it| it.delete_instance(A, "m"));
    bench.done(|it| it.delete_subnetwork(REGION, "s"));
    let rule = FirewallSettings {
        network: Some("n".to_owned()),
        allowed: Some(vec![Allowed {
            protocol: "tcp".to_owned(),
            ports: vec!["6443".to_owned()],
        }]),
        ..FirewallSettings::default()
    };
    bench.done(|it| it.insert_firewall("api", rule));
    assert_eq!(
        bench.refused(|it| it.delete_network("n")).reason,
        "resourceInUseByAnotherResource"
    );
    bench.done(|it| it.delete_firewall("api"));
    bench.done(|it| it.delete_network("n"));
    assert!(
        bench
            .refused(|it| it.delete_subnetwork(REGION, "default"))
            .message
            .contains("auto subnetwork")
    );
}

#[test]
fn firewall_rules_are_checked_and_reach_the_data_plane() {
    let mut bench = Bench::new();
    let rule = |protocol: &str, ports: &[&str]| FirewallSettings {
        allowed: Some(vec![Allowed {
            protocol: protocol.to_owned(),
            ports: ports.iter().map(|it| (*it).to_owned()).collect(),
        }]),
        ..FirewallSettings::default()
    };
    for (protocol, ports) in [
        ("tcp", &["80-70"][..]),
        ("tcp", &["x"]),
        ("tcp", &["70000"]),
        ("icmp", &["1"]),
        ("foo", &[]),
    ] {
        assert_eq!(
            bench
                .refused(|it| it.insert_firewall("r", rule(protocol, ports)))
                .reason,
            "invalid",
            "{protocol}"
        );
    }
    assert!(
        bench
            .refused(|it| it.insert_firewall("r", FirewallSettings::default()))
            .message
            .contains("One of")
    );
    let denying = FirewallSettings {
        denies: true,
        ..rule("tcp", &[])
    };
    assert!(
        bench
            .refused(|it| it.insert_firewall("r", denying))
            .message
            .contains("rules that allow")
    );
    let from = FirewallSettings {
        source_ranges: Some(vec!["10.0.0.0/33".to_owned()]),
        ..rule("tcp", &[])
    };
    assert_eq!(bench.refused(|it| it.insert_firewall("r", from)).reason, "invalid");
    bench.done(|it| it.insert_firewall("r", rule("tcp", &["6443", "30000-32767"])));
    let ports: Vec<_> = view::topology(bench.core.state())
        .firewall_rules
        .into_iter()
        .flat_map(|it| it.ports)
        .collect();
    assert!(
        ports.contains(&(6443, 6443)) && ports.contains(&(30000, 32767)),
        "{ports:?}"
    );
    bench.done(|it| {
        it.patch_firewall(
            "r",
            FirewallSettings {
                disabled: Some(true),
                ..FirewallSettings::default()
            },
        )
    });
    let ports: Vec<_> = view::topology(bench.core.state())
        .firewall_rules
        .into_iter()
        .flat_map(|it| it.ports)
        .collect();
    assert!(!ports.contains(&(6443, 6443)), "{ports:?}");
}
