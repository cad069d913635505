//! The labels by which Multizone knows its own objects.

use std::{collections::BTreeMap, fmt};

/// Labels of a cloud object.
pub type Labels = BTreeMap<String, String>;

/// Keys of the labels that Multizone sets.
pub mod label {
    /// The cluster's name; on every object.
    pub const CLUSTER: &str = "multizone-cluster";
    /// [`super::Role`]; on machines.
    pub const ROLE: &str = "multizone-role";
    /// Name of the node group; on workers.
    pub const NODE_GROUP: &str = "multizone-node-group";
    /// Key of the replica; on masters.
    pub const REPLICA: &str = "multizone-replica";
    /// Kubernetes version with `-` for `.`; on machines.
    pub const VERSION: &str = "multizone-version";
    /// Present while a create has not finished: the next create adopts the object (design.md, Resources).
    pub const CREATING: &str = "multizone-creating";
    /// Its value while the create is under way.
    pub const UNFINISHED: &str = "true";
    /// Name of the disk within the cluster; on disks.
    pub const DISK: &str = "multizone-disk";
    /// Name of the stable address within the cluster; on addresses, set by the cloud's own code.
    pub const ADDRESS: &str = "multizone-address";
    /// `true` on the disks that machines boot from, set by the cloud's own code so that the inventory leaves them out.
    pub const BOOT: &str = "multizone-boot";
    /// Region, on disks and machines (domain-rules.md, source document 1); the cloud's own code also sets it on what is
    /// not regional by itself (snapshots, secrets), so that clusters of one name in two regions stay apart.
    pub const REGION: &str = "topology-region";
    /// Zone, on disks and machines.
    pub const ZONE: &str = "topology-zone";
}

/// The name of a cluster.  A type of its own so that objects are matched by the whole name, never by a prefix
/// (domain-rules.md, kube-up's mistake 4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// Wraps a name that the resource has validated.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels to set on one of the cluster's objects, which it stays; `owner` is the cluster that its own label names.  `None`
/// when it is not the cluster's: one that has lost its label becomes the cluster's by labels that say so, another's never
/// does.
pub fn relabelled(owner: Option<&String>, cluster: &ClusterName, wanted: &Labels) -> Option<Labels> {
    let owner = owner.or_else(|| wanted.get(label::CLUSTER))?;
    let own = [(label::CLUSTER.to_owned(), cluster.as_str().to_owned())];
    (owner == cluster.as_str()).then(|| wanted.clone().into_iter().chain(own).collect())
}

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A control-plane replica.
    Master,
    /// A worker.
    Worker,
}

impl Role {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Worker => "worker",
        }
    }

    /// The role of a label's value.
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Master, Self::Worker]
            .into_iter()
            .find(|role| role.as_str() == value)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_found_by_its_whole_name_only() {
        assert_eq!(Role::parse("master"), Some(Role::Master));
        assert_eq!(Role::parse("worker"), Some(Role::Worker));
        assert_eq!(Role::parse("masters"), None);
    }

    #[test]
    fn the_owner_cannot_be_lost_and_not_be_taken() {
        let demo = ClusterName::new("demo");
        let (own, foreign) = ("demo".to_owned(), "dem".to_owned());
        let labels = relabelled(Some(&own), &demo, &Labels::from([("a".into(), "b".into())])).unwrap();
        assert_eq!(labels[label::CLUSTER], "demo");
        let other = Labels::from([(label::CLUSTER.into(), "other".into())]);
        assert_eq!(relabelled(Some(&own), &demo, &other).unwrap()[label::CLUSTER], "demo");
        assert_eq!(relabelled(Some(&foreign), &demo, &labels), None, "another cluster's");
        assert_eq!(
            relabelled(None, &demo, &labels).unwrap(),
            labels,
            "it had lost the label"
        );
        assert_eq!(relabelled(None, &demo, &Labels::new()), None);
        assert_eq!(relabelled(None, &demo, &other), None);
    }
}
