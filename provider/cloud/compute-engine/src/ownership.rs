//! Who owns an object.
//!
//! Networks, subnets and firewall rules have no labels on Compute Engine, and addresses get theirs only after they were
//! made: their `description` holds a small JSON document instead.  A description that is not exactly such a document belongs to nobody we know.

use multizone_cloud::{ClusterName, Labels, label};
use serde::{Deserialize, Serialize};

/// The document in a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    /// The cluster.
    #[serde(rename = "multizone-cluster")]
    cluster: String,
    /// The region that the cluster is in.
    #[serde(rename = "multizone-region")]
    region: String,
    /// Name within the cluster, on firewall rules and addresses.
    #[serde(rename = "multizone-name", default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

impl Owner {
    pub(crate) fn new(cluster: &ClusterName, region: &str, name: Option<&str>) -> Self {
        Self {
            cluster: cluster.as_str().to_owned(),
            region: region.to_owned(),
            name: name.map(ToOwned::to_owned),
        }
    }

    /// The document for a description.
    pub(crate) fn description(&self) -> String {
        serde_json::to_string(self).expect("a struct of strings has a JSON form")
    }

    pub(crate) fn parse(description: Option<&str>) -> Option<Self> {
        serde_json::from_str(description?).ok()
    }

    /// Whether it is that cluster, by its whole name, in that region.
    pub(crate) fn is(&self, cluster: &ClusterName, region: &str) -> bool {
        self.cluster == cluster.as_str() && self.region == region
    }
}

/// Whether labels say that an object is the cluster's, by its whole name.
pub(crate) fn labelled<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>, cluster: &ClusterName) -> bool {
    labels
        .into_iter()
        .any(|(key, value)| key == label::CLUSTER && value == cluster.as_str())
}

/// The filter that selects a cluster's objects on the server's side.  What it lets through is not proof: the labels are
/// compared again.
pub(crate) fn filter(cluster: &ClusterName) -> String {
    format!("labels.{}={cluster}", label::CLUSTER)
}

/// The labels for a new object: the caller's, and the cluster's in any case.
pub(crate) fn labels_for(cluster: &ClusterName, labels: &Labels) -> Labels {
    let mut labels = labels.clone();
    labels.insert(label::CLUSTER.to_owned(), cluster.as_str().to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_names_its_owner_exactly() {
        let demo = ClusterName::new("demo");
        let owner = Owner::new(&demo, "us-central1", Some("api"));
        let found = Owner::parse(Some(&owner.description())).unwrap();
        assert_eq!(found, owner);
        assert!(found.is(&demo, "us-central1"));
        assert!(!found.is(&ClusterName::new("demo-2"), "us-central1"));
        assert!(!found.is(&demo, "europe-west1"));
    }

    #[test]
    fn other_descriptions_belong_to_nobody() {
        for description in [
            None,
            Some(""),
            Some("demo"),
            Some("{}"),
            Some("{\"multizone-cluster\":\"demo\"}"),
        ] {
            assert_eq!(Owner::parse(description), None, "{description:?}");
        }
    }

    #[test]
    fn labels_name_their_cluster_exactly() {
        let demo = ClusterName::new("demo");
        let labels = labels_for(&demo, &Labels::from([("a".to_owned(), "b".to_owned())]));
        assert!(labelled(&labels, &demo));
        assert!(!labelled(&labels, &ClusterName::new("dem")));
        assert_eq!(labels["a"], "b");
    }
}
