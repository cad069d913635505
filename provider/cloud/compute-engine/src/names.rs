//! Names of the objects that Multizone names itself.

use std::fmt::Write as _;

use multizone_cloud::{ClusterName, Role};
use sha2::{Digest, Sha256};

/// Longest name that Compute Engine takes (RFC 1035).
const LONGEST: usize = 63;

/// Names of one cluster's objects in one region.
pub(crate) struct Names<'a> {
    cluster: &'a ClusterName,
    region: &'a str,
}

impl<'a> Names<'a> {
    pub(crate) fn new(cluster: &'a ClusterName, region: &'a str) -> Self {
        Self { cluster, region }
    }

    /// The network, and its subnet in the region.  A region's name has exactly one `-`, so this is unambiguous without a
    /// hash as long as it is not cut.
    pub(crate) fn network(&self) -> String {
        let name = format!("multizone-{}-{}", self.cluster, self.region);
        if name.len() <= LONGEST {
            name
        } else {
            self.hashed(self.region, "network")
        }
    }

    pub(crate) fn firewall_rule(&self, rule: &str) -> String {
        self.hashed(rule, "firewall-rule")
    }

    pub(crate) fn address(&self, address: &str) -> String {
        self.hashed(address, "address")
    }

    /// The objects of a balancer, which all have one name.
    pub(crate) fn balancer(&self, balancer: &str) -> String {
        self.hashed(balancer, "balancer")
    }

    /// The balancer whose objects have that name; `None` when it is not the cluster's, or when the name was cut.
    pub(crate) fn balancer_named(&self, name: &str) -> Option<String> {
        let readable = name.get(..name.len().checked_sub(9)?)?;
        let balancer = readable.strip_prefix(&format!("multizone-{}-", self.cluster))?;
        (self.balancer(balancer) == name).then(|| balancer.to_owned())
    }

    /// The network tag of the machines of a role.
    pub(crate) fn tag(&self, role: Role) -> String {
        self.hashed(role.as_str(), "tag")
    }

    fn hashed(&self, part: &str, kind: &str) -> String {
        let mut digest = Sha256::new();
        for field in [kind, self.region, self.cluster.as_str(), part] {
            digest.update(field.as_bytes());
            digest.update([0]);
        }
        let hash = digest.finalize().iter().take(4).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut readable = format!("multizone-{}-{part}", self.cluster);
        readable.truncate(LONGEST - 1 - hash.len());
        format!("{}-{hash}", readable.trim_end_matches('-'))
    }
}

/// The last segment of a URL: the name of the object that it is about.
pub(crate) fn last_segment(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// The region of a zone: `us-central1` of `us-central1-a`.
pub(crate) fn region_of(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T>(cluster: &str, name: impl Fn(&Names<'_>) -> T) -> T {
        name(&Names::new(&ClusterName::new(cluster), "us-central1"))
    }

    #[test]
    #[allow(clippy::redundant_closure_for_method_calls)] // the method alone is not general enough
    fn names_say_what_they_are() {
        assert_eq!(names("demo", |n| n.network()), "multizone-demo-us-central1");
        assert!(names("demo", |n| n.firewall_rule("api")).starts_with("multizone-demo-api-"));
        assert!(names("demo", |n| n.tag(Role::Master)).starts_with("multizone-demo-master-"));
    }

    #[test]
    fn a_cluster_whose_name_is_a_prefix_of_another_has_other_names() {
        assert_ne!(
            names("a", |n| n.firewall_rule("b-c")),
            names("a-b", |n| n.firewall_rule("c"))
        );
        assert_ne!(names("a", |n| n.address("b-c")), names("a-b", |n| n.address("c")));
        assert_ne!(
            names("a", |n| n.firewall_rule("master")),
            names("a", |n| n.tag(Role::Master))
        );
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (one, other) = ("x".repeat(60) + "1", "x".repeat(60) + "2");
        for name in [|n: &Names<'_>| n.network(), |n: &Names<'_>| n.address("api")] {
            let (one, other) = (names(&one, name), names(&other, name));
            assert!(one.len() <= 63 && other.len() <= 63, "{one} {other}");
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_balancer_is_known_by_the_name_of_its_objects() {
        let name = names("demo", |n| n.balancer("api"));
        assert_eq!(names("demo", |n| n.balancer_named(&name)).as_deref(), Some("api"));
        assert_eq!(names("demo-2", |n| n.balancer_named(&name)), None);
        for foreign in ["", "api", "multizone-demo-api", "multizone-demo-api-00000000"] {
            assert_eq!(names("demo", |n| n.balancer_named(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn parts_of_urls() {
        assert_eq!(
            last_segment("https://h/compute/v1/projects/p/zones/us-central1-a"),
            "us-central1-a"
        );
        assert_eq!(last_segment("n1-standard-1"), "n1-standard-1");
        assert_eq!(region_of("us-central1-a"), "us-central1");
    }
}
