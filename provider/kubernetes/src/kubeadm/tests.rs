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
        cri_socket: None,
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
        customisation: Customisation::default(),
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
        patched: false,
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
    insta::assert_snapshot!(init_configuration(&init("1.34.1")));
}

#[test]
fn init_with_v1beta3() {
    insta::assert_snapshot!(init_configuration(&init("1.29.0")));
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
    let list = &parsed(&init_configuration(&init("1.31.0")))[0]["nodeRegistration"]["kubeletExtraArgs"];
    assert_eq!(list[0]["name"], "node-ip");
    let map = &parsed(&init_configuration(&init("1.30.0")))[0]["nodeRegistration"]["kubeletExtraArgs"];
    assert_eq!(map["node-ip"], "10.0.0.2");
}

#[test]
fn rule_the_shared_endpoint_is_always_set_and_in_the_certificate() {
    for version in ["1.29.0", "1.34.1"] {
        let cluster = &parsed(&init_configuration(&init(version)))[1];
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
        let tokens = &parsed(&init_configuration(&init(version)))[0]["bootstrapTokens"];
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
        parsed(&init_configuration(&init("1.34.1")))[2]["cgroupDriver"],
        "systemd"
    );
}

#[test]
fn rule_a_stopping_machine_gives_the_api_server_its_shutdown_delay() {
    assert!(SHUTDOWN_DELAY < STATIC_POD_GRACE_PERIOD && STATIC_POD_GRACE_PERIOD < SHUTDOWN_GRACE);
    let kubelet = &parsed(&init_configuration(&init("1.34.1")))[2];
    assert_eq!(kubelet["shutdownGracePeriod"], "1m0s");
    assert_eq!(kubelet["shutdownGracePeriodCriticalPods"], "30s");
}

#[test]
fn a_control_plane_machine_without_taints_takes_ordinary_pods() {
    let mut settings = init("1.34.1");
    settings.node.taints = Some(Vec::new());
    let documents = parsed(&init_configuration(&settings));
    assert_eq!(documents[0]["nodeRegistration"]["taints"], json!([]));
}

#[test]
fn settings_may_be_left_to_the_machine() {
    let mut settings = init("1.34.1");
    settings.advertise_address = None;
    settings.node.node_ip = None;
    let text = init_configuration(&settings);
    assert!(
        !text.contains("advertiseAddress") && !text.contains("node-ip"),
        "{text}"
    );
}

/// Something of everything.
fn customised() -> Customisation {
    let component = |name: &str, values: &[&str]| ComponentSettings {
        arguments: BTreeMap::from([(name.to_owned(), values.iter().map(ToString::to_string).collect())]),
        volumes: BTreeMap::new(),
    };
    let mut api_server = component("shutdown-delay-duration", &["15s"]);
    api_server.arguments.insert(
        "audit-policy-file".to_owned(),
        vec!["/etc/kubernetes/audit/policy.yaml".to_owned()],
    );
    api_server.volumes.insert(
        "audit".to_owned(),
        HostVolume {
            host_path: "/etc/kubernetes/audit".into(),
            mount_path: "/etc/kubernetes/audit".into(),
            read_only: true,
            path_type: Some("DirectoryOrCreate".into()),
        },
    );
    Customisation {
        components: BTreeMap::from([
            (Component::ApiServer, api_server),
            (Component::Scheduler, component("v", &["2"])),
            (Component::Etcd, component("quota-backend-bytes", &["4294967296"])),
        ]),
        patches: BTreeMap::from([("etcd.yaml".to_owned(), "spec: {}\n".to_owned())]),
        kubelet: kubelet_configuration("maxPods: 200").unwrap(),
        kube_proxy: kube_proxy_configuration("mode: nftables").unwrap(),
        image_repository: Some("mirror.example.com/kubernetes".into()),
        cri_socket: None,
    }
}

#[test]
fn a_customised_init_with_v1beta4() {
    let settings = InitSettings {
        customisation: customised(),
        ..init("1.34.1")
    };
    insta::assert_snapshot!(init_configuration(&settings));
}

#[test]
fn a_customised_init_with_v1beta3() {
    let settings = InitSettings {
        customisation: customised(),
        ..init("1.30.0")
    };
    insta::assert_snapshot!(init_configuration(&settings));
}

#[test]
fn an_argument_may_have_several_values() {
    let mut settings = init("1.34.1");
    let issuers = vec![
        "https://new.example.com".to_owned(),
        "https://old.example.com".to_owned(),
    ];
    let mut api_server = ComponentSettings::default();
    api_server
        .arguments
        .insert("service-account-issuer".to_owned(), issuers);
    settings
        .customisation
        .components
        .insert(Component::ApiServer, api_server);
    let cluster = &parsed(&init_configuration(&settings))[1];
    let arguments = cluster["apiServer"]["extraArgs"].as_array().unwrap();
    let names: Vec<_> = arguments.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "service-account-issuer",
            "service-account-issuer",
            "shutdown-delay-duration"
        ]
    );
    assert_eq!(arguments[0]["value"], "https://new.example.com", "the order is kept");
}

#[test]
fn joiners_find_their_patches_and_their_container_runtime() {
    let mut settings = master_join("1.34.1");
    settings.patched = true;
    settings.node.cri_socket = Some("unix:///run/crio/crio.sock".into());
    let document = &parsed(&join_configuration(&settings))[0];
    assert_eq!(document["patches"]["directory"], PATCHES_DIRECTORY);
    assert_eq!(document["nodeRegistration"]["criSocket"], "unix:///run/crio/crio.sock");
}

#[test]
fn only_what_a_machine_is_made_from_makes_another_machine() {
    assert_eq!(Customisation::default().machine_text(), "");
    let kube_proxy = Customisation {
        kube_proxy: kube_proxy_configuration("mode: ipvs").unwrap(),
        ..Customisation::default()
    };
    assert_eq!(kube_proxy.machine_text(), "", "kube-proxy reads the cluster's");
    assert_ne!(kube_proxy.text(), "");
    let texts: std::collections::BTreeSet<String> = [
        customised(),
        Customisation {
            image_repository: None,
            ..customised()
        },
        Customisation {
            patches: BTreeMap::new(),
            ..customised()
        },
    ]
    .map(|one| one.machine_text())
    .into();
    assert_eq!(texts.len(), 3);
}
