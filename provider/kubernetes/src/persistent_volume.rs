//! The `PersistentVolume` of a zonal disk: usable only in its zone, and labelled so.

use serde_json::{Map, Value, json};

use crate::{labels, yaml};

/// A disk as a `PersistentVolume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistentVolumeSettings {
    /// The `PersistentVolume`'s name.
    pub name: String,
    /// The disk's size in GiB.
    pub size_gb: i64,
    /// The region's name, for the label.
    pub region: String,
    /// The zone's name, for label and affinity.
    pub zone: String,
    /// How a node attaches the disk.
    pub source: VolumeSource,
    /// Filesystem that is made at the first mount; `ext4` if in doubt.
    pub filesystem: String,
    /// Class that claims must name; empty for claims without a class.
    pub storage_class: String,
    /// Also write the failure-domain.beta.kubernetes.io labels.
    pub legacy_zone_labels: bool,
}

/// The Container Storage Interface driver that attaches a disk, and the disk's name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSource {
    /// The driver's name.
    pub driver: String,
    /// What the driver knows the disk by.
    pub handle: String,
}

impl VolumeSource {
    /// A disk on Compute Engine, by its full name.
    pub fn compute_engine(project: &str, zone: &str, disk: &str) -> Self {
        Self {
            driver: "pd.csi.storage.gke.io".to_owned(),
            handle: format!("projects/{project}/zones/{zone}/disks/{disk}"),
        }
    }
}

/// The `PersistentVolume` as YAML that `kubectl apply -f -` accepts.
///
/// It retains the disk when its claim goes: the disk's life is Terraform's.
pub fn render(volume: &PersistentVolumeSettings) -> String {
    let mut labels = Map::new();
    let mut label = |key: &str, value: &str| labels.insert(key.to_owned(), Value::from(value));
    label(labels::REGION, &volume.region);
    label(labels::ZONE, &volume.zone);
    if volume.legacy_zone_labels {
        label(labels::LEGACY_REGION, &volume.region);
        label(labels::LEGACY_ZONE, &volume.zone);
    }
    yaml::document(&json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": volume.name, "labels": labels },
        "spec": {
            "capacity": { "storage": format!("{}Gi", volume.size_gb) },
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": volume.storage_class,
            "volumeMode": "Filesystem",
            "csi": {
                "driver": volume.source.driver,
                "volumeHandle": volume.source.handle,
                "fsType": volume.filesystem,
            },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": labels::ZONE, "operator": "In", "values": [volume.zone] },
            ] }] } },
        },
    }))
}

/// What the driver knows the disk by of a volume that was rendered.
pub fn handle(rendered: &str) -> Option<String> {
    let mut lines = rendered.lines();
    let value = lines.find_map(|line| line.trim_start().strip_prefix("volumeHandle:"))?;
    Some(value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handle_is_read_as_it_was_written() {
        let volume = volume();
        assert_eq!(handle(&render(&volume)), Some(volume.source.handle));
        assert_eq!(handle(""), None);
    }

    fn volume() -> PersistentVolumeSettings {
        PersistentVolumeSettings {
            name: "demo-data".into(),
            size_gb: 5,
            region: "us-central1".into(),
            zone: "us-central1-a".into(),
            source: VolumeSource::compute_engine("project", "us-central1-a", "demo-data"),
            filesystem: "ext4".into(),
            storage_class: String::new(),
            legacy_zone_labels: false,
        }
    }

    #[test]
    fn rule_a_volume_is_labelled_with_region_and_zone_and_usable_only_in_its_zone() {
        insta::assert_snapshot!(render(&volume()));
    }

    #[test]
    fn legacy_labels_are_written_beside_the_others() {
        let text = render(&PersistentVolumeSettings {
            legacy_zone_labels: true,
            ..volume()
        });
        assert!(
            text.contains("failure-domain.beta.kubernetes.io/zone: us-central1-a"),
            "{text}"
        );
        assert!(text.contains("topology.kubernetes.io/zone: us-central1-a"), "{text}");
    }
}
