//! Whose an object is, and what it is called: by its tags.
//!
//! | tag | on | says |
//! |---|---|---|
//! | `multizone-cluster` | everything | the cluster |
//! | `multizone-name` | everything | what it is within the cluster, or its name in its zone: EC2's objects have none |
//! | `Name` | everything | the same, for people |
//! | the caller's labels, the provider's default tags | everything | |

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use multizone_cloud::{ClusterName, Labels, label};

use crate::Aws;

/// What the object is called.
pub(crate) const NAME: &str = "multizone-name";
/// What people see in lists.
const SHOWN: &str = "Name";

/// Tags of an object, in whatever form the service has them.
pub(crate) type Tags = BTreeMap<String, String>;

impl Aws {
    /// The tags of an object of a cluster.
    pub(crate) fn tags(&self, cluster: &ClusterName, name: &str, labels: &Labels) -> Tags {
        let mut tags = self.settings().default_tags.clone();
        tags.extend(labels.clone());
        tags.insert(label::CLUSTER.to_owned(), cluster.as_str().to_owned());
        tags.insert(NAME.to_owned(), name.to_owned());
        tags.insert(SHOWN.to_owned(), name.to_owned());
        tags
    }

    /// The caller's labels among an object's tags.
    pub(crate) fn labels(&self, tags: &Tags) -> Labels {
        let own = |key: &str, value: &str| {
            key != NAME
                && key != SHOWN
                && !key.starts_with("aws:")
                && self
                    .settings()
                    .default_tags
                    .get(key)
                    .is_none_or(|default| default != value)
        };
        tags.iter()
            .filter(|(key, value)| own(key, value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// What has to change so that an object with these tags has these labels; see [`multizone_cloud::relabelled`].  Tags to
    /// set, and keys of those to take away.
    pub(crate) fn relabel(&self, now: &Tags, wanted: &Labels) -> (Tags, Vec<String>) {
        let set = wanted.iter().filter(|(key, value)| now.get(*key) != Some(value));
        let gone = self.labels(now).into_keys().filter(|key| !wanted.contains_key(key));
        (
            set.map(|(key, value)| (key.clone(), value.clone())).collect(),
            gone.collect(),
        )
    }
}

/// Whether tags say that an object is the cluster's, by its whole name.
pub(crate) fn is_of(tags: &Tags, cluster: &ClusterName) -> bool {
    tags.get(label::CLUSTER).is_some_and(|found| found == cluster.as_str())
}

/// EC2's tags as a map.
pub(crate) fn of_ec2(tags: &[Tag]) -> Tags {
    tags.iter()
        .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
        .collect()
}

/// A map as EC2's tags.
pub(crate) fn to_ec2(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

/// Tags for an object that is being made.
pub(crate) fn at_birth(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(to_ec2(tags)))
        .build()
}

/// A filter of EC2's.
pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// What selects a cluster's objects on the server's side.  What it lets through is not proof: the tags are compared again.
pub(crate) fn of_cluster(cluster: &ClusterName) -> Filter {
    filter(&format!("tag:{}", label::CLUSTER), cluster.as_str())
}

/// What selects objects of a name.
pub(crate) fn of_name(name: &str) -> Filter {
    filter(&format!("tag:{NAME}"), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_known_by_its_whole_name() {
        let tags = Tags::from([(label::CLUSTER.into(), "demo".into())]);
        assert!(is_of(&tags, &ClusterName::new("demo")));
        assert!(!is_of(&tags, &ClusterName::new("dem")));
    }
}
