//! Which objects a create may take for its own, and what a create leaves that did not finish.

use multizone_cloud::{Balancer, ClusterName, Disk, Inventory, Machine};
use multizone_schema::{Diagnostic, Diagnostics};
use tracing::warn;

use super::{ClusterSettings, Situation, objects::Wanted};
use crate::{configuration::Configured, resources::identity::SecretNames};

/// Refuses objects that exist and that no unfinished create has left.
pub(super) async fn refuse_foreign(
    provider: &Configured,
    wanted: &Wanted,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = &wanted.cluster;
    let region = provider.cloud().region();
    let mut inventory = provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let secrets = SecretNames::of(region, cluster);
    // Masters that were begun before their cluster leave this behind, and nothing else.
    inventory.secrets.retain(|secret| *secret != secrets.turn);
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

/// Takes the mark of an unfinished create away: Terraform has the cluster in its state.
pub(super) async fn confirm(provider: &Configured, cluster: &ClusterName, inventory: &Inventory) {
    let mark = SecretNames::of(provider.cloud().region(), cluster).creating;
    if inventory.secrets.contains(&mark) {
        match provider.cloud().delete_secret(cluster, &mark).await {
            Ok(()) => provider.forget(cluster).await,
            Err(error) => warn!(cluster = %cluster, %error, "the mark of the cluster's create stays for now"),
        }
    }
}

/// Says what a create that failed has left, and how to be rid of it.
pub(super) async fn with_what_is_left(
    provider: &Configured,
    cluster: &ClusterName,
    errors: Diagnostics,
) -> Diagnostics {
    let left = match provider.inventory(cluster).await {
        Ok(inventory) if inventory.is_empty() => "Nothing of the cluster is in the cloud.".to_owned(),
        Ok(inventory) => format!(
            "So far there is {}. To give the cluster up instead, delete these in the cloud: nothing else was made.",
            own(&inventory).join(", ")
        ),
        Err(error) => format!(
            "What there is could not be listed ({error}). To give the cluster up instead, delete what carries the label \
             multizone-cluster = {cluster} in the cloud."
        ),
    };
    errors
        .into_iter()
        .map(|error| Diagnostic {
            detail: format!("{}\n{left}", error.detail),
            ..error
        })
        .collect()
}

/// What there is, for a message: of much only the beginning.
pub(super) fn listed(inventory: &Inventory) -> String {
    let mut things = tenants(inventory);
    if things.is_empty() {
        things = own(inventory);
    }
    let more = things.len().saturating_sub(8);
    things.truncate(8);
    if more > 0 {
        things.push(format!("{more} more"));
    }
    things.join(", ")
}

fn tenants(inventory: &Inventory) -> Vec<String> {
    let machine = |machine: &Machine| format!("machine {} in {}", machine.name, machine.zone);
    let disk = |disk: &Disk| format!("disk {} in {}", disk.name, disk.zone);
    let machines = inventory.machines.iter().map(machine);
    let balancer = |balancer: &Balancer| format!("balancer {}", balancer.name);
    let balancers = inventory.balancers.iter().map(balancer);
    machines
        .chain(inventory.disks.iter().map(disk))
        .chain(balancers)
        .collect()
}

/// What a cluster is made of besides machines and disks.
fn own(inventory: &Inventory) -> Vec<String> {
    let network = inventory.network.iter().map(|network| {
        if network.existing {
            format!("its security groups in network {}", network.name)
        } else {
            format!("network {}", network.name)
        }
    });
    let rules = inventory.firewall_rules.iter();
    let rules = rules.map(|rule| format!("its firewall rule {}", rule.name));
    let addresses = inventory.addresses.iter();
    let addresses = addresses.map(|address| format!("address {}", address.address));
    let secrets = inventory.secrets.iter().map(|secret| format!("secret {secret}"));
    network.chain(rules).chain(addresses).chain(secrets).collect()
}
