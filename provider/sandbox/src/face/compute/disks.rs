//! Disks and snapshots.

use super::addresses::LabelsBody;
use super::numbers::{optional, time};
use super::{Answer, Call, object, operate, own_reference, scope, show_labels, zone_scopes};
use crate::core::disks::{DiskSource, NewDisk};
use crate::core::records::{Disk, DiskStatus, Labels, Snapshot};
use crate::core::settings::split;
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, list};
use crate::face::references::{Reference, link};
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DiskBody {
    name: String,
    description: String,
    #[serde(deserialize_with = "optional")]
    size_gb: Option<u64>,
    #[serde(rename = "type")]
    disk_type: Option<String>,
    source_image: Option<String>,
    source_snapshot: Option<String>,
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ResizeBody {
    #[serde(deserialize_with = "optional")]
    size_gb: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SnapshotBody {
    name: String,
    description: String,
    source_disk: Option<String>,
    labels: Labels,
}

/// Reads what a disk is to be filled with.
pub(super) fn source(field: &str, image: Option<&str>, snapshot: Option<&str>) -> Result<DiskSource, Refusal> {
    match (image.filter(|it| !it.is_empty()), snapshot.filter(|it| !it.is_empty())) {
        (Some(_), Some(text)) => Err(Refusal::invalid(
            &format!("{field}.sourceSnapshot"),
            text,
            "Only one of sourceImage and sourceSnapshot can be specified.",
        )),
        (Some(text), None) => {
            let reference = Reference::parse(&format!("{field}.sourceImage"), text, "images")?;
            let project = reference.project.unwrap_or_default();
            Ok(DiskSource::Image {
                project,
                name: reference.name,
                family: reference.family,
            })
        }
        (None, Some(text)) => {
            let reference = Reference::parse(&format!("{field}.sourceSnapshot"), text, "snapshots")?;
            Ok(DiskSource::Snapshot(reference.name))
        }
        (None, None) => Ok(DiskSource::Blank),
    }
}

/// Reads a disk type, which must be of the disk's own zone.
pub(super) fn disk_type(field: &str, text: Option<&str>, zone: &str) -> Result<Option<String>, Refusal> {
    let Some(text) = text.filter(|it| !it.is_empty()) else {
        return Ok(None);
    };
    let reference = Reference::parse(field, text, "diskTypes")?;
    if reference.place.is_some_and(|place| place != zone) {
        return Err(Refusal::invalid(
            field,
            text,
            format!("The disk type must be in the disk's zone '{zone}'."),
        ));
    }
    Ok(Some(reference.name))
}

fn show_disk(core: &Core, it: &Disk) -> Value {
    let settings = core.settings();
    let path = settings.zonal_path(&it.zone, "disks", &it.identity.name);
    let mut fields = json!({
        "zone": link(&scope(core, &format!("zones/{}", it.zone))),
        "sizeGb": it.size_gb.to_string(),
        "type": link(&settings.zonal_path(&it.zone, "diskTypes", &it.disk_type)),
        "status": match it.status {
            DiskStatus::Creating => "CREATING",
            DiskStatus::Restoring => "RESTORING",
            DiskStatus::Ready => "READY",
            DiskStatus::Deleting => "DELETING",
        },
        "physicalBlockSizeBytes": "4096",
        "architecture": "X86_64",
        "enableConfidentialCompute": false,
    });
    if let Some(image) = &it.source_image {
        let (project, name) = split(image);
        fields["sourceImage"] = link(&format!("projects/{project}/global/images/{name}")).into();
        fields["sourceImageId"] = crate::core::catalogue::catalogue_id(name).to_string().into();
    }
    if let Some((snapshot, id)) = &it.source_snapshot {
        fields["sourceSnapshot"] = link(&settings.global_path("snapshots", snapshot)).into();
        fields["sourceSnapshotId"] = id.to_string().into();
    }
    if let Some(user) = &it.user {
        fields["users"] = json!([link(&settings.instance_path(user))]);
    }
    if let Some(at) = it.last_attach {
        fields["lastAttachTimestamp"] = time(at).into();
    }
    if let Some(at) = it.last_detach {
        fields["lastDetachTimestamp"] = time(at).into();
    }
    show_labels(&mut fields, &it.labels);
    object("compute#disk", &it.identity, &path, fields)
}

pub(super) fn disks(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_zone(zone))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let disks = core.state().disks().iter().filter(|(_, it)| it.zone == zone);
            let items = disks.map(|(key, it)| (key.clone(), move || show_disk(core, it)));
            list(
                call,
                "compute#diskList",
                &scope(core, &format!("zones/{zone}/disks")),
                items,
            )
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core
                .state()
                .disks()
                .get(&format!("{zone}/{name}"))
                .map(|it| show_disk(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().zonal_path(zone, "disks", name)))
        }),
        ("POST", []) => {
            let body: DiskBody = call.body_as()?;
            let image = body.source_image.as_deref().or(call.parameter("sourceImage"));
            let new = NewDisk {
                zone: zone.to_owned(),
                size_gb: body.size_gb,
                disk_type: disk_type("resource.type", body.disk_type.as_deref(), zone)?,
                source: source("resource", image, body.source_snapshot.as_deref())?,
                name: body.name,
                description: body.description,
                labels: body.labels,
            };
            operate(region, call, |transaction| transaction.insert_disk(&new))
        }
        ("POST", [name, "resize"]) => {
            let body: ResizeBody = call.body_as()?;
            let size_gb = body.size_gb.ok_or_else(|| Refusal::required("sizeGb"))?;
            operate(region, call, |transaction| transaction.resize_disk(zone, name, size_gb))
        }
        ("POST", [name, "setLabels"]) => {
            let body: LabelsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_disk_labels(zone, name, body.labels, body.label_fingerprint.as_deref())
            })
        }
        ("POST", [name, "createSnapshot"]) => {
            let body: SnapshotBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.insert_snapshot(zone, name, &body.name, &body.description, body.labels, true)
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_disk(zone, name)),
        _ => Err(call.unknown()),
    }
}

pub(super) fn all_disks(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let disks = core.state().disks().iter();
        let items = disks.map(|(key, it)| (format!("zones/{}", it.zone), key.clone(), move || show_disk(core, it)));
        let path = scope(core, "aggregated/disks");
        aggregated(
            call,
            "compute#diskAggregatedList",
            &path,
            "disks",
            &zone_scopes(core),
            items,
        )
    })
}

fn show_snapshot(core: &Core, it: &Snapshot) -> Value {
    let settings = core.settings();
    let path = settings.global_path("snapshots", &it.identity.name);
    let mut fields = json!({
        "status": if it.ready { "READY" } else { "CREATING" },
        "sourceDisk": link(&settings.disk_path(&it.source_disk)),
        "sourceDiskId": it.source_disk_id.to_string(),
        "diskSizeGb": it.disk_size_gb.to_string(),
        "storageBytes": "0",
        "storageBytesStatus": "UP_TO_DATE",
        "snapshotType": "STANDARD",
        "storageLocations": [settings.region.name],
    });
    show_labels(&mut fields, &it.labels);
    object("compute#snapshot", &it.identity, &path, fields)
}

pub(super) fn snapshots(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let snapshots = core.state().snapshots().iter();
            let items = snapshots.map(|(key, it)| (key.clone(), move || show_snapshot(core, it)));
            list(call, "compute#snapshotList", &scope(core, "global/snapshots"), items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core.state().snapshots().get(*name).map(|it| show_snapshot(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().global_path("snapshots", name)))
        }),
        ("POST", []) => {
            let body: SnapshotBody = call.body_as()?;
            let disk = body
                .source_disk
                .ok_or_else(|| Refusal::required("resource.sourceDisk"))?;
            let (zone, disk) = own_reference(region, "resource.sourceDisk", &disk, "disks")?;
            let zone = zone.ok_or_else(|| Refusal::invalid("resource.sourceDisk", &disk, "The URL is malformed."))?;
            operate(region, call, |transaction| {
                transaction.insert_snapshot(&zone, &disk, &body.name, &body.description, body.labels, false)
            })
        }
        ("POST", [name, "setLabels"]) => {
            let body: LabelsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_snapshot_labels(name, body.labels, body.label_fingerprint.as_deref())
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_snapshot(name)),
        _ => Err(call.unknown()),
    }
}
