//! The objects of a cluster in its cloud: made sure of, compared, deleted.

use std::time::Duration;

use ipnet::Ipv4Net;
use multizone_cloud::{AddressSpec, ClusterName, FirewallSpec, Inventory, Labels, NetworkSpec, Role, SecretSpec};
use multizone_kubernetes::{
    API_SERVER_PORT,
    endpoint::ControlPlaneEndpoint,
    pki::{ClusterPki, NodeCredential},
};
use multizone_schema::{Diagnostic, Diagnostics, Planned};
use tracing::{info, warn};

use super::{ClusterPlanned, ClusterSettings, Situation};
use crate::{
    configuration::Configured,
    resources::{
        identity::{API_ADDRESS, SecretNames, cluster_labels},
        marks,
    },
    stop::Stop,
};

/// How the line about a lost address begins.
pub(super) const ADDRESS_GONE: &str = "the API's address is gone";

/// The line about a deletion that was interrupted.
pub(super) const HALF_DELETED: &str = "its deletion has begun and has not finished";

/// The node groups' credential lives as long as the cluster's authority; what it may do is little.
const NODE_CREDENTIAL_LIFETIME: Duration = Duration::from_hours(24 * 365 * 9);

/// What the configuration asks for.
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    zones: Vec<(String, Option<Ipv4Net>)>,
    pod_cidr: String,
    service_cidr: String,
    network_cidr: Option<Ipv4Net>,
}

impl Wanted {
    pub(super) fn of(planned: &ClusterPlanned) -> Result<Self, Diagnostics> {
        let missing = |name: &str| {
            Diagnostic::error("Value not known", format!("{name} has no value when it is applied.")).at(name)
        };
        let text = |value: &Planned<String>, name| value.known().cloned().ok_or_else(|| missing(name));
        let zones = planned.zones.known().ok_or_else(|| missing("zones"))?;
        let subnet = |zone: &Planned<super::ZonePlanned>| zone.known()?.subnet_cidr.known()?.parse().ok();
        Ok(Self {
            cluster: ClusterName::new(text(&planned.name, "name")?),
            zones: zones.iter().map(|(name, zone)| (name.clone(), subnet(zone))).collect(),
            pod_cidr: text(&planned.pod_cidr, "pod_cidr")?,
            service_cidr: text(&planned.service_cidr, "service_cidr")?,
            network_cidr: planned.network_cidr.known().and_then(|range| range.parse().ok()),
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
fn firewall_rules(cluster: &ClusterName, pod_cidr: &str) -> [FirewallSpec; 2] {
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

/// Refuses objects that exist and that no unfinished create has left.
pub(super) async fn refuse_foreign(
    provider: &Configured,
    wanted: &Wanted,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = &wanted.cluster;
    let region = provider.cloud().region();
    let inventory = provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let secrets = SecretNames::of(region, cluster);
    if inventory.is_empty() {
        return Ok(());
    }
    let why = if inventory.secrets.contains(&secrets.creating) {
        match finished_differently(provider, wanted, &secrets.settings, situation).await? {
            None => return Ok(()),
            Some(difference) => difference,
        }
    } else {
        "no unfinished create left them".to_owned()
    };
    Err(Diagnostic::error(
        "The cluster exists already",
        format!(
            "Region {region} already holds objects of a cluster {cluster}, and {why}: {}. Nothing was changed. Import it with: terraform import multizone_cluster.NAME {region}/{cluster}, or choose another \
             name.",
            listed(&inventory)
        ),
    )
    .at("name")
    .into())
}

/// How a cluster whose create has finished differs from what is wanted now; `None` when it has not finished, or is the
/// same.  The settings are written last.
async fn finished_differently(
    provider: &Configured,
    wanted: &Wanted,
    settings: &str,
    situation: &Situation<'_>,
) -> Result<Option<String>, Diagnostics> {
    let stored = provider
        .cloud()
        .secret(settings)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let Some(Ok(stored)) = stored.map(|stored| ClusterSettings::from_json(&stored)) else {
        return Ok(None);
    };
    let same = stored.pod_cidr == wanted.pod_cidr && stored.service_cidr == wanted.service_cidr;
    Ok((!same).then(|| {
        format!(
            "a create of another configuration has finished them, with pod_cidr {} and service_cidr {}",
            stored.pod_cidr, stored.service_cidr
        )
    }))
}

/// Whether a deletion has begun.
pub(super) fn half_deleted(region: &str, cluster: &ClusterName, inventory: &Inventory) -> bool {
    inventory.secrets.contains(&SecretNames::of(region, cluster).deleting)
}

/// Takes the mark of an unfinished create away: Terraform has the cluster in its state.
pub(super) async fn confirm(provider: &Configured, cluster: &ClusterName, inventory: &Inventory) {
    let mark = SecretNames::of(provider.cloud().region(), cluster).creating;
    if inventory.secrets.contains(&mark) {
        match provider.cloud().delete_secret(&mark).await {
            Ok(()) => provider.forget(cluster).await,
            Err(error) => warn!(cluster = %cluster, %error, "the mark of the cluster's create stays for now"),
        }
    }
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
    } = wanted;
    let cloud = provider.cloud();
    let labels = cluster_labels(cluster);
    let secrets = SecretNames::of(cloud.region(), cluster);
    let failed = |error| situation.cloud(&error);
    let begin = |number: u32, what: &str| -> Result<(), Diagnostics> {
        info!(cluster = %cluster, "step {number} of 5: {what}");
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
        labels: labels.clone(),
    };
    let network = cloud.ensure_network(&spec).await.map_err(failed)?;
    begin(2, "firewall rules")?;
    for rule in firewall_rules(cluster, pod_cidr) {
        cloud.ensure_firewall_rule(&rule).await.map_err(failed)?;
    }
    begin(3, "the API's address")?;
    let spec = AddressSpec {
        cluster: cluster.clone(),
        name: API_ADDRESS.to_owned(),
        labels: labels.clone(),
    };
    let address = cloud.ensure_address(&spec).await.map_err(failed)?;
    begin(4, "keys")?;
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
    begin(5, "settings")?;
    let settings = ClusterSettings::new(pod_cidr.clone(), service_cidr.clone(), ca_certificate.clone());
    store(provider, cluster, &secrets.settings, settings.to_json(), &labels)
        .await
        .map_err(failed)?;
    provider.forget(cluster).await;
    Ok(Made {
        cluster: cluster.clone(),
        network_cidr: network
            .subnets
            .first()
            .map(|subnet| subnet.cidr.to_string())
            .unwrap_or_default(),
        network: network.name,
        endpoint: ControlPlaneEndpoint::new(address.address.to_string()),
        ca_certificate,
    })
}

async fn store(
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

/// What differs from what was made, in words.
pub(super) fn drift(region: &str, cluster: &ClusterName, pod_cidr: &str, inventory: &Inventory) -> Vec<String> {
    if half_deleted(region, cluster, inventory) {
        return vec![HALF_DELETED.to_owned()];
    }
    let mut drift = Vec::new();
    if inventory.network.is_none() {
        drift.push("the network is gone".to_owned());
    } else if inventory
        .network
        .as_ref()
        .is_some_and(|network| network.subnets.is_empty())
    {
        drift.push("the network has no subnet".to_owned());
    }
    for wanted in firewall_rules(cluster, pod_cidr) {
        match inventory.firewall_rule(&wanted.name) {
            None => drift.push(format!("the firewall rule {} is gone", wanted.name)),
            Some(rule) => {
                if let Some(unexpected) = &rule.unexpected {
                    drift.push(format!("the firewall rule {} was changed: {unexpected}", wanted.name));
                } else if !same_rule(&rule.spec, &wanted) {
                    drift.push(format!(
                        "the firewall rule {} lets other traffic through than it should",
                        wanted.name
                    ));
                }
            }
        }
    }
    if inventory.address(API_ADDRESS).is_none() {
        drift.push(ADDRESS_GONE.to_owned());
    }
    let secrets = SecretNames::of(region, cluster);
    for (name, what) in [
        (&secrets.keys, "keys"),
        (&secrets.node_credential, "node groups' credential"),
        (&secrets.settings, "settings"),
    ] {
        if !inventory.secrets.contains(name) {
            drift.push(format!("the secret {name} with the {what} is gone"));
        }
    }
    drift
}

fn same_rule(one: &FirewallSpec, other: &FirewallSpec) -> bool {
    let sorted = |rule: &FirewallSpec| {
        let mut rule = rule.clone();
        rule.source_ranges.sort();
        rule.source_roles.sort();
        rule.target_roles.sort();
        rule.tcp_ports.sort_unstable();
        rule
    };
    sorted(one) == sorted(other)
}

/// Deletes the rest of a cluster whose deletion was interrupted: it was the user's wish, and nothing of it can be used.
pub(super) async fn finish_deletion(
    provider: &Configured,
    cluster: &ClusterName,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let inventory = provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    if half_deleted(provider.cloud().region(), cluster, &inventory) {
        delete(provider, cluster, stop, situation).await?;
    }
    Ok(())
}

/// Deletes everything, once nothing is left that is not the cluster's own.
pub(super) async fn delete(
    provider: &Configured,
    cluster: &ClusterName,
    stop: &Stop,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cloud = provider.cloud();
    let failed = |error| situation.cloud(&error);
    let inventory = clear_unfinished(provider, cluster, situation).await?;
    if !inventory.machines.is_empty() || !inventory.disks.is_empty() {
        return Err(situation.error(
            &format!("Cluster {cluster} still has {}.", listed(&inventory)),
            "Destroy the node groups, the control plane and the disks first: terraform destroy does so in the right order \
             when they refer to the cluster. What is not in Terraform's state has to be deleted in the cloud.",
        ));
    }
    if inventory.is_empty() {
        return Ok(());
    }
    let secrets = SecretNames::of(cloud.region(), cluster);
    let begin = |number: u32, what: &str| -> Result<(), Diagnostics> {
        info!(cluster = %cluster, "step {number} of 5: delete {what}");
        if stop.requested() {
            Err(situation.stopped())
        } else {
            Ok(())
        }
    };
    begin(1, "firewall rules")?;
    // From here on there is no way back: Read shows what is left as half deleted, to the last secret.
    store(
        provider,
        cluster,
        &secrets.deleting,
        b"{}".to_vec(),
        &cluster_labels(cluster),
    )
    .await
    .map_err(failed)?;
    for rule in &inventory.firewall_rules {
        cloud.delete_firewall_rule(cluster, &rule.name).await.map_err(failed)?;
    }
    begin(2, "the API's address")?;
    for address in &inventory.addresses {
        cloud.delete_address(cluster, &address.name).await.map_err(failed)?;
    }
    begin(3, "network")?;
    cloud.delete_network(cluster).await.map_err(failed)?;
    begin(4, "snapshots")?;
    for snapshot in &inventory.snapshots {
        cloud.delete_snapshot(snapshot).await.map_err(failed)?;
    }
    begin(5, "secrets")?;
    for secret in [
        secrets.settings,
        secrets.node_credential,
        secrets.keys,
        secrets.creating,
        secrets.deleting,
    ] {
        cloud.delete_secret(&secret).await.map_err(failed)?;
    }
    provider.forget(cluster).await;
    Ok(())
}

/// Deletes machines that a create has left which never finished: no state knows them, and without a control plane they
/// are of no use.  Disks are left to the gate: they may hold data.
async fn clear_unfinished(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Inventory, Diagnostics> {
    let failed = |error| situation.cloud(&error);
    let inventory = provider.inventory(cluster).await.map_err(failed)?;
    let (unfinished, others): (Vec<_>, Vec<_>) = inventory
        .machines
        .iter()
        .partition(|machine| marks::unfinished(&machine.labels));
    if unfinished.is_empty() || !others.is_empty() {
        return Ok(inventory);
    }
    let mut unfinished = unfinished;
    unfinished.sort_by_key(|machine| std::cmp::Reverse(machine.role()));
    for machine in unfinished {
        info!(cluster = %cluster, machine = %machine.name, "delete a machine that an unfinished create has left");
        provider
            .cloud()
            .delete_machine(&machine.zone, &machine.name)
            .await
            .map_err(failed)?;
    }
    provider.inventory(cluster).await.map_err(failed)
}

/// What there is, for a message.
fn listed(inventory: &Inventory) -> String {
    let mut things: Vec<String> = Vec::new();
    things.extend(
        inventory
            .machines
            .iter()
            .map(|machine| format!("machine {} in {}", machine.name, machine.zone)),
    );
    things.extend(
        inventory
            .disks
            .iter()
            .map(|disk| format!("disk {} in {}", disk.name, disk.zone)),
    );
    if things.is_empty() {
        things.extend(
            inventory
                .network
                .iter()
                .map(|network| format!("network {}", network.name)),
        );
        things.extend(
            inventory
                .addresses
                .iter()
                .map(|address| format!("address {}", address.address)),
        );
        things.extend(inventory.secrets.iter().map(|secret| format!("secret {secret}")));
    }
    let more = things.len().saturating_sub(8);
    things.truncate(8);
    if more > 0 {
        things.push(format!("{more} more"));
    }
    things.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let cluster = ClusterName::new("demo");
        let drift = drift("us-central1", &cluster, "10.244.0.0/16", &Inventory::default());
        assert_eq!(drift.len(), 7, "{drift:?}");
        assert_eq!(drift[0], "the network is gone");
        assert!(drift[3].starts_with(ADDRESS_GONE));
    }

    #[test]
    fn a_rule_is_the_same_in_any_order() {
        let [_, internal] = firewall_rules(&ClusterName::new("demo"), "10.244.0.0/16");
        let mut other = internal.clone();
        other.source_roles.reverse();
        assert!(same_rule(&internal, &other));
        other.all_protocols = false;
        assert!(!same_rule(&internal, &other));
    }
}
