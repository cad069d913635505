//! Regional health checks.

use super::{Answer, Call, object, operate, scope};
use crate::core::balancers::health_checks::HealthCheckSettings;
use crate::core::balancers::records::{HealthCheck, Protocol};
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, empty, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ProbeBody {
    port: Option<u32>,
    port_name: Option<String>,
    port_specification: Option<String>,
    proxy_header: Option<String>,
    request_path: Option<String>,
    request: Option<String>,
    host: Option<String>,
    response: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HealthCheckBody {
    name: String,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    check_interval_sec: Option<u32>,
    timeout_sec: Option<u32>,
    healthy_threshold: Option<u32>,
    unhealthy_threshold: Option<u32>,
    tcp_health_check: Option<ProbeBody>,
    http_health_check: Option<ProbeBody>,
    https_health_check: Option<ProbeBody>,
    ssl_health_check: Option<Value>,
    http2_health_check: Option<Value>,
    grpc_health_check: Option<Value>,
    source_regions: Vec<String>,
}

impl HealthCheckBody {
    /// What is asked for. `known` is the protocol of the check that is changed.
    fn settings(self, known: Option<Protocol>) -> Result<HealthCheckSettings, Refusal> {
        let protocol = self.protocol(known)?;
        let probes = [
            (Protocol::Tcp, self.tcp_health_check),
            (Protocol::Http, self.http_health_check),
            (Protocol::Https, self.https_health_check),
        ];
        let mut own = None;
        for (of, probe) in probes {
            match probe {
                Some(probe) if of == protocol => own = Some(probe),
                Some(_) => {
                    return Err(Refusal::invalid(
                        "resource.type",
                        protocol.word(),
                        "The type does not go with the kind of health check that is described.",
                    ));
                }
                None => {}
            }
        }
        let probe = own.unwrap_or_default();
        for (field, value, only) in [
            ("portName", &probe.port_name, ""),
            ("portSpecification", &probe.port_specification, "USE_FIXED_PORT"),
            ("proxyHeader", &probe.proxy_header, "NONE"),
            ("request", &probe.request, ""),
            ("response", &probe.response, ""),
        ] {
            if let Some(value) = value.as_deref().filter(|it| !it.is_empty() && *it != only) {
                return Err(Refusal::invalid(
                    &format!("resource.{field}"),
                    value,
                    "The sandbox probes a fixed port, without proxy header, and looks at the status only.",
                ));
            }
        }
        Ok(HealthCheckSettings {
            description: self.description,
            protocol: Some(protocol),
            port: probe.port,
            request_path: probe.request_path,
            host: probe.host,
            check_interval_sec: self.check_interval_sec,
            timeout_sec: self.timeout_sec,
            healthy_threshold: self.healthy_threshold,
            unhealthy_threshold: self.unhealthy_threshold,
        })
    }

    fn protocol(&self, known: Option<Protocol>) -> Result<Protocol, Refusal> {
        let unsimulated = [
            ("sslHealthCheck", &self.ssl_health_check),
            ("http2HealthCheck", &self.http2_health_check),
            ("grpcHealthCheck", &self.grpc_health_check),
        ];
        let why = "The sandbox simulates TCP, HTTP and HTTPS health checks.";
        if let Some((field, _)) = unsimulated.iter().find(|(_, it)| it.is_some()) {
            return Err(Refusal::invalid(&format!("resource.{field}"), "", why));
        }
        if let Some(region) = self.source_regions.first() {
            return Err(Refusal::invalid(
                "resource.sourceRegions",
                region,
                "A regional health check has no source regions.",
            ));
        }
        match self.kind.as_deref() {
            Some("TCP") => Ok(Protocol::Tcp),
            Some("HTTP") => Ok(Protocol::Http),
            Some("HTTPS") => Ok(Protocol::Https),
            Some("SSL" | "HTTP2" | "GRPC") => {
                let given = self.kind.clone().unwrap_or_default();
                Err(Refusal::invalid("resource.type", given, why))
            }
            Some(other) => Err(Refusal::invalid(
                "resource.type",
                other,
                "Unknown type of health check.",
            )),
            None => known.ok_or_else(|| Refusal::required("resource.type")),
        }
    }
}

fn show(core: &Core, it: &HealthCheck) -> Value {
    let path = core
        .settings()
        .regional_path(&it.region, "healthChecks", &it.identity.name);
    let mut probe = json!({ "port": it.probe.port, "proxyHeader": "NONE" });
    if it.probe.protocol != Protocol::Tcp {
        probe["requestPath"] = it.probe.request_path.clone().into();
        if !it.probe.host.is_empty() {
            probe["host"] = it.probe.host.clone().into();
        }
    }
    let field = match it.probe.protocol {
        Protocol::Tcp => "tcpHealthCheck",
        Protocol::Http => "httpHealthCheck",
        Protocol::Https => "httpsHealthCheck",
    };
    let fields = json!({
        "type": it.probe.protocol.word(),
        field: probe,
        "checkIntervalSec": it.check_interval_sec,
        "timeoutSec": it.timeout_sec,
        "healthyThreshold": it.healthy_threshold,
        "unhealthyThreshold": it.unhealthy_threshold,
        "logConfig": { "enable": false },
        "region": link(&scope(core, &format!("regions/{}", it.region))),
    });
    object("compute#healthCheck", &it.identity, &path, fields)
}

pub(super) fn health_checks(region: &Region, call: &Call, place: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_region(place))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let items = core.state().health_checks().iter();
            let items = items.map(|(key, it)| (key.clone(), move || show(core, it)));
            let path = scope(core, &format!("regions/{place}/healthChecks"));
            list(call, "compute#healthCheckList", &path, items)
        }),
        ("GET", [name]) => region.read(|core| {
            let found = core.state().health_checks().get(&format!("{place}/{name}"));
            found
                .map(|it| show(core, it))
                .ok_or_else(|| Refusal::not_found(&core.settings().regional_path(place, "healthChecks", name)))
        }),
        ("POST", []) => {
            let body: HealthCheckBody = call.body_as()?;
            let name = body.name.clone();
            let settings = body.settings(None)?;
            operate(region, call, |transaction| {
                transaction.insert_health_check(place, &name, settings)
            })
        }
        ("PATCH" | "PUT", [name]) => {
            let known = region.read(|core| {
                let found = core.state().health_checks().get(&format!("{place}/{name}"));
                found.map(|it| it.probe.protocol)
            });
            let body: HealthCheckBody = call.body_as()?;
            let mut settings = body.settings(known.or(Some(Protocol::Https)))?;
            if call.method == "PUT" {
                // An update replaces the check: what is not given goes back to its default.
                let protocol = settings.protocol.unwrap_or(Protocol::Https);
                settings.description.get_or_insert_default();
                settings.port.get_or_insert(u32::from(protocol.default_port()));
                settings.request_path.get_or_insert_with(|| "/".to_owned());
                settings.host.get_or_insert_default();
                settings.check_interval_sec.get_or_insert(5);
                settings.timeout_sec.get_or_insert(5);
                settings.healthy_threshold.get_or_insert(2);
                settings.unhealthy_threshold.get_or_insert(2);
            }
            operate(region, call, |transaction| {
                transaction.patch_health_check(place, name, settings)
            })
        }
        ("DELETE", [name]) => operate(region, call, |transaction| transaction.delete_health_check(place, name)),
        _ => Err(call.unknown()),
    }
}

/// The global ones, of which there are none.
pub(super) fn global(region: &Region, call: &Call) -> Answer {
    region.read(|core| empty(call, "compute#healthCheckList", &scope(core, "global/healthChecks")))
}

pub(super) fn all_health_checks(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let place = format!("regions/{}", core.settings().region.name);
        let items = core.state().health_checks().iter();
        let items = items.map(|(key, it)| (place.clone(), key.clone(), move || show(core, it)));
        let places = ["global".to_owned(), place.clone()];
        let path = scope(core, "aggregated/healthChecks");
        aggregated(
            call,
            "compute#healthChecksAggregatedList",
            &path,
            "healthChecks",
            &places,
            items,
        )
    })
}
