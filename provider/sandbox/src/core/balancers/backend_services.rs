//! Regional backend services of external pass-through balancers.

use super::records::{Backend, BackendService};
use crate::core::error::Refusal;
use crate::core::names::{check_name, fingerprint};
use crate::core::operations::{Effect, Operation};
use crate::core::transaction::Transaction;

/// A group to put behind a service.
#[derive(Debug, Clone)]
pub struct NewBackend {
    /// Zone (when the reference names one) and name of the group.
    pub group: (Option<String>, String),
    /// `CONNECTION`; nothing else is possible here.
    pub balancing_mode: Option<String>,
    /// Free text.
    pub description: String,
}

/// A service to make, or the fields to change (`None` keeps).
#[derive(Debug, Clone, Default)]
pub struct BackendServiceSettings {
    /// Free text.
    pub description: Option<String>,
    /// `EXTERNAL`.
    pub scheme: Option<String>,
    /// `TCP`.
    pub protocol: Option<String>,
    /// `NONE`.
    pub session_affinity: Option<String>,
    /// Name of a port; only proxies have one.
    pub port_name: Option<String>,
    /// The groups.
    pub backends: Option<Vec<NewBackend>>,
    /// Regions (when the references name one) and names of the health checks.
    pub health_checks: Option<Vec<(Option<String>, String)>>,
    /// Seconds of draining; 0 unless given.
    pub draining_timeout_sec: Option<u32>,
    /// Kept and shown; 30 unless given.
    pub timeout_sec: Option<u32>,
}

impl Transaction<'_> {
    /// Makes a service.
    pub fn insert_backend_service(
        &mut self,
        region: &str,
        name: &str,
        new: BackendServiceSettings,
    ) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        check_name("resource.name", name)?;
        let key = format!("{region}/{name}");
        let path = self.settings.regional_object("backendServices", &key);
        if self.state.backend_services.contains_key(&key) {
            return Err(Refusal::already_exists(&path));
        }
        // A service that is given no scheme is EXTERNAL, one that is given no protocol is HTTP, which does not go with it.
        let new = BackendServiceSettings {
            scheme: Some(new.scheme.unwrap_or_else(|| "EXTERNAL".to_owned())),
            protocol: Some(new.protocol.unwrap_or_else(|| "HTTP".to_owned())),
            health_checks: Some(new.health_checks.unwrap_or_default()),
            ..new
        };
        let identity = self.new_identity(name, "");
        let id = identity.id;
        let blank = BackendService {
            identity,
            region: region.to_owned(),
            backends: Vec::new(),
            health_check: String::new(),
            draining_timeout_sec: 0,
            timeout_sec: 30,
        };
        let service = self.settle_service(blank, new)?;
        self.put(service);
        self.settle_targets();
        Ok(self.begin(self.regional("backendServices.insert", path, id), [(8.0, Effect::None)]))
    }

    /// Changes the fields that are given. A group that is taken away takes its machines' connections with it: pass-through
    /// balancers drain only who leaves a group.
    pub fn patch_backend_service(
        &mut self,
        region: &str,
        name: &str,
        change: BackendServiceSettings,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (service, path) = self.backend_service(region, name)?;
        self.require_ready(&path)?;
        if expected != Some(fingerprint(&service).as_str()) {
            return Err(Refusal::condition_not_met("Invalid fingerprint."));
        }
        let id = service.identity.id;
        let service = self.settle_service(service, change)?;
        self.put(service);
        self.settle_targets();
        Ok(self.begin(self.regional("backendServices.patch", path, id), [(8.0, Effect::None)]))
    }

    /// Deletes a service that no forwarding rule uses.
    pub fn delete_backend_service(&mut self, region: &str, name: &str) -> Result<Operation, Refusal> {
        let (service, path) = self.backend_service(region, name)?;
        self.require_ready(&path)?;
        let key = format!("{region}/{name}");
        let user = self
            .state
            .forwarding_rules
            .iter()
            .find(|(_, it)| it.backend_service == key);
        if let Some((user, _)) = user {
            let user = self.settings.regional_object("forwardingRules", user);
            return Err(Refusal::in_use("backend_service", &path, &user));
        }
        Ok(self.begin(
            self.regional("backendServices.delete", path, service.identity.id),
            [(8.0, Effect::BackendServiceGone(key))],
        ))
    }

    fn backend_service(&self, region: &str, name: &str) -> Result<(BackendService, String), Refusal> {
        self.require_region(region)?;
        let key = format!("{region}/{name}");
        let path = self.settings.regional_object("backendServices", &key);
        match self.state.backend_services.get(&key) {
            Some(service) => Ok((service.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }

    fn settle_service(
        &self,
        mut service: BackendService,
        change: BackendServiceSettings,
    ) -> Result<BackendService, Refusal> {
        check_kind(&change)?;
        if let Some(description) = change.description {
            service.identity.description = description;
        }
        if let Some(checks) = change.health_checks {
            service.health_check = self.check_of_service(&service.region, &checks)?;
        }
        if let Some(seconds) = change.draining_timeout_sec {
            if seconds > 3600 {
                return Err(Refusal::invalid(
                    "resource.connectionDraining.drainingTimeoutSec",
                    seconds,
                    "Must be between 0 and 3600",
                ));
            }
            service.draining_timeout_sec = seconds;
        }
        if let Some(seconds) = change.timeout_sec {
            service.timeout_sec = seconds;
        }
        if let Some(backends) = change.backends {
            service.backends = Vec::new();
            for (index, wanted) in backends.into_iter().enumerate() {
                let backend = self.backend(&service, index, wanted)?;
                service.backends.push(backend);
            }
        }
        Ok(service)
    }

    fn check_of_service(&self, region: &str, checks: &[(Option<String>, String)]) -> Result<String, Refusal> {
        let field = "resource.healthChecks";
        let [(given, name)] = checks else {
            return Err(Refusal::invalid(
                field,
                checks.len(),
                "A regional external backend service has exactly one health check.",
            ));
        };
        if given.as_deref() != Some(region) {
            return Err(Refusal::invalid(
                &format!("{field}[0]"),
                name,
                format!("The health check must be a regional one of '{region}'."),
            ));
        }
        let key = format!("{region}/{name}");
        let path = self.settings.regional_object("healthChecks", &key);
        if !self.state.health_checks.contains_key(&key) {
            return Err(Refusal::not_found(&path));
        }
        self.require_existing(&path)?;
        Ok(key)
    }

    fn backend(&self, service: &BackendService, index: usize, wanted: NewBackend) -> Result<Backend, Refusal> {
        let field = format!("resource.backends[{index}]");
        if let Some(mode) = wanted.balancing_mode.filter(|mode| mode != "CONNECTION") {
            return Err(Refusal::invalid(
                &format!("{field}.balancingMode"),
                mode,
                "Balancing mode must be CONNECTION for a backend service of the load balancing scheme EXTERNAL.",
            ));
        }
        let (zone, name) = wanted.group;
        let Some(zone) = zone else {
            let field = format!("{field}.group");
            return Err(Refusal::invalid(&field, name, "The URL is malformed."));
        };
        self.require_zone(&zone)?;
        let group = format!("{zone}/{name}");
        let path = self.settings.zonal_object("instanceGroups", &group);
        let found = self
            .state
            .instance_groups
            .get(&group)
            .ok_or_else(|| Refusal::not_found(&path))?;
        self.require_existing(&path)?;
        if service.backends.iter().any(|backend| backend.group == group) {
            return Err(Refusal::invalid(
                &format!("{field}.group"),
                path,
                "The group is a backend of this service twice.",
            ));
        }
        for member in &found.members {
            self.require_single_balanced_group(member, &group)?;
        }
        Ok(Backend {
            group,
            description: wanted.description,
        })
    }
}

/// What Compute Engine has besides external pass-through balancers for TCP, the sandbox refuses.
fn check_kind(change: &BackendServiceSettings) -> Result<(), Refusal> {
    if let Some(scheme) = change.scheme.as_deref().filter(|it| *it != "EXTERNAL") {
        let why = match scheme {
            "EXTERNAL_MANAGED" | "INTERNAL" | "INTERNAL_MANAGED" | "INTERNAL_SELF_MANAGED" => {
                "The sandbox simulates backend services of the scheme EXTERNAL."
            }
            _ => "Must be one of EXTERNAL, EXTERNAL_MANAGED, INTERNAL, INTERNAL_MANAGED, INTERNAL_SELF_MANAGED.",
        };
        return Err(Refusal::invalid("resource.loadBalancingScheme", scheme, why));
    }
    if let Some(protocol) = change.protocol.as_deref().filter(|it| *it != "TCP") {
        let why = match protocol {
            "UDP" | "UNSPECIFIED" => "The sandbox forwards TCP only.",
            _ => {
                "Invalid protocol for the load balancing scheme EXTERNAL of a regional backend service: TCP, UDP or UNSPECIFIED."
            }
        };
        return Err(Refusal::invalid("resource.protocol", protocol, why));
    }
    if let Some(affinity) = change.session_affinity.as_deref().filter(|it| *it != "NONE") {
        return Err(Refusal::invalid(
            "resource.sessionAffinity",
            affinity,
            "The sandbox simulates the session affinity NONE.",
        ));
    }
    if let Some(name) = change.port_name.as_deref().filter(|it| !it.is_empty()) {
        return Err(Refusal::invalid(
            "resource.portName",
            name,
            "A backend service of a pass-through load balancer has no named port.",
        ));
    }
    Ok(())
}
