//! Balancers, their targets, and an address on its way between a machine and a balancer.

use axum::http::Method;
use multizone_cloud::{AddressHolder, Balancer, Cloud as _, CloudError, Host, MachineSpec, TargetHealth};
use serde_json::json;

use crate::{
    region::Sandbox,
    specs::{ZONE, address_spec, balancer_spec, cluster, inventory, machine_spec, network_spec},
};

const OTHER: &str = "us-central1-b";

pub(crate) fn balancer() -> AddressHolder {
    AddressHolder::Balancer { name: "api".into() }
}

pub(crate) fn master() -> AddressHolder {
    AddressHolder::Machine {
        zone: ZONE.into(),
        name: "demo-master-a".into(),
    }
}

/// A region with a network, an address that a master holds, and a balancer over two zones.
async fn start() -> Sandbox {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_address(&address_spec()).await.unwrap();
    let spec = MachineSpec {
        address: Some("api".into()),
        ..machine_spec("demo-master-a")
    };
    cloud.ensure_machine(&spec).await.unwrap();
    cloud.ensure_balancer(&balancer_spec(&[ZONE, OTHER])).await.unwrap();
    sandbox
}

async fn found(sandbox: &Sandbox) -> Balancer {
    inventory(sandbox).await.balancer("api").cloned().unwrap()
}

#[tokio::test]
async fn a_balancer_is_made_once_changed_in_place_and_deleted_without_a_trace() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let before = sandbox.everything();
    let made = cloud.ensure_balancer(&balancer_spec(&[])).await.unwrap();
    assert_eq!((made.zones.len(), made.unexpected.as_deref()), (0, None));
    let made = cloud.ensure_balancer(&balancer_spec(&[ZONE, OTHER])).await.unwrap();
    assert_eq!(made.zones, [ZONE, OTHER].map(str::to_owned).into());
    assert_eq!((made.labels["team"].as_str(), made.address), ("web", None));
    let everything = sandbox.everything();
    assert_eq!(
        cloud.ensure_balancer(&balancer_spec(&[ZONE, OTHER])).await.unwrap(),
        made
    );
    assert_eq!(sandbox.everything(), everything);
    assert_eq!(found(&sandbox).await, made);
    let other = inventory(&sandbox).await;
    assert!(other.firewall_rule("api-probes").is_some());

    let fewer = cloud.ensure_balancer(&balancer_spec(&[OTHER])).await.unwrap();
    assert_eq!(fewer.zones.len(), 1);
    cloud.delete_balancer(&cluster(), "api").await.unwrap();
    assert_eq!(sandbox.everything(), before);
    cloud.delete_balancer(&cluster(), "api").await.unwrap();
}

#[tokio::test]
async fn targets_come_become_healthy_or_not_and_go() {
    let sandbox = start().await;
    let cloud = &sandbox.cloud;
    let cluster = cluster();
    for _ in 0..2 {
        cloud
            .register_target(&cluster, "api", ZONE, "demo-master-a")
            .await
            .unwrap();
    }
    let target = found(&sandbox).await.target(ZONE, "demo-master-a").cloned().unwrap();
    assert_eq!(target.health, TargetHealth::Unhealthy, "nothing listens on it");
    let held = cloud.ensure_balancer(&balancer_spec(&[OTHER])).await.unwrap_err();
    assert!(matches!(held, CloudError::InUse { .. }), "{held}");
    let held = cloud.delete_balancer(&cluster, "api").await.unwrap_err();
    assert!(
        matches!(held, CloudError::InUse { ref reason, .. } if reason.contains("demo-master-a")),
        "{held}"
    );
    let elsewhere = cloud
        .register_target(&cluster, "api", "us-central1-c", "m")
        .await
        .unwrap_err();
    assert!(
        elsewhere.to_string().contains("does not span us-central1-c"),
        "{elsewhere}"
    );
    for _ in 0..2 {
        cloud
            .deregister_target(&cluster, "api", ZONE, "demo-master-a")
            .await
            .unwrap();
        assert!(found(&sandbox).await.targets.is_empty());
    }
    cloud
        .deregister_target(&cluster, "none", ZONE, "demo-master-a")
        .await
        .unwrap();
}

#[tokio::test]
async fn the_address_moves_to_the_balancer_and_back() {
    let sandbox = start().await;
    let cloud = &sandbox.cloud;
    let cluster = cluster();
    let Host::Address(address) = inventory(&sandbox).await.address("api").unwrap().address else {
        panic!("it is an address here");
    };
    let held = cloud.attach_address(&cluster, "api", &balancer()).await.unwrap_err();
    assert!(
        matches!(held, CloudError::InUse { ref reason, .. } if reason.contains("demo-master-a")),
        "{held}"
    );
    for _ in 0..2 {
        cloud.move_address(&cluster, "api", &balancer()).await.unwrap();
        let found = inventory(&sandbox).await;
        assert_eq!(found.address("api").unwrap().holder, Some(balancer()));
        assert_eq!(found.balancer("api").unwrap().address, Some(address));
        let egress = found.machine(ZONE, "demo-master-a").unwrap().external_address;
        assert!(egress.is_some_and(|egress| egress != address), "{egress:?}");
    }
    let held = cloud.delete_balancer(&cluster, "api").await.unwrap_err();
    assert!(
        matches!(held, CloudError::InUse { ref reason, .. } if reason.contains("listens")),
        "{held}"
    );
    for _ in 0..2 {
        cloud.move_address(&cluster, "api", &master()).await.unwrap();
        let found = inventory(&sandbox).await;
        assert_eq!(found.address("api").unwrap().holder, Some(master()));
        assert_eq!(
            found.machine(ZONE, "demo-master-a").unwrap().external_address,
            Some(address)
        );
        assert_eq!(found.balancer("api").unwrap().address, None);
    }
    for _ in 0..2 {
        cloud.detach_address(&cluster, "api").await.unwrap();
        let found = inventory(&sandbox).await;
        assert_eq!(found.address("api").unwrap().holder, None);
        assert!(found.machine(ZONE, "demo-master-a").unwrap().external_address.is_some());
    }
    for _ in 0..2 {
        cloud.attach_address(&cluster, "api", &balancer()).await.unwrap();
    }
    assert_eq!(
        inventory(&sandbox).await.address("api").unwrap().holder,
        Some(balancer())
    );
}

#[tokio::test]
async fn a_new_holder_that_cannot_take_the_address_does_not_cost_it() {
    let sandbox = start().await;
    let cluster = cluster();
    let gone = AddressHolder::Machine {
        zone: OTHER.into(),
        name: "demo-master-b".into(),
    };
    let error = sandbox.cloud.move_address(&cluster, "api", &gone).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    let nobody = AddressHolder::Balancer { name: "none".into() };
    let error = sandbox.cloud.move_address(&cluster, "api", &nobody).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(inventory(&sandbox).await.address("api").unwrap().holder, Some(master()));
}

#[tokio::test]
async fn what_somebody_changed_is_told_and_put_right() {
    let sandbox = start().await;
    let name = sandbox.everything().into_iter().find_map(|name| {
        let (_, name) = name.strip_prefix("health check ")?.rsplit_once('/')?;
        Some(name.to_owned())
    });
    let name = name.unwrap();
    let check = format!("regions/us-central1/healthChecks/{name}");
    let changes = json!({ "httpsHealthCheck": { "requestPath": "/livez", "port": 6443 }, "checkIntervalSec": 60 });
    sandbox.change(Method::PATCH, &check, Some(changes)).await;
    let unexpected = found(&sandbox).await.unexpected.unwrap();
    assert!(
        unexpected.contains("/livez, not /readyz") && unexpected.contains("pace"),
        "{unexpected}"
    );
    let service = format!("regions/us-central1/backendServices/{name}");
    let seen = sandbox.call(Method::GET, &service, None).await;
    let changes = json!({ "connectionDraining": { "drainingTimeoutSec": 300 }, "fingerprint": seen["fingerprint"] });
    sandbox.change(Method::PATCH, &service, Some(changes)).await;
    let unexpected = found(&sandbox).await.unexpected.unwrap();
    assert!(unexpected.contains("300 s, not 10 s"), "{unexpected}");
    let put_right = sandbox
        .cloud
        .ensure_balancer(&balancer_spec(&[ZONE, OTHER]))
        .await
        .unwrap();
    assert_eq!(put_right.unexpected, None);
    assert_eq!(put_right.zones.len(), 2);
}

/// Deletes the rule that lets the health probes through, behind the provider's back.
async fn without_probes(sandbox: &Sandbox) {
    let rule = sandbox
        .everything()
        .into_iter()
        .find(|name| name.contains("-api-probes-"));
    let rule = rule.unwrap().rsplit(['/', ' ']).next().unwrap().to_owned();
    let path = format!("global/firewalls/{rule}");
    sandbox.change(Method::DELETE, &path, None).await;
}

#[tokio::test]
async fn a_balancer_without_its_rule_is_still_found_by_the_address_that_it_holds() {
    let sandbox = start().await;
    sandbox
        .cloud
        .move_address(&cluster(), "api", &balancer())
        .await
        .unwrap();
    without_probes(&sandbox).await;
    let unexpected = found(&sandbox).await.unexpected.unwrap();
    assert_eq!(unexpected, "the firewall rule for its probes is gone");
    let spec = balancer_spec(&[ZONE, OTHER]);
    assert_eq!(sandbox.cloud.ensure_balancer(&spec).await.unwrap().unexpected, None);
}

#[tokio::test]
async fn what_a_delete_leaves_is_found_and_deleted_by_the_next() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let before = sandbox.everything();
    cloud.ensure_balancer(&balancer_spec(&[])).await.unwrap();
    let names = sandbox.everything();
    let name = names.iter().find_map(|name| {
        let (_, name) = name.strip_prefix("health check ")?.rsplit_once('/')?;
        Some(name)
    });
    let name = name.unwrap();
    for kind in ["backendServices", "healthChecks"] {
        let path = format!("regions/us-central1/{kind}/{name}");
        sandbox.change(Method::DELETE, &path, None).await;
    }
    let left = found(&sandbox).await;
    assert!(left.creating() && left.zones.is_empty(), "{left:?}");
    assert_eq!(left.unexpected.as_deref(), Some("it has no health check"));
    cloud.delete_balancer(&cluster(), "api").await.unwrap();
    assert_eq!(sandbox.everything(), before);
    assert!(inventory(&sandbox).await.balancers.is_empty());
}

#[tokio::test]
async fn another_clusters_balancer_of_that_name_is_another() {
    let sandbox = start().await;
    let other = multizone_cloud::ClusterName::new("demo-2");
    assert!(sandbox.cloud.inventory(&other).await.unwrap().balancers.is_empty());
    sandbox.cloud.delete_balancer(&other, "api").await.unwrap();
    assert_eq!(found(&sandbox).await.zones.len(), 2);
}
