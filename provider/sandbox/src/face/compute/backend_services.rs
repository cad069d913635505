//! Regional backend services.

use super::{Answer, Call, object, operate, own_reference, scope};
use crate::core::balancers::backend_services::{BackendServiceSettings, NewBackend};
use crate::core::balancers::records::{BackendService, Target};
use crate::core::names::fingerprint;
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, empty, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BackendBody {
    group: String,
    balancing_mode: Option<String>,
    description: String,
    failover: Option<bool>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DrainingBody {
    draining_timeout_sec: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BackendServiceBody {
    name: String,
    description: Option<String>,
    load_balancing_scheme: Option<String>,
    protocol: Option<String>,
    session_affinity: Option<String>,
    port_name: Option<String>,
    backends: Option<Vec<BackendBody>>,
    health_checks: Option<Vec<String>>,
    connection_draining: Option<DrainingBody>,
    timeout_sec: Option<u32>,
    fingerprint: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GroupBody {
    group: String,
}

/// What the API shows and clients send back, without effect here.
const IDLE: &[&str] = &[
    "affinityCookieTtlSec",
    "creationTimestamp",
    "enableCDN",
    "id",
    "kind",
    "logConfig",
    "port",
    "region",
    "selfLink",
    "usedBy",
];

impl BackendBody {
    fn wanted(self, region: &Region, index: usize) -> Result<NewBackend, Refusal> {
        let field = format!("resource.backends[{index}]");
        if self.failover == Some(true) {
            let why = "The sandbox simulates primary backends only.";
            return Err(Refusal::invalid(&format!("{field}.failover"), true, why));
        }
        // A balancer that passes packets on knows no rates, capacities and utilisation.
        for (name, value) in &self.others {
            let harmless = match name.as_str() {
                "capacityScaler" => value.as_f64() == Some(1.0),
                "preference" => value == "DEFAULT" || value == "PREFERENCE_UNSPECIFIED",
                _ => is_nothing(value),
            };
            if !harmless {
                let why = "It cannot be set for a backend of the load balancing scheme EXTERNAL.";
                return Err(Refusal::invalid(&format!("{field}.{name}"), value, why));
            }
        }
        Ok(NewBackend {
            group: own_reference(region, &format!("{field}.group"), &self.group, "instanceGroups")?,
            balancing_mode: self.balancing_mode,
            description: self.description,
        })
    }
}

impl BackendServiceBody {
    fn settings(self, region: &Region) -> Result<BackendServiceSettings, Refusal> {
        for (name, value) in &self.others {
            if !IDLE.contains(&name.as_str()) && !is_nothing(value) {
                let why = "The sandbox does not simulate this setting of a backend service.";
                return Err(Refusal::invalid(&format!("resource.{name}"), value, why));
            }
        }
        let backends = self.backends.map(|backends| {
            let wanted = backends
                .into_iter()
                .enumerate()
                .map(|(index, it)| it.wanted(region, index));
            wanted.collect::<Result<Vec<_>, _>>()
        });
        let checks = self.health_checks.map(|checks| {
            let references = checks.iter().enumerate().map(|(index, text)| {
                own_reference(region, &format!("resource.healthChecks[{index}]"), text, "healthChecks")
            });
            references.collect::<Result<Vec<_>, _>>()
        });
        Ok(BackendServiceSettings {
            description: self.description,
            scheme: self.load_balancing_scheme,
            protocol: self.protocol,
            session_affinity: self.session_affinity,
            port_name: self.port_name,
            backends: backends.transpose()?,
            health_checks: checks.transpose()?,
            draining_timeout_sec: self.connection_draining.and_then(|it| it.draining_timeout_sec),
            timeout_sec: self.timeout_sec,
        })
    }
}

/// Whether a value is as good as none.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(true) => false,
    }
}

fn show(core: &Core, it: &BackendService) -> Value {
    let settings = core.settings();
    let path = settings.regional_path(&it.region, "backendServices", &it.identity.name);
    let mut fields = json!({
        "loadBalancingScheme": "EXTERNAL",
        "protocol": "TCP",
        "sessionAffinity": "NONE",
        "connectionDraining": { "drainingTimeoutSec": it.draining_timeout_sec },
        "healthChecks": [link(&settings.regional_object("healthChecks", &it.health_check))],
        "timeoutSec": it.timeout_sec,
        "fingerprint": fingerprint(it),
        "region": link(&scope(core, &format!("regions/{}", it.region))),
    });
    if !it.backends.is_empty() {
        let backend = |backend: &crate::core::balancers::records::Backend| {
            let group = link(&settings.zonal_object("instanceGroups", &backend.group));
            let mut shown = json!({ "group": group, "balancingMode": "CONNECTION" });
            if !backend.description.is_empty() {
                shown["description"] = backend.description.clone().into();
            }
            shown
        };
        fields["backends"] = it.backends.iter().map(backend).collect();
    }
    object("compute#backendService", &it.identity, &path, fields)
}

pub(super) fn backend_services(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core.state().backend_services().iter();
            let items = items.map(|(key, it)| (key.clone(), move || show(core, it)));
            let path = scope(core, &format!("regions/{place}/backendServices"));
            list(call, "compute#backendServiceList", &path, items)
        }),
        ("GET", [name]) => region.read(|core| found(core, place, name).map(|it| show(core, it))),
        ("POST", []) => {
            let body: BackendServiceBody = call.body_as()?;
            let name = body.name.clone();
            let settings = body.settings(region)?;
            operate(region, call, |transaction| {
                transaction.insert_backend_service(place, &name, settings)
            })
        }
        ("PATCH" | "PUT", [name]) => {
            let body: BackendServiceBody = call.body_as()?;
            let expected = body.fingerprint.clone();
            let mut settings = body.settings(region)?;
            if call.method == "PUT" {
                // An update replaces the service: what is not given goes back to its default.
                settings.description.get_or_insert_default();
                settings.backends.get_or_insert_default();
                settings.health_checks.get_or_insert_default();
                settings.draining_timeout_sec.get_or_insert(0);
                settings.timeout_sec.get_or_insert(30);
            }
            operate(region, call, |transaction| {
                transaction.patch_backend_service(place, name, settings, expected.as_deref())
            })
        }
        ("POST", [name, "getHealth"]) => health(region, call, place, name),
        ("DELETE", [name]) => operate(region, call, |transaction| {
            transaction.delete_backend_service(place, name)
        }),
        _ => Err(call.unknown()),
    }
}

fn found<'c>(core: &'c Core, place: &str, name: &str) -> Result<&'c BackendService, Refusal> {
    let service = core.state().backend_services().get(&format!("{place}/{name}"));
    service.ok_or_else(|| Refusal::not_found(&core.settings().regional_path(place, "backendServices", name)))
}

/// The health of one group's machines, those included that still drain.
fn health(region: &Region, call: &Call, place: &str, name: &str) -> Answer {
    let body: GroupBody = call.body_as()?;
    if body.group.is_empty() {
        return Err(Refusal::required("group"));
    }
    let (zone, group) = own_reference(region, "group", &body.group, "instanceGroups")?;
    let group = format!("{}/{group}", zone.unwrap_or_default());
    region.read(|core| {
        let service = found(core, place, name)?;
        if !service.backends.iter().any(|backend| backend.group == group) {
            let why = "The group is not a backend of the backend service.";
            return Err(Refusal::invalid("group", &body.group, why));
        }
        let key = format!("{place}/{name}");
        let rule = core
            .state()
            .forwarding_rules()
            .iter()
            .find(|(_, it)| it.backend_service == key);
        let status = |target: &Target| {
            let instance = core.state().instances().get(&target.instance)?;
            let mut shown = json!({
                "instance": link(&core.settings().instance_path(&target.instance)),
                "healthState": if target.healthy { "HEALTHY" } else { "UNHEALTHY" },
                "ipAddress": instance.interface.address.to_string(),
            });
            if let Some((rule, it)) = rule {
                shown["forwardingRule"] = link(&core.settings().regional_object("forwardingRules", rule)).into();
                shown["forwardingRuleIp"] = it.address.to_string().into();
            }
            if let Some(check) = core.state().health_checks().get(&service.health_check) {
                shown["port"] = check.probe.port.into();
            }
            Some(shown)
        };
        let targets = core.state().targets_of(&key).filter(|it| it.group == group);
        let statuses: Vec<Value> = targets.filter_map(status).collect();
        let mut answer = json!({ "kind": "compute#backendServiceGroupHealth" });
        if !statuses.is_empty() {
            answer["healthStatus"] = statuses.into();
        }
        Ok(answer)
    })
}

/// The global ones, of which there are none.
pub(super) fn global(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        empty(
            call,
            "compute#backendServiceList",
            &scope(core, "global/backendServices"),
        )
    })
}

pub(super) fn all_backend_services(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let place = format!("regions/{}", core.settings().region.name);
        let items = core.state().backend_services().iter();
        let items = items.map(|(key, it)| (place.clone(), key.clone(), move || show(core, it)));
        let places = ["global".to_owned(), place.clone()];
        let path = scope(core, "aggregated/backendServices");
        aggregated(
            call,
            "compute#backendServiceAggregatedList",
            &path,
            "backendServices",
            &places,
            items,
        )
    })
}
