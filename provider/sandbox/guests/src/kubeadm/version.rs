//! Versions and what kubeadm makes of them.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::disk::Disk;

/// A Kubernetes version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// The version of an installed program of Kubernetes.
    pub(crate) fn installed(disk: &Disk, program: &str) -> io::Result<Self> {
        let path = format!("/usr/bin/{program}");
        let text = disk.required_text(&path)?;
        text.trim()
            .parse()
            .map_err(|reason| io::Error::other(format!("{path}: {reason}")))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("version {text:?} doesn't match patterns for neither semantic version nor labels");
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.').map(str::parse);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self { major, minor, patch }),
            _ => Err(malformed()),
        }
    }
}

/// Whether this kubeadm may work on a control plane of version `cluster`: its own minor version or one older.
pub(super) fn check_cluster(kubeadm: Version, cluster: Version) -> Result<(), String> {
    if cluster.major == kubeadm.major && (cluster.minor == kubeadm.minor || cluster.minor + 1 == kubeadm.minor) {
        return Ok(());
    }
    if cluster > kubeadm {
        return Err(format!(
            "the requested Kubernetes version v{cluster} is newer than what kubeadm v{kubeadm} can deploy"
        ));
    }
    Err(format!(
        "this version of kubeadm only supports deploying clusters with the control plane version >= {}.{}.0. \
         Current version: v{cluster}",
        kubeadm.major,
        kubeadm.minor.saturating_sub(1)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_three_parts() {
        assert_eq!(
            "v1.34.1".parse(),
            Ok(Version {
                major: 1,
                minor: 34,
                patch: 1
            })
        );
        assert!("1.34".parse::<Version>().is_err());
        assert!("stable".parse::<Version>().is_err());
    }

    #[test]
    fn kubeadm_works_on_its_own_minor_version_and_the_one_before() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(check_cluster(version("1.34.1"), version("1.34.0")).is_ok());
        assert!(check_cluster(version("1.34.1"), version("1.33.9")).is_ok());
        assert!(
            check_cluster(version("1.34.1"), version("1.35.0"))
                .unwrap_err()
                .contains("newer")
        );
        assert!(
            check_cluster(version("1.34.1"), version("1.32.0"))
                .unwrap_err()
                .contains(">= 1.33.0")
        );
    }
}
