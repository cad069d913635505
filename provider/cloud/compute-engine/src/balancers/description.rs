//! What a balancer's health check says of it, in its `description`.
//!
//! Neither health checks nor backend services have labels.  And what a balancer is to be has to be known without a
//! specification at hand, so that the inventory can say what somebody has changed.

use multizone_cloud::{BalancerSpec, ClusterName, Labels};
use serde::{Deserialize, Serialize};

/// The document in a health check's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    #[serde(rename = "multizone-cluster")]
    cluster: String,
    #[serde(rename = "multizone-region")]
    region: String,
    #[serde(rename = "multizone-name")]
    pub(super) name: String,
    /// Port that it listens at and that its targets are checked at.
    #[serde(rename = "multizone-port")]
    pub(super) port: u16,
    /// Path that the targets are asked for.
    #[serde(rename = "multizone-health-path")]
    pub(super) health_path: String,
    #[serde(rename = "multizone-labels", default)]
    pub(super) labels: Labels,
}

impl Description {
    pub(super) fn of(spec: &BalancerSpec, region: &str) -> Self {
        Self {
            cluster: spec.cluster.as_str().to_owned(),
            region: region.to_owned(),
            name: spec.name.clone(),
            port: spec.port,
            health_path: spec.health_path.clone(),
            labels: crate::ownership::labels_for(&spec.cluster, &spec.labels),
        }
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings has a JSON form")
    }

    /// The document, if it is one and the cluster's.
    pub(super) fn parse(description: Option<&str>, cluster: &ClusterName, region: &str) -> Option<Self> {
        let found: Self = serde_json::from_str(description?).ok()?;
        (found.cluster == cluster.as_str() && found.region == region).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_found_again_by_its_own_cluster_only() {
        let demo = ClusterName::new("demo");
        let spec = BalancerSpec {
            cluster: demo.clone(),
            name: "api".into(),
            zones: BTreeSet::new(),
            port: 6443,
            health_path: "/readyz".into(),
            labels: Labels::from([("team".into(), "web".into())]),
        };
        let text = Description::of(&spec, "us-central1").text();
        let found = Description::parse(Some(&text), &demo, "us-central1").unwrap();
        assert_eq!(
            (found.name.as_str(), found.port, found.labels["team"].as_str()),
            ("api", 6443, "web")
        );
        assert_eq!(
            Description::parse(Some(&text), &ClusterName::new("demo-2"), "us-central1"),
            None
        );
        assert_eq!(Description::parse(Some(&text), &demo, "europe-west1"), None);
        assert_eq!(Description::parse(Some("by hand"), &demo, "us-central1"), None);
    }
}
