//! Every call of the trait against the sandbox region: made, made again, drifted, deleted, deleted again.

#[path = "sandbox/region.rs"]
mod region;

use std::collections::BTreeSet;

use axum::http::Method;
use multizone_cloud::{
    AddressSpec, Cloud as _, CloudError, ClusterName, DiskSpec, FirewallSpec, Inventory, Labels, MachineSpec,
    MachineState, NetworkSpec, Role, SecretSpec, label,
};
use region::Sandbox;
use serde_json::json;

const ZONE: &str = "us-central1-a";

fn cluster() -> ClusterName {
    ClusterName::new("demo")
}

fn labels() -> Labels {
    Labels::from([("team".to_owned(), "web".to_owned())])
}

fn network_spec(cluster: ClusterName) -> NetworkSpec {
    NetworkSpec {
        cluster,
        cidr: None,
        zones: vec![(ZONE.into(), None)],
        labels: Labels::new(),
    }
}

fn rule_spec() -> FirewallSpec {
    FirewallSpec {
        cluster: cluster(),
        name: "api".into(),
        source_ranges: vec!["0.0.0.0/0".parse().unwrap()],
        source_roles: vec![Role::Worker],
        target_roles: vec![Role::Master],
        tcp_ports: vec![(6443, 6443), (2379, 2380)],
        all_protocols: false,
    }
}

fn address_spec() -> AddressSpec {
    AddressSpec {
        cluster: cluster(),
        name: "api".into(),
        labels: labels(),
    }
}

fn machine_spec(name: &str) -> MachineSpec {
    MachineSpec {
        cluster: cluster(),
        name: name.into(),
        zone: ZONE.into(),
        role: Role::Master,
        machine_type: "n1-standard-2".into(),
        image: None,
        boot_disk_gb: 20,
        user_data: "#cloud-config\n".into(),
        identity: None,
        address: None,
        labels: labels(),
    }
}

fn disk_spec() -> DiskSpec {
    DiskSpec {
        cluster: cluster(),
        name: "data".into(),
        zone: ZONE.into(),
        size_gb: 10,
        disk_type: "pd-balanced".into(),
        snapshot: None,
        labels: labels(),
    }
}

fn secret_spec(content: &str) -> SecretSpec {
    SecretSpec {
        cluster: cluster(),
        name: "demo-keys".into(),
        content: content.into(),
        labels: labels(),
    }
}

async fn inventory(sandbox: &Sandbox) -> Inventory {
    sandbox.cloud.inventory(&cluster()).await.unwrap()
}

#[tokio::test]
async fn the_region_says_what_it_offers() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    let zones: Vec<_> = cloud
        .zones()
        .await
        .unwrap()
        .into_iter()
        .map(|zone| (zone.name, zone.up))
        .collect();
    let expected = ["a", "b", "c", "f"].map(|letter| (format!("us-central1-{letter}"), true));
    assert_eq!(zones, expected);
    let offered = cloud.machine_type(ZONE, "n1-standard-2").await.unwrap().unwrap();
    assert_eq!((offered.cpus, offered.memory_mib), (2, 7680));
    assert_eq!(cloud.machine_type(ZONE, "x9-mega").await.unwrap(), None);
    let identity = cloud.default_machine_identity().await.unwrap();
    assert_eq!(identity, "1234567890-compute@developer.gserviceaccount.com");
    assert_eq!(cloud.provider_id(ZONE, "m"), "gce://sandbox/us-central1-a/m");
    let (driver, handle) = cloud.volume(ZONE, "data");
    assert_eq!(
        (driver.as_str(), handle.as_str()),
        (
            "pd.csi.storage.gke.io",
            "projects/sandbox/zones/us-central1-a/disks/data"
        )
    );
    assert!(cloud.secret_source("s").ends_with("/v1/projects/sandbox/secrets/s"));
}

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
    assert_eq!(inventory(&sandbox).await.firewall_rules, [made.clone()]);

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
        Some("disabled, protocol udp, tag their-tag")
    );
    assert_eq!(found.spec.tcp_ports, [(22, 22)]);
    assert_eq!(cloud.ensure_firewall_rule(&rule_spec()).await.unwrap(), made);
    assert_eq!(inventory(&sandbox).await.firewall_rules, [made.clone()]);

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

#[tokio::test]
async fn machines() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    let address = cloud.ensure_address(&address_spec()).await.unwrap();
    assert_eq!(cloud.ensure_address(&address_spec()).await.unwrap(), address);
    let before = sandbox.everything();

    let spec = MachineSpec {
        identity: Some(cloud.default_machine_identity().await.unwrap()),
        address: Some("api".into()),
        ..machine_spec("demo-master-a")
    };
    let made = cloud.ensure_machine(&spec).await.unwrap();
    assert_eq!(made.state, MachineState::Running);
    assert_eq!(
        made.external_address,
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
    assert_eq!(found.machines, [made.clone()]);
    assert_eq!(found.disks, [], "a boot disk is the machine's");
    assert_eq!(
        found.address("api").unwrap().holder,
        Some((ZONE.into(), "demo-master-a".into()))
    );
    let held = cloud.delete_address(&cluster(), "api").await.unwrap_err();
    assert!(matches!(held, CloudError::InUse { .. }), "{held}");
    let in_use = cloud.delete_network(&cluster()).await.unwrap_err();
    assert!(matches!(in_use, CloudError::InUse { .. }), "{in_use}");

    let other = Labels::from([("team".to_owned(), "data".to_owned())]);
    cloud.set_machine_labels(ZONE, "demo-master-a", &other).await.unwrap();
    cloud.set_machine_labels(ZONE, "demo-master-a", &other).await.unwrap();
    let relabelled = inventory(&sandbox).await.machines.remove(0).labels;
    assert_eq!(
        (relabelled["team"].as_str(), relabelled[label::CLUSTER].as_str()),
        ("data", "demo")
    );

    for again in 0..2 {
        sandbox.halt("demo-master-a");
        assert_eq!(inventory(&sandbox).await.machines[0].state, MachineState::Halted);
        if again == 0 {
            cloud.start_machine(ZONE, "demo-master-a").await.unwrap();
        } else {
            cloud.ensure_machine(&spec).await.unwrap();
        }
        assert_eq!(inventory(&sandbox).await.machines[0].state, MachineState::Running);
    }

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

    cloud.delete_machine(ZONE, "demo-master-a").await.unwrap();
    cloud.delete_machine(ZONE, "demo-master-a").await.unwrap();
    assert_eq!(sandbox.everything(), before, "the boot disk went with it");
    let gone = cloud.start_machine(ZONE, "demo-master-a").await.unwrap_err();
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
    let error = sandbox.cloud.delete_machine(ZONE, "theirs").await.unwrap_err();
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

#[tokio::test]
async fn disks_and_snapshots() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    let cloud = &sandbox.cloud;
    let made = cloud.ensure_disk(&disk_spec()).await.unwrap();
    assert_eq!((made.size_gb, made.disk_type.as_str()), (10, "pd-balanced"));
    let requests = cloud.requests();
    assert_eq!(cloud.ensure_disk(&disk_spec()).await.unwrap(), made);
    assert_eq!(cloud.requests() - requests, 1);
    assert_eq!(inventory(&sandbox).await.disks, [made]);

    cloud.resize_disk(ZONE, "data", 20).await.unwrap();
    cloud.resize_disk(ZONE, "data", 20).await.unwrap();
    let shrink = cloud.resize_disk(ZONE, "data", 10).await.unwrap_err();
    assert!(matches!(shrink, CloudError::Differs { .. }), "{shrink}");
    assert_eq!(
        cloud.ensure_disk(&disk_spec()).await.unwrap().size_gb,
        20,
        "the size is for the caller to compare"
    );
    cloud.set_disk_labels(ZONE, "data", &Labels::new()).await.unwrap();
    let disk = inventory(&sandbox).await.disks.remove(0);
    assert_eq!(
        disk.labels,
        Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())])
    );

    let owner = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    for _ in 0..2 {
        cloud.ensure_snapshot(ZONE, "data", "demo-move", &owner).await.unwrap();
    }
    assert_eq!(inventory(&sandbox).await.snapshots, ["demo-move"]);
    let moved = DiskSpec {
        zone: "us-central1-b".into(),
        size_gb: 20,
        snapshot: Some("demo-move".into()),
        ..disk_spec()
    };
    assert_eq!(cloud.ensure_disk(&moved).await.unwrap().zone, "us-central1-b");
    let other = cloud
        .ensure_snapshot("us-central1-b", "data", "demo-move", &owner)
        .await
        .unwrap_err();
    assert!(matches!(other, CloudError::Differs { .. }), "{other}");
    let foreign = Labels::from([(label::CLUSTER.to_owned(), "dem".to_owned())]);
    let foreign = cloud
        .ensure_snapshot(ZONE, "data", "demo-move", &foreign)
        .await
        .unwrap_err();
    assert!(matches!(foreign, CloudError::NotOurs { .. }), "{foreign}");
    let nobody = cloud
        .ensure_snapshot(ZONE, "data", "x", &Labels::new())
        .await
        .unwrap_err();
    assert!(matches!(nobody, CloudError::Refused { .. }), "{nobody}");

    for _ in 0..2 {
        cloud.delete_snapshot("demo-move").await.unwrap();
        cloud.delete_disk(ZONE, "data").await.unwrap();
        cloud.delete_disk("us-central1-b", "data").await.unwrap();
    }
    assert_eq!(sandbox.everything(), before);
}

#[tokio::test]
async fn a_disk_in_use_stays_and_outlives_its_machine() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_machine(&machine_spec("demo-pool-1")).await.unwrap();
    cloud.ensure_disk(&disk_spec()).await.unwrap();
    let attach = json!({ "source": format!("projects/sandbox/zones/{ZONE}/disks/data"), "deviceName": "data" });
    sandbox
        .change(
            Method::POST,
            &format!("zones/{ZONE}/instances/demo-pool-1/attachDisk"),
            Some(attach),
        )
        .await;
    let found = inventory(&sandbox).await;
    assert_eq!(found.disks[0].attached_to, ["demo-pool-1"]);
    assert_eq!(found.machines[0].disks, ["data"]);
    let error = cloud.delete_disk(ZONE, "data").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "disk data in us-central1-a is in use: attached to demo-pool-1"
    );
    cloud.delete_machine(ZONE, "demo-pool-1").await.unwrap();
    assert_eq!(inventory(&sandbox).await.disks[0].attached_to, [""; 0]);
}

#[tokio::test]
async fn secrets() {
    let sandbox = Sandbox::start().await;
    let before = sandbox.everything();
    let cloud = &sandbox.cloud;
    assert_eq!(cloud.secret("demo-keys").await.unwrap(), None);
    assert_eq!(cloud.ensure_secret(&secret_spec("first")).await.unwrap(), b"first");
    assert_eq!(
        cloud.ensure_secret(&secret_spec("second")).await.unwrap(),
        b"first",
        "what is stored stays"
    );
    assert_eq!(cloud.secret("demo-keys").await.unwrap().unwrap(), b"first");
    assert_eq!(inventory(&sandbox).await.secrets, ["demo-keys"]);
    let stranger = SecretSpec {
        cluster: ClusterName::new("dem"),
        ..secret_spec("x")
    };
    let error = cloud.ensure_secret(&stranger).await.unwrap_err();
    assert!(matches!(error, CloudError::NotOurs { .. }), "{error}");

    let reader = cloud.default_machine_identity().await.unwrap();
    for _ in 0..2 {
        cloud.grant_secret("demo-keys", &reader).await.unwrap();
    }
    let missing = cloud.grant_secret("nothing", &reader).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing}");
    cloud.delete_secret("demo-keys").await.unwrap();
    cloud.delete_secret("demo-keys").await.unwrap();
    assert_eq!(sandbox.everything(), before);
}

/// Makes and deletes one of everything.
async fn round_trip(sandbox: &Sandbox) -> BTreeSet<String> {
    let cloud = &sandbox.cloud;
    cloud.ensure_network(&network_spec(cluster())).await.unwrap();
    cloud.ensure_firewall_rule(&rule_spec()).await.unwrap();
    let wider = FirewallSpec {
        tcp_ports: vec![(1, 65535)],
        ..rule_spec()
    };
    cloud.ensure_firewall_rule(&wider).await.unwrap();
    cloud.ensure_address(&address_spec()).await.unwrap();
    cloud.ensure_secret(&secret_spec("first")).await.unwrap();
    cloud
        .grant_secret("demo-keys", &cloud.default_machine_identity().await.unwrap())
        .await
        .unwrap();
    let spec = MachineSpec {
        address: Some("api".into()),
        ..machine_spec("demo-master-a")
    };
    cloud.ensure_machine(&spec).await.unwrap();
    cloud
        .set_machine_labels(ZONE, "demo-master-a", &Labels::new())
        .await
        .unwrap();
    sandbox.halt("demo-master-a");
    cloud.start_machine(ZONE, "demo-master-a").await.unwrap();
    cloud.ensure_disk(&disk_spec()).await.unwrap();
    cloud.set_disk_labels(ZONE, "data", &Labels::new()).await.unwrap();
    cloud.resize_disk(ZONE, "data", 20).await.unwrap();
    let owner = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    cloud.ensure_snapshot(ZONE, "data", "demo-move", &owner).await.unwrap();
    let all = sandbox.everything();
    cloud.delete_snapshot("demo-move").await.unwrap();
    cloud.delete_disk(ZONE, "data").await.unwrap();
    cloud.delete_machine(ZONE, "demo-master-a").await.unwrap();
    cloud.delete_secret("demo-keys").await.unwrap();
    cloud.delete_address(&cluster(), "api").await.unwrap();
    cloud.delete_firewall_rule(&cluster(), "api").await.unwrap();
    cloud.delete_network(&cluster()).await.unwrap();
    all
}

#[tokio::test]
async fn every_lost_reply_is_survived_without_a_second_object_or_a_leftover() {
    let calm = Sandbox::start().await;
    let before = calm.everything();
    let expected = round_trip(&calm).await;
    assert_eq!(calm.everything(), before);

    let stormy = Sandbox::start().await;
    stormy.lose_first_replies();
    assert_eq!(round_trip(&stormy).await, expected);
    assert_eq!(stormy.everything(), before);
    assert!(stormy.lost_replies() >= 20, "{}", stormy.lost_replies());
}
