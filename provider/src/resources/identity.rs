//! How objects are called: the IDs that Terraform sees, and the names of a cluster's objects in its cloud.

use multizone_cloud::{ClusterName, Labels, label};
use multizone_schema::Model;

/// The longest name of a cluster: names of its machines and its objects are built from it.
pub const LONGEST_CLUSTER_NAME: usize = 32;
/// The longest name of a machine or a disk on every supported cloud.
pub const LONGEST_OBJECT_NAME: usize = 63;

/// The stable address at which a cluster's API answers, by its name within the cluster.
pub const API_ADDRESS: &str = "api";

/// The ID of a cluster or of its control plane: `REGION/CLUSTER`; or of what belongs to one: `REGION/CLUSTER/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectId {
    /// The region.
    pub region: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The object within the cluster.
    pub name: Option<String>,
}

/// A text that is no ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no ID: write {form}, for example {example}")]
pub struct MalformedId {
    given: String,
    form: &'static str,
    example: &'static str,
}

impl ObjectId {
    /// The ID of a cluster, and of its control plane.
    pub fn cluster(region: &str, cluster: &ClusterName) -> String {
        format!("{region}/{cluster}")
    }

    /// The ID of an object within a cluster.
    pub fn object(region: &str, cluster: &ClusterName, name: &str) -> String {
        format!("{region}/{cluster}/{name}")
    }

    /// Reads `REGION/CLUSTER`.
    pub fn parse_cluster(given: &str) -> Result<Self, MalformedId> {
        match given.split('/').collect::<Vec<_>>()[..] {
            [region, cluster] if !region.is_empty() && !cluster.is_empty() => Ok(Self {
                region: region.to_owned(),
                cluster: ClusterName::new(cluster),
                name: None,
            }),
            _ => Err(MalformedId {
                given: given.to_owned(),
                form: "REGION/CLUSTER",
                example: "us-central1/demo",
            }),
        }
    }

    /// Reads `REGION/CLUSTER/NAME`; `example` is such an ID, for whoever wrote another.
    pub fn parse_object(given: &str, example: &'static str) -> Result<(Self, String), MalformedId> {
        match given.split('/').collect::<Vec<_>>()[..] {
            [region, cluster, name] if !region.is_empty() && !cluster.is_empty() && !name.is_empty() => {
                let cluster = ClusterName::new(cluster);
                Ok((
                    Self {
                        region: region.to_owned(),
                        cluster,
                        name: Some(name.to_owned()),
                    },
                    name.to_owned(),
                ))
            }
            _ => Err(MalformedId {
                given: given.to_owned(),
                form: "REGION/CLUSTER/NAME",
                example,
            }),
        }
    }
}

/// What names an object for good, attribute by attribute: another form of its ID.
///
/// Terraform 1.12 and later keep it beside the state and take it for an import. All its attributes are required there.
pub trait Identity: Model {
    /// Takes an ID apart.
    fn from_id(id: &str) -> Result<Self, MalformedId>;

    /// Puts the ID together.
    fn id(&self) -> String;
}

/// What names a cluster, and its control plane.
#[derive(Model, Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// The region.
    #[attribute(required)]
    pub region: String,
    /// The cluster's name.
    #[attribute(required)]
    pub cluster: String,
}

impl Identity for ClusterIdentity {
    fn from_id(id: &str) -> Result<Self, MalformedId> {
        let ObjectId { region, cluster, .. } = ObjectId::parse_cluster(id)?;
        Ok(Self {
            region,
            cluster: cluster.to_string(),
        })
    }

    fn id(&self) -> String {
        ObjectId::cluster(&self.region, &ClusterName::new(&self.cluster))
    }
}

/// What names an object of a cluster.
#[derive(Model, Clone, Debug, PartialEq, Eq)]
pub struct ObjectIdentity {
    /// The region.
    #[attribute(required)]
    pub region: String,
    /// The cluster's name.
    #[attribute(required)]
    pub cluster: String,
    /// The object's name within the cluster.
    #[attribute(required)]
    pub name: String,
}

impl Identity for ObjectIdentity {
    fn from_id(id: &str) -> Result<Self, MalformedId> {
        let (ObjectId { region, cluster, .. }, name) = ObjectId::parse_object(id, "us-central1/demo/NAME")?;
        Ok(Self {
            region,
            cluster: cluster.to_string(),
            name,
        })
    }

    fn id(&self) -> String {
        ObjectId::object(&self.region, &ClusterName::new(&self.cluster), &self.name)
    }
}

/// Names of a cluster's secrets.  The secret store knows no regions, so the region is in the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretNames {
    /// The authorities' keys: for masters and for the cluster's owner.
    pub keys: String,
    /// The node groups' credential: for the teams that own node groups.
    pub node_credential: String,
    /// What the cluster's control plane has to know about it; nothing in it is secret.
    pub settings: String,
    /// There until Terraform is known to have the cluster in its state: until then a create adopts what it finds.
    pub creating: String,
    /// There from the first moment of the cluster's deletion to the last: what is left of it is not repaired any more.
    pub deleting: String,
    /// There while somebody changes the cluster's masters, their balancer or the API's address: says who.
    pub turn: String,
}

impl SecretNames {
    /// The names for a cluster of a region.
    pub fn of(region: &str, cluster: &ClusterName) -> Self {
        let name = |suffix| format!("multizone-{region}-{cluster}-{suffix}");
        Self {
            keys: name("keys"),
            node_credential: name("node-credential"),
            settings: name("settings"),
            creating: name("creating"),
            deleting: name("deleting"),
            turn: name("turn"),
        }
    }

    /// All of them.
    pub fn all(self) -> Vec<String> {
        let Self {
            keys,
            node_credential,
            settings,
            creating,
            deleting,
            turn,
        } = self;
        vec![keys, node_credential, settings, creating, deleting, turn]
    }
}

/// The name of a master's machine, and of its Node.
pub fn master_name(cluster: &ClusterName, replica: &str) -> String {
    format!("{cluster}-master-{replica}")
}

/// The name of a disk in its zone.
pub fn disk_name(cluster: &ClusterName, disk: &str) -> String {
    format!("{cluster}-{disk}")
}

/// The labels that every object of a cluster carries.
pub fn cluster_labels(cluster: &ClusterName) -> Labels {
    Labels::from([(label::CLUSTER.to_owned(), cluster.to_string())])
}

/// The labels of what is in a zone: every node and every disk says where it is (domain-rules.md, source document 1).
pub fn zonal_labels(cluster: &ClusterName, region: &str, zone: &str) -> Labels {
    let mut labels = cluster_labels(cluster);
    labels.insert(label::REGION.to_owned(), region.to_owned());
    labels.insert(label::ZONE.to_owned(), zone.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let cluster = ClusterName::new("demo");
        let id = ObjectId::parse_cluster(&ObjectId::cluster("us-central1", &cluster)).unwrap();
        assert_eq!((id.region.as_str(), &id.cluster), ("us-central1", &cluster));
        let (id, name) = ObjectId::parse_object(&ObjectId::object("us-central1", &cluster, "data"), "").unwrap();
        assert_eq!((id.cluster, name.as_str()), (cluster, "data"));
        for wrong in ["", "demo", "a/b/c/d", "/demo", "us-central1/"] {
            assert!(ObjectId::parse_cluster(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_identity_is_the_id_in_parts() {
        let disk = ObjectIdentity::from_id("us-central1/demo/data").unwrap();
        assert_eq!(
            (disk.region.as_str(), disk.cluster.as_str(), disk.name.as_str()),
            ("us-central1", "demo", "data")
        );
        assert_eq!(disk.id(), "us-central1/demo/data");
        let cluster = ClusterIdentity::from_id("us-central1/demo").unwrap();
        assert_eq!(cluster.id(), "us-central1/demo");
        assert!(ClusterIdentity::from_id(&disk.id()).is_err());
    }

    #[test]
    fn clusters_of_one_name_in_two_regions_have_secrets_of_their_own() {
        let cluster = ClusterName::new("demo");
        assert_ne!(
            SecretNames::of("us-central1", &cluster),
            SecretNames::of("europe-west1", &cluster)
        );
    }
}
