//! What differs from what was made, in words that are shown in the plan.

use std::collections::BTreeSet;

use multizone_cloud::{AddressHolder, ClusterName, FirewallSpec, Inventory, Machine, Role, label};

use super::objects::firewall_rules;
use crate::{
    configuration::Configured,
    resources::identity::{API_ADDRESS, SecretNames},
};

/// How the line about a lost address begins.
pub(super) const ADDRESS_GONE: &str = "the API's address is gone";

/// The line about a deletion that was interrupted.
pub(super) const HALF_DELETED: &str = "its deletion has begun and has not finished";

const KEYS: &str = "keys";

fn secret_gone(name: &str, what: &str) -> String {
    format!("the secret {name} with the {what} is gone")
}

/// The line about lost keys, which cannot be made anew.
pub(super) fn keys_gone(region: &str, cluster: &ClusterName) -> String {
    secret_gone(&SecretNames::of(region, cluster).keys, KEYS)
}

/// Whether a deletion has begun.
pub(super) fn half_deleted(region: &str, cluster: &ClusterName, inventory: &Inventory) -> bool {
    inventory.secrets.contains(&SecretNames::of(region, cluster).deleting)
}

/// The cluster's secrets that are there and that nothing says are the cluster's.  Failing to ask is no harm: they are then
/// taken for gone.
pub(super) async fn unlabelled_secrets(
    provider: &Configured,
    cluster: &ClusterName,
    inventory: &Inventory,
) -> BTreeSet<String> {
    let names = SecretNames::of(provider.cloud().region(), cluster);
    let mut found = BTreeSet::new();
    for name in [names.keys, names.node_credential, names.settings] {
        if !inventory.secrets.contains(&name) && matches!(provider.cloud().secret(&name).await, Ok(Some(_))) {
            found.insert(name);
        }
    }
    found
}

/// Who holds the API's address and is, by labels, none of the cluster's masters and balancers.  A machine is not said to be
/// a stranger while no master is known at all: then it may be one that has lost its labels, which the control plane tells.
pub(super) fn stranger(inventory: &Inventory) -> Option<String> {
    let holder = inventory.address(API_ADDRESS)?.holder.as_ref()?;
    let known = match holder {
        AddressHolder::Machine { zone, name } => match inventory.machine(zone, name) {
            Some(machine) => is_master(machine),
            None => !inventory.machines.iter().any(is_master),
        },
        AddressHolder::Balancer { name } => inventory.balancer(name).is_some(),
    };
    (!known).then(|| holder.to_string())
}

fn is_master(machine: &Machine) -> bool {
    machine.role() == Some(Role::Master) || machine.labels.contains_key(label::REPLICA)
}

/// What differs from what was made, in words.
pub(super) fn drift(
    region: &str,
    cluster: &ClusterName,
    pod_cidr: &str,
    inventory: &Inventory,
    unlabelled: &BTreeSet<String>,
) -> Vec<String> {
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
    if let Some(unexpected) = inventory
        .network
        .as_ref()
        .and_then(|network| network.unexpected.as_ref())
    {
        drift.push(format!("the network was changed: {unexpected}"));
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
    match inventory.address(API_ADDRESS) {
        None => drift.push(ADDRESS_GONE.to_owned()),
        Some(address) => drift.extend(
            address
                .unexpected
                .iter()
                .map(|unexpected| format!("what is behind the API's address was changed: {unexpected}")),
        ),
    }
    let secrets = SecretNames::of(region, cluster);
    for (name, what) in [
        (&secrets.keys, KEYS),
        (&secrets.node_credential, "node groups' credential"),
        (&secrets.settings, "settings"),
    ] {
        if unlabelled.contains(name) {
            drift.push(format!(
                "the secret {name} with the {what} has lost its label multizone-cluster = {cluster}"
            ));
        } else if !inventory.secrets.contains(name) {
            drift.push(secret_gone(name, what));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let cluster = ClusterName::new("demo");
        let drift = drift(
            "us-central1",
            &cluster,
            "10.244.0.0/16",
            &Inventory::default(),
            &BTreeSet::new(),
        );
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
