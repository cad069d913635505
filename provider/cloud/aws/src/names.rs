//! Names of the objects that have names of their own on AWS; everything else is known by its tags.

use multizone_cloud::ClusterName;
use sha2::{Digest, Sha256};

use crate::requests::hex;

/// The longest name of a load balancer and of a target group.
const LONGEST_OF_BALANCER: usize = 32;
/// The longest name of a role.
const LONGEST_OF_ROLE: usize = 64;

/// The name of the load balancer behind a cluster's address, and of its target group.
pub(crate) fn balancer(region: &str, cluster: &ClusterName, address: &str) -> String {
    hashed("mz", region, cluster, address, LONGEST_OF_BALANCER)
}

/// The name of the masters' role and of the instance profile that gives it to them: IAM knows no regions.
pub(crate) fn identity(region: &str, cluster: &ClusterName) -> String {
    let name = format!("multizone-{region}-{cluster}");
    if name.len() <= LONGEST_OF_ROLE {
        name
    } else {
        hashed("multizone", region, cluster, "identity", LONGEST_OF_ROLE)
    }
}

fn hashed(prefix: &str, region: &str, cluster: &ClusterName, part: &str, longest: usize) -> String {
    let mut digest = Sha256::new();
    for field in [prefix, region, cluster.as_str(), part] {
        digest.update(field.as_bytes());
        digest.update([0]);
    }
    let hash = hex(&digest.finalize()[..4]);
    let mut readable = format!("{prefix}-{cluster}-{part}");
    readable.truncate(longest - 1 - hash.len());
    format!("{}-{hash}", readable.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_apart() {
        let (one, other) = (
            ClusterName::new("x".repeat(31) + "1"),
            ClusterName::new("x".repeat(31) + "2"),
        );
        let (one, other) = (balancer("us-west-2", &one, "api"), balancer("us-west-2", &other, "api"));
        assert!(one.len() <= 32 && other.len() <= 32, "{one} {other}");
        assert_ne!(one, other);
        assert_ne!(
            balancer("us-west-2", &ClusterName::new("a"), "b-c"),
            balancer("us-west-2", &ClusterName::new("a-b"), "c")
        );
        assert!(balancer("us-west-2", &ClusterName::new("demo"), "api").starts_with("mz-demo-api-"));
        assert_eq!(
            identity("us-west-2", &ClusterName::new("demo")),
            "multizone-us-west-2-demo"
        );
        assert!(identity("ap-southeast-2", &ClusterName::new("x".repeat(60))).len() <= 64);
    }
}
