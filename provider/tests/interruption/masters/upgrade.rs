//! Another Kubernetes version of three masters: the cluster's settings, the masters one after the other, kube-proxy and
//! `CoreDNS`.

use multizone_sandbox::process::Etcd;
use serde_json::{Value, json};

use super::{
    A, B, F,
    api::Api,
    change::Change,
    masters,
    prober::Prober,
    region_of,
    relay::{kill_one_after_the_other, lose_replies_one_after_the_other, restart_the_sandbox_one_after_the_other},
};
use crate::{CONTROL_PLANE, faults::Faults, operation, with, world::Snapshot};

/// Three masters of a version.
fn three(version: &str) -> Value {
    with(masters(&[A, B, F], true), "kubernetes_version", json!(version))
}

async fn at(version: &str) -> Snapshot {
    region_of(&three(version), Etcd::StandIn).await
}

/// They get another version.
fn to(name: &'static str, version: &str) -> Change {
    Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(three(version)))],
    }
}

#[tokio::test]
async fn upgrading_killed_at_every_step() {
    let change = to("upgrade three masters, the provider killed", "1.33.8");
    assert!(kill_one_after_the_other(&at("1.32.9").await, &change).await > 80);
}

#[tokio::test]
async fn upgrading_with_every_reply_lost() {
    let change = to("upgrade three masters, replies lost", "1.33.8");
    assert!(lose_replies_one_after_the_other(&at("1.32.9").await, &change).await > 15);
}

#[tokio::test]
async fn upgrading_with_the_sandbox_restarted_at_every_step() {
    let change = to("upgrade three masters, the sandbox started again", "1.33.8");
    assert!(restart_the_sandbox_one_after_the_other(&at("1.32.9").await, &change).await > 15);
}

/// The images of kube-proxy and `CoreDNS`, without where they come from.
async fn addons(api: &Api) -> [String; 2] {
    let mut images = Vec::new();
    for path in ["daemonsets/kube-proxy", "deployments/coredns"] {
        let path = format!("/apis/apps/v1/namespaces/kube-system/{path}");
        let found = api.request("GET", &path, &Value::Null).await.unwrap();
        let image = &found["spec"]["template"]["spec"]["containers"][0]["image"];
        let image = image.as_str().unwrap().rsplit('/').next().unwrap();
        images.push(image.to_owned());
    }
    images.try_into().unwrap()
}

/// With it kubeadm goes from etcd 3.5 to 3.6.
#[tokio::test]
async fn crossing_into_1_34_and_taking_its_next_patch() {
    let mut world = at("1.33.8").await.thaw();
    world.settled().await;
    let api = world.api().await;
    assert_eq!(addons(&api).await, ["kube-proxy:v1.33.8", "coredns:v1.12.0"]);
    let prober = Prober::start(&api, "writes");
    for (name, version) in [
        ("from 1.33 to 1.34", "1.34.1"),
        ("from a patch of 1.34 to the next", "1.34.2"),
    ] {
        let faults = Faults::at(None);
        to(name, version).watched(&mut world, &faults).await;
        let steps = faults.executed();
        assert_eq!(
            steps.first().unwrap(),
            &format!("set the cluster-wide settings to {version}: kubeadm, kubelet")
        );
        assert_eq!(
            steps.last().unwrap(),
            &format!("bring kube-proxy and CoreDNS to {version}")
        );
        let images = [format!("kube-proxy:v{version}"), "coredns:v1.12.1".to_owned()];
        assert_eq!(addons(&api).await, images);
    }
    let seen = prober.stop();
    seen.say("three masters from 1.33 to 1.34 and its next patch");
    assert!(seen.are_still_there(&api).await > 0);
}
