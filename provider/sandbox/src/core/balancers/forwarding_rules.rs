//! Regional forwarding rules in front of backend services.

use super::records::{ForwardingRule, Ports};
use crate::core::addresses::check_label_change;
use crate::core::error::Refusal;
use crate::core::names::{check_labels, check_name};
use crate::core::operations::{Effect, Operation};
use crate::core::records::{Address, Holder, Labels};
use crate::core::transaction::Transaction;
use std::net::Ipv4Addr;

/// An address to put in front of a backend service.
#[derive(Debug, Clone, Default)]
pub struct NewForwardingRule {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Region.
    pub region: String,
    /// `EXTERNAL`.
    pub scheme: Option<String>,
    /// `TCP`.
    pub protocol: Option<String>,
    /// Which address; `None` takes an ephemeral one.
    pub address: Option<WantedAddress>,
    /// The ports; `None` when the request names none, or names them twice.
    pub ports: Option<Ports>,
    /// Region (when the reference names one) and name of the backend service.
    pub backend_service: Option<(Option<String>, String)>,
    /// Labels.
    pub labels: Labels,
}

/// How the address of a forwarding rule is named.
#[derive(Debug, Clone)]
pub enum WantedAddress {
    /// By itself.
    Literal(Ipv4Addr),
    /// By the key of its reservation.
    Reserved(String),
}

impl Transaction<'_> {
    /// Makes a rule; it forwards when the operation is over.
    pub fn insert_forwarding_rule(&mut self, new: NewForwardingRule) -> Result<Operation, Refusal> {
        self.require_region(&new.region)?;
        check_name("resource.name", &new.name)?;
        check_labels("resource.labels", &new.labels)?;
        let key = format!("{}/{}", new.region, new.name);
        let path = self.settings.regional_object("forwardingRules", &key);
        if self.state.forwarding_rules.contains_key(&key) {
            return Err(Refusal::already_exists(&path));
        }
        check_kind(&new)?;
        let ports = new.ports.ok_or_else(|| {
            Refusal::bad_request(
                "Invalid value for field 'resource.ports': ''. Exactly one of ports, portRange and allPorts must be \
                 specified.",
            )
        })?;
        let backend_service = self.service_of_rule(&new.region, new.backend_service)?;
        let (address, reserved) = self.address_of_rule(new.address.as_ref(), &key)?;
        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        self.put(ForwardingRule {
            identity,
            region: new.region,
            address,
            reserved,
            ports,
            backend_service,
            labels: new.labels,
            active: false,
        });
        let subject = self
            .regional("forwardingRules.insert", path, id)
            .about(address.to_string());
        Ok(self.begin(subject, [(6.0, Effect::ForwardingBegins(key))]))
    }

    fn service_of_rule(&self, region: &str, given: Option<(Option<String>, String)>) -> Result<String, Refusal> {
        let field = "resource.backendService";
        let (place, name) = given.ok_or_else(|| Refusal::required(field))?;
        if place.as_deref() != Some(region) {
            let why = format!("The backend service must be a regional one of '{region}'.");
            return Err(Refusal::invalid(field, name, why));
        }
        let key = format!("{region}/{name}");
        let path = self.settings.regional_object("backendServices", &key);
        if !self.state.backend_services.contains_key(&key) {
            return Err(Refusal::not_found(&path));
        }
        self.require_existing(&path)?;
        Ok(key)
    }

    /// Finds the address and marks a reserved one as the rule's.
    fn address_of_rule(
        &mut self,
        wanted: Option<&WantedAddress>,
        rule: &str,
    ) -> Result<(Ipv4Addr, Option<String>), Refusal> {
        let field = "resource.IPAddress";
        let found = match wanted {
            None => return Ok((self.free_address(self.settings.block.external_range())?, None)),
            Some(WantedAddress::Reserved(key)) => {
                let path = self.settings.address_path(key);
                let address = self.state.addresses.get_key_value(key);
                Some(address.ok_or_else(|| Refusal::not_found(&path))?)
            }
            Some(WantedAddress::Literal(address)) => self
                .state
                .addresses
                .iter()
                .find(|(_, it)| it.address == *address && it.subnetwork.is_none()),
        };
        let Some((reserved, record)) = found else {
            let address = match wanted {
                Some(WantedAddress::Literal(address)) => address.to_string(),
                _ => String::new(),
            };
            let region = self.settings.region.name;
            let why = format!("The specified IP address is not a reserved one of the region '{region}'.");
            return Err(Refusal::invalid(field, address, why));
        };
        let (reserved, address) = (reserved.clone(), record.address);
        if record.subnetwork.is_some() {
            let why = "A forwarding rule of the load balancing scheme EXTERNAL needs an external address.";
            return Err(Refusal::invalid(field, address, why));
        }
        if let Some(holder) = &record.user {
            let why = format!(
                "Specified IP address is in-use and would result in a conflict: it is used by '{}'.",
                self.settings.holder_path(holder)
            );
            return Err(Refusal::invalid(field, address, why));
        }
        self.require_existing(&self.settings.address_path(&reserved))?;
        self.alter::<Address>(&reserved, |it| it.user = Some(Holder::rule(rule)));
        Ok((address, Some(reserved)))
    }

    /// Replaces the labels of a rule.
    pub fn set_forwarding_rule_labels(
        &mut self,
        region: &str,
        name: &str,
        labels: Labels,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        let (rule, path) = self.forwarding_rule(region, name)?;
        self.require_existing(&path)?;
        check_label_change(&rule.labels, &labels, expected)?;
        self.alter::<ForwardingRule>(&format!("{region}/{name}"), |it| it.labels = labels);
        let subject = self.regional("forwardingRules.setLabels", path, rule.identity.id);
        Ok(self.begin(subject, [(3.0, Effect::None)]))
    }

    /// Deletes a rule: its connections are cut and its address is free when the operation is over.
    pub fn delete_forwarding_rule(&mut self, region: &str, name: &str) -> Result<Operation, Refusal> {
        let (rule, path) = self.forwarding_rule(region, name)?;
        self.require_ready(&path)?;
        let subject = self
            .regional("forwardingRules.delete", path, rule.identity.id)
            .about(rule.address.to_string());
        Ok(self.begin(subject, [(6.0, Effect::ForwardingEnds(format!("{region}/{name}")))]))
    }

    fn forwarding_rule(&self, region: &str, name: &str) -> Result<(ForwardingRule, String), Refusal> {
        self.require_region(region)?;
        let key = format!("{region}/{name}");
        let path = self.settings.regional_object("forwardingRules", &key);
        match self.state.forwarding_rules.get(&key) {
            Some(rule) => Ok((rule.clone(), path)),
            None => Err(Refusal::not_found(&path)),
        }
    }

    pub(in crate::core) fn end_forwarding(&mut self, key: &str) {
        let reserved = self.state.forwarding_rules.get(key).and_then(|it| it.reserved.clone());
        self.remove::<ForwardingRule>(key);
        if let Some(reserved) = reserved {
            self.release_address(&reserved);
        }
    }
}

fn check_kind(new: &NewForwardingRule) -> Result<(), Refusal> {
    if let Some(scheme) = new.scheme.as_deref().filter(|it| *it != "EXTERNAL") {
        let why = "It must be that of the backend service; the sandbox simulates EXTERNAL.";
        return Err(Refusal::invalid("resource.loadBalancingScheme", scheme, why));
    }
    if let Some(protocol) = new.protocol.as_deref().filter(|it| *it != "TCP") {
        let why = "It must go with the backend service's protocol, TCP; the sandbox forwards TCP only.";
        return Err(Refusal::invalid("resource.IPProtocol", protocol, why));
    }
    if let Some(Ports::Listed(ports)) = &new.ports
        && !(1..=5).contains(&ports.len())
    {
        return Err(Refusal::invalid(
            "resource.ports",
            ports.len(),
            "Between one and five ports can be listed.",
        ));
    }
    Ok(())
}
