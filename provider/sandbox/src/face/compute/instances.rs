//! Machines.

use super::addresses::LabelsBody;
use super::instance_requests::{AccessBody, DiskBody, InstanceBody, MetadataBody, TagsBody, machine_type};
use super::numbers::time;
use super::{Answer, Call, object, operate, scope, show_labels, zone_scopes};
use crate::core::instances::NewAccess;
use crate::core::names::fingerprint;
use crate::core::records::{AttachedDisk, Instance};
use crate::core::settings::split;
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MachineTypeBody {
    machine_type: String,
}

fn show_disk(core: &Core, index: usize, attached: &AttachedDisk) -> Value {
    let settings = core.settings();
    let mut fields = json!({
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": if attached.read_only { "READ_ONLY" } else { "READ_WRITE" },
        "source": link(&settings.disk_path(&attached.disk)),
        "deviceName": attached.device_name,
        "index": index,
        "boot": attached.boot,
        "autoDelete": attached.auto_delete,
        "interface": "SCSI",
    });
    if let Some(disk) = core.state().disks().get(&attached.disk) {
        fields["diskSizeGb"] = disk.size_gb.to_string().into();
        fields["architecture"] = "X86_64".into();
    }
    fields
}

fn show_interface(core: &Core, it: &Instance) -> Value {
    let settings = core.settings();
    let interface = &it.interface;
    let mut fields = json!({
        "kind": "compute#networkInterface",
        "name": "nic0",
        "network": link(&settings.global_path("networks", &interface.network)),
        "subnetwork": link(&settings.subnetwork_path(&interface.subnetwork)),
        "networkIP": interface.address.to_string(),
        "stackType": "IPV4_ONLY",
        "fingerprint": fingerprint(interface),
    });
    if let Some(access) = &interface.access {
        let mut config = json!({
            "kind": "compute#accessConfig",
            "type": "ONE_TO_ONE_NAT",
            "name": access.name,
            "networkTier": "PREMIUM",
        });
        if let Some(address) = access.address {
            config["natIP"] = address.to_string().into();
        }
        fields["accessConfigs"] = json!([config]);
    }
    fields
}

fn show(core: &Core, it: &Instance) -> Value {
    let settings = core.settings();
    let path = settings.zonal_path(&it.zone, "instances", &it.identity.name);
    let disks: Vec<Value> = it
        .disks
        .iter()
        .enumerate()
        .map(|(index, disk)| show_disk(core, index, disk))
        .collect();
    let metadata: Vec<Value> = it
        .metadata
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let mut fields = json!({
        "zone": link(&scope(core, &format!("zones/{}", it.zone))),
        "machineType": link(&settings.zonal_path(&it.zone, "machineTypes", &it.machine_type)),
        "status": it.status.word(),
        "cpuPlatform": "Intel Cascade Lake",
        "canIpForward": it.can_ip_forward,
        "deletionProtection": it.deletion_protection,
        "startRestricted": false,
        "networkInterfaces": [show_interface(core, it)],
        "disks": disks,
        "metadata": { "kind": "compute#metadata", "fingerprint": fingerprint(&it.metadata) },
        "tags": { "fingerprint": fingerprint(&it.tags) },
        "scheduling": {
            "onHostMaintenance": "MIGRATE",
            "automaticRestart": true,
            "preemptible": false,
            "provisioningModel": "STANDARD",
        },
        "shieldedInstanceConfig": { "enableSecureBoot": false, "enableVtpm": true, "enableIntegrityMonitoring": true },
        "shieldedInstanceIntegrityPolicy": { "updateAutoLearnPolicy": true },
    });
    if !metadata.is_empty() {
        fields["metadata"]["items"] = metadata.into();
    }
    if !it.tags.is_empty() {
        fields["tags"]["items"] = it.tags.iter().cloned().collect::<Vec<_>>().into();
    }
    for (name, value) in &it.kept {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(known)), Value::Object(given)) => known.extend(given.clone()),
            _ => fields[name] = value.clone(),
        }
    }
    if let Some(account) = &it.service_account {
        fields["serviceAccounts"] = json!([{ "email": account.email, "scopes": account.scopes }]);
    }
    if let Some(hostname) = &it.hostname {
        fields["hostname"] = hostname.clone().into();
    }
    if let Some(at) = it.last_start {
        fields["lastStartTimestamp"] = time(at).into();
    }
    if let Some(at) = it.last_stop {
        fields["lastStopTimestamp"] = time(at).into();
    }
    fields["resourceStatus"] = json!({ "scheduling": {} });
    show_labels(&mut fields, &it.labels);
    object("compute#instance", &it.identity, &path, fields)
}

pub(super) fn instances(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_zone(zone))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let instances = core.state().instances().iter().filter(|(_, it)| it.zone == zone);
            let items = instances.map(|(key, it)| (key.clone(), move || show(core, it)));
            list(
                call,
                "compute#instanceList",
                &scope(core, &format!("zones/{zone}/instances")),
                items,
            )
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core
                .state()
                .instances()
                .get(&format!("{zone}/{name}"))
                .map(|it| show(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().zonal_path(zone, "instances", name)))
        }),
        ("GET", [name, "serialPort"]) => serial_port(region, call, zone, name),
        ("POST", []) => {
            let body: InstanceBody = call.body_as()?;
            if body.name.is_empty() {
                return Err(Refusal::required("resource.name"));
            }
            let new = body.wanted(region, zone, &call.body)?;
            operate(region, call, |transaction| transaction.insert_instance(new))
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_instance(zone, name)),
        ("POST", [name, verb]) => act(region, call, zone, name, verb),
        _ => Err(call.unknown()),
    }
}

fn act(region: &Region, call: &Call, zone: &str, name: &str, verb: &str) -> Answer {
    match verb {
        "start" => operate(region, call, |transaction| transaction.start_instance(zone, name)),
        "stop" => operate(region, call, |transaction| transaction.stop_instance(zone, name)),
        "reset" => operate(region, call, |transaction| transaction.reset_instance(zone, name)),
        "setLabels" => {
            let body: LabelsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_instance_labels(zone, name, body.labels, body.label_fingerprint.as_deref())
            })
        }
        "setMetadata" => {
            let body: MetadataBody = call.body_as()?;
            let values = body.values()?;
            operate(region, call, |transaction| {
                transaction.set_metadata(zone, name, values, body.fingerprint.as_deref())
            })
        }
        "setTags" => {
            let body: TagsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_tags(zone, name, body.items, body.fingerprint.as_deref())
            })
        }
        "setMachineType" => {
            let body: MachineTypeBody = call.body_as()?;
            let wanted = machine_type(region, "machineType", &body.machine_type)?;
            if wanted.1.is_empty() {
                return Err(Refusal::required("machineType"));
            }
            operate(region, call, |transaction| {
                transaction.set_machine_type(zone, name, &wanted)
            })
        }
        "setDeletionProtection" => {
            // Without the parameter the method turns protection on, as on Compute Engine.
            let protected = call.flag("deletionProtection")?.unwrap_or(true);
            operate(region, call, |transaction| {
                transaction.set_deletion_protection(zone, name, protected)
            })
        }
        "addAccessConfig" => {
            let interface = call.required("networkInterface")?;
            let wanted = NewAccess::from(call.body_as::<AccessBody>()?);
            operate(region, call, |transaction| {
                transaction.add_access_config(zone, name, interface, &wanted)
            })
        }
        "deleteAccessConfig" => {
            let (interface, access) = (call.required("networkInterface")?, call.required("accessConfig")?);
            operate(region, call, |transaction| {
                transaction.delete_access_config(zone, name, interface, access)
            })
        }
        "attachDisk" => {
            let wanted = call.body_as::<DiskBody>()?.attach(region, zone)?;
            operate(region, call, |transaction| transaction.attach_disk(zone, name, wanted))
        }
        "detachDisk" => {
            let device = call.required("deviceName")?;
            operate(region, call, |transaction| transaction.detach_disk(zone, name, device))
        }
        "setDiskAutoDelete" => {
            let device = call.required("deviceName")?;
            let auto_delete = call
                .flag("autoDelete")?
                .ok_or_else(|| Refusal::required("autoDelete"))?;
            operate(region, call, |transaction| {
                transaction.set_disk_auto_delete(zone, name, device, auto_delete)
            })
        }
        _ => Err(call.unknown()),
    }
}

/// What the machine has written to its serial console, from byte `start` on.
fn serial_port(region: &Region, call: &Call, zone: &str, name: &str) -> Answer {
    let key = format!("{zone}/{name}");
    region.read(|core| match core.state().instances().get(&key) {
        Some(_) => Ok(()),
        None => Err(Refusal::not_found(&core.settings().instance_path(&key))),
    })?;
    let console = region.console(&key);
    let start = match call.parameter("start") {
        Some(text) => text
            .parse()
            .map_err(|_| Refusal::invalid("start", text, "Must be a number"))?,
        None => 0_usize,
    };
    let text = console.get(start.min(console.len())..).unwrap_or("");
    let (zone, name) = split(&key);
    region.read(|core| {
        let path = core.settings().zonal_path(zone, "instances", name);
        Ok(json!({
            "kind": "compute#serialPortOutput",
            "selfLink": link(&format!("{path}/serialPort")),
            "contents": text,
            "start": start.to_string(),
            "next": console.len().to_string(),
        }))
    })
}

pub(super) fn all_instances(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let instances = core.state().instances().iter();
        let items = instances.map(|(key, it)| (format!("zones/{}", it.zone), key.clone(), move || show(core, it)));
        let path = scope(core, "aggregated/instances");
        aggregated(
            call,
            "compute#instanceAggregatedList",
            &path,
            "instances",
            &zone_scopes(core),
            items,
        )
    })
}
