//! Firewall rules.

use super::{Answer, Call, object, operate, own_reference, scope};
use crate::core::firewalls::FirewallSettings;
use crate::core::records::{Allowed, Firewall};
use crate::core::{Core, Refusal};
use crate::face::lists::list;
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct AllowedBody {
    #[serde(rename = "IPProtocol")]
    protocol: String,
    #[serde(default)]
    ports: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FirewallBody {
    name: String,
    description: Option<String>,
    network: Option<String>,
    priority: Option<u32>,
    direction: Option<String>,
    allowed: Option<Vec<AllowedBody>>,
    denied: Vec<Value>,
    source_ranges: Option<Vec<String>>,
    source_tags: Option<BTreeSet<String>>,
    target_tags: Option<BTreeSet<String>>,
    source_service_accounts: Vec<String>,
    target_service_accounts: Vec<String>,
    disabled: Option<bool>,
}

impl FirewallBody {
    fn settings(self, region: &Region) -> Result<FirewallSettings, Refusal> {
        if let Some(account) = self
            .source_service_accounts
            .first()
            .or(self.target_service_accounts.first())
        {
            let field = "resource.targetServiceAccounts";
            return Err(Refusal::invalid(
                field,
                account,
                "The sandbox selects machines by tags, not by service accounts",
            ));
        }
        let network = match self.network {
            Some(text) if !text.is_empty() => Some(own_reference(region, "resource.network", &text, "networks")?.1),
            _ => None,
        };
        let allowed = self.allowed.map(|entries| {
            entries
                .into_iter()
                .map(|it| Allowed {
                    protocol: it.protocol.to_lowercase(),
                    ports: it.ports,
                })
                .collect()
        });
        Ok(FirewallSettings {
            description: self.description,
            network,
            priority: self.priority,
            direction: self.direction,
            allowed,
            denies: !self.denied.is_empty(),
            source_ranges: self.source_ranges,
            source_tags: self.source_tags,
            target_tags: self.target_tags,
            disabled: self.disabled,
        })
    }
}

fn show(core: &Core, it: &Firewall) -> Value {
    let settings = core.settings();
    let path = settings.global_path("firewalls", &it.identity.name);
    let allowed: Vec<Value> = it
        .allowed
        .iter()
        .map(|allowed| match allowed.ports.as_slice() {
            [] => json!({ "IPProtocol": allowed.protocol }),
            ports => json!({ "IPProtocol": allowed.protocol, "ports": ports }),
        })
        .collect();
    let mut fields = json!({
        "network": link(&settings.global_path("networks", &it.network)),
        "priority": it.priority,
        "direction": "INGRESS",
        "allowed": allowed,
        "disabled": it.disabled,
        "logConfig": { "enable": false },
    });
    let ranges: Vec<String> = it.source_ranges.iter().map(ToString::to_string).collect();
    for (name, values) in [
        ("sourceRanges", ranges),
        ("sourceTags", it.source_tags.iter().cloned().collect()),
        ("targetTags", it.target_tags.iter().cloned().collect()),
    ] {
        if !values.is_empty() {
            fields[name] = values.into();
        }
    }
    object("compute#firewall", &it.identity, &path, fields)
}

pub(super) fn firewalls(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core
                .state()
                .firewalls()
                .iter()
                .map(|(key, it)| (key.clone(), move || show(core, it)));
            list(call, "compute#firewallList", &scope(core, "global/firewalls"), items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core.state().firewalls().get(*name).map(|it| show(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().global_path("firewalls", name)))
        }),
        ("POST", []) => {
            let body: FirewallBody = call.body_as()?;
            let name = body.name.clone();
            let settings = body.settings(region)?;
            operate(region, call, |transaction| transaction.insert_firewall(&name, settings))
        }
        ("PATCH", [name]) => {
            let settings = call.body_as::<FirewallBody>()?.settings(region)?;
            operate(region, call, |transaction| transaction.patch_firewall(name, settings))
        }
        ("PUT", [name]) => {
            // An update replaces the rule: what is not given goes back to its default.
            let mut settings = call.body_as::<FirewallBody>()?.settings(region)?;
            settings.priority.get_or_insert(1000);
            settings.disabled.get_or_insert(false);
            settings.description.get_or_insert_default();
            settings.source_tags.get_or_insert_default();
            settings.target_tags.get_or_insert_default();
            if settings.source_tags.as_ref().is_some_and(BTreeSet::is_empty) {
                settings
                    .source_ranges
                    .get_or_insert_with(|| vec!["0.0.0.0/0".to_owned()]);
            } else {
                settings.source_ranges.get_or_insert_default();
            }
            if settings.allowed.as_ref().is_none_or(Vec::is_empty) {
                return Err(Refusal::invalid(
                    "resource.allowed",
                    "",
                    "One of 'allowed' and 'denied' must be specified",
                ));
            }
            operate(region, call, |transaction| transaction.patch_firewall(name, settings))
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_firewall(name)),
        _ => Err(call.unknown()),
    }
}
