//! `multizone_api_load_balancer`: the balancer in front of a cluster's masters, across zones.
//!
//! # Flow
//! The order is the planner's (`multizone_planner::cluster`, operations `Balancer` and `RemoveBalancer`); [`executor`]
//! observes, asks it, and acts through [`crate::resources::rollout`].
//!
//! Create makes the balancer and lets it span its zones; when there is no master yet, it takes the API's address, so that
//! there is never a gap.  The masters are put behind it by the control plane's rollout, each after its own `/readyz`, and
//! where a master holds the address already, that rollout hands it over.  Terraform destroys a balancer that was removed
//! from the configuration before it updates the control plane that used it: so delete hands the address back to a master
//! itself.
//!
//! What a create leaves that did not finish carries the mark of [`crate::resources::marks`].

mod executor;
mod planned;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use multizone_cloud::{Balancer, CloudError, ClusterName, Inventory, Labels, label};
use multizone_planner::{
    cluster::{BalancerIntent, Operation, Step, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Model, Path, Planned, PlannedModel};
use tracing::warn;

use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks,
    cluster::{check_planned_zone, check_zone},
    identity::{API_ADDRESS, ObjectId, ObjectIdentity},
    marks, offers, rollout,
    timeouts::{self, Timeouts},
    trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation},
    world,
};
use crate::{configuration::Configured, stop::Stop};
use executor::Executor;
pub(in crate::resources) use planned::check_planned_balancer;

/// A balancer and a handover, with much to spare.
const TIMEOUT: Duration = Duration::from_mins(30);
/// The longest name: names of its objects in the cloud are built from it and the cluster's.
const LONGEST_NAME: usize = 16;

/// The balancer in front of a cluster's Kubernetes API: it spans zones and passes connections on to the masters whose
/// `/readyz` says that they serve.
///
/// The API keeps its address: the balancer takes it over. Made before the first master, there is never a gap; made later,
/// the control plane's rollout hands the address over once a master serves behind the balancer, and while the address
/// moves the API does not answer for a few seconds. Destroying the balancer hands the address back to a master.
///
/// On AWS the API is reached by a DNS name that leads to the cluster's load balancer from the beginning: nothing is handed
/// over, and a cluster that has masters keeps its balancer.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ApiLoadBalancer {
    /// Name of the cluster: `multizone_cluster.NAME.name`.
    #[attribute(required, requires_replace, validate = checks::cluster_name)]
    pub cluster: String,
    /// The zones it spans: those in which masters are or will be, usually `keys(multizone_cluster.NAME.zones)`. A zone is
    /// left at once when masters in others serve; otherwise when the control plane leaves it.
    #[attribute(required, validate = checks::not_empty)]
    pub zones: BTreeSet<String>,
    /// Name of the balancer within the cluster: up to 16 lower-case letters, digits and hyphens.
    #[attribute(optional, default = "api", requires_replace, validate = checks::object_name)]
    pub name: String,
    /// Labels that are kept with it.
    #[attribute(optional, validate = checks::cloud_labels)]
    pub labels: Option<BTreeMap<String, String>>,
    /// How long operations may take.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/CLUSTER/NAME`; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// The region.
    #[attribute(computed, keep_prior)]
    pub region: String,
    /// The address, or the DNS name, of the API behind it: the cluster's, which never changes.
    #[attribute(computed, keep_prior)]
    pub address: String,
    /// What somebody changed behind Terraform's back; the next apply repairs it. Empty after every apply.
    #[attribute(computed)]
    pub drift: Vec<String>,
}

/// Serves `multizone_api_load_balancer`.
#[derive(Debug)]
pub struct ApiLoadBalancerResource;

#[async_trait]
impl Resource for ApiLoadBalancerResource {
    type Model = ApiLoadBalancer;
    type Identity = ObjectIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_api_load_balancer"
    }

    fn validate(&self, config: &ApiLoadBalancerPlanned) -> Diagnostics {
        match config.name.known().filter(|name| name.len() > LONGEST_NAME) {
            Some(name) => Diagnostic::error(
                "Name that the cloud refuses",
                format!(
                    "name has {} characters; {LONGEST_NAME} are the most, since the names of the balancer's objects are \
                     built from it and the cluster's. Shorten it, or leave it out for \"api\".",
                    name.len()
                ),
            )
            .at("name")
            .into(),
            None => Diagnostics::new(),
        }
    }

    async fn plan(
        &self,
        provider: &Configured,
        request: PlanRequest<'_, ApiLoadBalancer>,
    ) -> Planning<ApiLoadBalancer> {
        let prior = request.prior.cloned();
        let mut planning = Planning::of(request);
        let region = provider.cloud().region();
        planning.planned.region = region.into();
        if let (Some(cluster), Some(name)) = (planning.planned.cluster.known(), planning.planned.name.known()) {
            let cluster = ClusterName::new(cluster);
            planning.planned.id = ObjectId::object(region, &cluster, name).into();
            let zones = planning.planned.zones.known().into_iter().flatten();
            let all_known = planning.planned.zones.known().is_some() && zones.clone().all(Planned::is_known);
            let zones = zones.filter_map(Planned::known).cloned().collect();
            provider.plan_balancer(&cluster, name, all_known.then_some(zones));
            if prior.is_none() {
                planning
                    .diagnostics
                    .extend(planned::made_anew(provider, &cluster, name));
            }
        }
        planning.planned.drift = Planned::Known(Vec::new());
        for zone in planning.planned.zones.known().into_iter().flatten() {
            let Some(zone) = zone
                .known()
                .filter(|zone| prior.as_ref().is_none_or(|prior| !prior.zones.contains(*zone)))
            else {
                continue;
            };
            let mut found = offers::check_zone(provider, Path::from("zones"), zone).await;
            if let Some(cluster) = planning.planned.cluster.known().filter(|_| found.is_empty()) {
                found = check_planned_zone(provider, &ClusterName::new(cluster), "zones", zone);
            }
            planning.diagnostics.extend(found);
        }
        planning
    }

    async fn plan_destroy(&self, provider: &Configured, prior: &ApiLoadBalancer, private: &[u8]) -> Diagnostics {
        let Some(world) = executor::decode(private) else {
            return Diagnostics::new();
        };
        let operation = Operation::RemoveBalancer(intent(prior));
        let foreseen = preview(&world, &operation);
        let moves = |step: &Step| matches!(step, Step::HandOver(..));
        if !foreseen.steps.iter().any(moves) {
            return Diagnostics::new();
        }
        let timing = rollout::timing(provider.cloud().capabilities().timing);
        let steps = lines(&foreseen.describe(&world, &operation, &timing));
        Diagnostic::warning(
            format!("Destroying balancer {} of cluster {} moves the API's address", prior.name, prior.cluster),
            format!(
                "The address goes back to a master, and the API does not answer while it moves:\n{}\nUnless the control plane \
                 is destroyed as well, only that master is reached from then on.",
                steps.join("\n")
            ),
        )
        .into()
    }

    async fn read(
        &self,
        provider: &Configured,
        mut state: ApiLoadBalancer,
        _private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(ApiLoadBalancer, Vec<u8>)>, Diagnostics> {
        let cluster = ClusterName::new(&state.cluster);
        let doing = format!("read balancer {} of cluster {cluster}", state.name);
        let situation = Situation {
            doing: &doing,
            left: "Nothing was changed.",
        };
        let failed = |error: CloudError| situation.cloud(&error);
        let inventory = provider.known_inventory(&cluster).await.map_err(failed)?;
        let Some(found) = inventory.balancer(&state.name) else {
            return Ok(None);
        };
        // What is left of a delete is nothing to confirm.
        if found.creating() && found.unexpected.is_none() {
            confirm(provider, &cluster, found).await;
        }
        state.zones.clone_from(&found.zones);
        state.drift = drift(&state, found);
        if let Some(address) = inventory.address(API_ADDRESS) {
            state.address = found.dns_name.clone().unwrap_or_else(|| address.address.to_string());
        }
        let private = executor::encode(
            &executor::last_seen(provider, &inventory, &state.name)
                .await
                .map_err(failed)?,
        );
        Ok(Some((state, private)))
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: ApiLoadBalancerPlanned,
        stop: &Stop,
    ) -> Result<Created<ApiLoadBalancer>, Diagnostics> {
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let (cluster, name) = (text(&planned.cluster), text(&planned.name));
        let doing = format!("create balancer {name} of cluster {cluster}");
        let situation = Situation {
            doing: &doing,
            left: ADOPTED,
        };
        let wanted = complete(provider, planned, &situation).await?;
        let cluster = ClusterName::new(&wanted.cluster);
        let fingerprint = fingerprint(&wanted);
        adoptable(provider, &cluster, &wanted, &fingerprint, &situation).await?;
        check_zones(provider, &cluster, &wanted, &situation).await?;
        let asks = world::Api::of(provider, &cluster, &situation).await?;
        let executor = Executor {
            provider,
            cluster: &cluster,
            operation: Operation::Balancer(intent(&wanted)),
            labels: marked(labels(&wanted), marks::UNFINISHED),
            finally: Some(marked(labels(&wanted), &fingerprint)),
            spanned: asks.spanned.clone(),
            asks: Arc::new(asks),
            patience: rollout::PATIENCE,
            deadline,
            stop,
            situation,
        };
        let reached = executor.run().await?;
        Ok(Created {
            private: executor::encode(&reached),
            state: wanted,
            warnings: Diagnostics::new(),
        })
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: ApiLoadBalancer,
        planned: ApiLoadBalancerPlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<ApiLoadBalancer>, Failed<ApiLoadBalancer>> {
        let failed = |diagnostics| Failed {
            state: prior.clone(),
            private: private.clone(),
            diagnostics,
        };
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let cluster = ClusterName::new(&prior.cluster);
        let doing = format!("update balancer {} of cluster {cluster}", prior.name);
        let situation = Situation {
            doing: &doing,
            left: CONTINUED,
        };
        let wanted = complete(provider, planned, &situation).await.map_err(failed)?;
        check_zones(provider, &cluster, &wanted, &situation)
            .await
            .map_err(failed)?;
        let asks = world::Api::of(provider, &cluster, &situation).await.map_err(failed)?;
        let executor = Executor {
            provider,
            cluster: &cluster,
            operation: Operation::Balancer(intent(&wanted)),
            labels: labels(&wanted),
            finally: Some(labels(&wanted)),
            spanned: asks.spanned.clone(),
            asks: Arc::new(asks),
            patience: rollout::PATIENCE,
            deadline,
            stop,
            situation,
        };
        let reached = executor.run().await.map_err(failed)?;
        Ok(Updated::new(wanted, executor::encode(&reached)))
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: ApiLoadBalancer,
        _private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let cluster = ClusterName::new(&prior.cluster);
        let doing = format!("delete balancer {} of cluster {cluster}", prior.name);
        let situation = Situation {
            doing: &doing,
            left: STILL_THERE,
        };
        let inventory = provider
            .inventory(&cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        if inventory.balancer(&prior.name).is_none() {
            return Ok(Diagnostics::new());
        }
        let asks: Arc<dyn world::Asks> = if world::masters(&inventory).next().is_some() {
            Arc::new(world::Api::of(provider, &cluster, &situation).await?)
        } else {
            // The keys may be gone with the rest of a cluster that is half deleted, and nobody is left to be asked.
            Arc::new(executor::Nobody)
        };
        let executor = Executor {
            provider,
            cluster: &cluster,
            operation: Operation::RemoveBalancer(intent(&prior)),
            labels: labels(&prior),
            finally: None,
            spanned: None,
            asks,
            patience: rollout::PATIENCE,
            deadline,
            stop,
            situation,
        };
        executor.run().await?;
        Ok(Diagnostics::new())
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<ApiLoadBalancer, Diagnostics> {
        let refuse = |reason: String| Diagnostics::from(Diagnostic::error("Cannot import the balancer", reason));
        let (ObjectId { region, cluster, .. }, name) =
            ObjectId::parse_object(id, "us-central1/demo/api").map_err(|error| refuse(format!("{error}.")))?;
        let here = provider.cloud().region();
        if region != here {
            return Err(refuse(format!("The provider works on region {here}, not on {region}.")));
        }
        let inventory = provider
            .inventory(&cluster)
            .await
            .map_err(|error| refuse(format!("{error}.\n{}", error.advice())))?;
        let Some(found) = inventory.balancer(&name) else {
            let others: Vec<_> = inventory.balancers.iter().map(|found| found.name.as_str()).collect();
            let others = if others.is_empty() {
                "none".to_owned()
            } else {
                others.join(", ")
            };
            return Err(refuse(format!(
                "Cluster {cluster} has no balancer {name} in {here}; it has {others}. Correct the ID, or apply without the \
                 import: that makes the balancer."
            )));
        };
        let labels: BTreeMap<String, String> = own_labels(&found.labels);
        let address = inventory
            .address(API_ADDRESS)
            .map(|address| address.address.to_string());
        Ok(ApiLoadBalancer {
            cluster: cluster.to_string(),
            zones: found.zones.clone(),
            labels: (!labels.is_empty()).then_some(labels),
            timeouts: None,
            id: ObjectId::object(here, &cluster, &name),
            name,
            region: region.clone(),
            address: found.dns_name.clone().or(address).unwrap_or_default(),
            drift: Vec::new(),
        })
    }
}

/// Refuses zones that the cluster does not span.
async fn check_zones(
    provider: &Configured,
    cluster: &ClusterName,
    wanted: &ApiLoadBalancer,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    for zone in &wanted.zones {
        check_zone(provider, cluster, "zones", zone, situation).await?;
    }
    Ok(())
}

fn text(planned: &Planned<String>) -> String {
    planned.known().cloned().unwrap_or_default()
}

/// What the planner is asked for.
fn intent(balancer: &ApiLoadBalancer) -> BalancerIntent {
    BalancerIntent {
        name: balancer.name.clone(),
        zones: balancer.zones.clone(),
        endpoint: (!balancer.address.is_empty()).then(|| balancer.address.clone()),
    }
}

/// The labels that the configuration asks for.
fn labels(balancer: &ApiLoadBalancer) -> Labels {
    balancer.labels.clone().unwrap_or_default()
}

fn marked(mut labels: Labels, mark: &str) -> Labels {
    labels.insert(label::CREATING.to_owned(), mark.to_owned());
    labels
}

/// The labels that are the user's.
fn own_labels(labels: &Labels) -> Labels {
    let mut own = labels.clone();
    own.retain(|key, _| key != label::CLUSTER && key != label::CREATING);
    own
}

fn fingerprint(balancer: &ApiLoadBalancer) -> String {
    let mut parts: Vec<&str> = balancer.zones.iter().map(String::as_str).collect();
    let labels = labels(balancer);
    parts.extend(labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]));
    format!("{:016x}", multizone_planner::fingerprint(&parts))
}

/// What differs from what was made, in words.
fn drift(state: &ApiLoadBalancer, found: &Balancer) -> Vec<String> {
    let mut drift: Vec<String> = found.unexpected.iter().cloned().collect();
    if own_labels(&found.labels) != labels(state) {
        drift.push("its labels were changed".to_owned());
    }
    drift
}

/// Takes the mark of an unfinished create away: Terraform has the balancer in its state.
async fn confirm(provider: &Configured, cluster: &ClusterName, found: &Balancer) {
    for zone in &found.zones {
        if provider.is_out(zone).await {
            return;
        }
    }
    if let Err(error) = rollout::relabel(provider, cluster, found, own_labels(&found.labels)).await {
        warn!(balancer = %found.name, %error, "the mark of the balancer's create stays for now");
    }
}

/// Refuses a balancer that exists and that no unfinished create has left.
async fn adoptable(
    provider: &Configured,
    cluster: &ClusterName,
    wanted: &ApiLoadBalancer,
    fingerprint: &str,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let inventory = provider
        .inventory(cluster)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let Some(found) = inventory.balancer(&wanted.name) else {
        return Ok(());
    };
    if marks::unfinished(&found.labels) || marks::finished_for(&found.labels, fingerprint) {
        return Ok(());
    }
    Err(Diagnostic::error(
        "The balancer exists already",
        format!(
            "Cluster {cluster} has a balancer {} in {} already, and no unfinished create of this configuration left it. \
             Nothing was changed. Import it with: terraform import multizone_api_load_balancer.NAME {}, or choose another \
             name.",
            wanted.name, wanted.region, wanted.id
        ),
    )
    .at("name")
    .into())
}

/// The planned balancer with everything that follows from what is known by now.
async fn complete(
    provider: &Configured,
    mut planned: ApiLoadBalancerPlanned,
    situation: &Situation<'_>,
) -> Result<ApiLoadBalancer, Diagnostics> {
    let situation = Situation {
        left: "Nothing was changed.",
        ..*situation
    };
    let region = provider.cloud().region();
    let cluster = ClusterName::new(text(&planned.cluster));
    planned.region = region.into();
    planned.id = ObjectId::object(region, &cluster, &text(&planned.name)).into();
    planned.drift = Planned::Known(Vec::new());
    if !planned.address.is_known() {
        let inventory: Arc<Inventory> = provider
            .known_inventory(&cluster)
            .await
            .map_err(|error| situation.cloud(&error))?;
        let Some(address) = inventory.address(API_ADDRESS) else {
            return Err(situation.error(
                &format!("Cluster {cluster} in region {region} has no stable address."),
                "Create it with multizone_cluster first; refer to it as multizone_cluster.NAME.name, so that Terraform \
                 knows the order.",
            ));
        };
        planned.address = address.address.to_string().into();
    }
    planned.into_known()
}
