//! Errors of data sources, ephemeral resources and functions, and those that several resources share.

use multizone_cloud::CloudError;
use multizone_provider::{
    registry,
    resources::{
        timeouts,
        trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation, within},
    },
};
use multizone_schema::{Diagnostics, Value};
use serde_json::json;

use crate::{
    cluster::{CLUSTER, cluster},
    read,
    rendering::rendered_call,
    run::{Run, check},
    terraform::value,
};

const KUBECONFIG: &str = "multizone_kubeconfig";
const KEYS: &str = "multizone-us-central1-demo-keys";

#[tokio::test]
async fn data_sources() {
    let run = Run::new();
    run.cloud.hide(Some(CloudError::Forbidden {
        object: "the zones of region us-central1".to_owned(),
        reason: "compute.zones.list".to_owned(),
    }));
    let read = async |name: &str, config: serde_json::Value| {
        let mut sources = registry::data_sources().into_iter();
        let source = sources.find(|source| source.name() == name).unwrap();
        let schema = source.schema();
        let config = value(&schema, &config);
        let read = source.read_data(&schema, Some(&run.provider), config, &run.stop).await;
        read.unwrap_err()
    };
    read!("zones", read("multizone_zones", json!({})).await);
    let demo = json!({ "cluster": "demo" });
    read!("cluster_status", read("multizone_cluster_status", demo).await);
}

async fn kubeconfig(run: &Run, control_plane: &str) -> Diagnostics {
    let kubeconfig = registry::ephemeral_resources().remove(0);
    assert_eq!(kubeconfig.name(), KUBECONFIG);
    let schema = kubeconfig.schema();
    let config = value(&schema, &json!({ "control_plane": control_plane }));
    let opened = kubeconfig
        .open_any(&schema, Some(&run.provider), config, &run.stop)
        .await;
    opened.unwrap_err()
}

#[tokio::test]
async fn kubeconfigs() {
    let ephemeral = registry::ephemeral_resources().remove(0);
    let schema = ephemeral.schema();
    let config = value(
        &schema,
        &json!({ "control_plane": "us-central1/demo", "lifetime": "25h" }),
    );
    read!("kubeconfig_for_too_long", ephemeral.check(&schema, &config));
    let run = Run::with(&[(CLUSTER, &cluster())]).await;
    read!("kubeconfig_of_nothing", kubeconfig(&run, "demo").await);
    read!(
        "kubeconfig_of_no_cluster",
        kubeconfig(&Run::new(), "us-central1/demo").await
    );
    read!(
        "kubeconfig_of_another_region",
        kubeconfig(&run, "europe-west1/demo").await
    );
    run.cloud.tamper_with_secret(KEYS, None);
    read!("kubeconfig_without_keys", kubeconfig(&run, "us-central1/demo").await);
    run.cloud.tamper_with_secret(KEYS, Some(b"garbage"));
    read!(
        "kubeconfig_of_unreadable_keys",
        kubeconfig(&run, "us-central1/demo").await
    );
}

#[test]
fn functions() {
    let call = |name: &str, arguments: Vec<Value>| {
        let functions = registry::functions();
        let function = functions.iter().find(|function| function.name() == name).unwrap();
        rendered_call(
            &format!("provider::multizone::{name}"),
            &function.call(arguments).unwrap_err(),
        )
    };
    let zones = |names: &[&str]| Value::list(names.iter().map(|name| Value::from(*name)));
    insta::assert_snapshot!("quorum_of_nobody", call("quorum_size", vec![Value::from(0)]));
    insta::assert_snapshot!(
        "spread_of_less_than_nothing",
        call("spread", vec![Value::from(-1), zones(&["a"])])
    );
    insta::assert_snapshot!("spread_over_no_zones", call("spread", vec![Value::from(1), zones(&[])]));
    insta::assert_snapshot!(
        "spread_over_one_zone_twice",
        call("spread", vec![Value::from(1), zones(&["a", "a"])])
    );
}

#[tokio::test]
async fn operations_that_take_too_long() {
    let mut all = Diagnostics::new();
    for (doing, left) in [
        ("create cluster demo", ADOPTED),
        ("update cluster demo", CONTINUED),
        ("delete cluster demo", STILL_THERE),
    ] {
        let situation = Situation { doing, left };
        let deadline = timeouts::deadline(Some(&"1ms".to_owned()), std::time::Duration::ZERO);
        let given_up = within::<()>(deadline, &situation, std::future::pending()).await;
        all.extend(given_up.unwrap_err());
    }
    read!("timeouts", all);
}

#[test]
fn checks_of_machines() {
    let replicas = json!({ "A b": { "zone": "us-central1-a" } });
    let control_plane = json!({
        "cluster": "demo", "kubernetes_version": "1.28.3", "machine_type": "n1-standard-2", "replicas": replicas,
    });
    read!("control_plane", check("multizone_control_plane", &control_plane));
    let group = json!({
        "control_plane": "us-central1/demo",
        "kubernetes_version": "1.99.0",
        "name": "pool",
        "zone": "us-central1-a",
        "size": -1,
        "machine_type": "n1-standard-2",
        "labels": { "node-role.kubernetes.io/web": "" },
        "taints": [
            { "key": "a b", "value": null, "effect": "NoSchedule" },
            { "key": "spot", "value": null, "effect": "Never" },
        ],
    });
    read!("node_group", check("multizone_node_group", &group));
}

#[tokio::test]
async fn machine_types() {
    let mut run = Run::with(&[(CLUSTER, &cluster())]).await;
    let mut all = Diagnostics::new();
    for machine_type in ["q9-huge", "n1-standard-1", "e2-micro"] {
        let control_plane = json!({
            "cluster": "demo",
            "kubernetes_version": "1.34.1",
            "machine_type": machine_type,
            "replicas": { "a": { "zone": "us-central1-a" } },
        });
        all.extend(run.plan("multizone_control_plane", Some(&control_plane)).await);
    }
    read!("machine_types", all);
    let mut run = Run::new();
    run.cloud.hide(Some(CloudError::Timeout {
        object: "the machine type".to_owned(),
        seconds: 10,
        waiting_for: "the cloud's answer".to_owned(),
    }));
    let group = json!({
        "control_plane": "us-central1/demo",
        "kubernetes_version": "1.34.1",
        "name": "pool",
        "zone": "us-central1-a",
        "size": 1,
        "machine_type": "n1-standard-2",
    });
    read!(
        "machine_types_that_nobody_tells",
        run.plan("multizone_node_group", Some(&group)).await
    );
}
