//! Every reply lost once.

use std::collections::BTreeSet;

use multizone_cloud::{Cloud as _, FirewallSpec, Labels, MachineSpec, label};

use crate::{
    balancers::{balancer, master},
    region::Sandbox,
    specs::{
        ZONE, address_spec, balancer_spec, cluster, disk_spec, machine_spec, network_spec, rule_spec, secret_spec,
    },
};

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
        .grant_secret("demo-keys", &cloud.default_machine_identity(&cluster()).await.unwrap())
        .await
        .unwrap();
    let spec = MachineSpec {
        address: Some("api".into()),
        ..machine_spec("demo-master-a")
    };
    cloud.ensure_machine(&spec).await.unwrap();
    cloud
        .set_machine_labels(&cluster(), ZONE, "demo-master-a", &Labels::new())
        .await
        .unwrap();
    sandbox.halt("demo-master-a");
    cloud.start_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    cloud.ensure_balancer(&balancer_spec(&[ZONE])).await.unwrap();
    cloud
        .register_target(&cluster(), "api", ZONE, "demo-master-a")
        .await
        .unwrap();
    cloud.move_address(&cluster(), "api", &balancer()).await.unwrap();
    cloud.move_address(&cluster(), "api", &master()).await.unwrap();
    cloud.ensure_disk(&disk_spec()).await.unwrap();
    cloud
        .set_disk_labels(&cluster(), ZONE, "data", &Labels::new())
        .await
        .unwrap();
    cloud.resize_disk(&cluster(), ZONE, "data", 20).await.unwrap();
    let owner = Labels::from([(label::CLUSTER.to_owned(), "demo".to_owned())]);
    cloud.ensure_snapshot(ZONE, "data", "demo-move", &owner).await.unwrap();
    let all = sandbox.everything();
    cloud.delete_snapshot(&cluster(), "demo-move").await.unwrap();
    cloud.delete_disk(&cluster(), ZONE, "data").await.unwrap();
    cloud
        .deregister_target(&cluster(), "api", ZONE, "demo-master-a")
        .await
        .unwrap();
    cloud.delete_balancer(&cluster(), "api").await.unwrap();
    cloud.delete_machine(&cluster(), ZONE, "demo-master-a").await.unwrap();
    cloud.delete_secret(&cluster(), "demo-keys").await.unwrap();
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
