//! Networks, firewall rules.

use axum::http::Method;
use multizone_cloud::{Cloud as _, CloudError, ClusterName, FirewallSpec, NetworkSpec};
use serde_json::json;

use crate::{
    region::Sandbox,
    specs::{cluster, inventory, network_spec, rule_spec},
};

#[tokio::test]
async fn networks() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    let cloud = &sandbox.cloud;
    let made = cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    assert_eq!(made.subnets[0].cidr.to_string(), "127.77.32.0/20");
    let requests = cloud.requests();
    assert_eq!(cloud.ensure_network(&network_spec(cluster())).await.unwrap(), made);
    assert_eq!(
        cloud.requests() - requests,
        2,
        "an existing network and its subnet are read once each"
    );
    assert_eq!(inventory(&sandbox).await.network, Some(made));

    let other = NetworkSpec {
        cidr: Some("127.77.64.0/20".parse().unwrap()),
        ..network_spec(cluster())
    };
    let error = cloud.ensure_network(&other).await.unwrap_err();
    assert!(
        matches!(error, CloudError::Differs { ref difference, .. } if difference.contains("127.77.32.0/20")),
        "{error}"
    );

    // A cluster whose name begins the same way has a network of its own.
    let longer = ClusterName::new("demo-2");
    assert!(cloud.inventory(&longer).await.unwrap().is_empty());
    cloud.ensure_network(&network_spec(longer.clone())).await.unwrap();

    let subnet = "regions/us-central1/subnetworks/multizone-demo-us-central1";
    sandbox.change(Method::DELETE, subnet, None).await;
    assert_eq!(inventory(&sandbox).await.network.unwrap().subnets, []);
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();

    cloud.ensure_firewall_rule(&rule_spec()).await.unwrap();
    cloud.delete_network(&cluster()).await.unwrap();
    cloud.delete_network(&cluster()).await.unwrap();
    assert!(inventory(&sandbox).await.is_empty());
    assert!(cloud.inventory(&longer).await.unwrap().network.is_some());
    cloud.delete_network(&longer).await.unwrap();
    assert_eq!(sandbox.everything(), before);
}

#[tokio::test]
async fn a_network_of_somebody_else_is_left_alone() {
    let sandbox = Sandbox::start().await;
    let body = json!({ "name": "multizone-demo-us-central1", "autoCreateSubnetworks": false, "description": "mine" });
    sandbox.change(Method::POST, "global/networks", Some(body)).await;
    for error in [
        sandbox
            .cloud
            .ensure_network(&network_spec(cluster()))
            .await
            .unwrap_err(),
        sandbox.cloud.delete_network(&cluster()).await.unwrap_err(),
    ] {
        assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");
    }
    assert_eq!(inventory(&sandbox).await.network, None);
}

#[tokio::test]
async fn firewall_rules() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    let needs_network = cloud.ensure_firewall_rule(&rule_spec()).await.unwrap_err();
    assert!(matches!(needs_network, CloudError::Refused { .. }), "{needs_network}");
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let made = cloud.ensure_firewall_rule(&rule_spec()).await.unwrap();
    assert_eq!(made.spec.tcp_ports, [(2379, 2380), (6443, 6443)]);
    let requests = cloud.requests();
    assert_eq!(cloud.ensure_firewall_rule(&rule_spec()).await.unwrap(), made);
    assert_eq!(cloud.requests() - requests, 1);
    assert_eq!(inventory(&sandbox).await.firewall_rules, std::slice::from_ref(&made));

    // Somebody disables the rule, opens another port and adds a tag.
    let rules = sandbox.call(Method::GET, "global/firewalls", None).await;
    let rule = rules["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["description"].is_string())
        .unwrap();
    let path = format!("global/firewalls/{}", rule["name"].as_str().unwrap());
    let allowed = json!([{ "IPProtocol": "udp", "ports": ["53"] }, { "IPProtocol": "tcp", "ports": ["22"] }]);
    let drift = json!({ "disabled": true, "allowed": allowed, "sourceTags": ["their-tag"] });
    sandbox.change(Method::PATCH, &path, Some(drift)).await;
    let found = inventory(&sandbox).await.firewall_rules.remove(0);
    assert_ne!(found, made);
    assert_eq!(
        found.unexpected.as_deref(),
        Some("it is disabled, it lets protocol udp through, it names the tag their-tag")
    );
    assert_eq!(found.spec.tcp_ports, [(22, 22)]);
    assert_eq!(cloud.ensure_firewall_rule(&rule_spec()).await.unwrap(), made);
    assert_eq!(inventory(&sandbox).await.firewall_rules, std::slice::from_ref(&made));

    // A list that becomes empty is emptied.
    let narrower = FirewallSpec {
        source_roles: Vec::new(),
        target_roles: Vec::new(),
        ..rule_spec()
    };
    let narrower = cloud.ensure_firewall_rule(&narrower).await.unwrap();
    assert_eq!(inventory(&sandbox).await.firewall_rules, [narrower]);

    for open in [
        FirewallSpec {
            source_ranges: Vec::new(),
            source_roles: Vec::new(),
            ..rule_spec()
        },
        FirewallSpec {
            tcp_ports: Vec::new(),
            ..rule_spec()
        },
    ] {
        let error = cloud.ensure_firewall_rule(&open).await.unwrap_err();
        assert!(matches!(error, CloudError::Refused { .. }), "{error}");
    }
    cloud.delete_firewall_rule(&cluster(), "api").await.unwrap();
    cloud.delete_firewall_rule(&cluster(), "api").await.unwrap();
    assert_eq!(inventory(&sandbox).await.firewall_rules, []);
}
