//! The operator's API: look at the region, take zones out, halt machines, stop.

use super::{Answer, Call, Face};
use crate::core::balancers::records::{BackendService, Target};
use crate::core::networks::DEFAULT_NETWORK;
use crate::core::records::{Disk, Instance};
use crate::core::settings::split;
use crate::core::{Core, Refusal};
use crate::region::Region;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Asks the process to end.
#[derive(Default)]
pub struct StopSignal(Notify);

impl StopSignal {
    /// Asks.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}

/// What the operator's API needs besides the region.
pub struct Control {
    /// Where the API listens, `http://127.N.0.1:PORT`.
    pub endpoint: String,
    /// Where the state is.
    pub directory: PathBuf,
    /// Version of the program.
    pub version: String,
    /// Ends the process.
    pub stop: StopSignal,
    /// Requests to the cloud's APIs since the process began; the operator's are not counted.
    pub requests: AtomicU64,
}

const LONGEST_POLL: Duration = Duration::from_secs(30);

pub(super) async fn answer(face: &Face, call: &Call, path: &[&str]) -> Answer {
    let region = &face.region;
    match (call.method.as_str(), path) {
        ("GET", ["status"]) => Ok(status(face)),
        ("GET", ["events"]) => events(region, call).await,
        ("POST", ["zones", zone, "outage"]) => {
            region.change("operator", |it| it.take_zone_out(zone))?;
            Ok(json!({ "zone": zone, "status": "DOWN" }))
        }
        ("POST", ["zones", zone, "restore"]) => {
            region.change("operator", |it| it.restore_zone(zone))?;
            Ok(json!({ "zone": zone, "status": "UP" }))
        }
        ("POST", ["machines", machine @ .., "halt"]) if !machine.is_empty() => {
            let key = region.change("operator", |it| it.halt(&machine.join("/")))?;
            Ok(json!({ "machine": key, "status": "TERMINATED" }))
        }
        ("POST", ["machines", machine @ .., "boot"]) if !machine.is_empty() => {
            let key = region.change("operator", |it| it.boot(&machine.join("/")))?;
            Ok(json!({ "machine": key, "status": "RUNNING" }))
        }
        ("GET", ["machines", zone, name, "console"]) => {
            let key = format!("{zone}/{name}");
            let known = region.read(|core| core.state().instances().contains_key(&key));
            if known {
                Ok(json!({ "machine": key, "console": region.console(&key) }))
            } else {
                Err(no_machine(&key))
            }
        }
        ("POST", ["stop"]) => {
            face.control.stop.ask();
            Ok(json!({ "stopping": true }))
        }
        _ => Err(call.unknown()),
    }
}

fn no_machine(key: &str) -> Refusal {
    Refusal {
        status: 404,
        reason: "notFound",
        message: format!("there is no machine called {key}"),
    }
}

async fn events(region: &Region, call: &Call) -> Answer {
    let number = |name: &str, default: u64| match call.parameter(name) {
        Some(text) => text
            .parse()
            .map_err(|_| Refusal::invalid(name, text, "Must be a number")),
        None => Ok(default),
    };
    let (after, limit) = (number("after", 0)?, number("limit", 1000)?.clamp(1, 10_000));
    let wait = Duration::from_secs(number("wait", 0)?).min(LONGEST_POLL);
    let read = || {
        region.read(|core| {
            core.events(after, usize::try_from(limit).unwrap_or(1000))
                .map(|events| (events, core.state().event_count()))
        })
    };
    // From before the look, so that nothing is missed between look and wait.
    let mut changes = region.changes();
    let mut found = read().map_err(|error| Refusal::internal(error.to_string()))?;
    if found.0.is_empty() && !wait.is_zero() {
        let _ = tokio::time::timeout(wait, changes.changed()).await;
        found = read().map_err(|error| Refusal::internal(error.to_string()))?;
    }
    Ok(json!({ "events": found.0, "length": found.1 }))
}

/// Everything, as data.  What every region begins with (the default network) is left out.
fn status(face: &Face) -> Value {
    let reports = face.region.reports();
    face.region.read(|core| {
        let settings = core.settings();
        let zones: Vec<Value> = settings
            .region
            .zones
            .iter()
            .map(|zone| json!({ "name": zone, "status": if core.state().outages().contains_key(*zone) { "OUT" } else { "UP" } }))
            .collect();
        json!({
            "region": settings.region.name,
            "project": settings.project,
            "endpoint": face.control.endpoint,
            "directory": face.control.directory,
            "version": face.control.version,
            "pid": std::process::id(),
            "speed": settings.speed,
            "network_block": settings.block.range().to_string(),
            "default_subnet": settings.block.default_subnet().to_string(),
            "cluster_range": settings.block.cluster_range().to_string(),
            "external_range": settings.block.external_range().to_string(),
            "events": core.state().event_count(),
            "requests": face.control.requests.load(Ordering::Relaxed),
            "operations_running": core.state().operations().values().filter(|it| it.due().is_some()).count(),
            "zones": zones,
            "machines": machines(core, &reports),
            "disks": core.state().disks().values().map(|it| json!({
                "zone": it.zone, "name": it.identity.name, "size_gb": it.size_gb, "type": it.disk_type,
                "status": it.status, "labels": it.labels, "machine": it.user,
                "boot": is_boot_disk(core, it),
            })).collect::<Vec<_>>(),
            "snapshots": core.state().snapshots().keys().collect::<Vec<_>>(),
            "addresses": core.state().addresses().values().map(|it| json!({
                "name": it.identity.name, "address": it.address, "machine": it.machine(), "balancer": it.forwarding_rule(),
            })).collect::<Vec<_>>(),
            "balancers": core.state().backend_services().iter().map(|(key, it)| balancer(core, key, it)).collect::<Vec<_>>(),
            "networks": core.state().networks().keys().filter(|name| *name != DEFAULT_NETWORK).map(|name| json!({
                "name": name,
                "subnetworks": core.state().subnetworks().values().filter(|it| it.network == *name).map(|it| json!({
                    "name": it.identity.name, "region": it.region, "range": it.range,
                })).collect::<Vec<_>>(),
                "firewall_rules": core.state().firewalls().values().filter(|it| it.network == *name)
                    .map(|it| it.identity.name.clone()).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "secrets": core.state().secrets().keys().collect::<Vec<_>>(),
            "service_accounts": core.state().service_accounts().keys().collect::<Vec<_>>(),
        })
    })
}

/// A backend service with what is in front of it and behind it.
fn balancer(core: &Core, key: &str, service: &BackendService) -> Value {
    let rule = core
        .state()
        .forwarding_rules()
        .values()
        .find(|it| it.backend_service == key);
    let target = |it: &Target| {
        let (zone, name) = split(&it.instance);
        let health = match it.drains_until {
            Some(_) => "DRAINING",
            None if it.healthy => "SERVING",
            None => "UNHEALTHY",
        };
        json!({ "zone": zone, "machine": name, "health": health })
    };
    json!({
        "name": service.identity.name,
        "address": rule.map(|it| it.address),
        "forwarding_rule": rule.map(|it| it.identity.name.clone()),
        "active": rule.is_some_and(|it| it.active),
        "health_check": split(&service.health_check).1,
        "groups": service.backends.iter().map(|it| it.group.clone()).collect::<Vec<_>>(),
        "targets": core.state().targets_of(key).map(target).collect::<Vec<_>>(),
    })
}

fn is_boot_disk(core: &Core, disk: &Disk) -> bool {
    let machine = disk.user.as_ref().and_then(|key| core.state().instances().get(key));
    let boot = machine
        .and_then(Instance::boot_disk)
        .and_then(|boot| core.state().disks().get(&boot.disk));
    boot.is_some_and(|boot| boot.identity.id == disk.identity.id)
}

fn machines(core: &Core, reports: &std::collections::BTreeMap<String, crate::region::Report>) -> Vec<Value> {
    let machine = |(key, it): (&String, &Instance)| {
        let report = reports.get(key);
        json!({
            "zone": split(key).0,
            "name": it.identity.name,
            "type": it.machine_type,
            "status": it.status.word(),
            "address": it.interface.address,
            "external_address": it.interface.access.as_ref().and_then(|access| access.address),
            "labels": it.labels,
            "phase": report.map(|it| it.phase.clone()),
            "kubernetes_version": report.and_then(|it| it.kubernetes_version.clone()),
            "node_ready": report.and_then(|it| it.node_ready),
            "warnings": report.map(|it| it.warnings.clone()).unwrap_or_default(),
            "boot_disk": it.boot_disk().and_then(|disk| core.state().disks().get(&disk.disk)).map(Disk::directory),
        })
    };
    core.state().instances().iter().map(machine).collect()
}
