//! The objects of a cluster in its cloud, made sure of.

use std::time::Duration;

use futures::future::join3;
use ipnet::Ipv4Net;
use multizone_cloud::{AddressSpec, ClusterName, ExistingNetwork, FirewallSpec, Labels, NetworkSpec, Role, SecretSpec};
use multizone_kubernetes::{
    API_SERVER_PORT,
    endpoint::ControlPlaneEndpoint,
    pki::{ClusterPki, NodeCredential},
};
use multizone_schema::{Diagnostic, Diagnostics, Planned};
use tracing::info;

use super::{ClusterPlanned, ClusterSettings, Situation};
use crate::{
    configuration::Configured,
    resources::identity::{API_ADDRESS, SecretNames, cluster_labels},
    stop::Stop,
};

/// The node groups' credential lives as long as the cluster's authority; what it may do is little.
const NODE_CREDENTIAL_LIFETIME: Duration = Duration::from_hours(24 * 365 * 9);

/// What the configuration asks for.
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    zones: Vec<(String, Option<Ipv4Net>)>,
    pub(super) pod_cidr: String,
    pub(super) service_cidr: String,
    network_cidr: Option<Ipv4Net>,
    existing: Option<ExistingNetwork>,
    deletion_protection: bool,
}

impl Wanted {
    pub(super) fn of(planned: &ClusterPlanned) -> Result<Self, Diagnostics> {
        let missing = |name: &str| {
            Diagnostic::error("Value not known", format!("{name} has no value when it is applied.")).at(name)
        };
        let text = |value: &Planned<String>, name| value.known().cloned().ok_or_else(|| missing(name));
        let zones = planned.zones.known().ok_or_else(|| missing("zones"))?;
        let given = |zone: &Planned<super::ZonePlanned>| zone.known()?.existing_subnet.known().cloned();
        let existing = planned.existing_network.known().map(|id| ExistingNetwork {
            id: id.clone(),
            subnets: zones
                .iter()
                .filter_map(|(name, zone)| Some((name.clone(), given(zone)?)))
                .collect(),
        });
        let subnet = |zone: &Planned<super::ZonePlanned>| zone.known()?.subnet_cidr.known()?.parse().ok();
        Ok(Self {
            cluster: ClusterName::new(text(&planned.name, "name")?),
            zones: zones.iter().map(|(name, zone)| (name.clone(), subnet(zone))).collect(),
            pod_cidr: text(&planned.pod_cidr, "pod_cidr")?,
            service_cidr: text(&planned.service_cidr, "service_cidr")?,
            existing,
            network_cidr: planned.network_cidr.known().and_then(|range| range.parse().ok()),
            deletion_protection: planned.deletion_protection.known().copied().unwrap_or_default(),
        })
    }
}

/// What was made.
pub(super) struct Made {
    pub(super) cluster: ClusterName,
    pub(super) network: String,
    pub(super) network_cidr: String,
    pub(super) endpoint: ControlPlaneEndpoint,
    pub(super) ca_certificate: String,
}

/// The firewall rules: what reaches the API, and what the cluster's machines say to one another.
pub(super) fn firewall_rules(cluster: &ClusterName, pod_cidr: &str) -> [FirewallSpec; 2] {
    let rule = |name: &str| FirewallSpec {
        cluster: cluster.clone(),
        name: name.to_owned(),
        source_ranges: Vec::new(),
        source_roles: Vec::new(),
        target_roles: Vec::new(),
        tcp_ports: Vec::new(),
        all_protocols: false,
    };
    let anywhere = Ipv4Net::default();
    [
        FirewallSpec {
            source_ranges: vec![anywhere],
            target_roles: vec![Role::Master],
            tcp_ports: vec![(API_SERVER_PORT, API_SERVER_PORT)],
            ..rule("api")
        },
        // kubeadm's ports, the pod network's own (VXLAN, BGP, whatever it is), and pods without translation.
        FirewallSpec {
            source_ranges: pod_cidr.parse().into_iter().collect(),
            source_roles: vec![Role::Master, Role::Worker],
            all_protocols: true,
            ..rule("internal")
        },
    ]
}

/// Makes sure of everything.  `fresh` is a create, which may make keys and marks itself as unfinished.
pub(super) async fn ensure(
    provider: &Configured,
    wanted: &Wanted,
    fresh: bool,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<Made, Diagnostics> {
    let Wanted {
        cluster,
        zones,
        pod_cidr,
        service_cidr,
        network_cidr,
        existing,
        deletion_protection,
    } = wanted;
    let cloud = provider.cloud();
    let labels = cluster_labels(cluster);
    let secrets = SecretNames::of(cloud.region(), cluster);
    let failed = |error| situation.cloud(&error);
    let begin = |number: u32, what: &str| -> Result<(), Diagnostics> {
        info!(cluster = %cluster, "step {number} of 4: {what}");
        if stop.requested() {
            Err(situation.stopped())
        } else {
            Ok(())
        }
    };
    provider.forget(cluster).await;

    begin(1, "network")?;
    if fresh {
        store(provider, cluster, &secrets.creating, b"{}".to_vec(), &labels)
            .await
            .map_err(failed)?;
    }
    let spec = NetworkSpec {
        cluster: cluster.clone(),
        cidr: *network_cidr,
        zones: zones.clone(),
        existing: existing.clone(),
        labels: labels.clone(),
    };
    let network = cloud.ensure_network(&spec).await.map_err(failed)?;
    begin(2, "firewall rules and the API's address")?;
    let [api, internal] = firewall_rules(cluster, pod_cidr);
    let spec = AddressSpec {
        cluster: cluster.clone(),
        name: API_ADDRESS.to_owned(),
        labels: labels.clone(),
    };
    // All three end before an error is told: nothing is left under way.
    let (api, internal, address) = join3(
        cloud.ensure_firewall_rule(&api),
        cloud.ensure_firewall_rule(&internal),
        cloud.ensure_address(&spec),
    )
    .await;
    api.and(internal).map_err(failed)?;
    let address = address.map_err(failed)?;
    begin(3, "keys")?;
    let pki = keys(provider, cluster, &secrets.keys, fresh, &labels, situation).await?;
    let ca_certificate = pki.ca.certificate_pem.clone();
    let credential = node_credential(provider, &pki, situation)?;
    store(
        provider,
        cluster,
        &secrets.node_credential,
        credential.to_secret(),
        &labels,
    )
    .await
    .map_err(failed)?;
    begin(4, "settings")?;
    let settings = ClusterSettings::new(pod_cidr.clone(), service_cidr.clone(), ca_certificate.clone())
        .spanning(zones.iter().map(|(name, _)| name.clone()))
        .protected(*deletion_protection);
    let settings = SecretSpec {
        cluster: cluster.clone(),
        name: secrets.settings,
        content: settings.to_json(),
        labels,
    };
    cloud.replace_secret(&settings).await.map_err(failed)?;
    provider.forget(cluster).await;
    Ok(Made {
        cluster: cluster.clone(),
        network_cidr: network.cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
        network: network.name,
        endpoint: ControlPlaneEndpoint::new(address.address.to_string()),
        ca_certificate,
    })
}

pub(super) async fn store(
    provider: &Configured,
    cluster: &ClusterName,
    name: &str,
    content: Vec<u8>,
    labels: &Labels,
) -> multizone_cloud::Result<Vec<u8>> {
    let spec = SecretSpec {
        cluster: cluster.clone(),
        name: name.to_owned(),
        content,
        labels: labels.clone(),
    };
    provider.cloud().ensure_secret(&spec).await
}

/// The cluster's keys.  They are made once: other keys would lock every node out, so a lost secret is an error.
async fn keys(
    provider: &Configured,
    cluster: &ClusterName,
    name: &str,
    fresh: bool,
    labels: &Labels,
    situation: &Situation<'_>,
) -> Result<ClusterPki, Diagnostics> {
    let unusable = |error: multizone_kubernetes::pki::PkiError| {
        situation.error(
            &format!("The keys of cluster {cluster} in secret {name} are unusable: {error}."),
            "Restore the secret's earlier version in the secret store, then apply again.",
        )
    };
    let failed = |error| situation.cloud(&error);
    let stored = match provider.cloud().secret(name).await.map_err(failed)? {
        Some(stored) => stored,
        None if fresh => {
            let made = ClusterPki::generate(provider.now()).map_err(unusable)?;
            store(provider, cluster, name, made.to_secret(), labels)
                .await
                .map_err(failed)?
        }
        None => {
            return Err(situation.error(
                &format!("The secret {name} with the keys of cluster {cluster} is gone."),
                "Restore it in the secret store; the masters have the same files in /etc/kubernetes/pki. New keys would \
                 lock every node out.",
            ));
        }
    };
    ClusterPki::from_secret(&stored).map_err(unusable)
}

fn node_credential(
    provider: &Configured,
    pki: &ClusterPki,
    situation: &Situation<'_>,
) -> Result<NodeCredential, Diagnostics> {
    pki.node_credential(provider.now(), NODE_CREDENTIAL_LIFETIME)
        .map_err(|error| {
            situation.error(
                &format!("The node groups' credential cannot be made: {error}."),
                "This is an error in the provider.",
            )
        })
}
