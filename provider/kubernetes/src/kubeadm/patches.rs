//! Patches of what kubeadm writes on a machine, as files in one directory.

use serde_json::Value;

/// Where the user data puts the patches.
pub const PATCHES_DIRECTORY: &str = "/etc/kubernetes/patches";

/// What kubeadm patches on a master, by the beginning of a file's name.
const TARGETS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "kubeletconfiguration",
];

/// Why a patch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedPatch {
    /// Not the name of a patch.
    #[error(
        "{name:?} is no name of a patch: it is TARGET[SUFFIX][+TYPE].yaml or .json, with a TARGET of {targets}, a SUFFIX of \
         letters and digits, and a TYPE of strategic, merge or json; for example kube-apiserver0+merge.yaml",
        targets = TARGETS.join(", ")
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// Its content cannot be read.
    #[error("the patch {name} is not {format}: {reason}")]
    Content {
        /// The patch.
        name: String,
        /// What it is to be.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Refuses a patch that kubeadm would not read.
pub fn check_patch(name: &str, content: &str) -> Result<(), RefusedPatch> {
    check_patch_name(name)?;
    let unreadable = |format, reason: String| RefusedPatch::Content {
        name: name.to_owned(),
        format,
        reason: reason.lines().next().unwrap_or_default().to_owned(),
    };
    if name.strip_suffix(".json").is_some() {
        let read = serde_json::from_str::<Value>(content);
        read.map(drop).map_err(|error| unreadable("JSON", error.to_string()))
    } else {
        let read = serde_saphyr::from_multiple::<Value>(content);
        read.map(drop).map_err(|error| unreadable("YAML", error.to_string()))
    }
}

/// Refuses a name that kubeadm would not know as a patch's.
pub fn check_patch_name(name: &str) -> Result<(), RefusedPatch> {
    let well_formed = || {
        let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".json"))?;
        let (stem, kind) = stem.split_once('+').unwrap_or((stem, "strategic"));
        let target = TARGETS.iter().find(|target| stem.starts_with(**target))?;
        let suffix = &stem[target.len()..];
        let plain = suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain && ["strategic", "merge", "json"].contains(&kind)).then_some(())
    };
    well_formed().ok_or_else(|| RefusedPatch::Name { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubeadm_knows() {
        for right in [
            "kube-apiserver.yaml",
            "kube-apiserver0+merge.yaml",
            "etcd.json",
            "kubeletconfiguration+strategic.yaml",
            "kube-schedulerA1+json.json",
        ] {
            assert_eq!(check_patch_name(right), Ok(()), "{right}");
        }
        for wrong in [
            "apiserver.yaml",
            "kube-apiserver.txt",
            "kube-apiserver+other.yaml",
            "../etcd.yaml",
            "etcd/x.yaml",
            "kube-apiserver 1.yaml",
            "corednsdeployment.yaml",
        ] {
            assert!(check_patch_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_patch_is_what_its_name_says() {
        assert_eq!(check_patch("etcd.yaml", "spec: {}\n"), Ok(()));
        assert!(
            check_patch("etcd.json", "spec: {}\n")
                .unwrap_err()
                .to_string()
                .contains("not JSON")
        );
        assert!(
            check_patch("etcd.yaml", "a: [")
                .unwrap_err()
                .to_string()
                .contains("not YAML")
        );
    }
}
