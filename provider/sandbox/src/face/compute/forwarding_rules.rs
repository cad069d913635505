//! Regional forwarding rules.

use super::addresses::LabelsBody;
use super::{Answer, Call, object, operate, own_reference, scope, show_labels};
use crate::core::balancers::forwarding_rules::{NewForwardingRule, WantedAddress};
use crate::core::balancers::records::{ForwardingRule, Ports};
use crate::core::firewalls::port_range;
use crate::core::names::fingerprint;
use crate::core::records::Labels;
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, empty, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ForwardingRuleBody {
    name: String,
    description: String,
    #[serde(rename = "IPAddress")]
    address: String,
    #[serde(rename = "IPProtocol")]
    protocol: Option<String>,
    load_balancing_scheme: Option<String>,
    network_tier: Option<String>,
    ip_version: Option<String>,
    ports: Vec<String>,
    port_range: Option<String>,
    all_ports: bool,
    backend_service: String,
    target: String,
    source_ip_ranges: Vec<String>,
    subnetwork: String,
    labels: Labels,
}

impl ForwardingRuleBody {
    fn wanted(self, region: &Region, place: &str) -> Result<NewForwardingRule, Refusal> {
        for (field, value, why) in [
            (
                "target",
                &self.target,
                "The sandbox forwards to backend services, not to targets.",
            ),
            (
                "subnetwork",
                &self.subnetwork,
                "An external forwarding rule has no subnetwork here.",
            ),
        ] {
            if !value.is_empty() {
                return Err(Refusal::invalid(&format!("resource.{field}"), value, why));
            }
        }
        if let Some(range) = self.source_ip_ranges.first() {
            let why = "The sandbox does not steer by source address.";
            return Err(Refusal::invalid("resource.sourceIpRanges", range, why));
        }
        if let Some(other) = self.network_tier.as_deref().filter(|it| *it != "PREMIUM") {
            let why = "It must be that of the address and the backend's: PREMIUM";
            return Err(Refusal::invalid("resource.networkTier", other, why));
        }
        if let Some(other) = self.ip_version.as_deref().filter(|it| *it != "IPV4") {
            let why = "The sandbox has IPv4 addresses only";
            return Err(Refusal::invalid("resource.ipVersion", other, why));
        }
        let ports = self.ports()?;
        let backend_service = if self.backend_service.is_empty() {
            None
        } else {
            let field = "resource.backendService";
            Some(own_reference(region, field, &self.backend_service, "backendServices")?)
        };
        let address = match self.address.parse::<Ipv4Addr>() {
            Ok(address) => Some(WantedAddress::Literal(address)),
            Err(_) if self.address.is_empty() => None,
            Err(_) => {
                let (given, name) = own_reference(region, "resource.IPAddress", &self.address, "addresses")?;
                let key = format!("{}/{name}", given.as_deref().unwrap_or(place));
                Some(WantedAddress::Reserved(key))
            }
        };
        Ok(NewForwardingRule {
            name: self.name,
            description: self.description,
            region: place.to_owned(),
            scheme: self.load_balancing_scheme,
            protocol: self.protocol,
            address,
            ports,
            backend_service,
            labels: self.labels,
        })
    }

    /// The ports, when they are given in exactly one way.
    fn ports(&self) -> Result<Option<Ports>, Refusal> {
        let range = self.port_range.as_deref().filter(|it| !it.is_empty());
        let refuse = |field: &str, text: &str| {
            let why = "Must be a port, or a range such as 80-90";
            Refusal::invalid(&format!("resource.{field}"), text, why)
        };
        match (self.ports.as_slice(), range, self.all_ports) {
            ([], None, true) => Ok(Some(Ports::All)),
            ([], Some(text), false) => {
                let (first, last) = port_range(text).ok_or_else(|| refuse("portRange", text))?;
                Ok(Some(Ports::Range(first, last)))
            }
            ([_, ..], None, false) => {
                let port = |text: &String| text.parse().map_err(|_| refuse("ports", text));
                let listed = self.ports.iter().map(port).collect::<Result<_, _>>()?;
                Ok(Some(Ports::Listed(listed)))
            }
            _ => Ok(None),
        }
    }
}

fn show(core: &Core, it: &ForwardingRule) -> Value {
    let settings = core.settings();
    let path = settings.regional_path(&it.region, "forwardingRules", &it.identity.name);
    let mut fields = json!({
        "IPAddress": it.address.to_string(),
        "IPProtocol": "TCP",
        "ipVersion": "IPV4",
        "loadBalancingScheme": "EXTERNAL",
        "networkTier": "PREMIUM",
        "backendService": link(&settings.regional_object("backendServices", &it.backend_service)),
        "fingerprint": fingerprint(&(&it.address, &it.ports, &it.backend_service)),
        "region": link(&scope(core, &format!("regions/{}", it.region))),
    });
    match &it.ports {
        Ports::Listed(ports) => fields["ports"] = ports.iter().map(ToString::to_string).collect(),
        Ports::Range(first, last) => fields["portRange"] = format!("{first}-{last}").into(),
        Ports::All => fields["allPorts"] = true.into(),
    }
    show_labels(&mut fields, &it.labels);
    object("compute#forwardingRule", &it.identity, &path, fields)
}

pub(super) fn forwarding_rules(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core.state().forwarding_rules().iter();
            let items = items.map(|(key, it)| (key.clone(), move || show(core, it)));
            let path = scope(core, &format!("regions/{place}/forwardingRules"));
            list(call, "compute#forwardingRuleList", &path, items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core.state().forwarding_rules().get(&format!("{place}/{name}"));
            found
                .map(|it| show(core, it))
                .ok_or_else(|| Refusal::not_found(&core.settings().regional_path(place, "forwardingRules", name)))
        }),
        ("POST", []) => {
            let new = call.body_as::<ForwardingRuleBody>()?.wanted(region, place)?;
            operate(region, call, |transaction| transaction.insert_forwarding_rule(new))
        }
        ("POST", [name, "setLabels"]) => {
            let body: LabelsBody = call.body_as()?;
            operate(region, call, |transaction| {
                transaction.set_forwarding_rule_labels(place, name, body.labels, body.label_fingerprint.as_deref())
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| {
            transaction.delete_forwarding_rule(place, name)
        }),
        _ => Err(call.unknown()),
    }
}

/// The global ones, of which there are none.
pub(super) fn global(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        empty(
            call,
            "compute#forwardingRuleList",
            &scope(core, "global/forwardingRules"),
        )
    })
}

pub(super) fn all_forwarding_rules(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let place = format!("regions/{}", core.settings().region.name);
        let items = core.state().forwarding_rules().iter();
        let items = items.map(|(key, it)| (place.clone(), key.clone(), move || show(core, it)));
        let places = ["global".to_owned(), place.clone()];
        let path = scope(core, "aggregated/forwardingRules");
        aggregated(
            call,
            "compute#forwardingRuleAggregatedList",
            &path,
            "forwardingRules",
            &places,
            items,
        )
    })
}
