//! What is there from the beginning: the project, regions, zones, machine types, disk types, images.

use super::{Answer, Call, scope, zone_scopes};
use crate::core::catalogue::{self, Image, MachineType, REGIONS};
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, list};
use crate::face::references::link;
use crate::region::Region;
use serde_json::{Value, json};

/// When everything in the catalogue was made.
const BEGINNING: &str = "1969-12-31T16:00:00.000-08:00";

pub(super) fn project(region: &Region, call: &Call) -> Answer {
    only_get(call)?;
    region.read(|core| {
        let settings = core.settings();
        Ok(json!({
            "kind": "compute#project",
            "id": settings.project_number.to_string(),
            "creationTimestamp": BEGINNING,
            "name": settings.project,
            "selfLink": link(&settings.project_path()),
            "defaultServiceAccount": settings.default_service_account(),
            "defaultNetworkTier": "PREMIUM",
            "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
            "commonInstanceMetadata": { "kind": "compute#metadata", "fingerprint": "AAAAAAAAAAA=" },
            "quotas": [],
        }))
    })
}

fn only_get(call: &Call) -> Result<(), Refusal> {
    if call.method == "GET" {
        Ok(())
    } else {
        Err(call.unknown())
    }
}

pub(super) fn regions(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    only_get(call)?;
    region.read(|core| {
        let show = |it: &catalogue::Region| {
            let path = scope(core, &format!("regions/{}", it.name));
            json!({
                "kind": "compute#region",
                "id": catalogue::catalogue_id(it.name).to_string(),
                "creationTimestamp": BEGINNING,
                "name": it.name,
                "description": it.name,
                "status": "UP",
                "zones": it.zones.iter().map(|zone| link(&scope(core, &format!("zones/{zone}")))).collect::<Vec<_>>(),
                "quotas": [],
                "selfLink": link(&path),
            })
        };
        if let [name] = rest {
            return catalogue::region(name)
                .map(show)
                .ok_or_else(|| Refusal::not_found(&scope(core, &format!("regions/{name}"))));
        }
        let items = REGIONS.iter().map(|it| (it.name.to_owned(), move || show(it)));
        list(call, "compute#regionList", &scope(core, "regions"), items)
    })
}

pub(super) fn zones(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    only_get(call)?;
    region.read(|core| {
        let show = |name: &str, of: &catalogue::Region| {
            let out = core.state().outages().contains_key(name);
            json!({
                "kind": "compute#zone",
                "id": catalogue::catalogue_id(name).to_string(),
                "creationTimestamp": BEGINNING,
                "name": name,
                "description": name,
                "status": if out { "DOWN" } else { "UP" },
                "region": link(&scope(core, &format!("regions/{}", of.name))),
                "availableCpuPlatforms": ["Intel Cascade Lake"],
                "selfLink": link(&scope(core, &format!("zones/{name}"))),
            })
        };
        if let [name] = rest {
            return catalogue::region_of_zone(name)
                .map(|of| show(name, of))
                .ok_or_else(|| Refusal::not_found(&scope(core, &format!("zones/{name}"))));
        }
        let zones = REGIONS
            .iter()
            .flat_map(|of| of.zones.iter().map(move |zone| (*zone, of)));
        let items = zones.map(|(zone, of)| (zone.to_owned(), move || show(zone, of)));
        list(call, "compute#zoneList", &scope(core, "zones"), items)
    })
}

fn show_machine_type(core: &Core, zone: &str, it: &MachineType) -> Value {
    json!({
        "kind": "compute#machineType",
        "id": catalogue::catalogue_id(it.name).to_string(),
        "creationTimestamp": BEGINNING,
        "name": it.name,
        "description": format!("{} vCPUs, {} MB RAM", it.cpus, it.memory_mib),
        "guestCpus": it.cpus,
        "memoryMb": it.memory_mib,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "isSharedCpu": it.shared_cpu,
        "architecture": "X86_64",
        "zone": zone,
        "selfLink": link(&scope(core, &format!("zones/{zone}/machineTypes/{}", it.name))),
    })
}

/// Machine types can be looked at in every region's zones, so that a plan can tell a wrong type from a wrong zone.
fn known_zone(zone: &str) -> Result<(), Refusal> {
    match catalogue::region_of_zone(zone) {
        Some(_) => Ok(()),
        None => Err(Refusal::invalid("zone", zone, "Unknown zone.")),
    }
}

pub(super) fn machine_types(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    only_get(call)?;
    known_zone(zone)?;
    region.read(|core| {
        let path = scope(core, &format!("zones/{zone}/machineTypes"));
        match rest {
            [] => {
                let types = catalogue::MACHINE_TYPES.iter();
                let items = types.map(|it| (it.name.to_owned(), move || show_machine_type(core, zone, it)));
                list(call, "compute#machineTypeList", &path, items)
            }
            [name] => catalogue::machine_type(name)
                .map(|it| show_machine_type(core, zone, it))
                .ok_or_else(|| Refusal::not_found(&format!("{path}/{name}"))),
            _ => Err(call.unknown()),
        }
    })
}

pub(super) fn all_machine_types(region: &Region, call: &Call) -> Answer {
    only_get(call)?;
    region.read(|core| {
        let zones = core.settings().region.zones.iter();
        let items = zones.flat_map(|zone| {
            catalogue::MACHINE_TYPES.iter().map(move |it| {
                let show = move || show_machine_type(core, zone, it);
                (format!("zones/{zone}"), it.name.to_owned(), show)
            })
        });
        let path = scope(core, "aggregated/machineTypes");
        aggregated(
            call,
            "compute#machineTypeAggregatedList",
            &path,
            "machineTypes",
            &zone_scopes(core),
            items,
        )
    })
}

pub(super) fn disk_types(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    only_get(call)?;
    known_zone(zone)?;
    region.read(|core| {
        let path = scope(core, &format!("zones/{zone}/diskTypes"));
        let show = |name: &str, largest: u64| {
            json!({
                "kind": "compute#diskType",
                "id": catalogue::catalogue_id(name).to_string(),
                "creationTimestamp": BEGINNING,
                "name": name,
                "description": name,
                "validDiskSize": format!("1GB-{largest}GB"),
                "defaultDiskSizeGb": if name == "pd-standard" { "500" } else { "100" },
                "zone": link(&scope(core, &format!("zones/{zone}"))),
                "selfLink": link(&format!("{path}/{name}")),
            })
        };
        match rest {
            [] => {
                let types = catalogue::DISK_TYPES.iter();
                let items = types.map(|(name, largest)| ((*name).to_owned(), move || show(name, *largest)));
                list(call, "compute#diskTypeList", &path, items)
            }
            [name] => catalogue::DISK_TYPES
                .iter()
                .find(|(it, _)| it == name)
                .map(|(name, largest)| show(name, *largest))
                .ok_or_else(|| Refusal::not_found(&format!("{path}/{name}"))),
            _ => Err(call.unknown()),
        }
    })
}

fn show_image(it: &Image) -> Value {
    let mut shown = json!({
        "kind": "compute#image",
        "id": catalogue::catalogue_id(it.name).to_string(),
        "creationTimestamp": it.created,
        "name": it.name,
        "description": it.description,
        "family": it.family,
        "architecture": it.architecture,
        "sourceType": "RAW",
        "status": "READY",
        "archiveSizeBytes": "1073741824",
        "diskSizeGb": it.disk_size_gb.to_string(),
        "guestOsFeatures": [{ "type": "VIRTIO_SCSI_MULTIQUEUE" }, { "type": "UEFI_COMPATIBLE" }, { "type": "GVNIC" }],
        "labelFingerprint": crate::core::names::fingerprint(&crate::core::records::Labels::new()),
        "selfLink": link(&format!("projects/{}/global/images/{}", it.project, it.name)),
    });
    if it.deprecated {
        shown["deprecated"] = json!({ "state": "DEPRECATED" });
    }
    shown
}

/// Other projects that publish images.  The sandbox has none of theirs, but gcloud asks all of them when it lists images.
const OTHER_IMAGE_PROJECTS: &[&str] = &[
    "centos-cloud",
    "cos-cloud",
    "fedora-cloud",
    "fedora-coreos-cloud",
    "opensuse-cloud",
    "oracle-linux-cloud",
    "rhel-cloud",
    "rhel-sap-cloud",
    "rocky-linux-accelerator-cloud",
    "rocky-linux-cloud",
    "suse-cloud",
    "suse-sap-cloud",
    "ubuntu-os-accelerator-images",
    "ubuntu-os-pro-cloud",
    "windows-cloud",
    "windows-sql-cloud",
];

/// Images are public: they are in the projects that publish them.
pub(super) fn images(region: &Region, call: &Call, project: &str, rest: &[&str]) -> Answer {
    only_get(call)?;
    if !catalogue::is_image_project(project) && !OTHER_IMAGE_PROJECTS.contains(&project) {
        super::check_project(region, project)?;
    }
    match rest {
        [] => {
            let images = catalogue::IMAGES.iter().filter(|it| it.project == project);
            let items = images.map(|it| (it.name.to_owned(), move || show_image(it)));
            list(
                call,
                "compute#imageList",
                &format!("projects/{project}/global/images"),
                items,
            )
        }
        [name] => crate::core::disks::find_image(project, name, false).map(show_image),
        ["family", family] => crate::core::disks::find_image(project, family, true).map(show_image),
        _ => Err(call.unknown()),
    }
}

/// The newest image of a family, as seen from a zone.
pub(super) fn image_family_view(region: &Region, call: &Call, project: &str, family: &str) -> Answer {
    let image = images(region, call, project, &["family", family])?;
    Ok(json!({ "image": image }))
}
