//! Reserved addresses.

use super::{Answer, Call, object, operate, own_reference, scope, show_labels};
use crate::core::addresses::NewAddress;
use crate::core::records::{Address, Labels};
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AddressBody {
    name: String,
    description: String,
    address: Option<String>,
    address_type: Option<String>,
    network_tier: Option<String>,
    ip_version: Option<String>,
    subnetwork: Option<String>,
    labels: Labels,
}

/// The body of every `setLabels`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LabelsBody {
    pub(super) labels: Labels,
    pub(super) label_fingerprint: Option<String>,
}

fn show(core: &Core, it: &Address) -> Value {
    let settings = core.settings();
    let path = settings.regional_path(&it.region, "addresses", &it.identity.name);
    let mut fields = json!({
        "address": it.address.to_string(),
        "addressType": if it.subnetwork.is_some() { "INTERNAL" } else { "EXTERNAL" },
        "networkTier": "PREMIUM",
        "status": if it.user.is_some() { "IN_USE" } else { "RESERVED" },
        "region": link(&scope(core, &format!("regions/{}", it.region))),
    });
    if let Some(subnetwork) = &it.subnetwork {
        fields["subnetwork"] = link(&settings.subnetwork_path(subnetwork)).into();
        fields["purpose"] = "GCE_ENDPOINT".into();
    }
    if let Some(user) = &it.user {
        fields["users"] = json!([link(&settings.holder_path(user))]);
    }
    show_labels(&mut fields, &it.labels);
    object("compute#address", &it.identity, &path, fields)
}

pub(super) fn addresses(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core
                .state()
                .addresses()
                .iter()
                .map(|(key, it)| (key.clone(), move || show(core, it)));
            list(
                call,
                "compute#addressList",
                &scope(core, &format!("regions/{place}/addresses")),
                items,
            )
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core
                .state()
                .addresses()
                .get(&format!("{place}/{name}"))
                .map(|it| show(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().regional_path(place, "addresses", name)))
        }),
        ("POST", []) => {
            let body: AddressBody = call.body_as()?;
            let internal = match body.address_type.as_deref() {
                None | Some("EXTERNAL") => false,
                Some("INTERNAL") => true,
                Some(other) => return Err(Refusal::invalid("resource.addressType", other, "EXTERNAL or INTERNAL")),
            };
            if let Some(other) = body.network_tier.filter(|tier| tier != "PREMIUM" && tier != "STANDARD") {
                return Err(Refusal::invalid("resource.networkTier", other, "PREMIUM or STANDARD"));
            }
            if let Some(other) = body.ip_version.filter(|version| version != "IPV4") {
                return Err(Refusal::invalid(
                    "resource.ipVersion",
                    other,
                    "The sandbox has IPv4 addresses only",
                ));
            }
            let subnetwork = match &body.subnetwork {
                Some(text) => {
                    let (given, name) = own_reference(region, "resource.subnetwork", text, "subnetworks")?;
                    Some(format!("{}/{name}", given.as_deref().unwrap_or(place)))
                }
                None => None,
            };
            operate(region, call, |transaction| {
                transaction.insert_address(NewAddress {
                    name: body.name,
                    description: body.description,
                    region: place.to_owned(),
                    address: body.address.filter(|it| !it.is_empty()),
                    internal,
                    subnetwork,
                    labels: body.labels,
                })
            })
        }
        ("POST", [name, "setLabels"]) => {
            let body: LabelsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_address_labels(place, name, body.labels, body.label_fingerprint.as_deref())
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_address(place, name)),
        _ => Err(call.unknown()),
    }
}

pub(super) fn all_addresses(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let place = format!("regions/{}", core.settings().region.name);
        let addresses = core.state().addresses().iter();
        let items = addresses.map(|(key, it)| (place.clone(), key.clone(), move || show(core, it)));
        let places = ["global".to_owned(), place.clone()];
        let path = scope(core, "aggregated/addresses");
        aggregated(
            call,
            "compute#addressAggregatedList",
            &path,
            "addresses",
            &places,
            items,
        )
    })
}
