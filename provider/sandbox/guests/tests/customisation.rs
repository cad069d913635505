//! kubeadm's settings as the provider renders them and changes them in a cluster, on the sandbox's machines: what a master
//! is made of, and what a further one of another version is made of afterwards.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;

use multizone_kubernetes::bootstrap_token::BootstrapToken;
use multizone_kubernetes::cluster_access::{Cluster, ClusterAddress};
use multizone_kubernetes::cluster_settings::{ClusterSettings, Part};
use multizone_kubernetes::endpoint::ControlPlaneEndpoint;
use multizone_kubernetes::kubeadm::{
    Component, ComponentSettings, ControlPlaneJoin, Customisation, HostVolume, InitSettings, JoinSettings,
    NodeRegistration, init_configuration, join_configuration, kube_proxy_configuration, kubelet_configuration,
    topology_labels,
};
use multizone_kubernetes::pki::ClientCredential;
use multizone_kubernetes::user_data::{MasterStart, MasterUserData, PkiLocation, SECRET_MANAGER};
use serde_json::Value;
use support::client::Client;
use support::{DEADLINE, Region, SECRET, node_is, until, user_data};
use tokio::time::Instant;

const A: &str = "us-central1-a/master-a";
const B: &str = "us-central1-b/master-b";

fn node(zone: &str, name: &str) -> NodeRegistration {
    NodeRegistration {
        name: name.to_owned(),
        node_ip: None,
        provider_id: format!("gce://sandbox/{zone}/{name}"),
        labels: topology_labels("us-central1", zone, false),
        taints: None,
        cri_socket: None,
    }
}

fn user_data(region: &Region, version: &str, start: MasterStart, configuration: String, patches: &Patches) -> String {
    MasterUserData {
        version: version.parse().unwrap(),
        start,
        kubeadm_configuration: configuration,
        pki: PkiLocation::SecretManager {
            url: SECRET_MANAGER.to_owned(),
            project: "sandbox".to_owned(),
            secret: SECRET.to_owned(),
        },
        endpoint_address: Some(region.endpoint().into()),
        endpoint_name: None,
        patches: patches.clone(),
    }
    .render()
    .unwrap()
}

type Patches = BTreeMap<String, String>;

/// A first master that runs.
async fn first(version: &str, customisation: &Customisation) -> Region {
    let mut region = Region::new();
    let configuration = init_configuration(&InitSettings {
        version: version.parse().unwrap(),
        cluster_name: "demo".to_owned(),
        endpoint: ControlPlaneEndpoint::new(region.endpoint().to_string()),
        advertise_address: None,
        certificate_names: Vec::new(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node: node("us-central1-a", "master-a"),
        customisation: customisation.clone(),
    });
    let text = user_data(
        &region,
        version,
        MasterStart::Init,
        configuration,
        &customisation.patches,
    );
    region.machine("us-central1-a", "master-a", 2, text);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), A.to_owned());
    region.power(A, true);
    region.phase(A, |phase| phase == "running").await;
    let admin = region.admin();
    let daemon_sets = "/apis/apps/v1/namespaces/kube-system/daemonsets";
    admin.create(daemon_sets, &user_data::pod_network()).await;
    node_is(&admin, "master-a", "True").await;
    region
}

/// A further master that was switched on.
async fn further(region: &mut Region, version: &str, customisation: &Customisation) {
    let configuration = join_configuration(&JoinSettings {
        version: version.parse().unwrap(),
        endpoint: ControlPlaneEndpoint::new(region.endpoint().to_string()),
        token: BootstrapToken::parse(&region.admin().token(true).await).unwrap(),
        ca_certificate_hash: region.ca.hash.clone(),
        node: node("us-central1-b", "master-b"),
        control_plane: Some(ControlPlaneJoin {
            advertise_address: None,
        }),
        patched: !customisation.patches.is_empty(),
    });
    let text = user_data(
        region,
        version,
        MasterStart::Join,
        configuration,
        &customisation.patches,
    );
    region.machine("us-central1-b", "master-b", 3, text);
    region.power(B, true);
}

/// The provider's own access to the cluster.
fn operator(region: &Region) -> Cluster {
    let address = ClusterAddress {
        url: format!("https://{}:6443", region.endpoint()),
        ca_certificate_pem: region.ca.certificate.clone(),
        server_name: None,
    };
    let (certificate_pem, key_pem) = region.ca.client("multizone", "system:masters");
    Cluster::connect(
        &address,
        &ClientCredential {
            certificate_pem,
            key_pem,
        },
    )
    .unwrap()
}

async fn apply(region: &Region, version: &str, customisation: &Customisation) {
    let wanted = ClusterSettings {
        version: version.parse().unwrap(),
        customisation: customisation.clone(),
    };
    let cluster = operator(region);
    let deadline = Instant::now() + DEADLINE;
    for _ in 0..2 {
        for part in [Part::Settings, Part::Addons] {
            let applied = cluster.apply_cluster_settings(&wanted, part, deadline, std::future::pending());
            applied.await.unwrap();
            let found = cluster.cluster_settings().await.unwrap();
            assert_eq!(
                wanted.changes(&found, part).unwrap(),
                [],
                "applying again changes nothing"
            );
        }
        let found = cluster.cluster_settings().await.unwrap();
        assert_eq!(found.version().unwrap(), wanted.version);
    }
}

/// Something of everything.
fn customised() -> Customisation {
    let audit = HostVolume {
        host_path: "/etc/audit".to_owned(),
        mount_path: "/etc/audit".to_owned(),
        read_only: true,
        path_type: Some("DirectoryOrCreate".to_owned()),
    };
    let api_server = ComponentSettings {
        arguments: BTreeMap::from([
            (
                "audit-policy-file".to_owned(),
                vec!["/etc/audit/policy.yaml".to_owned()],
            ),
            (
                "service-account-issuer".to_owned(),
                vec![
                    "https://new.example.com".to_owned(),
                    "https://old.example.com".to_owned(),
                ],
            ),
        ]),
        volumes: BTreeMap::from([("audit".to_owned(), audit)]),
    };
    let patch = "spec:\n  containers:\n  - name: kube-scheduler\n    resources:\n      requests:\n        cpu: 333m\n";
    Customisation {
        components: BTreeMap::from([(Component::ApiServer, api_server)]),
        patches: BTreeMap::from([
            ("kube-scheduler0+strategic.yaml".to_owned(), patch.to_owned()),
            ("kubeletconfiguration+merge.yaml".to_owned(), "maxPods: 77\n".to_owned()),
        ]),
        kubelet: kubelet_configuration("syncFrequency: 90s").unwrap(),
        kube_proxy: kube_proxy_configuration("mode: nftables").unwrap(),
        image_repository: Some("mirror.example.com/k8s".to_owned()),
        cri_socket: None,
    }
}

async fn pod(admin: &Client, name: &str) -> Value {
    let path = format!("/api/v1/namespaces/kube-system/pods/{name}");
    until(&format!("the pod {name}"), || admin.get(&path)).await
}

fn command(pod: &Value) -> Vec<&str> {
    let command = pod["spec"]["containers"][0]["command"].as_array().unwrap();
    command.iter().map(|argument| argument.as_str().unwrap()).collect()
}

/// Reads a document that a machine's kubeadm has written.
fn written(region: &Region, machine: &str, path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(region.file(machine, path)).unwrap()).unwrap()
}

fn is_customised(region: &Region, machine: &str, api_server: &Value, scheduler: &Value) {
    let arguments = command(api_server);
    for argument in [
        "--audit-policy-file=/etc/audit/policy.yaml",
        "--service-account-issuer=https://new.example.com",
        "--service-account-issuer=https://old.example.com",
        "--shutdown-delay-duration=10s",
    ] {
        assert!(arguments.contains(&argument), "{argument}: {arguments:?}");
    }
    let image = api_server["spec"]["containers"][0]["image"].as_str().unwrap();
    assert!(image.starts_with("mirror.example.com/k8s/kube-apiserver:v"), "{image}");
    let volumes = api_server["spec"]["volumes"].as_array().unwrap();
    let audit = volumes.iter().find(|volume| volume["name"] == "audit").unwrap();
    assert_eq!(audit["hostPath"]["type"], "DirectoryOrCreate");
    let requests = &scheduler["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(requests["cpu"], "333m", "the patch");
    let kubelet = written(region, machine, "/var/lib/kubelet/config.yaml");
    assert_eq!(kubelet["maxPods"], 77, "this machine's patch");
    // kubeadm init writes durations in its own way.
    let frequency = kubelet["syncFrequency"].as_str().unwrap();
    assert!(
        ["90s", "1m30s"].contains(&frequency),
        "the cluster's choice: {frequency}"
    );
}

#[tokio::test]
async fn a_customised_cluster_is_what_was_asked_for_and_further_masters_are_like_the_first() {
    let customisation = customised();
    let mut region = first("1.34.1", &customisation).await;
    let admin = region.admin();
    let (api_server, scheduler) = (
        pod(&admin, "kube-apiserver-master-a").await,
        pod(&admin, "kube-scheduler-master-a").await,
    );
    is_customised(&region, A, &api_server, &scheduler);
    let map = admin
        .get("/api/v1/namespaces/kube-system/configmaps/kubelet-config")
        .await
        .unwrap();
    let kubelet = map["data"]["kubelet"].as_str().unwrap();
    assert!(!kubelet.contains("maxPods"), "a patch is one machine's: {kubelet}");

    let wanted = ClusterSettings {
        version: "1.34.1".parse().unwrap(),
        customisation: customisation.clone(),
    };
    let found = operator(&region).cluster_settings().await.unwrap();
    assert!(wanted.are_in(&found).unwrap(), "{found:#?}");

    further(&mut region, "1.34.1", &customisation).await;
    region.phase(B, |phase| phase == "running").await;
    let (api_server, scheduler) = (
        pod(&admin, "kube-apiserver-master-b").await,
        pod(&admin, "kube-scheduler-master-b").await,
    );
    is_customised(&region, B, &api_server, &scheduler);
    region.guests.stop().await;
}

#[tokio::test]
async fn a_master_of_the_next_minor_joins_once_the_settings_are_there_and_not_before() {
    let nothing = Customisation::default();
    let mut region = first("1.30.9", &nothing).await;
    further(&mut region, "1.31.2", &nothing).await;
    let refused = region.failure(B).await;
    assert!(refused.contains("Control plane version: \"1.30.9\""), "{refused}");

    // From v1beta3 to v1beta4, with another choice as well.
    let customisation = customised();
    apply(&region, "1.31.2", &customisation).await;
    let admin = region.admin();
    let set = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";
    let image = "mirror.example.com/k8s/kube-proxy:v1.31.2";
    until("kube-proxy's pods of the new version", || async {
        let pods = admin
            .get("/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-proxy")
            .await?;
        let of_this_image = |pod: &Value| pod["spec"]["containers"][0]["image"] == image;
        pods["items"].as_array()?.iter().all(of_this_image).then_some(())
    })
    .await;
    let template = admin.get(set).await.unwrap()["spec"]["template"].clone();
    assert!(template["metadata"]["annotations"]["multizone.dev/rollout"].is_string());

    region.power(B, false);
    region.specs.remove(B);
    region.topology.machines.remove(B);
    region.apply();
    let again = "us-central1-b/master-b2";
    let token = admin.token(true).await;
    let configuration = join_configuration(&JoinSettings {
        version: "1.31.2".parse().unwrap(),
        endpoint: ControlPlaneEndpoint::new(region.endpoint().to_string()),
        token: BootstrapToken::parse(&token).unwrap(),
        ca_certificate_hash: region.ca.hash.clone(),
        node: node("us-central1-b", "master-b2"),
        control_plane: Some(ControlPlaneJoin {
            advertise_address: None,
        }),
        patched: true,
    });
    let text = user_data(
        &region,
        "1.31.2",
        MasterStart::Join,
        configuration,
        &customisation.patches,
    );
    region.machine("us-central1-b", "master-b2", 4, text);
    region.power(again, true);
    region.phase(again, |phase| phase == "running").await;
    let node = node_is(&admin, "master-b2", "True").await;
    assert_eq!(node["status"]["nodeInfo"]["kubeletVersion"], "v1.31.2");
    let api_server = pod(&admin, "kube-apiserver-master-b2").await;
    is_customised(
        &region,
        again,
        &api_server,
        &pod(&admin, "kube-scheduler-master-b2").await,
    );
    region.guests.stop().await;
}

#[tokio::test]
async fn a_socket_without_a_container_runtime_fails_the_preflight() {
    let mut region = Region::new();
    let mut node = node("us-central1-a", "master-a");
    node.cri_socket = Some("unix:///run/crio/crio.sock".to_owned());
    let configuration = init_configuration(&InitSettings {
        version: "1.34.1".parse().unwrap(),
        cluster_name: "demo".to_owned(),
        endpoint: ControlPlaneEndpoint::new(region.endpoint().to_string()),
        advertise_address: None,
        certificate_names: Vec::new(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node,
        customisation: Customisation::default(),
    });
    let text = user_data(&region, "1.34.1", MasterStart::Init, configuration, &Patches::new());
    region.machine("us-central1-a", "master-a", 2, text);
    region.power(A, true);
    let failure = region.failure(A).await;
    assert!(failure.contains("[ERROR CRI]"), "{failure}");
    assert!(
        region.console(A).contains("dial unix /run/crio/crio.sock"),
        "{}",
        region.console(A)
    );
    region.guests.stop().await;
}
