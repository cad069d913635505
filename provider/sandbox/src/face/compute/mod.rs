//! The Compute Engine API: which handler answers which method and path.

mod addresses;
mod backend_services;
mod disks;
mod firewalls;
mod forwarding_rules;
mod health_checks;
mod instance_groups;
mod instance_requests;
mod instances;
mod networks;
mod numbers;
mod operations;
mod places;
mod schema;

use super::references::{Reference, link};
use super::{Answer, Call};
use crate::core::operations::Operation;
use crate::core::{Core, Refusal, Transaction};
use crate::region::Region;
use serde_json::Value;

/// Answers a call below `projects/PROJECT`.
pub(super) async fn answer(region: &Region, call: &Call, project: &str, path: &[&str]) -> Answer {
    schema::check(call, path)?;
    if let ["global", "images", rest @ ..] = path {
        return places::images(region, call, project, rest);
    }
    if let ["zones", _, "imageFamilyViews", family] = path {
        return places::image_family_view(region, call, project, family);
    }
    check_project(region, project)?;
    match path {
        [] => places::project(region, call),
        ["regions", rest @ ..] if rest.len() < 2 => places::regions(region, call, rest),
        ["zones", rest @ ..] if rest.len() < 2 => places::zones(region, call, rest),
        ["zones", zone, "machineTypes", rest @ ..] => places::machine_types(region, call, zone, rest),
        ["aggregated", "machineTypes"] => places::all_machine_types(region, call),
        ["zones", zone, "diskTypes", rest @ ..] => places::disk_types(region, call, zone, rest),
        ["global", "networks", rest @ ..] => networks::networks(region, call, rest),
        ["regions", place, "subnetworks", rest @ ..] => networks::subnetworks(region, call, place, rest),
        ["aggregated", "subnetworks"] => networks::all_subnetworks(region, call),
        ["global", "firewalls", rest @ ..] => firewalls::firewalls(region, call, rest),
        ["regions", place, "addresses", rest @ ..] => addresses::addresses(region, call, place, rest),
        ["global", "addresses"] if call.method == "GET" => {
            region.read(|core| super::lists::empty(call, "compute#addressList", &scope(core, "global/addresses")))
        }
        ["aggregated", "addresses"] => addresses::all_addresses(region, call),
        ["regions", place, "healthChecks", rest @ ..] => health_checks::health_checks(region, call, place, rest),
        ["global", "healthChecks"] if call.method == "GET" => health_checks::global(region, call),
        ["aggregated", "healthChecks"] => health_checks::all_health_checks(region, call),
        ["zones", zone, "instanceGroups", rest @ ..] => instance_groups::instance_groups(region, call, zone, rest),
        ["zones", zone, "instanceGroupManagers"] if call.method == "GET" => {
            instance_groups::managers(region, call, zone)
        }
        ["aggregated", "instanceGroups"] => instance_groups::all_instance_groups(region, call),
        ["regions", place, "backendServices", rest @ ..] => {
            backend_services::backend_services(region, call, place, rest)
        }
        ["global", "backendServices"] if call.method == "GET" => backend_services::global(region, call),
        ["aggregated", "backendServices"] => backend_services::all_backend_services(region, call),
        ["regions", place, "forwardingRules", rest @ ..] => {
            forwarding_rules::forwarding_rules(region, call, place, rest)
        }
        ["global", "forwardingRules"] if call.method == "GET" => forwarding_rules::global(region, call),
        ["aggregated", "forwardingRules"] => forwarding_rules::all_forwarding_rules(region, call),
        ["zones", zone, "disks", rest @ ..] => disks::disks(region, call, zone, rest),
        ["regions", place, "disks"] if call.method == "GET" => {
            let path = format!("regions/{place}/disks");
            region.read(|core| super::lists::empty(call, "compute#diskList", &scope(core, &path)))
        }
        ["aggregated", "disks"] => disks::all_disks(region, call),
        ["global", "snapshots", rest @ ..] => disks::snapshots(region, call, rest),
        ["zones", zone, "instances", rest @ ..] => instances::instances(region, call, zone, rest),
        ["aggregated", "instances"] => instances::all_instances(region, call),
        ["zones", zone, "operations", rest @ ..] => operations::zonal(region, call, zone, rest).await,
        ["regions", place, "operations", rest @ ..] => operations::regional(region, call, place, rest).await,
        ["aggregated", "operations"] => operations::all(region, call),
        ["global", "operations", rest @ ..] => operations::global(region, call, rest).await,
        _ => Err(call.unknown()),
    }
}

/// Refuses a project other than the sandbox's.
fn check_project(region: &Region, project: &str) -> Result<(), Refusal> {
    region.read(|core| {
        let settings = core.settings();
        if project == settings.project || project == settings.project_number.to_string() {
            return Ok(());
        }
        Err(Refusal {
            status: 404,
            reason: "notFound",
            message: format!(
                "The resource 'projects/{project}' was not found: the sandbox has one project, '{}'",
                settings.project
            ),
        })
    })
}

/// `projects/P/...`.
fn scope(core: &Core, rest: &str) -> String {
    format!("{}/{rest}", core.settings().project_path())
}

/// The places of an aggregated list: all zones of the region, or regions and `global`.
fn zone_scopes(core: &Core) -> Vec<String> {
    core.settings()
        .region
        .zones
        .iter()
        .map(|zone| format!("zones/{zone}"))
        .collect()
}

/// Carries out a mutation that is an operation, once for each idempotency token.
fn operate(
    region: &Region,
    call: &Call,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<Operation, Refusal>,
) -> Answer {
    let fingerprint = call.fingerprint();
    let operation = region.change("api", |transaction| transaction.once(call.token(), &fingerprint, work))?;
    region.read(|core| Ok(operations::render(core.settings(), &operation)))
}

/// A reference within this project: place and name.
fn own_reference(
    region: &Region,
    field: &str,
    text: &str,
    collection: &str,
) -> Result<(Option<String>, String), Refusal> {
    let reference = Reference::parse(field, text, collection)?;
    if let Some(project) = &reference.project {
        check_project(region, project)?;
    }
    Ok((reference.place, reference.name))
}

/// Puts an object's fields in front of what all objects have.
fn object(kind: &str, identity: &crate::core::records::Identity, path: &str, mut fields: Value) -> Value {
    fields["kind"] = kind.into();
    fields["id"] = identity.id.to_string().into();
    fields["name"] = identity.name.clone().into();
    fields["creationTimestamp"] = numbers::time(identity.created).into();
    fields["selfLink"] = link(path).into();
    if !identity.description.is_empty() {
        fields["description"] = identity.description.clone().into();
    }
    fields
}

/// Labels as the API shows them: absent when there are none, with their fingerprint always.
fn show_labels(fields: &mut Value, labels: &crate::core::records::Labels) {
    if !labels.is_empty() {
        fields["labels"] = serde_json::to_value(labels).unwrap_or_default();
    }
    fields["labelFingerprint"] = crate::core::names::fingerprint(labels).into();
}
