//! What a disk in the cloud says about itself in labels, so that an import finds it: nothing else knows it.
//!
//! What has its default is not written.

use multizone_cloud::Labels;

use super::DiskPlanned;

const FILESYSTEM: &str = "multizone-filesystem";
const STORAGE_CLASS: &str = "multizone-storage-class";
const LEGACY_ZONE_LABELS: &str = "multizone-legacy-zone-labels";
const DELETION_PROTECTION: &str = "multizone-deletion-protection";
const TRUE: &str = "true";
const DEFAULT_FILESYSTEM: &str = "ext4";

/// Attributes that only Terraform's configuration has, besides the disk's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) filesystem: String,
    pub(super) storage_class: String,
    pub(super) legacy_zone_labels: bool,
    pub(super) deletion_protection: bool,
}

impl Kept {
    /// `None` while some of it is unknown.
    pub(super) fn of(disk: &DiskPlanned) -> Option<Self> {
        Some(Self {
            filesystem: disk.filesystem.known()?.clone(),
            storage_class: disk.storage_class.known()?.clone(),
            legacy_zone_labels: *disk.legacy_zone_labels.known()?,
            deletion_protection: *disk.deletion_protection.known()?,
        })
    }

    /// As labels.  A label has no dots and a storage class no underscores.
    pub(super) fn labels(&self) -> Labels {
        let flag = |set: bool| set.then(|| TRUE.to_owned());
        let filesystem = (self.filesystem != DEFAULT_FILESYSTEM).then(|| self.filesystem.clone());
        let storage_class = (!self.storage_class.is_empty()).then(|| self.storage_class.replace('.', "_"));
        [
            (FILESYSTEM, filesystem),
            (STORAGE_CLASS, storage_class),
            (LEGACY_ZONE_LABELS, flag(self.legacy_zone_labels)),
            (DELETION_PROTECTION, flag(self.deletion_protection)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    /// As labels say; what they do not say has its default.
    pub(super) fn from_labels(labels: &Labels) -> Self {
        let flag = |key| labels.get(key).is_some_and(|value| value == TRUE);
        Self {
            filesystem: labels
                .get(FILESYSTEM)
                .map_or(DEFAULT_FILESYSTEM, String::as_str)
                .to_owned(),
            storage_class: labels
                .get(STORAGE_CLASS)
                .map(|class| class.replace('_', "."))
                .unwrap_or_default(),
            legacy_zone_labels: flag(LEGACY_ZONE_LABELS),
            deletion_protection: flag(DELETION_PROTECTION),
        }
    }

    /// Whether a label is one of these.
    pub(super) fn is_label(key: &str) -> bool {
        [FILESYSTEM, STORAGE_CLASS, LEGACY_ZONE_LABELS, DELETION_PROTECTION].contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_defaults_are_not_kept() {
        let kept = Kept {
            filesystem: "xfs".into(),
            storage_class: "fast.example-1".into(),
            legacy_zone_labels: true,
            deletion_protection: true,
        };
        assert_eq!(kept.labels().len(), 4);
        assert!(kept.labels().keys().all(|key| Kept::is_label(key)));
        assert_eq!(Kept::from_labels(&kept.labels()), kept);
        assert!(Kept::from_labels(&Labels::new()).labels().is_empty());
    }
}
