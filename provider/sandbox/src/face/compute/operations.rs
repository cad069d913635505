//! Operations: looked at, listed, waited for.

use super::numbers::time;
use super::{Answer, Call, scope};
use crate::core::Refusal;
use crate::core::operations::{Operation, OperationStatus, Scope};
use crate::core::settings::Settings;
use crate::face::lists::{aggregated, list};
use crate::face::references::link;
use crate::region::Region;
use serde_json::{Value, json};
use std::time::Duration;

/// `wait` answers after this time even when the operation goes on, as Compute Engine does.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

pub(super) async fn zonal(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_zone(zone))?;
    answer(region, call, &Scope::Zone(zone.to_owned()), rest).await
}

pub(super) async fn regional(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    answer(region, call, &Scope::Region(place.to_owned()), rest).await
}

pub(super) async fn global(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    answer(region, call, &Scope::Global, rest).await
}

/// The operations of all places.
pub(super) fn all(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let mut places = super::zone_scopes(core);
        places.extend([format!("regions/{}", core.settings().region.name), "global".to_owned()]);
        let operations = core.state().operations().iter();
        let items = operations.map(|(key, it)| (place(&it.scope), key.clone(), move || render(core.settings(), it)));
        let path = scope(core, "aggregated/operations");
        aggregated(
            call,
            "compute#operationAggregatedList",
            &path,
            "operations",
            &places,
            items,
        )
    })
}

async fn answer(region: &Region, call: &Call, of: &Scope, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core.state().operations().iter().filter(|(_, it)| it.scope == *of);
            let items = items.map(|(key, it)| (key.clone(), move || render(core.settings(), it)));
            list(
                call,
                "compute#operationList",
                &scope(core, &format!("{}/operations", place(of))),
                items,
            )
        }),
        ("GET", [name]) => region.read(|core| {
            let operation = core.state().operations().get(*name).filter(|it| it.scope == *of);
            operation
                .map(|it| render(core.settings(), it))
                .ok_or_else(|| not_found(core.settings(), of, name))
        }),
        ("POST", [name, "wait"]) => {
            let known = region.read(|core| core.state().operations().get(*name).is_some_and(|it| it.scope == *of));
            let done = if known {
                region.wait(name, WAIT_LIMIT).await
            } else {
                None
            };
            region.read(|core| match done {
                Some(operation) => Ok(render(core.settings(), &operation)),
                None => Err(not_found(core.settings(), of, name)),
            })
        }
        _ => Err(call.unknown()),
    }
}

fn not_found(settings: &Settings, of: &Scope, name: &str) -> Refusal {
    Refusal::not_found(&format!("{}/{}/operations/{name}", settings.project_path(), place(of)))
}

fn place(of: &Scope) -> String {
    match of {
        Scope::Global => "global".to_owned(),
        Scope::Region(region) => format!("regions/{region}"),
        Scope::Zone(zone) => format!("zones/{zone}"),
    }
}

/// An operation as the API shows it.
pub(super) fn render(settings: &Settings, operation: &Operation) -> Value {
    let project = settings.project_path();
    let place = place(&operation.scope);
    let mut shown = json!({
        "kind": "compute#operation",
        "id": operation.id.to_string(),
        "name": operation.name,
        "operationType": operation.verb,
        "targetLink": link(&operation.target),
        "targetId": operation.target_id.to_string(),
        "status": match operation.status {
            OperationStatus::Pending => "PENDING",
            OperationStatus::Running => "RUNNING",
            OperationStatus::Done => "DONE",
        },
        "user": "owner@sandbox.example",
        "progress": operation.progress(),
        "insertTime": time(operation.inserted),
        "selfLink": link(&format!("{project}/{place}/operations/{}", operation.name)),
    });
    match &operation.scope {
        Scope::Global => {}
        Scope::Region(_) => shown["region"] = link(&format!("{project}/{place}")).into(),
        Scope::Zone(_) => shown["zone"] = link(&format!("{project}/{place}")).into(),
    }
    if let Some(at) = operation.started {
        shown["startTime"] = time(at).into();
    }
    if let Some(at) = operation.ended {
        shown["endTime"] = time(at).into();
    }
    if let Some(token) = &operation.token {
        shown["clientOperationId"] = token.clone().into();
    }
    if let Some(error) = &operation.error {
        shown["httpErrorStatusCode"] = error.http_status.into();
        shown["httpErrorMessage"] = error.http_message.clone().into();
        shown["error"] = json!({ "errors": [{ "code": error.code, "message": error.message }] });
    }
    shown
}
