//! Machines and the addresses they hold.

use axum::http::Method;
use multizone_cloud::{
    AddressHolder, Cloud as _, CloudError, ClusterName, Host, Labels, MachineSpec, MachineState, Role, label,
};
use serde_json::json;

use crate::{
    region::Sandbox,
    specs::{ZONE, address_spec, cluster, inventory, machine_spec, network_spec},
};

/// Stops the machine `spec` makes and starts it again, then lets it be halted by somebody else and ensures it again.
async fn is_stopped_and_halted(sandbox: &Sandbox, spec: &MachineSpec) {
    let cloud = &sandbox.cloud;
    cloud.stop_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    cloud.stop_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    assert_eq!(inventory(sandbox).await.machines[0].state, MachineState::Halted);
    cloud.start_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    assert_eq!(inventory(sandbox).await.machines[0].state, MachineState::Running);
    sandbox.halt("demo-master-a");
    assert_eq!(inventory(sandbox).await.machines[0].state, MachineState::Halted);
    cloud.ensure_machine(spec).await.unwrap();
    assert_eq!(inventory(sandbox).await.machines[0].state, MachineState::Running);
}

#[tokio::test]
#[allow(clippy::too_many_lines)] // one machine's life
async fn machines() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let address = cloud.ensure_address(&address_spec()).await.unwrap();
    assert_eq!(address.labels["team"], "web");
    assert_eq!(cloud.ensure_address(&address_spec()).await.unwrap(), address);
    let before = sandbox.everything();

    let spec = MachineSpec {
        identity: Some(cloud.default_machine_identity(&cluster()).await.unwrap()),
        address: Some("api".into()),
        ..machine_spec("demo-master-a")
    };
    let made = cloud.ensure_machine(&spec).await.unwrap();
    assert_eq!(made.state, MachineState::Running);
    assert_eq!(
        made.external_address.map(Host::from),
        Some(address.address),
        "it holds the cluster's address"
    );
    assert!(made.address.unwrap().to_string().starts_with("127.77."));
    assert_eq!(made.labels[label::CLUSTER], "demo");
    let requests = cloud.requests();
    assert_eq!(cloud.ensure_machine(&spec).await.unwrap(), made);
    assert_eq!(cloud.requests() - requests, 1);

    let path = format!("zones/{ZONE}/instances/demo-master-a");
    let seen = sandbox.call(Method::GET, &path, None).await;
    assert_eq!(
        seen["metadata"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["key"] == "user-data")
            .count(),
        1
    );
    assert_eq!(
        seen["serviceAccounts"][0]["scopes"],
        json!(["https://www.googleapis.com/auth/cloud-platform"])
    );
    assert_eq!(seen["disks"][0]["autoDelete"], true);
    let disk = sandbox
        .call(Method::GET, &format!("zones/{ZONE}/disks/demo-master-a"), None)
        .await;
    assert_eq!(disk["labels"][label::BOOT], "true");

    let found = inventory(&sandbox).await;
    assert_eq!(found.machines, std::slice::from_ref(&made));
    assert_eq!(found.disks, [], "a boot disk is the machine's");
    assert_eq!(
        found.address("api").unwrap().holder,
        Some(AddressHolder::Machine {
            zone: ZONE.into(),
            name: "demo-master-a".into()
        })
    );
    let held = cloud.delete_address(&cluster(), "api").await.unwrap_err();
    assert!(matches!(held, CloudError::InUse { .. }), "{held}");
    let in_use = cloud.delete_network(&cluster()).await.unwrap_err();
    assert!(matches!(in_use, CloudError::InUse { .. }), "{in_use}");

    let other = Labels::from([("team".to_owned(), "data".to_owned())]);
    cloud
        .set_machine_labels(&cluster(), ZONE, "demo-master-a", &other)
        .await
        .unwrap();
    cloud
        .set_machine_labels(&cluster(), ZONE, "demo-master-a", &other)
        .await
        .unwrap();
    let relabelled = inventory(&sandbox).await.machines.remove(0).labels;
    assert_eq!(
        (relabelled["team"].as_str(), relabelled[label::CLUSTER].as_str()),
        ("data", "demo")
    );

    is_stopped_and_halted(&sandbox, &spec).await;

    let bigger = MachineSpec {
        machine_type: "n1-standard-4".into(),
        ..spec.clone()
    };
    let error = cloud.ensure_machine(&bigger).await.unwrap_err();
    assert!(matches!(error, CloudError::Differs { .. }), "{error}");
    let stranger = MachineSpec {
        cluster: ClusterName::new("dem"),
        address: None,
        ..spec
    };
    let error = cloud.ensure_machine(&stranger).await.unwrap_err();
    assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");

    cloud.delete_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    cloud.delete_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    assert_eq!(sandbox.everything(), before, "the boot disk went with it");
    cloud.stop_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    let gone = cloud
        .start_machine(&cluster(), ZONE, "demo-master-a")
        .await
        .unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    cloud.delete_address(&cluster(), "api").await.unwrap();
    cloud.delete_address(&cluster(), "api").await.unwrap();
}

#[tokio::test]
async fn a_machine_is_made_once_however_often_it_is_asked_for_at_the_same_time() {
    let sandbox = Sandbox::start().await;
    sandbox.cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let spec = machine_spec("demo-pool-1");
    let (one, other) = tokio::join!(sandbox.cloud.ensure_machine(&spec), sandbox.cloud.ensure_machine(&spec));
    assert_eq!(one.unwrap().id, other.unwrap().id);
    assert_eq!(inventory(&sandbox).await.machines.len(), 1);
}

#[tokio::test]
async fn a_worker_without_identity_has_none() {
    let sandbox = Sandbox::start().await;
    sandbox.cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let spec = MachineSpec {
        role: Role::Worker,
        ..machine_spec("demo-pool-1")
    };
    let made = sandbox.cloud.ensure_machine(&spec).await.unwrap();
    assert!(
        made.external_address.is_some(),
        "it reaches the outside by an address of its own"
    );
    let seen = sandbox
        .call(Method::GET, &format!("zones/{ZONE}/instances/demo-pool-1"), None)
        .await;
    assert!(
        seen.get("serviceAccounts")
            .is_none_or(|accounts| accounts.as_array().is_some_and(Vec::is_empty)),
        "{seen:#}"
    );
}

#[tokio::test]
async fn a_machine_of_somebody_else_is_not_deleted() {
    let sandbox = Sandbox::start().await;
    let image = "projects/debian-cloud/global/images/family/debian-12";
    let body = json!({
        "name": "theirs", "machineType": format!("zones/{ZONE}/machineTypes/e2-micro"),
        "disks": [{ "boot": true, "autoDelete": true, "initializeParams": { "sourceImage": image } }],
        "networkInterfaces": [{ "network": "global/networks/default" }],
    });
    sandbox
        .change(Method::POST, &format!("zones/{ZONE}/instances"), Some(body))
        .await;
    let error = sandbox
        .cloud
        .delete_machine(&cluster(), ZONE, "theirs")
        .await
        .unwrap_err();
    assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");
    let error = sandbox.cloud.ensure_machine(&machine_spec("theirs")).await.unwrap_err();
    assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn a_zone_that_is_out_has_no_capacity() {
    let sandbox = Sandbox::start().await;
    sandbox.cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let before = sandbox.everything();
    sandbox.take_zone_out(ZONE);
    let zones = sandbox.cloud.zones().await.unwrap();
    assert_eq!(
        zones
            .iter()
            .filter(|zone| !zone.up)
            .map(|zone| zone.name.as_str())
            .collect::<Vec<_>>(),
        [ZONE]
    );
    let error = sandbox
        .cloud
        .ensure_machine(&machine_spec("demo-pool-1"))
        .await
        .unwrap_err();
    assert!(matches!(error, CloudError::Capacity { .. }), "{error}");
    assert_eq!(error.object(), "machine demo-pool-1 in us-central1-a");
    assert_eq!(sandbox.everything(), before, "nothing is left half made");
    sandbox.restore_zone(ZONE);
    sandbox
        .cloud
        .ensure_machine(&machine_spec("demo-pool-1"))
        .await
        .unwrap();
}
