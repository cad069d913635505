//! The little of IAM that machines need: service accounts.

use super::{Answer, Call, lists};
use crate::core::records::ServiceAccount;
use crate::core::{Core, Refusal};
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CreateBody {
    account_id: String,
    service_account: AccountBody,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AccountBody {
    display_name: String,
}

/// Answers a call below `projects/PROJECT/serviceAccounts`.
pub(super) fn answer(region: &Region, call: &Call, project: &str, path: &[&str]) -> Answer {
    let own = region.read(|core| project == core.settings().project || project == "-");
    if !own {
        return Err(Refusal::forbidden(format!(
            "Permission denied on resource project {project}."
        )));
    }
    match (call.method.as_str(), path) {
        ("GET", []) => region.read(|core| {
            let mut items: Vec<(String, Value)> = core
                .state()
                .service_accounts()
                .iter()
                .map(|(key, it)| (key.clone(), show(core, it)))
                .collect();
            let default = core.settings().default_service_account();
            items.push((default.clone(), show_default(core, &default)));
            items.sort_by(|one, other| one.0.cmp(&other.0));
            let (page, token) = lists::page(
                call,
                "pageSize",
                100,
                items.into_iter().map(|(key, item)| (key, move || item)),
            )?;
            let mut body = json!({ "accounts": page.into_iter().map(|(_, item)| item).collect::<Vec<_>>() });
            if let Some(token) = token {
                body["nextPageToken"] = token.into();
            }
            Ok(body)
        }),
        ("POST", []) => {
            let body: CreateBody = call.body_as()?;
            let display_name = &body.service_account.display_name;
            let account = region.change("api", |it| it.insert_service_account(&body.account_id, display_name))?;
            region.read(|core| Ok(show(core, &account)))
        }
        ("GET", [email]) => region.read(|core| {
            if *email == core.settings().default_service_account() {
                return Ok(show_default(core, email));
            }
            let found = core.state().service_accounts().get(*email).map(|it| show(core, it));
            found.ok_or_else(|| Refusal {
                status: 404,
                reason: "notFound",
                message: format!(
                    "Service account {}/serviceAccounts/{email} does not exist.",
                    core.settings().project_path()
                ),
            })
        }),
        ("DELETE", [email]) => {
            region.change("api", |it| it.delete_service_account(email))?;
            Ok(json!({}))
        }
        _ => Err(call.unknown()),
    }
}

fn show(core: &Core, account: &ServiceAccount) -> Value {
    json!({
        "name": format!("{}/serviceAccounts/{}", core.settings().project_path(), account.email),
        "projectId": core.settings().project,
        "uniqueId": account.identity.id.to_string(),
        "email": account.email,
        "displayName": account.display_name,
        "oauth2ClientId": account.identity.id.to_string(),
    })
}

fn show_default(core: &Core, email: &str) -> Value {
    json!({
        "name": format!("{}/serviceAccounts/{email}", core.settings().project_path()),
        "projectId": core.settings().project,
        "uniqueId": core.settings().project_number.to_string(),
        "email": email,
        "displayName": "Compute Engine default service account",
    })
}
