//! The provider's own user data, as it renders it for machines of every cloud, on the sandbox's machines.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use multizone_kubernetes::bootstrap_token::BootstrapToken;
use multizone_kubernetes::endpoint::ControlPlaneEndpoint;
use multizone_kubernetes::kubeadm::{
    Customisation, InitSettings, JoinSettings, NodeRegistration, init_configuration, join_configuration,
    topology_labels,
};
use multizone_kubernetes::labels::{Taint, TaintEffect};
use multizone_kubernetes::user_data::{MasterStart, MasterUserData, PkiLocation, SECRET_MANAGER, WorkerUserData};
use multizone_kubernetes::version::KubernetesVersion;
use support::{DEADLINE, Region, SECRET, node_is, user_data};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const MASTER: &str = "us-central1-a/master";
const WORKER: &str = "us-central1-b/worker";

fn node(region: &Region, zone: &str, name: &str, last: u8) -> NodeRegistration {
    NodeRegistration {
        name: name.to_owned(),
        node_ip: Some(region.address(last).into()),
        provider_id: format!("gce://sandbox/{zone}/{name}"),
        labels: topology_labels("us-central1", zone, true),
        taints: None,
        cri_socket: None,
    }
}

async fn boots_and_joins(version: &str) {
    let version: KubernetesVersion = version.parse().unwrap();
    let mut region = Region::new();
    let endpoint = ControlPlaneEndpoint::new(region.endpoint().to_string());
    let settings = InitSettings {
        version,
        cluster_name: "demo".to_owned(),
        endpoint: endpoint.clone(),
        advertise_address: Some(region.address(2).into()),
        certificate_names: vec![region.address(2).to_string()],
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node: node(&region, "us-central1-a", "master", 2),
        customisation: Customisation::default(),
    };
    let master = MasterUserData {
        version,
        start: MasterStart::Init,
        kubeadm_configuration: init_configuration(&settings),
        pki: PkiLocation::SecretManager {
            url: SECRET_MANAGER.to_owned(),
            project: "sandbox".to_owned(),
            secret: SECRET.to_owned(),
        },
        endpoint_address: Some(region.endpoint().into()),
        endpoint_name: None,
        patches: BTreeMap::new(),
    };
    region.machine("us-central1-a", "master", 2, master.render().unwrap());
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
    region.power(MASTER, true);
    region.phase(MASTER, |phase| phase == "running").await;
    let admin = region.admin();
    admin
        .create(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            &user_data::pod_network(),
        )
        .await;

    let mut registration = node(&region, "us-central1-b", "worker", 3);
    registration.taints = Some(vec![Taint {
        key: "team".to_owned(),
        value: "web".to_owned(),
        effect: TaintEffect::NoSchedule,
    }]);
    let settings = JoinSettings {
        version,
        endpoint,
        token: BootstrapToken::parse(&admin.token(true).await).unwrap(),
        ca_certificate_hash: region.ca.hash.clone(),
        node: registration,
        control_plane: None,
        patched: false,
    };
    let worker = WorkerUserData {
        version,
        kubeadm: version,
        kubeadm_configuration: join_configuration(&settings),
    };
    region.machine("us-central1-b", "worker", 3, worker.render().unwrap());
    region.power(WORKER, true);
    region.phase(WORKER, |phase| phase == "running").await;

    let master = node_is(&admin, "master", "True").await;
    let worker = node_is(&admin, "worker", "True").await;
    assert_eq!(master["status"]["nodeInfo"]["kubeletVersion"], format!("v{version}"));
    assert_eq!(
        worker["metadata"]["labels"]["failure-domain.beta.kubernetes.io/zone"],
        "us-central1-b"
    );
    assert_eq!(worker["spec"]["providerID"], "gce://sandbox/us-central1-b/worker");
    let taints = worker["spec"]["taints"].as_array().unwrap();
    assert!(
        taints
            .iter()
            .any(|taint| taint["key"] == "team" && taint["value"] == "web"),
        "{taints:?}"
    );
    for machine in [MASTER, WORKER] {
        assert_eq!(region.report(machine).warnings, [""; 0]);
    }
    region.guests.stop().await;
}

#[tokio::test]
async fn machines_understand_v1beta4() {
    boots_and_joins("1.34.1").await;
}

#[tokio::test]
async fn machines_understand_v1beta3() {
    boots_and_joins("1.29.15").await;
}

/// As on AWS: the endpoint is the name of a balancer that leads to a master once it serves, and only the machine knows its
/// own ID.
#[tokio::test]
async fn the_first_master_is_its_endpoint_until_kubeadm_is_done() {
    let mut region = Region::new();
    let parts = region.endpoint().octets().map(|part| format!("{part:#x}"));
    let name = parts.join(".");
    let settings = InitSettings {
        version: "1.34.1".parse().unwrap(),
        cluster_name: "demo".to_owned(),
        endpoint: ControlPlaneEndpoint::new(name.clone()),
        advertise_address: None,
        certificate_names: vec![region.endpoint().to_string()],
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node: NodeRegistration {
            node_ip: None,
            provider_id: "aws:///us-central1-a/@INSTANCE_ID@".to_owned(),
            ..node(&region, "us-central1-a", "master", 2)
        },
        customisation: Customisation::default(),
    };
    let master = MasterUserData {
        version: settings.version,
        start: MasterStart::Init,
        kubeadm_configuration: init_configuration(&settings),
        pki: PkiLocation::SecretsManager {
            url: "https://secretsmanager.us-west-2.amazonaws.com".to_owned(),
            region: "us-west-2".to_owned(),
            secret: SECRET.to_owned(),
        },
        endpoint_address: None,
        endpoint_name: Some(name),
        patches: BTreeMap::new(),
    };
    let spec = region.machine("us-central1-a", "master", 2, master.render().unwrap());
    "i-0a1".clone_into(&mut spec.instance_id);
    "aws:///us-central1-a/i-0a1".clone_into(&mut spec.provider_id);
    region.power(MASTER, true);
    region.phase(MASTER, |phase| phase == "running").await;

    let endpoint = region.endpoint();
    region.topology.external_addresses.insert(endpoint, MASTER.to_owned());
    region.apply();
    let leads_there = async {
        while TcpStream::connect((endpoint, 6443)).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, leads_there).await.unwrap();
    let admin = region.admin();
    admin
        .create(
            "/apis/apps/v1/namespaces/kube-system/daemonsets",
            &user_data::pod_network(),
        )
        .await;
    let master = node_is(&admin, "master", "True").await;
    assert_eq!(master["spec"]["providerID"], "aws:///us-central1-a/i-0a1");
    assert_eq!(region.report(MASTER).warnings, [""; 0]);
    region.guests.stop().await;
}
