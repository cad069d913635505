//! Masters by their number: which zone each is in.
//!
//! `replica_count` stands for `replicas`, which the provider then sets: spread over the cluster's zones, moving as few as
//! possible of the masters that Terraform knows ([`multizone_planner::spread`]).  The zones are those of the cluster as it
//! is planned in this process: where the same apply changes them, Terraform plans the cluster before, also when it plans
//! for the second time, during the apply.  Where it does not, they are the ones that private data keep, so that both plans
//! choose alike; for a control plane that is to be made, what is stored beside the cluster's keys.  Where these differ, or
//! were not kept, the choice is left to the apply.  Where masters name their cluster by a literal, so that Terraform plans
//! the two in any order, a change of the zones is refused, as it is where nothing was read that would show the order; and so
//! are masters that are planned before the cluster that they are to be in, whatever the first plan of the apply chose.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::ClusterName;
use multizone_planner::spread;
use multizone_schema::{Diagnostic, Diagnostics, Field as _, Planned};

use super::{ControlPlane, ControlPlanePlanned, Replica, seen};
use crate::{
    configuration::Configured,
    resources::{
        cluster::{Stored, spanned_zones, stored_zones, unordered},
        trouble::Situation,
    },
};

/// The most masters: etcd gets slower with each.
const MOST: i64 = 7;

/// Refuses both and neither, and a number that makes no sense.
pub(super) fn validate(config: &ControlPlanePlanned) -> Diagnostics {
    const EXAMPLE: &str = "replicas = { a = { zone = \"us-central1-a\" } }, or replica_count = 3";
    let refused = |summary: &str, detail: String, path: &str| Diagnostic::error(summary, detail).at(path).into();
    match (&config.replicas, &config.replica_count) {
        (Planned::Null, Planned::Null) => refused(
            "No master",
            format!("Neither replicas nor replica_count is written, and a cluster needs a master. Write one of them: {EXAMPLE}."),
            "replicas",
        ),
        (Planned::Known(_), Planned::Known(_)) => refused(
            "Masters by their keys and by their number",
            "Both replicas and replica_count are written. Remove replica_count to choose the zone of each master yourself, or \
             replicas to have them spread over the cluster's zones."
                .to_owned(),
            "replica_count",
        ),
        (Planned::Known(replicas), _) if replicas.is_empty() => refused(
            "No master",
            format!("replicas is empty, and a cluster needs a master. Write one: {EXAMPLE}."),
            "replicas",
        ),
        (_, Planned::Known(count)) if !(1..=MOST).contains(count) => refused(
            "Number out of range",
            format!("replica_count is {count}; it must be from 1 to {MOST}, and had better be odd."),
            "replica_count",
        ),
        _ => Diagnostics::new(),
    }
}

/// Refuses masters of which the loss of one zone would take too many, where that is asked for; `path` is what says where
/// they are.
pub(super) fn tolerated(planned: &ControlPlanePlanned, path: &str) -> Diagnostics {
    if planned.tolerate_zone_loss.known() != Some(&true) {
        return Diagnostics::new();
    }
    let replicas = planned.replicas.known().into_iter().flat_map(BTreeMap::values);
    let zones = replicas.map(|replica| replica.known()?.zone.known());
    let Some(zones) = zones.collect::<Option<Vec<_>>>() else {
        return Diagnostics::new();
    };
    let left = |zone: &String| zones.iter().filter(|other| **other != zone).count();
    match zones.iter().find(|zone| left(zone) < zones.len() / 2 + 1) {
        Some(zone) => Diagnostic::error(
            "Masters that do not survive the loss of a zone",
            format!(
                "tolerate_zone_loss is true, but without {zone} {} of {} masters would be left, and etcd needs {}. Spread \
                 three or more masters over three zones, or leave tolerate_zone_loss out.",
                left(zone),
                zones.len(),
                zones.len() / 2 + 1
            ),
        )
        .at(path)
        .into(),
        None => Diagnostics::new(),
    }
}

/// Chooses the replicas of a plan whose configuration gives their number.
pub(super) async fn choose(
    provider: &Configured,
    config: &ControlPlanePlanned,
    prior: Option<&ControlPlane>,
    private: &[u8],
    planned: &mut ControlPlanePlanned,
) -> Diagnostics {
    if !config.replicas.is_null() {
        return Diagnostics::new();
    }
    let zones = match (&planned.cluster, &planned.replica_count) {
        (Planned::Known(cluster), Planned::Known(_)) => {
            let cluster = ClusterName::new(cluster);
            let known = known(prior, private);
            if let Some(known) = &known {
                // Noted before it is asked whether the cluster is planned over others. The cluster asks for this note after it
                // has noted its own zones, so that one of the two sees the other's.
                if provider.planned_zones(&cluster).is_none() {
                    provider.spread_counted(&cluster, known);
                }
                if provider.counted_do_not_wait(&cluster, known) {
                    return unordered(&cluster, "cluster").into();
                }
                if provider.nobody_saw_counted_wait(&cluster, known) {
                    return unread(&cluster).into();
                }
            }
            match prior {
                Some(_) => provider.planned_zones(&cluster).or(known),
                None => match zones_of_new(provider, &cluster).await {
                    Ok(zones) => zones,
                    Err(refused) => return refused,
                },
            }
        }
        _ => None,
    };
    let Some(zones) = zones else {
        planned.replicas = Planned::Unknown;
        planned.nodes = Planned::Unknown;
        planned.rollout = Planned::Unknown;
        return Diagnostics::new();
    };
    set(planned, prior, &zones);
    tolerated(planned, "replica_count")
}

/// Refuses a change of the zones that is planned without a refresh.
fn unread(cluster: &ClusterName) -> Diagnostic {
    Diagnostic::error(
        "Masters that nobody has seen wait for their cluster's zones",
        format!(
            "The zones of cluster {cluster} change in this plan, and replica_count spreads the masters over them. Terraform \
             was told not to read anything (-refresh=false), and only from when it reads the control plane can be seen that \
             it chooses the masters' zones after the change. Nothing was changed. Plan without -refresh=false, or write \
             replicas instead of replica_count."
        ),
    )
    .at("replica_count")
}

/// Chooses during the apply what no plan could.
pub(super) async fn resolve(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    mut planned: ControlPlanePlanned,
    situation: &Situation<'_>,
) -> Result<ControlPlanePlanned, Diagnostics> {
    let Some(cluster) = planned.cluster.known().filter(|_| planned.replicas.is_unknown()) else {
        return Ok(planned);
    };
    let cluster = ClusterName::new(cluster);
    let situation = &Situation {
        left: "Nothing was changed.",
        ..*situation
    };
    let Some(zones) = spanned_zones(provider, &cluster, situation).await? else {
        return Err(situation.error(
            &format!("Which zones cluster {cluster} spans was not kept by the release that made it."),
            "Apply multizone_cluster first, or write replicas instead of replica_count.",
        ));
    };
    set(&mut planned, prior, &zones);
    tolerated(&planned, "replica_count").into_result(planned)
}

fn set(planned: &mut ControlPlanePlanned, prior: Option<&ControlPlane>, zones: &BTreeSet<String>) {
    let count = planned.replica_count.known().copied().unwrap_or_default();
    let now = prior.iter().flat_map(|prior| &prior.replicas);
    let now = now.map(|(key, replica)| (key.clone(), replica.zone.clone())).collect();
    let chosen = spread(&now, usize::try_from(count).unwrap_or_default(), zones);
    let chosen: BTreeMap<String, Replica> = chosen.into_iter().map(|(key, zone)| (key, Replica { zone })).collect();
    planned.replicas = chosen.into_planned();
}

/// The zones that the cluster of masters that are there had when they were last read.
fn known(prior: Option<&ControlPlane>, private: &[u8]) -> Option<BTreeSet<String>> {
    prior?;
    let zones = seen::decode(private)?.world.zones.into_iter();
    Some(zones.filter(|(_, zone)| !zone.leaving).map(|(name, _)| name).collect())
}

/// The zones of the cluster of masters that are to be made.  Nothing was read that would show whether they wait for it, so
/// that is chosen which they would choose before it and after it; `None` leaves it to the apply.
async fn zones_of_new(provider: &Configured, cluster: &ClusterName) -> Result<Option<BTreeSet<String>>, Diagnostics> {
    let doing = format!("plan the control plane of cluster {cluster}");
    let situation = Situation {
        doing: &doing,
        left: "Nothing was changed.",
    };
    if let Some(planned) = provider
        .planned_zones(cluster)
        .filter(|_| provider.counted_wait(cluster))
    {
        return Ok(Some(planned));
    }
    let stored = stored_zones(provider, cluster, &situation).await;
    // After the answer, for which others were planned; and in this order, which is the reverse of the one they are noted in.
    let was_planned = provider.cluster_was_planned(cluster);
    match (provider.planned_zones(cluster), stored) {
        (None, Ok(Stored::Zones(zones))) => {
            provider.spread_counted(cluster, &zones);
            let others = provider.planned_zones(cluster).is_some_and(|planned| planned != zones);
            Ok(Some(zones).filter(|_| !others))
        }
        (None, Ok(Stored::Nothing)) if !was_planned => Err(too_early(provider, cluster).into()),
        (None, Ok(Stored::Nothing)) | (_, Ok(Stored::WithoutZones)) => Ok(None),
        (None, Err(failed)) => Err(failed),
        (Some(planned), Ok(Stored::Zones(zones))) if zones != planned => Ok(None),
        // The plan does without the answer, as it does where it checks the zones.
        (Some(planned), Ok(Stored::Zones(_) | Stored::Nothing) | Err(_)) => Ok(Some(planned)),
    }
}

/// Refuses masters that are planned before the cluster that they are to be in.
fn too_early(provider: &Configured, cluster: &ClusterName) -> Diagnostic {
    Diagnostic::error(
        "Masters that do not wait for their cluster",
        format!(
            "replica_count spreads the masters over the zones of cluster {cluster}, but region {} has no such cluster, and \
             Terraform has planned none before these masters. None of them was made. If this configuration has the \
             cluster, write cluster = multizone_cluster.NAME.name in the control plane instead of \"{cluster}\"; otherwise \
             create the cluster first.",
            provider.cloud().region()
        ),
    )
    .at("cluster")
}
