//! Names of machines: short, stable, and told apart by what the machine is made from.

use crate::fingerprint;

/// Letters and digits that cannot be read as one another or form words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of the suffix.
const SUFFIX: usize = 4;
/// How many characters a machine's name has beyond those of the cluster and of the group.
pub const NAME_OVERHEAD: usize = 2 + SUFFIX;

/// The names of a group's machines: `CLUSTER-GROUP-SUFFIX`.
///
/// The suffix comes from cluster, group, specification and a counter.  So a create that is repeated after a crash finds
/// the machine it made; a replacement has another name than what it replaces; and the groups `a-b` of cluster `c` and
/// `b` of cluster `c-a` do not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the group within it.
    pub group: String,
}

impl Names {
    /// The name of the machine number `index` of a specification.
    pub fn name(&self, specification: &str, index: usize) -> String {
        let Self { cluster, group } = self;
        let mut hash = fingerprint(&[cluster, group, specification, &index.to_string()]);
        let mut name = String::with_capacity(cluster.len() + group.len() + NAME_OVERHEAD);
        name.extend([cluster, "-", group, "-"]);
        for _ in 0..SUFFIX {
            // The remainder is below 27.
            name.push(char::from(ALPHABET[usize::try_from(hash % 27).unwrap_or(0)]));
            hash /= 27;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cluster: &str, group: &str) -> Names {
        Names {
            cluster: cluster.to_owned(),
            group: group.to_owned(),
        }
    }

    #[test]
    fn names_are_stable_over_releases() {
        assert_eq!(names("demo", "pool").name("v1", 0), names("demo", "pool").name("v1", 0));
        assert_eq!(
            names("demo", "pool").name("v1", 0).len(),
            "demo".len() + "pool".len() + NAME_OVERHEAD
        );
        insta::assert_snapshot!(names("demo", "pool").name("v1", 0), @"demo-pool-kxzq");
    }

    #[test]
    fn one_clusters_name_being_a_prefix_of_anothers_gives_different_machines() {
        assert_ne!(names("c", "a-b").name("v1", 0), names("c-a", "b").name("v1", 0));
    }

    #[test]
    fn another_specification_gives_another_name() {
        assert_ne!(names("demo", "pool").name("v1", 0), names("demo", "pool").name("v2", 0));
    }
}
