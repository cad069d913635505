//! Networks and subnetworks.

use super::{Answer, Call, object, operate, own_reference, scope};
use crate::core::names::fingerprint;
use crate::core::networks::{NewNetwork, NewSubnetwork};
use crate::core::records::{Network, Subnetwork};
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NetworkBody {
    name: String,
    description: String,
    auto_create_subnetworks: Option<bool>,
    routing_config: Option<RoutingBody>,
    mtu: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoutingBody {
    routing_mode: Option<String>,
}

fn show_network(core: &Core, it: &Network) -> Value {
    let settings = core.settings();
    let name = &it.identity.name;
    let path = settings.global_path("networks", name);
    let mut fields = json!({
        "autoCreateSubnetworks": it.auto_create_subnetworks,
        "routingConfig": { "routingMode": it.routing_mode, "bgpBestPathSelectionMode": "LEGACY" },
        "mtu": it.mtu,
        "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
        "selfLinkWithId": link(&settings.global_path("networks", &it.identity.id.to_string())),
    });
    let subnetworks: Vec<String> = core
        .state()
        .subnetworks()
        .iter()
        .filter(|(_, subnetwork)| subnetwork.network == *name)
        .map(|(key, _)| link(&settings.subnetwork_path(key)))
        .collect();
    if !subnetworks.is_empty() {
        fields["subnetworks"] = subnetworks.into();
    }
    object("compute#network", &it.identity, &path, fields)
}

pub(super) fn networks(region: &Region, call: &Call, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core
                .state()
                .networks()
                .iter()
                .map(|(key, it)| (key.clone(), move || show_network(core, it)));
            list(call, "compute#networkList", &scope(core, "global/networks"), items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core.state().networks().get(*name).map(|it| show_network(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().global_path("networks", name)))
        }),
        ("POST", []) => {
            let body: NetworkBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.insert_network(NewNetwork {
                    name: body.name,
                    description: body.description,
                    auto_create_subnetworks: body.auto_create_subnetworks,
                    routing_mode: body.routing_config.and_then(|it| it.routing_mode),
                    mtu: body.mtu,
                })
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_network(name)),
        _ => Err(call.unknown()),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SubnetworkBody {
    name: String,
    description: String,
    network: String,
    ip_cidr_range: String,
    private_ip_google_access: Option<bool>,
    fingerprint: Option<String>,
}

fn show_subnetwork(core: &Core, it: &Subnetwork) -> Value {
    let settings = core.settings();
    let path = settings.regional_path(&it.region, "subnetworks", &it.identity.name);
    let gateway = it.range.hosts().next().map(|address| address.to_string());
    let fields = json!({
        "network": link(&settings.global_path("networks", &it.network)),
        "ipCidrRange": it.range.to_string(),
        "gatewayAddress": gateway,
        "region": link(&scope(core, &format!("regions/{}", it.region))),
        "privateIpGoogleAccess": it.private_google_access,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        "fingerprint": fingerprint(it),
    });
    object("compute#subnetwork", &it.identity, &path, fields)
}

pub(super) fn subnetworks(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core
                .state()
                .subnetworks()
                .iter()
                .map(|(key, it)| (key.clone(), move || show_subnetwork(core, it)));
            let path = scope(core, &format!("regions/{place}/subnetworks"));
            list(call, "compute#subnetworkList", &path, items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core
                .state()
                .subnetworks()
                .get(&format!("{place}/{name}"))
                .map(|it| show_subnetwork(core, it));
            found.ok_or_else(|| Refusal::not_found(&core.settings().regional_path(place, "subnetworks", name)))
        }),
        ("POST", []) => {
            let body: SubnetworkBody = call.body_as()?;
            if body.network.is_empty() {
                return Err(Refusal::required("resource.network"));
            }
            let (_, network) = own_reference(region, "resource.network", &body.network, "networks")?;
            operate(region, call, |transaction| {
                transaction.insert_subnetwork(NewSubnetwork {
                    name: body.name,
                    description: body.description,
                    region: place.to_owned(),
                    network,
                    range: body.ip_cidr_range,
                    private_google_access: body.private_ip_google_access.unwrap_or(false),
                })
            })
        }
        ("PATCH", [name]) => {
            let body: SubnetworkBody = call.body_as()?;
            operate(region, call, |transaction| {
                let current = transaction
                    .state()
                    .subnetworks()
                    .get(&format!("{place}/{name}"))
                    .map(fingerprint);
                if current.is_some() && current != body.fingerprint {
                    return Err(Refusal::condition_not_met("Invalid fingerprint."));
                }
                transaction.patch_subnetwork(place, name, body.private_ip_google_access)
            })
        }
        ("POST", [name, "setPrivateIpGoogleAccess"]) => {
            let body: SubnetworkBody = call.body_as()?;
            let access = Some(body.private_ip_google_access.unwrap_or(false));
            operate(region, call, |transaction| {
                transaction.patch_subnetwork(place, name, access)
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_subnetwork(place, name)),
        _ => Err(call.unknown()),
    }
}

pub(super) fn all_subnetworks(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let place = format!("regions/{}", core.settings().region.name);
        let subnetworks = core.state().subnetworks().iter();
        let items = subnetworks.map(|(key, it)| (place.clone(), key.clone(), move || show_subnetwork(core, it)));
        let path = scope(core, "aggregated/subnetworks");
        aggregated(
            call,
            "compute#subnetworkAggregatedList",
            &path,
            "subnetworks",
            std::slice::from_ref(&place),
            items,
        )
    })
}
