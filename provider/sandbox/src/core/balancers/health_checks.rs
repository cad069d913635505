//! Regional health checks.

use super::records::{HealthCheck, Probe, Protocol};
use crate::core::error::Refusal;
use crate::core::names::check_name;
use crate::core::operations::{Effect, Operation};
use crate::core::transaction::Transaction;

/// A health check to make, or the fields to change (`None` keeps).
#[derive(Debug, Clone, Default)]
pub struct HealthCheckSettings {
    /// Free text.
    pub description: Option<String>,
    /// How it asks.
    pub protocol: Option<Protocol>,
    /// Port.
    pub port: Option<u32>,
    /// Path.
    pub request_path: Option<String>,
    /// Host header.
    pub host: Option<String>,
    /// Seconds from one probe to the next; 5 unless given.
    pub check_interval_sec: Option<u32>,
    /// Seconds an answer may take; 5 unless given.
    pub timeout_sec: Option<u32>,
    /// Successes that make healthy; 2 unless given.
    pub healthy_threshold: Option<u32>,
    /// Failures that make unhealthy; 2 unless given.
    pub unhealthy_threshold: Option<u32>,
}

impl Transaction<'_> {
    /// Makes a health check.
    pub fn insert_health_check(
        &mut self,
        region: &str,
        name: &str,
        new: HealthCheckSettings,
    ) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        check_name("resource.name", name)?;
        let path = self.settings.regional_path(region, "healthChecks", name);
        if self.state.health_checks.contains_key(&format!("{region}/{name}")) {
            return Err(Refusal::already_exists(&path));
        }
        let protocol = new.protocol.ok_or_else(|| Refusal::required("resource.type"))?;
        let identity = self.new_identity(name, "");
        let id = identity.id;
        let blank = HealthCheck {
            identity,
            region: region.to_owned(),
            probe: blank_probe(protocol),
            check_interval_sec: 5,
            timeout_sec: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        };
        let check = settle(blank, new)?;
        self.put(check);
        Ok(self.begin(self.regional("healthChecks.insert", path, id), [(4.0, Effect::None)]))
    }

    /// Changes the fields that are given.
    pub fn patch_health_check(
        &mut self,
        region: &str,
        name: &str,
        change: HealthCheckSettings,
    ) -> Result<Operation, Refusal> {
        let (check, path) = self.health_check(region, name)?;
        self.require_ready(&path)?;
        let id = check.identity.id;
        let check = settle(check, change)?;
        self.put(check);
        Ok(self.begin(self.regional("healthChecks.patch", path, id), [(4.0, Effect::None)]))
    }

    /// Deletes a health check that no backend service uses.
    pub fn delete_health_check(&mut self, region: &str, name: &str) -> Result<Operation, Refusal> {
        let (check, path) = self.health_check(region, name)?;
        self.require_ready(&path)?;
        let key = format!("{region}/{name}");
        let user = self
            .state
            .backend_services
            .iter()
            .find(|(_, it)| it.health_check == key);
        if let Some((user, _)) = user {
            let user = self.settings.regional_object("backendServices", user);
            return Err(Refusal::in_use("health_check", &path, &user));
        }
        Ok(self.begin(
            self.regional("healthChecks.delete", path, check.identity.id),
            [(4.0, Effect::HealthCheckGone(key))],
        ))
    }

    fn health_check(&self, region: &str, name: &str) -> Result<(HealthCheck, String), Refusal> {
        self.require_region(region)?;
        let path = self.settings.regional_path(region, "healthChecks", name);
        match self.state.health_checks.get(&format!("{region}/{name}")) {
            Some(check) => Ok((check.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }
}

fn blank_probe(protocol: Protocol) -> Probe {
    Probe {
        protocol,
        port: protocol.default_port(),
        request_path: if protocol == Protocol::Tcp { "" } else { "/" }.to_owned(),
        host: String::new(),
    }
}

fn settle(mut check: HealthCheck, change: HealthCheckSettings) -> Result<HealthCheck, Refusal> {
    if let Some(description) = change.description {
        check.identity.description = description;
    }
    if let Some(protocol) = change.protocol.filter(|it| *it != check.probe.protocol) {
        check.probe = blank_probe(protocol);
    }
    if let Some(port) = change.port {
        check.probe.port = u16::try_from(port)
            .ok()
            .filter(|it| *it > 0)
            .ok_or_else(|| Refusal::invalid("resource.port", port, "Must be between 1 and 65535"))?;
    }
    if check.probe.protocol != Protocol::Tcp {
        if let Some(path) = change.request_path {
            if !path.starts_with('/') {
                return Err(Refusal::invalid("resource.requestPath", path, "Must start with '/'"));
            }
            check.probe.request_path = path;
        }
        if let Some(host) = change.host {
            check.probe.host = host;
        }
    }
    for (field, given, kept, largest) in [
        (
            "checkIntervalSec",
            change.check_interval_sec,
            &mut check.check_interval_sec,
            300,
        ),
        ("timeoutSec", change.timeout_sec, &mut check.timeout_sec, 300),
        (
            "healthyThreshold",
            change.healthy_threshold,
            &mut check.healthy_threshold,
            10,
        ),
        (
            "unhealthyThreshold",
            change.unhealthy_threshold,
            &mut check.unhealthy_threshold,
            10,
        ),
    ] {
        let Some(value) = given else { continue };
        if !(1..=largest).contains(&value) {
            let why = format!("Must be between 1 and {largest}");
            return Err(Refusal::invalid(&format!("resource.{field}"), value, why));
        }
        *kept = value;
    }
    if check.timeout_sec > check.check_interval_sec {
        return Err(Refusal::invalid(
            "resource.timeoutSec",
            check.timeout_sec,
            format!(
                "The timeout must not be longer than the check interval ({} seconds)",
                check.check_interval_sec
            ),
        ));
    }
    Ok(check)
}
