//! Another Kubernetes version of three masters: the cluster's settings, the masters one after the other, kube-proxy and
//! `CoreDNS`.

use multizone_sandbox::process::Etcd;
use serde_json::{Value, json};

use super::{A, B, F, api::Api, change::Change, masters, region_of, relay::interrupt_before_each};
use crate::{CONTROL_PLANE, faults::Faults, operation, with};

/// Masters of a version.
fn of(zones: &[(&str, &str)], version: &str) -> Value {
    with(masters(zones, true), "kubernetes_version", json!(version))
}

fn to(name: &'static str, zones: &[(&str, &str)], version: &str) -> Change {
    Change {
        name,
        operations: vec![operation(name, CONTROL_PLANE, Some(of(zones, version)))],
    }
}

#[tokio::test]
async fn upgrading() {
    let three = [A, B, F];
    let before = region_of(&of(&three, "1.33.8"), Etcd::StandIn).await;
    let upgrade = to("upgrade three masters", &three, "1.34.1");
    assert!(interrupt_before_each(&before, &upgrade).await > 110);
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
    let mut world = region_of(&of(&[A], "1.33.8"), Etcd::StandIn).await.thaw();
    world.settled().await;
    let api = world.api().await;
    assert_eq!(addons(&api).await, ["kube-proxy:v1.33.8", "coredns:v1.12.0"]);
    for (name, version) in [
        ("from 1.33 to 1.34", "1.34.1"),
        ("from a patch of 1.34 to the next", "1.34.2"),
    ] {
        let faults = Faults::at(None);
        to(name, &[A], version).watched(&mut world, &faults).await;
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
    api.accepts_writes("after").await;
}
