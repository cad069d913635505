//! `multizone_cluster`: identity, network, endpoint and keys of a cluster.
//!
//! # Flow
//! Create marks the cluster as unfinished (a secret named `…-creating`) and makes the network, the firewall rules, the
//! address, the keys and the settings, each idempotently.  The first read takes the mark away: only then is it certain
//! that Terraform has the cluster in its state.  A create that finds objects without the mark refuses to adopt them.
//! Update makes sure of the same objects again, which is also how drift is repaired.  Delete is gated: nothing of the
//! cluster may be left that is not this resource's own.  It marks the cluster, too (a secret named `…-deleting`), and
//! takes that mark away last: Read shows what an interrupted delete has left, and the next apply finishes it.

mod adoption;
mod drift;
mod existing;
mod objects;
mod removal;
mod settings;
mod subnets;
#[cfg(test)]
pub(crate) mod tests;
mod zones;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use multizone_cloud::{ClusterName, Inventory};
use multizone_schema::{Diagnostic, Diagnostics, Model, Nested, Path, Planned, PlannedModel};

pub use settings::{ClusterFacts, ClusterSettings};
pub use zones::{Stored, check_planned_zone, check_zone, spanned_zones, stored_zones, unordered};

use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks,
    identity::{API_ADDRESS, ClusterIdentity, ObjectId, SecretNames},
    offers, protection,
    timeouts::{self, Timeouts},
    trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation, within},
};
use crate::{configuration::Configured, stop::Stop};

/// The usual time for a cluster's objects, with much to spare.
const TIMEOUT: Duration = Duration::from_mins(20);

/// A cluster: its identity, its network, the zones it spans, the stable address of its API, and its keys.
///
/// The machines are those of `multizone_control_plane` and `multizone_node_group`. The keys are made once and kept in
/// the cloud's secret store; none of them is in Terraform's state.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Name of the cluster, unique in its project and region: up to 32 lower-case letters, digits and hyphens.
    #[attribute(required, requires_replace, validate = checks::cluster_name)]
    pub name: String,
    /// The zones it spans, by name. Adding one adds nothing but room for machines and disks; before one is removed,
    /// what is in it must go. A zone that still holds something of the cluster is shown until it is empty.
    #[attribute(required, nested, validate = checks::not_empty)]
    pub zones: BTreeMap<String, Zone>,
    /// Addresses of the pods, a /8 to a /24: every node gets a /24 of them.
    #[attribute(optional, default = "10.244.0.0/16", requires_replace, validate = checks::pod_cidr)]
    pub pod_cidr: String,
    /// Addresses of the services, a /12 to a /28.
    #[attribute(optional, default = "10.96.0.0/12", requires_replace, validate = checks::service_cidr)]
    pub service_cidr: String,
    /// Addresses of the machines. Defaults to a range of the cloud's; on AWS to 10.0.0.0/16.
    #[attribute(optional, computed, keep_prior, requires_replace, validate = checks::cidr)]
    pub network_cidr: String,
    /// ID of a network that exists, for the cluster to live in, on AWS of a VPC: then each zone names its `existing_subnet`,
    /// and neither the network nor a subnet, a route or a gateway of it is ever made, changed or deleted. Without it the
    /// cluster has a network of its own.
    #[attribute(optional, requires_replace, validate = checks::given)]
    pub existing_network: Option<String>,
    /// Refuse to destroy the cluster.
    #[attribute(optional, default = false)]
    pub deletion_protection: bool,
    /// How long operations may take. An import cannot tell: it leaves them at their defaults.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/NAME`; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// The region.
    #[attribute(computed, keep_prior)]
    pub region: String,
    /// URL of the Kubernetes API: it never changes while the cluster lives.
    #[attribute(computed, keep_prior)]
    pub endpoint: String,
    /// The stable address behind the endpoint; on AWS the DNS name of the cluster's load balancer.
    #[attribute(computed, keep_prior)]
    pub address: String,
    /// Certificate of the cluster's authority, in PEM: public.
    #[attribute(computed, keep_prior)]
    pub ca_certificate: String,
    /// Name of the network in the cloud.
    #[attribute(computed, keep_prior)]
    pub network: String,
    /// What somebody changed behind Terraform's back; the next apply repairs it. Empty after every apply.
    #[attribute(computed)]
    pub drift: Vec<String>,
}

/// A zone that a cluster spans.
#[derive(Nested, Clone, Debug, PartialEq, Default)]
pub struct Zone {
    /// Range of the zone's subnet, within `network_cidr`: required on AWS, whose subnets are zonal, in a network of the
    /// cluster's own; not on Compute Engine and the sandbox. It cannot change while the zone is spanned.
    #[attribute(optional, validate = checks::cidr)]
    pub subnet_cidr: Option<String>,
    /// ID of the zone's subnet in `existing_network`. It cannot change while the zone is spanned.
    #[attribute(optional, validate = checks::given)]
    pub existing_subnet: Option<String>,
}

/// Serves `multizone_cluster`.
#[derive(Debug)]
pub struct ClusterResource;

#[async_trait]
impl Resource for ClusterResource {
    type Model = Cluster;
    type Identity = ClusterIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_cluster"
    }

    fn validate(&self, config: &ClusterPlanned) -> Diagnostics {
        let mut ranges = vec![
            checks::Range::or_default("pod_cidr", &config.pod_cidr, "10.244.0.0/16"),
            checks::Range::or_default("service_cidr", &config.service_cidr, "10.96.0.0/12"),
            checks::Range::given("network_cidr", &config.network_cidr),
        ];
        let mut diagnostics = checks::overlaps(&ranges);
        // The subnets are in the network's range, and apart from the others.
        let network = ranges.pop();
        for (name, zone) in config.zones.known().into_iter().flatten() {
            if let Some(zone) = zone.known() {
                let path = Path::from("zones").key(name).attribute("subnet_cidr");
                let subnet = checks::Range::given(path, &zone.subnet_cidr);
                diagnostics.extend(
                    network
                        .as_ref()
                        .map(|network| checks::within(&subnet, network))
                        .unwrap_or_default(),
                );
                ranges.push(subnet);
            }
        }
        diagnostics.extend(checks::overlaps_from(&ranges, 2));
        diagnostics.extend(existing::whole(config));
        diagnostics
    }

    async fn plan(&self, provider: &Configured, request: PlanRequest<'_, Cluster>) -> Planning<Cluster> {
        let prior = request.prior.cloned();
        let stranger = String::from_utf8_lossy(request.prior_private).into_owned();
        let mut planning = Planning::of(request);
        if let Some(prior) = prior.as_ref().filter(|_| !stranger.is_empty()) {
            planning.diagnostics.push(held_by_a_stranger(prior, &stranger));
        }
        if let Some(name) = planning.planned.name.known() {
            let cluster = ClusterName::new(name);
            if let Some(zones) = planning.planned.zones.known() {
                let spanned: BTreeSet<_> = zones.keys().cloned().collect();
                // Masters may be planned at the same time: they look in the reverse order.
                provider.plan_zones(&cluster, spanned.clone());
                if provider.counted_were_spread_over_others(&cluster, &spanned) {
                    planning.diagnostics.push(unordered(&cluster, "zones"));
                }
            }
            provider.cluster_is_planned(&cluster);
        }
        if let Some(zones) = planning.planned.zones.known() {
            for zone in zones.keys() {
                if prior.as_ref().is_none_or(|prior| !prior.zones.contains_key(zone)) {
                    let path = Path::from("zones").key(zone);
                    planning
                        .diagnostics
                        .extend(offers::check_zone(provider, path, zone).await);
                }
                let wanted = zones.get(zone).and_then(Planned::known).map(|zone| &zone.subnet_cidr);
                let was = prior
                    .as_ref()
                    .and_then(|prior| prior.zones.get(zone)?.subnet_cidr.clone());
                let range = wanted.and_then(Planned::known).and_then(|range| range.parse().ok());
                let room = range
                    .filter(|_| was.is_none())
                    .and_then(|range| provider.cloud().room(&range));
                if let (Some(room), Some(name)) = (room, planning.planned.name.known()) {
                    provider.plan_room(&ClusterName::new(name), zone, room);
                }
                if let Some(wanted) = wanted.filter(|_| planning.planned.existing_network.is_null()) {
                    let found = subnets::check(provider, zone, wanted, was.as_deref());
                    planning.diagnostics.extend(found);
                }
            }
            let found = existing::check(provider, prior.as_ref(), &planning.planned).await;
            planning.diagnostics.extend(found);
        }
        planning.planned.region = Planned::Known(provider.cloud().region().to_owned());
        if let Some(name) = planning.planned.name.known() {
            let id = ObjectId::cluster(provider.cloud().region(), &ClusterName::new(name));
            // A cluster's ID is known before it exists; the endpoint and the rest are the cloud's to say.
            planning.planned.id = Planned::Known(id);
        }
        planning.planned.drift = Planned::Known(Vec::new());
        if prior
            .as_ref()
            .is_some_and(|prior| prior.drift.iter().any(|line| line == drift::HALF_DELETED))
        {
            planning.requires_replace.push(Path::from("drift"));
        }
        if let Some(prior) = prior.as_ref().filter(|prior| {
            let keys_gone = drift::keys_gone(provider.cloud().region(), &ClusterName::new(&prior.name));
            prior.drift.contains(&keys_gone)
        }) {
            planning.diagnostics.push(keys_gone(prior));
        }
        if let Some(prior) = prior.filter(|prior| prior.drift.iter().any(|line| line.starts_with(drift::ADDRESS_GONE)))
        {
            // No error: that would stand in the way of terraform destroy, too, which plans first.
            planning.planned.address = Planned::Unknown;
            planning.planned.endpoint = Planned::Unknown;
            planning.requires_replace.push(Path::from("address"));
            planning.diagnostics.push(
                Diagnostic::warning(
                    "The cluster's address is gone",
                    format!(
                        "The address {} of cluster {} no longer exists in {}. It is in every certificate and every \
                         node's configuration, and cannot be given out again by request, so the cluster has to be \
                         destroyed and made anew. Reserve the address again by hand if the cloud lets you; otherwise run \
                         terraform destroy, with destroy = {{ force = true }} in the provider block, since no node can be \
                         drained any more.",
                        prior.address, prior.name, prior.region
                    ),
                )
                .at("address"),
            );
        }
        planning
    }

    async fn plan_destroy(&self, _provider: &Configured, prior: &Cluster, _private: &[u8]) -> Diagnostics {
        protection::check(prior.deletion_protection, &what(prior), "")
    }

    async fn read(
        &self,
        provider: &Configured,
        mut state: Cluster,
        _private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(Cluster, Vec<u8>)>, Diagnostics> {
        let cluster = ClusterName::new(&state.name);
        let doing = format!("read cluster {cluster}");
        let situation = Situation {
            doing: &doing,
            left: "Nothing was changed.",
        };
        let inventory = provider
            .known_inventory(&cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        if inventory.is_empty() {
            return Ok(None);
        }
        adoption::confirm(provider, &cluster, &inventory).await;
        let unlabelled = drift::unlabelled_secrets(provider, &cluster, &inventory).await;
        let region = provider.cloud().region();
        state.drift = drift::drift(region, &cluster, &state.pod_cidr, &inventory, &unlabelled);
        state.drift.extend(subnets::drift(&state, &inventory));
        for zone in occupied(&inventory) {
            state.zones.entry(zone).or_default();
        }
        subnets::show(&mut state.zones, &inventory);
        // All that planning needs to know beside the state.
        let private = drift::stranger(&inventory).map_or_else(Vec::new, String::into_bytes);
        Ok(Some((state, private)))
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: ClusterPlanned,
        stop: &Stop,
    ) -> Result<Created<Cluster>, Diagnostics> {
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let wanted = objects::Wanted::of(&planned)?;
        let doing = format!("create cluster {}", wanted.cluster);
        let situation = Situation {
            doing: &doing,
            left: ADOPTED,
        };
        removal::finish(provider, &wanted.cluster, stop, &situation).await?;
        adoption::refuse_foreign(provider, &wanted, &situation).await?;
        let made = within(
            deadline,
            &situation,
            objects::ensure(provider, &wanted, true, stop, &situation),
        )
        .await;
        let made = match made {
            Ok(made) => made,
            Err(errors) => return Err(adoption::with_what_is_left(provider, &wanted.cluster, errors).await),
        };
        provider.cluster_is_applied(&wanted.cluster);
        Ok(Created::new(complete(provider, planned, made)?))
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: Cluster,
        planned: ClusterPlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<Cluster>, Failed<Cluster>> {
        let failed = |diagnostics| Failed {
            state: prior.clone(),
            private: private.clone(),
            diagnostics,
        };
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let wanted = objects::Wanted::of(&planned).map_err(failed)?;
        let doing = format!("update cluster {}", wanted.cluster);
        let situation = Situation {
            doing: &doing,
            left: CONTINUED,
        };
        let made = within(
            deadline,
            &situation,
            objects::ensure(provider, &wanted, false, stop, &situation),
        )
        .await
        .map_err(failed)?;
        provider.cluster_is_applied(&wanted.cluster);
        let state = complete(provider, planned, made).map_err(failed)?;
        Ok(Updated::new(state, private))
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: Cluster,
        _private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        protection::check(prior.deletion_protection, &what(&prior), "").into_result(())?;
        let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let cluster = ClusterName::new(&prior.name);
        let doing = format!("delete cluster {cluster}");
        let situation = Situation {
            doing: &doing,
            left: STILL_THERE,
        };
        within(
            deadline,
            &situation,
            removal::delete(provider, &cluster, stop, &situation),
        )
        .await?;
        Ok(Diagnostics::new())
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<Cluster, Diagnostics> {
        let malformed = |error: &dyn std::fmt::Display| {
            Diagnostics::from(Diagnostic::error("Cannot import the cluster", format!("{error}.")))
        };
        let id = ObjectId::parse_cluster(id).map_err(|error| malformed(&error))?;
        let region = provider.cloud().region();
        if id.region != region {
            return Err(malformed(&format!(
                "The provider works on region {region}, not on {}: import it with a provider of that region",
                id.region
            )));
        }
        let doing = format!("import cluster {}", id.cluster);
        let situation = Situation {
            doing: &doing,
            left: "Nothing was changed.",
        };
        let facts = ClusterFacts::find(provider, &id.cluster, &situation).await?;
        let inventory = provider
            .inventory(&id.cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let network = inventory.network.as_ref();
        let spanned = facts.settings.zones.into_iter().flatten();
        let mut zones = spanned
            .chain(occupied(&inventory))
            .map(|zone| (zone, Zone::default()))
            .collect();
        subnets::show(&mut zones, &inventory);
        Ok(Cluster {
            name: id.cluster.to_string(),
            zones,
            pod_cidr: facts.settings.pod_cidr.clone(),
            service_cidr: facts.settings.service_cidr.clone(),
            network_cidr: network
                .and_then(|network| network.cidr)
                .map(|cidr| cidr.to_string())
                .unwrap_or_default(),
            existing_network: network
                .filter(|network| network.existing)
                .map(|network| network.name.clone()),
            deletion_protection: facts.settings.deletion_protection,
            timeouts: None,
            id: ObjectId::cluster(region, &id.cluster),
            region: region.to_owned(),
            endpoint: facts.endpoint.url(),
            address: facts.endpoint.host.clone(),
            ca_certificate: facts.settings.ca_certificate.clone(),
            network: network.map(|network| network.name.clone()).unwrap_or_default(),
            drift: Vec::new(),
        })
    }
}

/// The planned object with what only the cloud could tell.
fn complete(provider: &Configured, mut planned: ClusterPlanned, made: objects::Made) -> Result<Cluster, Diagnostics> {
    let region = provider.cloud().region();
    planned.id = ObjectId::cluster(region, &made.cluster).into();
    planned.region = region.into();
    planned.network_cidr = made.network_cidr.into();
    planned.endpoint = made.endpoint.url().into();
    planned.address = made.endpoint.host.into();
    planned.ca_certificate = made.ca_certificate.into();
    planned.network = made.network.into();
    planned.drift = Planned::Known(Vec::new());
    planned.into_known()
}

fn what(cluster: &Cluster) -> String {
    format!("cluster {} in {}", cluster.name, cluster.region)
}

/// What the control plane's rollout puts right, said where users look for the address.
fn held_by_a_stranger(prior: &Cluster, stranger: &str) -> Diagnostic {
    Diagnostic::warning(
        "Somebody else holds the API's address",
        format!(
            "The address {} of cluster {} is with {stranger}, which is by its labels none of the cluster's masters and \
             balancers: what is sent to the API goes there. The next apply of the control plane takes it back, as its \
             rollout shows; where there is none, release the address in the cloud.",
            prior.address, prior.name
        ),
    )
    .at("address")
}

/// No error: that would stand in the way of terraform destroy, too, which plans first.
fn keys_gone(cluster: &Cluster) -> Diagnostic {
    let name = ClusterName::new(&cluster.name);
    Diagnostic::warning(
        "The cluster's keys are gone",
        format!(
            "The secret {} with the keys of cluster {name} no longer exists. Other keys would lock every node out, so it is \
             not made anew: apply will refuse to change the cluster. Restore it in the secret store; the masters have the \
             same files in /etc/kubernetes/pki.",
            SecretNames::of(&cluster.region, &name).keys
        ),
    )
    .at("drift")
}

/// The zones in which something of the cluster is.
fn occupied(inventory: &Inventory) -> Vec<String> {
    let machines = inventory.machines.iter().map(|machine| machine.zone.clone());
    let disks = inventory.disks.iter().map(|disk| disk.zone.clone());
    let mut zones: Vec<String> = machines.chain(disks).collect();
    zones.sort();
    zones.dedup();
    zones
}
