//! The balancer that a control plane names: one of its cluster's, over the zones of its masters.
//!
//! Where is it checked?  In the control plane's plan.  A balancer that it refers to was planned before, in the same process;
//! one that is not in this configuration is in the cloud.  Where neither is known, nothing is said.

use multizone_cloud::{ClusterName, EndpointKind};
use multizone_schema::{Diagnostic, Diagnostics, Path};

use crate::{configuration::Configured, resources::identity::ObjectId};

/// Refuses, in a plan, a balancer that the cluster has not and is not to have, or that does not span a zone in which a
/// master is to be made: each with the place where the zone is written.
pub(in crate::resources) async fn check_planned_balancer(
    provider: &Configured,
    cluster: &ClusterName,
    name: &str,
    zones: &[(Path, String)],
) -> Diagnostics {
    let spanned = match provider.planned_balancer(cluster, name) {
        Some(Some(spanned)) => spanned,
        // Its zones are known only during the apply.
        Some(None) => return Diagnostics::new(),
        None => {
            let question = provider.known_inventory(cluster);
            let Ok(inventory) = provider
                .ask(&format!("the balancers of cluster {cluster}"), question)
                .await
            else {
                return Diagnostics::new();
            };
            match inventory.balancer(name) {
                Some(found) => found.zones.clone(),
                None if inventory.is_empty() && provider.planned_zones(cluster).is_none() => return Diagnostics::new(),
                None => return missing(cluster, name).into(),
            }
        }
    };
    let missed = zones.iter().filter(|(_, zone)| !spanned.contains(zone));
    missed
        .map(|(path, zone)| {
            let over: Vec<&str> = spanned.iter().map(String::as_str).collect();
            Diagnostic::error(
                "Master in a zone that its balancer does not span",
                format!(
                    "{path} is {zone}, but balancer {name} of cluster {cluster} spans {}: no request would get to that master \
                     through it. Nothing was changed. Add {zone} to zones of the multizone_api_load_balancer, or choose \
                     another zone.",
                    over.join(", ")
                ),
            )
            .at(path.clone())
        })
        .fold(Diagnostics::new(), |mut all, one| {
            all.push(one);
            all
        })
}

/// Says that a new balancer has no masters behind it, where Terraform has the one that is there as tainted: the control
/// plane was read before, and Terraform reads nothing twice.  Of a replacement that was asked for by -replace Terraform shows
/// only the warnings of its first half, which looks like an update.
pub(super) fn made_anew(provider: &Configured, cluster: &ClusterName, name: &str) -> Diagnostics {
    let cloud = provider.cloud();
    let inventory = provider.inventory_at_hand(cluster);
    let found = inventory.as_ref().and_then(|inventory| inventory.balancer(name));
    let Some(found) = found.filter(|found| !found.creating() && !found.targets.is_empty()) else {
        return Diagnostics::new();
    };
    // There it stays as long as its masters do.
    if cloud.capabilities().endpoint == EndpointKind::DnsName {
        return Diagnostics::new();
    }
    let masters: Vec<&str> = found.targets.iter().map(|target| target.machine.as_str()).collect();
    Diagnostic::warning(
        format!("Balancer {name} of cluster {cluster} is made anew, and no master is put behind it yet"),
        format!(
            "{} {} behind balancer {name} now. If this plan destroys it first, because it is tainted, the API's address goes to \
             one master, and only that one is reached. Apply again: the next plan puts the masters behind the new balancer and \
             hands the address over. terraform untaint keeps the balancer that is there. If Terraform does not know it, the \
             apply refuses: import it with terraform import multizone_api_load_balancer.NAME {}",
            masters.join(", "),
            if masters.len() == 1 { "is" } else { "are" },
            ObjectId::object(cloud.region(), cluster, name)
        ),
    )
    .into()
}

fn missing(cluster: &ClusterName, name: &str) -> Diagnostic {
    Diagnostic::error(
        "Balancer that the cluster does not have",
        format!(
            "load_balancer is {name}, but cluster {cluster} has no balancer of this name, and none is planned. Nothing was \
             changed. Name one whose cluster is {cluster}, as multizone_api_load_balancer.NAME.name, so that Terraform knows \
             the order."
        ),
    )
    .at("load_balancer")
}
