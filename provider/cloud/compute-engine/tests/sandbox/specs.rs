//! What the tests ask for.

use multizone_cloud::{
    AddressSpec, BalancerSpec, Cloud as _, ClusterName, DiskSpec, FirewallSpec, Inventory, Labels, MachineSpec,
    NetworkSpec, Performance, Role, SecretSpec,
};

use crate::region::Sandbox;

/// The zone of everything, unless a test says otherwise.
pub(crate) const ZONE: &str = "us-central1-a";

pub(crate) fn cluster() -> ClusterName {
    ClusterName::new("demo")
}

pub(crate) fn labels() -> Labels {
    Labels::from([("team".to_owned(), "web".to_owned())])
}

pub(crate) fn network_spec(cluster: ClusterName) -> NetworkSpec {
    NetworkSpec {
        cluster,
        cidr: None,
        zones: vec![(ZONE.into(), None)],
        existing: None,
        labels: Labels::new(),
    }
}

pub(crate) fn rule_spec() -> FirewallSpec {
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

pub(crate) fn address_spec() -> AddressSpec {
    AddressSpec {
        cluster: cluster(),
        name: "api".into(),
        labels: labels(),
    }
}

pub(crate) fn balancer_spec(zones: &[&str]) -> BalancerSpec {
    BalancerSpec {
        cluster: cluster(),
        name: "api".into(),
        zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        port: 6443,
        health_path: "/readyz".into(),
        labels: labels(),
    }
}

pub(crate) fn machine_spec(name: &str) -> MachineSpec {
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

pub(crate) fn disk_spec() -> DiskSpec {
    DiskSpec {
        cluster: cluster(),
        name: "data".into(),
        zone: ZONE.into(),
        size_gb: 10,
        disk_type: "pd-balanced".into(),
        performance: Performance::default(),
        snapshot: None,
        labels: labels(),
    }
}

pub(crate) fn secret_spec(content: &str) -> SecretSpec {
    SecretSpec {
        cluster: cluster(),
        name: "demo-keys".into(),
        content: content.into(),
        labels: labels(),
    }
}

pub(crate) async fn inventory(sandbox: &Sandbox) -> Inventory {
    sandbox.cloud.inventory(&cluster()).await.unwrap()
}
