//! Kubernetes versions and the skew policy: which component may be how far from which other.

use std::fmt;
use std::str::FromStr;

/// A released Kubernetes version such as `1.34.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// Major version; always 1 so far.
    pub major: u16,
    /// Minor version, the one the skew policy counts.
    pub minor: u16,
    /// Patch release within the minor version.
    pub patch: u16,
}

/// Why a text is not a version that this provider can install.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The text is not `MAJOR.MINOR.PATCH`.
    #[error("{given:?} is not a Kubernetes version: {problem}; write MAJOR.MINOR.PATCH, for example 1.34.1")]
    Malformed {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Older than [`KubernetesVersion::MINIMUM`].
    #[error("Kubernetes {0} is not supported: {minimum} is the oldest version that is", minimum = KubernetesVersion::MINIMUM)]
    TooOld(KubernetesVersion),
    /// Another major version.
    #[error("Kubernetes {0} is not supported: only major version 1 is")]
    OtherMajor(KubernetesVersion),
}

/// A combination of versions that the Kubernetes version skew policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkewViolation {
    /// A kubelet newer than an API server.
    #[error("kubelet {kubelet} is newer than API server {api_server}: upgrade the control plane first")]
    KubeletNewer {
        /// The kubelet's version.
        kubelet: KubernetesVersion,
        /// The API server's version.
        api_server: KubernetesVersion,
    },
    /// A kubelet more than three minor versions older than an API server.
    #[error(
        "kubelet {kubelet} is more than three minor versions older than API server {api_server}: \
         upgrade this node group to at least 1.{oldest} first", oldest = api_server.minor - MAXIMUM_KUBELET_LAG
    )]
    KubeletTooOld {
        /// The kubelet's version.
        kubelet: KubernetesVersion,
        /// The API server's version.
        api_server: KubernetesVersion,
    },
    /// API servers of one cluster more than one minor version apart.
    #[error("API servers {oldest} and {newest} of one cluster are more than one minor version apart")]
    ApiServersApart {
        /// The oldest API server.
        oldest: KubernetesVersion,
        /// The newest API server.
        newest: KubernetesVersion,
    },
    /// kubeadm of another minor version than the control plane it joins.
    #[error("kubeadm {kubeadm} cannot join a control plane of version {control_plane}: the minor versions differ")]
    KubeadmDiffers {
        /// kubeadm's version.
        kubeadm: KubernetesVersion,
        /// The control plane's version.
        control_plane: KubernetesVersion,
    },
    /// A step to an older version.
    #[error("Kubernetes cannot go back from {from} to {to}")]
    Downgrade {
        /// The version now.
        from: KubernetesVersion,
        /// The version asked for.
        to: KubernetesVersion,
    },
    /// A step over a minor version.
    #[error(
        "Kubernetes {from} cannot be upgraded to {to} in one step: one minor version at a time, next is 1.{next}",
        next = from.minor + 1
    )]
    MinorSkipped {
        /// The version now.
        from: KubernetesVersion,
        /// The version asked for.
        to: KubernetesVersion,
    },
}

/// How many minor versions a kubelet may be older than the API server (since Kubernetes 1.28).
const MAXIMUM_KUBELET_LAG: u16 = 3;

impl KubernetesVersion {
    /// The oldest version this provider installs: kubeadm adds etcd members as learners from here on.
    pub const MINIMUM: Self = Self::new(1, 29, 0);

    /// A version from its parts.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Reads a version that a user wrote, and refuses what this provider cannot install.
    pub fn parse(given: &str) -> Result<Self, VersionError> {
        let version = given.parse::<Self>()?;
        if version.major != 1 {
            return Err(VersionError::OtherMajor(version));
        }
        if version < Self::MINIMUM {
            return Err(VersionError::TooOld(version));
        }
        Ok(version)
    }

    /// Reads the `gitVersion` of a server or the `kubeletVersion` of a node: `v1.34.1`, `v1.34.1+k3s1`.
    pub fn from_git_version(reported: &str) -> Result<Self, VersionError> {
        let bare = reported.strip_prefix('v').unwrap_or(reported);
        let end = bare.find(['+', '-']).unwrap_or(bare.len());
        bare[..end].parse()
    }

    /// `1.34`: the name of the package repository and of the skew policy's unit.
    pub fn minor_line(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// kubeadm's configuration API that this version reads: `v1beta4` came with 1.31.
    pub fn kubeadm_api(&self) -> &'static str {
        if self.minor >= 31 {
            "kubeadm.k8s.io/v1beta4"
        } else {
            "kubeadm.k8s.io/v1beta3"
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for KubernetesVersion {
    type Err = VersionError;

    /// Reads `MAJOR.MINOR.PATCH` of any age; see [`KubernetesVersion::parse`] for what a user may ask for.
    fn from_str(given: &str) -> Result<Self, VersionError> {
        let malformed = |problem| VersionError::Malformed {
            given: given.to_owned(),
            problem,
        };
        if given.starts_with(['v', 'V']) {
            return Err(malformed("leave out the leading v"));
        }
        if given.contains(['-', '+']) {
            return Err(malformed("pre-releases and build suffixes are not supported"));
        }
        let parts: Vec<&str> = given.split('.').collect();
        let [major, minor, patch] = parts[..] else {
            return Err(malformed("it needs exactly three numbers"));
        };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !digits {
                return Err(malformed("each part is a number"));
            }
            if text.len() > 1 && text.starts_with('0') {
                return Err(malformed("numbers have no leading zeros"));
            }
            text.parse::<u16>().map_err(|_| malformed("a number is too large"))
        };
        Ok(Self::new(number(major)?, number(minor)?, number(patch)?))
    }
}

/// Rule: a kubelet is never newer than the API server and at most three minor versions older.
///
/// The patch release does not count.
pub fn check_kubelet(kubelet: KubernetesVersion, api_server: KubernetesVersion) -> Result<(), SkewViolation> {
    if kubelet.minor > api_server.minor {
        return Err(SkewViolation::KubeletNewer { kubelet, api_server });
    }
    if api_server.minor - kubelet.minor > MAXIMUM_KUBELET_LAG {
        return Err(SkewViolation::KubeletTooOld { kubelet, api_server });
    }
    Ok(())
}

/// Rule: the API servers of one cluster are within one minor version of each other.
pub fn check_api_servers(api_servers: &[KubernetesVersion]) -> Result<(), SkewViolation> {
    let (Some(&oldest), Some(&newest)) = (api_servers.iter().min(), api_servers.iter().max()) else {
        return Ok(());
    };
    if newest.minor - oldest.minor > 1 {
        return Err(SkewViolation::ApiServersApart { oldest, newest });
    }
    Ok(())
}

/// Rule: kubeadm has the minor version of the control plane it joins.
pub fn check_kubeadm(kubeadm: KubernetesVersion, control_plane: KubernetesVersion) -> Result<(), SkewViolation> {
    if kubeadm.minor != control_plane.minor {
        return Err(SkewViolation::KubeadmDiffers { kubeadm, control_plane });
    }
    Ok(())
}

/// Rule: an upgrade goes one minor version at a time and never back.
pub fn check_upgrade(from: KubernetesVersion, to: KubernetesVersion) -> Result<(), SkewViolation> {
    if to < from {
        return Err(SkewViolation::Downgrade { from, to });
    }
    if to.minor > from.minor + 1 {
        return Err(SkewViolation::MinorSkipped { from, to });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubernetesVersion {
        text.parse().unwrap()
    }

    #[test]
    fn a_version_is_three_numbers() {
        assert_eq!(
            KubernetesVersion::parse("1.34.1").unwrap(),
            KubernetesVersion::new(1, 34, 1)
        );
        for (given, problem) in [
            ("v1.34.1", "leading v"),
            ("1.34", "exactly three"),
            ("1.34.1.2", "exactly three"),
            ("1.34.x", "is a number"),
            ("1.34.", "is a number"),
            ("1.034.1", "leading zeros"),
            ("1.34.1-rc.1", "pre-releases"),
            ("1.34.99999", "too large"),
            ("", "exactly three"),
        ] {
            let error = KubernetesVersion::parse(given).unwrap_err().to_string();
            assert!(error.contains(problem), "{given:?}: {error}");
        }
    }

    #[test]
    fn versions_below_1_29_are_not_supported() {
        assert_eq!(
            KubernetesVersion::parse("1.28.15"),
            Err(VersionError::TooOld(version("1.28.15")))
        );
        assert!(KubernetesVersion::parse("1.29.0").is_ok());
        assert!(matches!(
            KubernetesVersion::parse("2.0.0"),
            Err(VersionError::OtherMajor(_))
        ));
    }

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        assert!(version("1.9.0") < version("1.10.0"));
        assert!(version("1.34.9") < version("1.34.10"));
    }

    #[test]
    fn servers_report_versions_with_a_v_and_suffixes() {
        assert_eq!(
            KubernetesVersion::from_git_version("v1.34.1+k3s1").unwrap(),
            version("1.34.1")
        );
        assert_eq!(
            KubernetesVersion::from_git_version("v1.30.0-rc.0").unwrap(),
            version("1.30.0")
        );
    }

    #[test]
    fn rule_kubelet_never_newer_and_at_most_three_minors_older() {
        assert!(check_kubelet(version("1.34.9"), version("1.34.1")).is_ok());
        assert!(check_kubelet(version("1.31.0"), version("1.34.1")).is_ok());
        assert!(matches!(
            check_kubelet(version("1.35.0"), version("1.34.1")),
            Err(SkewViolation::KubeletNewer { .. })
        ));
        let error = check_kubelet(version("1.30.9"), version("1.34.1")).unwrap_err();
        assert!(error.to_string().contains("at least 1.31"), "{error}");
    }

    #[test]
    fn rule_api_servers_within_one_minor() {
        assert!(check_api_servers(&[]).is_ok());
        assert!(check_api_servers(&[version("1.34.0"), version("1.33.5")]).is_ok());
        assert!(check_api_servers(&[version("1.34.0"), version("1.33.5"), version("1.32.0")]).is_err());
    }

    #[test]
    fn rule_kubeadm_has_the_minor_of_the_control_plane_it_joins() {
        assert!(check_kubeadm(version("1.34.2"), version("1.34.1")).is_ok());
        assert!(check_kubeadm(version("1.33.2"), version("1.34.1")).is_err());
    }

    #[test]
    fn rule_one_minor_at_a_time_and_never_back() {
        assert!(check_upgrade(version("1.33.0"), version("1.34.1")).is_ok());
        assert!(check_upgrade(version("1.34.1"), version("1.34.1")).is_ok());
        assert!(matches!(
            check_upgrade(version("1.34.1"), version("1.34.0")),
            Err(SkewViolation::Downgrade { .. })
        ));
        let error = check_upgrade(version("1.32.0"), version("1.34.0")).unwrap_err();
        assert!(error.to_string().contains("next is 1.33"), "{error}");
    }

    #[test]
    fn rule_kubeadm_configuration_is_v1beta4_from_1_31() {
        assert_eq!(version("1.30.9").kubeadm_api(), "kubeadm.k8s.io/v1beta3");
        assert_eq!(version("1.31.0").kubeadm_api(), "kubeadm.k8s.io/v1beta4");
    }
}
