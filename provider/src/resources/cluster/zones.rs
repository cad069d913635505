//! The zones that a cluster spans, for what is to be in one of them.
//!
//! Where is it checked?  Apply asks what is stored beside the cluster's keys: by then a zone that the same apply adds is
//! there.  A plan cannot ask that, since Terraform plans everything before it applies anything.  It knows better when the
//! cluster was planned before, in the same process, which is so for what refers to it: then what the cluster is going to
//! span is certain, and another zone is refused.  Otherwise a plan says nothing: a warning would be wrong in the most
//! usual case, a zone and what is in it added together.

use std::collections::BTreeSet;

use multizone_cloud::ClusterName;
use multizone_schema::{Diagnostic, Diagnostics, Path};

use super::{ClusterFacts, ClusterSettings, Situation, settings};
use crate::configuration::Configured;

/// Refuses, in a plan, a zone that the cluster is planned not to span.  For what is to be made there, not for what is there.
pub fn check_planned_zone(
    provider: &Configured,
    cluster: &ClusterName,
    path: impl Into<Path>,
    zone: &str,
) -> Diagnostics {
    match provider.planned_zones(cluster) {
        Some(zones) if !zones.contains(zone) => refusal(cluster, path, zone, zones.iter()).into(),
        _ => Diagnostics::new(),
    }
}

/// Refuses, before anything is made in a zone, one that the cluster does not span.
pub async fn check_zone(
    provider: &Configured,
    cluster: &ClusterName,
    path: impl Into<Path> + Send,
    zone: &str,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let situation = Situation {
        left: "Nothing was changed.",
        ..*situation
    };
    let settings = settings::settings(provider, cluster, &situation).await?;
    check_settings(&settings, cluster, path, zone)
}

/// The zones that the cluster spans, as it was applied last; `None` when an earlier release did not keep them.
pub async fn spanned_zones(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Option<BTreeSet<String>>, Diagnostics> {
    Ok(settings::settings(provider, cluster, situation).await?.zones)
}

/// What is stored beside a cluster's keys of the zones that it spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// There is no such cluster, or it is being made.
    Nothing,
    /// An earlier release did not keep them.
    WithoutZones,
    /// These.
    Zones(BTreeSet<String>),
}

/// The zones that the cluster spans, if it was applied already, for a plan.
pub async fn stored_zones(
    provider: &Configured,
    cluster: &ClusterName,
    situation: &Situation<'_>,
) -> Result<Stored, Diagnostics> {
    let settings = settings::settings_if_any(provider, cluster, situation).await?;
    Ok(settings.map_or(Stored::Nothing, |settings| {
        settings.zones.map_or(Stored::WithoutZones, Stored::Zones)
    }))
}

/// Refuses a change of the cluster's zones for which masters that are given by their number do not wait.
pub fn unordered(cluster: &ClusterName, path: &str) -> Diagnostic {
    Diagnostic::error(
        "Masters that do not wait for their cluster's zones",
        format!(
            "The zones of cluster {cluster} change in this plan, and the control plane that is spread over them by \
             replica_count names the cluster without referring to it: Terraform may choose the masters' zones before the \
             change or after it. Nothing was changed. Write cluster = multizone_cluster.NAME.name in the control plane \
             instead of \"{cluster}\", or apply the cluster alone first."
        ),
    )
    .at(path)
}

impl ClusterFacts {
    /// The same as [`check_zone`], from what is known already.
    pub fn check_zone(&self, path: impl Into<Path>, zone: &str) -> Result<(), Diagnostics> {
        check_settings(&self.settings, &self.cluster, path, zone)
    }
}

fn check_settings(
    settings: &ClusterSettings,
    cluster: &ClusterName,
    path: impl Into<Path>,
    zone: &str,
) -> Result<(), Diagnostics> {
    match &settings.zones {
        Some(zones) if !zones.contains(zone) => Err(refusal(cluster, path, zone, zones.iter()).into()),
        _ => Ok(()),
    }
}

fn refusal<'z>(
    cluster: &ClusterName,
    path: impl Into<Path>,
    zone: &str,
    spanned: impl Iterator<Item = &'z String>,
) -> Diagnostic {
    let path = path.into();
    let spanned: Vec<&str> = spanned.map(String::as_str).collect();
    Diagnostic::error(
        "Zone that the cluster does not span",
        format!(
            "{path} is {zone}, but cluster {cluster} spans {}. Nothing was changed. Choose one of these, or add {zone} to \
             zones of the multizone_cluster, in the same apply if this refers to it as multizone_cluster.NAME.",
            spanned.join(", ")
        ),
    )
    .at(path)
}
