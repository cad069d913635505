//! In which order Terraform asks about a cluster's zones and about masters that are given by their number.
//!
//! Masters that refer to the cluster are read and planned after it, in the plan and in the apply, so that both choose from
//! the zones that it is going to span.  Masters that name it by a literal are read and planned at any time: the two plans
//! may choose differently, and Terraform would call that a defect of the provider.  Where Terraform is told not to read
//! anything (`-refresh=false`) nobody can see which it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use multizone_cloud::ClusterName;

use super::Configured;

/// What this process has seen of each cluster's masters.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<BTreeMap<ClusterName, Seen>>);

#[derive(Clone, Debug, Default)]
struct Seen {
    /// The cluster was planned, whether or not its zones were known.
    cluster: bool,
    /// They were read before the cluster was planned.
    read_early: bool,
    /// They were read after it was planned, or planned after it was applied.
    wait: bool,
    /// The zones that they were spread over while the cluster was not planned yet.
    chosen_from: Option<BTreeSet<String>>,
}

impl Counted {
    fn with<T>(&self, cluster: &ClusterName, change: impl FnOnce(&mut Seen) -> T) -> T {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(seen.entry(cluster.clone()).or_default())
    }
}

impl Configured {
    /// Notes that masters that are given by their number are read.
    pub fn read_counted(&self, cluster: &ClusterName) {
        let early = self.planned_zones(cluster).is_none();
        self.inner.counted.with(cluster, |seen| {
            seen.read_early |= early;
            seen.wait |= !early;
        });
    }

    /// Notes that a cluster is planned, maybe over zones that are not known yet.
    pub fn cluster_is_planned(&self, cluster: &ClusterName) {
        self.inner.counted.with(cluster, |seen| seen.cluster = true);
    }

    /// Whether a cluster was planned, maybe over zones that are not known yet.
    pub fn cluster_was_planned(&self, cluster: &ClusterName) -> bool {
        self.inner.counted.with(cluster, |seen| seen.cluster)
    }

    /// Notes that a cluster has been applied: what is planned from now on was planned to wait for it.
    pub fn cluster_is_applied(&self, cluster: &ClusterName) {
        self.inner.counted.with(cluster, |seen| seen.wait = true);
    }

    /// Notes what such masters were spread over where the cluster was not planned (yet).
    pub fn spread_counted(&self, cluster: &ClusterName, zones: &BTreeSet<String>) {
        let zones = zones.clone();
        self.inner.counted.with(cluster, |seen| seen.chosen_from = Some(zones));
    }

    /// Whether such masters do not wait for their cluster, whose zones change from `zones` on.
    pub fn counted_do_not_wait(&self, cluster: &ClusterName, zones: &BTreeSet<String>) -> bool {
        let changes = self.planned_zones(cluster).is_some_and(|planned| planned != *zones);
        changes && self.inner.counted.with(cluster, |seen| seen.read_early)
    }

    /// Whether such masters were seen to wait for their cluster.
    pub fn counted_wait(&self, cluster: &ClusterName) -> bool {
        self.inner.counted.with(cluster, |seen| seen.wait)
    }

    /// Whether nobody has seen that such masters wait for their cluster, whose zones change from `zones` on.
    pub fn nobody_saw_counted_wait(&self, cluster: &ClusterName, zones: &BTreeSet<String>) -> bool {
        let changes = self.planned_zones(cluster).is_some_and(|planned| planned != *zones);
        changes && self.inner.counted.with(cluster, |seen| !seen.wait)
    }

    /// Whether such masters were spread over others than these zones, which their cluster is planned to span only now.
    pub fn counted_were_spread_over_others(&self, cluster: &ClusterName, zones: &BTreeSet<String>) -> bool {
        let others = |seen: &mut Seen| seen.chosen_from.as_ref().is_some_and(|chosen| chosen != zones);
        self.inner.counted.with(cluster, others)
    }
}
