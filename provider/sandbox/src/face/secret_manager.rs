//! The Secret Manager API, version 1, as far as clients of one project need it.

use super::{Answer, Call, lists};
use crate::core::records::{Binding, Labels, Secret, SecretVersion, VersionState};
use crate::core::secrets::{crc32c, secret_etag};
use crate::core::{Core, Refusal, names};
use crate::region::Region;
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SecretBody {
    replication: Value,
    labels: Option<Labels>,
    annotations: Option<BTreeMap<String, String>>,
    etag: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PayloadBody {
    data: String,
    data_crc32c: Option<Written>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u32),
    Text(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AddVersionBody {
    payload: Option<PayloadBody>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SetPolicyBody {
    policy: PolicyBody,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PolicyBody {
    bindings: Vec<BindingBody>,
    etag: Option<String>,
}

#[derive(Deserialize)]
struct BindingBody {
    role: String,
    #[serde(default)]
    members: BTreeSet<String>,
}

/// Answers a call below `projects/PROJECT/secrets`.
pub(super) fn answer(region: &Region, call: &Call, project: &str, path: &[&str]) -> Answer {
    region.read(|core| {
        let settings = core.settings();
        if project == settings.project || project == settings.project_number.to_string() {
            return Ok(());
        }
        Err(Refusal::forbidden(format!(
            "Permission denied on resource project {project}: the sandbox has one project, '{}'.",
            settings.project
        )))
    })?;
    match (call.method.as_str(), path) {
        ("GET", []) => region.read(|core| {
            let secrets = core.state().secrets().iter();
            let items = secrets.map(|(key, it)| (key.clone(), move || show_secret(core, it)));
            paged(call, "secrets", items)
        }),
        ("POST", []) => {
            let name = call.required("secretId")?;
            let body: SecretBody = call.body_as()?;
            let (labels, annotations) = (body.labels.unwrap_or_default(), body.annotations.unwrap_or_default());
            let secret = region.change("api", |it| {
                it.create_secret(name, labels, annotations, body.replication)
            })?;
            region.read(|core| Ok(show_secret(core, &secret)))
        }
        (method, [last]) => {
            let (name, verb) = last.split_once(':').unwrap_or((last, ""));
            of_secret(region, call, method, name, verb)
        }
        ("GET", [name, "versions"]) => region.read(|core| {
            let secret = find(core, name)?;
            // Newest first, as Secret Manager lists them.
            let mut items: Vec<(String, _)> = secret
                .versions
                .iter()
                .map(|it| {
                    (format!("{:010}", u32::MAX - it.number), move || {
                        show_version(core, name, it)
                    })
                })
                .collect();
            items.sort_by(|one, other| one.0.cmp(&other.0));
            paged(call, "versions", items)
        }),
        (method, [name, "versions", last]) => {
            let (version, verb) = last.split_once(':').unwrap_or((last, ""));
            of_version(region, call, method, name, version, verb)
        }
        _ => Err(call.unknown()),
    }
}

fn find<'c>(core: &'c Core, name: &str) -> Result<&'c Secret, Refusal> {
    core.state().secrets().get(name).ok_or_else(|| Refusal {
        status: 404,
        reason: "notFound",
        message: format!(
            "Secret [projects/{}/secrets/{name}] not found.",
            core.settings().project_number
        ),
    })
}

fn of_secret(region: &Region, call: &Call, method: &str, name: &str, verb: &str) -> Answer {
    match (method, verb) {
        ("GET", "") => region.read(|core| find(core, name).map(|it| show_secret(core, it))),
        ("PATCH", "") => {
            let body: SecretBody = call.body_as()?;
            let mask: Vec<&str> = call.required("updateMask")?.split(',').collect();
            if let Some(other) = mask.iter().find(|it| !["labels", "annotations"].contains(it)) {
                return Err(Refusal::bad_request(format!(
                    "The sandbox cannot update the field '{other}' of a secret."
                )));
            }
            let labels = mask.contains(&"labels").then(|| body.labels.unwrap_or_default());
            let annotations = mask
                .contains(&"annotations")
                .then(|| body.annotations.unwrap_or_default());
            let secret = region.change("api", |it| {
                it.patch_secret(name, labels, annotations, body.etag.as_deref())
            })?;
            region.read(|core| Ok(show_secret(core, &secret)))
        }
        ("DELETE", "") => {
            region.change("api", |it| it.delete_secret(name, call.parameter("etag")))?;
            Ok(json!({}))
        }
        ("POST", "addVersion") => {
            let body: AddVersionBody = call.body_as()?;
            let payload = body
                .payload
                .ok_or_else(|| Refusal::bad_request("AddSecretVersionRequest.payload is required."))?;
            let data = decode(&payload.data)?;
            let checksum = match payload.data_crc32c {
                None => None,
                Some(Written::Number(number)) => Some(number),
                Some(Written::Text(text)) => Some(
                    text.parse()
                        .map_err(|_| Refusal::bad_request(format!("Payload.data_crc32c is not a number: '{text}'")))?,
                ),
            };
            let version = region.change("api", |it| it.add_secret_version(name, &data, checksum))?;
            region.read(|core| Ok(show_version(core, name, &version)))
        }
        ("GET", "getIamPolicy") => region.read(|core| find(core, name).map(show_policy)),
        ("POST", "setIamPolicy") => {
            let body: SetPolicyBody = call.body_as()?;
            let bindings = body.policy.bindings.into_iter();
            let policy = bindings
                .map(|it| Binding {
                    role: it.role,
                    members: it.members,
                })
                .collect();
            let secret = region.change("api", |it| {
                it.set_secret_policy(name, policy, body.policy.etag.as_deref())
            })?;
            Ok(show_policy(&secret))
        }
        ("POST", "testIamPermissions") => Ok(json!({ "permissions": call.body.get("permissions") })),
        _ => Err(call.unknown()),
    }
}

fn of_version(region: &Region, call: &Call, method: &str, name: &str, version: &str, verb: &str) -> Answer {
    match (method, verb) {
        ("GET", "") => region.change("api", |it| {
            let secret = it.secret(name)?;
            let found = it.find_version(&secret, version)?.clone();
            Ok(found)
        }),
        ("GET", "access") => {
            let (number, payload) = region.change("api", |it| it.access_secret_version(name, version))?;
            return region.read(|core| {
                Ok(json!({
                    "name": format!("projects/{}/secrets/{name}/versions/{number}", core.settings().project_number),
                    "payload": {
                        "data": base64::engine::general_purpose::STANDARD.encode(&payload),
                        "dataCrc32c": crc32c(&payload).to_string(),
                    },
                }))
            });
        }
        ("POST", "destroy") => region.change("api", |it| it.destroy_secret_version(name, version)),
        ("POST", "disable") => region.change("api", |it| it.enable_secret_version(name, version, false)),
        ("POST", "enable") => region.change("api", |it| it.enable_secret_version(name, version, true)),
        _ => Err(call.unknown()),
    }
    .and_then(|version| region.read(|core| Ok(show_version(core, name, &version))))
}

fn decode(data: &str) -> Result<Vec<u8>, Refusal> {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    [STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(data).ok())
        .ok_or_else(|| Refusal::bad_request("Invalid value at 'payload.data' (TYPE_BYTES): it is not base64."))
}

fn show_secret(core: &Core, secret: &Secret) -> Value {
    let mut shown = json!({
        "name": format!("projects/{}/secrets/{}", core.settings().project_number, secret.identity.name),
        "replication": secret.replication,
        "createTime": secret.identity.created.to_string(),
        "etag": secret_etag(secret),
    });
    if !secret.labels.is_empty() {
        shown["labels"] = serde_json::to_value(&secret.labels).unwrap_or_default();
    }
    if !secret.annotations.is_empty() {
        shown["annotations"] = serde_json::to_value(&secret.annotations).unwrap_or_default();
    }
    shown
}

fn show_version(core: &Core, name: &str, version: &SecretVersion) -> Value {
    let mut shown = json!({
        "name": format!("projects/{}/secrets/{name}/versions/{}", core.settings().project_number, version.number),
        "createTime": version.created.to_string(),
        "state": match version.state {
            VersionState::Enabled => "ENABLED",
            VersionState::Disabled => "DISABLED",
            VersionState::Destroyed => "DESTROYED",
        },
        "replicationStatus": { "automatic": {} },
        "clientSpecifiedPayloadChecksum": version.checksum.is_some(),
        "etag": names::fingerprint(&(version.number, version.state)),
    });
    if let Some(at) = version.destroyed {
        shown["destroyTime"] = at.to_string().into();
    }
    shown
}

fn show_policy(secret: &Secret) -> Value {
    let mut shown = json!({ "version": 1, "etag": names::fingerprint(&secret.policy) });
    if !secret.policy.is_empty() {
        shown["bindings"] = serde_json::to_value(&secret.policy).unwrap_or_default();
    }
    shown
}

/// Secret Manager's lists are plainer than Compute Engine's: the items under the collection's name, and their number.
fn paged<F: FnOnce() -> Value>(call: &Call, collection: &str, items: impl IntoIterator<Item = (String, F)>) -> Answer {
    let items: Vec<(String, F)> = items.into_iter().collect();
    let total = items.len();
    let (page, token) = lists::page(call, "pageSize", 25_000, items)?;
    let mut body = json!({ "totalSize": total });
    if !page.is_empty() {
        body[collection] = page.into_iter().map(|(_, item)| item).collect();
    }
    if let Some(token) = token {
        body["nextPageToken"] = token.into();
    }
    Ok(body)
}
