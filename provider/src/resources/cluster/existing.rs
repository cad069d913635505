//! A network that exists, for a cluster to live in: whether what is given of it fits.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use multizone_cloud::{ClusterName, ExistingSubnet};
use multizone_schema::{Diagnostic, Diagnostics, Path, Planned};

use super::{Cluster, ClusterPlanned, ZonePlanned};
use crate::configuration::Configured;

/// The path of a zone's existing subnet.
fn path(zone: &str) -> Path {
    Path::from("zones").key(zone).attribute("existing_subnet")
}

fn zones(planned: &ClusterPlanned) -> impl Iterator<Item = (&String, &ZonePlanned)> {
    let zones = planned.zones.known().into_iter().flatten();
    zones.filter_map(|(name, zone)| Some((name, zone.known()?)))
}

fn half(at: Path, text: String) -> Diagnostic {
    Diagnostic::error("Existing network that is not given as a whole", text).at(at)
}

fn missing(zone: &str) -> String {
    format!(
        "Zone {zone} needs {}: the cluster lives in a network that exists, in which the provider makes no subnets.",
        path(zone)
    )
}

/// Refuses, without asking anybody, half of an existing network, and ranges for what exists.
pub(super) fn whole(config: &ClusterPlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let mut refuse = |at: Path, text: String| diagnostics.push(half(at, text));
    let network = &config.existing_network;
    for (name, zone) in zones(config) {
        if network.is_null() && zone.existing_subnet.is_known() {
            let text = format!(
                "{} names a subnet, but existing_network names no network. Name the network that it is in, or leave the \
                 subnet out.",
                path(name)
            );
            refuse(path(name), text);
        }
        if network.is_known() && zone.existing_subnet.is_null() {
            refuse(path(name), missing(name));
        }
        if network.is_known() && zone.subnet_cidr.is_known() {
            let at = Path::from("zones").key(name).attribute("subnet_cidr");
            let text = format!("{at} gives a range to a subnet that exists, and that has one. Leave it out.");
            refuse(at, text);
        }
    }
    if network.is_known() && config.network_cidr.is_known() {
        let text = "network_cidr gives a range to a network that exists, and that has one. Leave it out.";
        refuse(Path::from("network_cidr"), text.to_owned());
    }
    diagnostics
}

/// Refuses an existing network where the cloud's clusters have their own, another subnet for a zone that is spanned, and what
/// the cloud says does not fit of the subnets that are new.
pub(super) async fn check(provider: &Configured, prior: Option<&Cluster>, planned: &ClusterPlanned) -> Diagnostics {
    let cloud = provider.cloud();
    let mut diagnostics = Diagnostics::new();
    if planned.existing_network.is_null() {
        return diagnostics;
    }
    if !cloud.capabilities().existing_networks {
        return Diagnostic::error(
            "Existing networks are not supported here",
            format!(
                "existing_network: clusters have networks of their own on {}. Leave it out.",
                cloud.name()
            ),
        )
        .at("existing_network")
        .into();
    }
    let Some(network) = planned.existing_network.known() else {
        return diagnostics;
    };
    let prior = prior.filter(|prior| prior.existing_network.as_ref() == Some(network));
    let mut new = BTreeMap::new();
    for (name, zone) in zones(planned) {
        let Some(wanted) = zone.existing_subnet.known() else {
            if zone.existing_subnet.is_null() {
                diagnostics.push(half(path(name), missing(name)));
            }
            continue;
        };
        match prior.and_then(|prior| prior.zones.get(name)?.existing_subnet.as_ref()) {
            Some(was) if was == wanted => {}
            Some(was) => diagnostics.push(
                Diagnostic::error(
                    "A zone keeps its subnet",
                    format!(
                        "{} was {was} and cannot become {wanted}: machines in zone {name} are in it. Write {was} again; for \
                         another subnet, take the zone out, apply, and add it again.",
                        path(name)
                    ),
                )
                .at(path(name)),
            ),
            None => drop(new.insert(name.clone(), wanted.clone())),
        }
    }
    if new.is_empty() {
        return diagnostics;
    }
    let ids: Vec<String> = new.values().cloned().collect();
    let found = provider.ask("the subnets", cloud.existing_subnets(&ids)).await;
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let text = format!("existing_network was not checked: {error}. Apply will find out.");
            diagnostics.push(Diagnostic::warning("The cloud could not be asked", text).at("existing_network"));
            return diagnostics;
        }
    };
    let ranges = [("pod_cidr", &planned.pod_cidr), ("service_cidr", &planned.service_cidr)];
    for (zone, id) in &new {
        let subnet = found.iter().find(|subnet| subnet.id == *id);
        if let (Some(subnet), Some(cluster)) = (subnet, planned.name.known()) {
            // The API's load balancer takes one.
            provider.plan_room(&ClusterName::new(cluster), zone, subnet.free.saturating_sub(1));
        }
        let reason = match subnet {
            None => Some(format!("there is no subnet {id} in region {}", cloud.region())),
            Some(subnet) => unfit(subnet, network, zone, &ranges),
        };
        if let Some(reason) = reason {
            let text = format!("{}: {reason}.", path(zone));
            diagnostics.push(Diagnostic::error("Subnet that does not fit", text).at(path(zone)));
        }
    }
    diagnostics
}

/// Why a cluster cannot live in a subnet.
fn unfit(subnet: &ExistingSubnet, network: &str, zone: &str, ranges: &[(&str, &Planned<String>)]) -> Option<String> {
    if subnet.network != network {
        return Some(format!(
            "{} is in network {}, not in {network}",
            subnet.id, subnet.network
        ));
    }
    if subnet.zone != zone {
        return Some(format!("{} is in zone {}, not in {zone}", subnet.id, subnet.zone));
    }
    if subnet.free == 0 {
        return Some(format!("{} has no free addresses left", subnet.id));
    }
    ranges.iter().find_map(|(name, range)| {
        let range: Ipv4Net = range.known()?.parse().ok()?;
        let overlap = range.contains(&subnet.cidr) || subnet.cidr.contains(&range);
        overlap.then(|| {
            format!(
                "{} has the range {}, which overlaps {name} = {range}",
                subnet.id, subnet.cidr
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_where_the_zone_is_and_apart_from_the_pods() {
        let subnet = ExistingSubnet {
            id: "subnet-1".into(),
            network: "vpc-1".into(),
            zone: "a".into(),
            cidr: "10.0.0.0/24".parse().unwrap(),
            free: 9,
        };
        let pods = Planned::from("10.244.0.0/16");
        let why = |subnet: &ExistingSubnet, network, zone| unfit(subnet, network, zone, &[("pod_cidr", &pods)]);
        assert_eq!(why(&subnet, "vpc-1", "a"), None);
        assert!(why(&subnet, "vpc-2", "a").unwrap().contains("not in vpc-2"));
        assert!(why(&subnet, "vpc-1", "b").unwrap().contains("not in b"));
        let full = ExistingSubnet {
            free: 0,
            ..subnet.clone()
        };
        assert!(why(&full, "vpc-1", "a").unwrap().contains("no free addresses"));
        let within = ExistingSubnet {
            cidr: "10.244.3.0/24".parse().unwrap(),
            ..subnet
        };
        assert!(why(&within, "vpc-1", "a").unwrap().contains("overlaps pod_cidr"));
    }
}
