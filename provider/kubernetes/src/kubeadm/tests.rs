#![allow(clippy::unwrap_used)]

use super::*;
use crate::labels::TaintEffect;

fn node() -> NodeRegistration {
    NodeRegistration {
        name: "demo-master-a".into(),
        node_ip: Some("10.0.0.2".parse().unwrap()),
        provider_id: "gce://project/us-central1-a/demo-master-a".into(),
        labels: topology_labels("us-central1", "us-central1-a", false),
        taints: None,
    }
}

fn init(version: &str) -> InitSettings {
    InitSettings {
        version: version.parse().unwrap(),
        cluster_name: "demo".into(),
        endpoint: ControlPlaneEndpoint::new("203.0.113.10"),
        advertise_address: Some("10.0.0.2".parse().unwrap()),
        certificate_names: vec!["10.0.0.2".into(), "203.0.113.10".into()],
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node: node(),
        arguments: ComponentArguments::default(),
    }
}

fn join(version: &str) -> JoinSettings {
    JoinSettings {
        version: version.parse().unwrap(),
        endpoint: ControlPlaneEndpoint::new("203.0.113.10"),
        token: BootstrapToken::parse("abcdef.0123456789abcdef").unwrap(),
        ca_certificate_hash: "sha256:42bcc4cf".into(),
        node: NodeRegistration {
            name: "demo-pool-1".into(),
            labels: topology_labels("us-central1", "us-central1-b", true),
            taints: Some(vec![Taint {
                key: "gpu".into(),
                value: "yes".into(),
                effect: TaintEffect::NoSchedule,
            }]),
            ..node()
        },
        control_plane: None,
    }
}

fn master_join(version: &str) -> JoinSettings {
    JoinSettings {
        node: NodeRegistration {
            name: "demo-master-b".into(),
            ..node()
        },
        control_plane: Some(ControlPlaneJoin {
            advertise_address: Some("10.0.0.3".parse().unwrap()),
        }),
        ..join(version)
    }
}

fn parsed(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

#[test]
fn init_with_v1beta4() {
    insta::assert_snapshot!(init_configuration(&init("1.34.1")).unwrap());
}

#[test]
fn init_with_v1beta3() {
    insta::assert_snapshot!(init_configuration(&init("1.29.0")).unwrap());
}

#[test]
fn worker_join_with_v1beta4() {
    insta::assert_snapshot!(join_configuration(&join("1.34.1")));
}

#[test]
fn worker_join_with_v1beta3() {
    insta::assert_snapshot!(join_configuration(&join("1.30.2")));
}

#[test]
fn master_join_with_v1beta4() {
    insta::assert_snapshot!(join_configuration(&master_join("1.34.1")));
}

#[test]
fn master_join_with_v1beta3() {
    insta::assert_snapshot!(join_configuration(&master_join("1.30.2")));
}

#[test]
fn rule_certificate_keys_are_never_needed() {
    assert!(!join_configuration(&master_join("1.34.1")).contains("certificateKey"));
}

#[test]
fn rule_extra_args_is_a_list_in_v1beta4_and_a_map_in_v1beta3() {
    let list = &parsed(&init_configuration(&init("1.31.0")).unwrap())[0]["nodeRegistration"]["kubeletExtraArgs"];
    assert_eq!(list[0]["name"], "node-ip");
    let map = &parsed(&init_configuration(&init("1.30.0")).unwrap())[0]["nodeRegistration"]["kubeletExtraArgs"];
    assert_eq!(map["node-ip"], "10.0.0.2");
}

#[test]
fn rule_the_shared_endpoint_is_always_set_and_in_the_certificate() {
    for version in ["1.29.0", "1.34.1"] {
        let cluster = &parsed(&init_configuration(&init(version)).unwrap())[1];
        assert_eq!(cluster["controlPlaneEndpoint"], "203.0.113.10:6443");
        assert_eq!(cluster["apiServer"]["certSANs"], json!(["203.0.113.10", "10.0.0.2"]));
    }
}

#[test]
fn rule_node_zone_provider_id_and_labels_agree() {
    let text = join_configuration(&join("1.34.1"));
    let arguments = &parsed(&text)[0]["nodeRegistration"]["kubeletExtraArgs"];
    let labels = arguments
        .as_array()
        .unwrap()
        .iter()
        .find(|argument| argument["name"] == "node-labels")
        .unwrap();
    for expected in [
        "topology.kubernetes.io/zone=us-central1-b",
        "topology.kubernetes.io/region=us-central1",
        "failure-domain.beta.kubernetes.io/zone=us-central1-b",
        "failure-domain.beta.kubernetes.io/region=us-central1",
    ] {
        assert!(
            labels["value"]
                .as_str()
                .unwrap()
                .split(',')
                .any(|label| label == expected),
            "{labels}"
        );
    }
}

#[test]
fn rule_the_token_of_init_dies_at_once() {
    for version in ["1.29.0", "1.34.1"] {
        let tokens = &parsed(&init_configuration(&init(version)).unwrap())[0]["bootstrapTokens"];
        assert_eq!(
            tokens.as_array().unwrap().len(),
            1,
            "an empty list makes kubeadm add one of 24 h"
        );
        assert_eq!(tokens[0]["ttl"], "1m0s");
    }
}

#[test]
fn rule_cgroup_driver_is_systemd() {
    assert_eq!(
        parsed(&init_configuration(&init("1.34.1")).unwrap())[2]["cgroupDriver"],
        "systemd"
    );
}

#[test]
fn rule_a_stopping_machine_gives_the_api_server_its_shutdown_delay() {
    assert!(SHUTDOWN_DELAY < STATIC_POD_GRACE_PERIOD && STATIC_POD_GRACE_PERIOD < SHUTDOWN_GRACE);
    let kubelet = &parsed(&init_configuration(&init("1.34.1")).unwrap())[2];
    assert_eq!(kubelet["shutdownGracePeriod"], "60s");
    assert_eq!(kubelet["shutdownGracePeriodCriticalPods"], "30s");
}

#[test]
fn a_control_plane_machine_without_taints_takes_ordinary_pods() {
    let mut settings = init("1.34.1");
    settings.node.taints = Some(Vec::new());
    let documents = parsed(&init_configuration(&settings).unwrap());
    assert_eq!(documents[0]["nodeRegistration"]["taints"], json!([]));
}

#[test]
fn settings_may_be_left_to_the_machine() {
    let mut settings = init("1.34.1");
    settings.advertise_address = None;
    settings.node.node_ip = None;
    let text = init_configuration(&settings).unwrap();
    assert!(
        !text.contains("advertiseAddress") && !text.contains("node-ip"),
        "{text}"
    );
}

fn api_server(name: &str, value: &str) -> ComponentArguments {
    ComponentArguments(BTreeMap::from([(
        Component::ApiServer,
        BTreeMap::from([(name.to_owned(), value.to_owned())]),
    )]))
}

#[test]
fn rule_anonymous_auth_false_is_refused() {
    assert_eq!(
        api_server("anonymous-auth", "false").check(),
        Err(RefusedArgument::AnonymousProbes)
    );
    assert_eq!(api_server("anonymous-auth", "true").check(), Ok(()));
}

#[test]
fn rule_shutdown_delay_fits_the_static_pods_grace_period() {
    assert!(SHUTDOWN_DELAY < STATIC_POD_GRACE_PERIOD);
    assert_eq!(api_server("shutdown-delay-duration", "20s").check(), Ok(()));
    for (given, problem) in [
        ("30s", "does not fit"),
        ("1m", "does not fit"),
        ("soon", "not a duration"),
    ] {
        let error = api_server("shutdown-delay-duration", given)
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn arguments_are_passed_to_their_component_over_the_defaults() {
    let mut settings = init("1.34.1");
    settings.arguments = api_server("shutdown-delay-duration", "15s");
    settings.arguments.0.insert(
        Component::Etcd,
        BTreeMap::from([("quota-backend-bytes".into(), "4294967296".into())]),
    );
    let cluster = &parsed(&init_configuration(&settings).unwrap())[1];
    assert_eq!(
        cluster["apiServer"]["extraArgs"],
        json!([{ "name": "shutdown-delay-duration", "value": "15s" }])
    );
    assert_eq!(cluster["etcd"]["local"]["extraArgs"][0]["value"], "4294967296");
}
