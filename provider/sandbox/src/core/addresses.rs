//! Reserved addresses, and where addresses come from.

use super::error::Refusal;
use super::names::{check_labels, check_name, fingerprint};
use super::operations::{Effect, Operation};
use super::records::{Address, Labels};
use super::transaction::Transaction;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// An address to reserve.
#[derive(Debug, Clone, Default)]
pub struct NewAddress {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Region.
    pub region: String,
    /// A certain address; `None` takes a free one.
    pub address: Option<String>,
    /// Whether it is an address of a subnetwork.
    pub internal: bool,
    /// Key of the subnetwork of an internal address.
    pub subnetwork: Option<String>,
    /// Labels.
    pub labels: Labels,
}

impl Transaction<'_> {
    /// Reserves an address.
    pub fn insert_address(&mut self, new: NewAddress) -> Result<Operation, Refusal> {
        self.require_region(&new.region)?;
        check_name("resource.name", &new.name)?;
        check_labels("resource.labels", &new.labels)?;
        let path = self.settings.regional_path(&new.region, "addresses", &new.name);
        if self
            .state
            .addresses
            .contains_key(&format!("{}/{}", new.region, new.name))
        {
            return Err(Refusal::already_exists(&path));
        }
        let (range, subnetwork) = self.address_source(&new)?;
        let address = match &new.address {
            Some(text) => self.check_wanted_address(range, text)?,
            None => self.free_address(range)?,
        };
        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        self.put(Address {
            identity,
            region: new.region,
            address,
            subnetwork,
            labels: new.labels,
            user: None,
        });
        Ok(self.begin(self.regional("addresses.insert", path, id), [(4.0, Effect::None)]))
    }

    fn address_source(&self, new: &NewAddress) -> Result<(Ipv4Net, Option<String>), Refusal> {
        if !new.internal {
            if let Some(subnetwork) = &new.subnetwork {
                return Err(Refusal::invalid(
                    "resource.subnetwork",
                    subnetwork,
                    "An external address has no subnetwork",
                ));
            }
            return Ok((self.settings.block.external_range(), None));
        }
        let key = new
            .subnetwork
            .clone()
            .unwrap_or_else(|| format!("{}/{}", new.region, super::networks::DEFAULT_NETWORK));
        let path = self.settings.subnetwork_path(&key);
        let range = self
            .state
            .subnetworks
            .get(&key)
            .ok_or_else(|| Refusal::not_found(&path))?
            .range;
        self.require_existing(&path)?;
        Ok((range, Some(key)))
    }

    fn check_wanted_address(&self, range: Ipv4Net, text: &str) -> Result<Ipv4Addr, Refusal> {
        let field = "resource.address";
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| Refusal::invalid(field, text, "Must be a valid IPv4 address"))?;
        if !usable(range, address) {
            return Err(Refusal::invalid(
                field,
                text,
                format!("The address is not a usable address of {range}"),
            ));
        }
        if let Some(held_by) = self.holder_of(address) {
            // Compute Engine lets a machine's ephemeral address be promoted; the reservation then starts in use.
            return Err(Refusal::invalid(
                field,
                text,
                format!("Specified IP address is in-use by '{held_by}'"),
            ));
        }
        Ok(address)
    }

    /// Replaces the labels of a reserved address.
    pub fn set_address_labels(
        &mut self,
        region: &str,
        name: &str,
        labels: Labels,
        expected: Option<&str>,
    ) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        let key = format!("{region}/{name}");
        let path = self.settings.address_path(&key);
        let address = self
            .state
            .addresses
            .get(&key)
            .ok_or_else(|| Refusal::not_found(&path))?;
        let id = address.identity.id;
        self.require_existing(&path)?;
        check_label_change(&address.labels, &labels, expected)?;
        self.alter::<Address>(&key, |it| it.labels = labels);
        Ok(self.begin(self.regional("addresses.setLabels", path, id), [(3.0, Effect::None)]))
    }

    /// Releases an address that nobody holds.
    pub fn delete_address(&mut self, region: &str, name: &str) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        let key = format!("{region}/{name}");
        let path = self.settings.address_path(&key);
        let address = self
            .state
            .addresses
            .get(&key)
            .ok_or_else(|| Refusal::not_found(&path))?;
        let id = address.identity.id;
        self.require_ready(&path)?;
        if let Some(user) = &address.user {
            return Err(Refusal::in_use("address", &path, &self.settings.holder_path(user)));
        }
        Ok(self.begin(
            self.regional("addresses.delete", path, id),
            [(4.0, Effect::AddressGone(key))],
        ))
    }

    /// Path of whoever has `address` now.
    pub(super) fn holder_of(&self, address: Ipv4Addr) -> Option<String> {
        if let Some((key, _)) = self.state.addresses.iter().find(|(_, it)| it.address == address) {
            return Some(self.settings.address_path(key));
        }
        let holds = |it: &super::records::Instance| {
            it.interface.address == address
                || it
                    .interface
                    .access
                    .as_ref()
                    .is_some_and(|access| access.address == Some(address))
        };
        if let Some((key, _)) = self.state.instances.iter().find(|(_, it)| holds(it)) {
            return Some(self.settings.instance_path(key));
        }
        let (key, _) = self
            .state
            .forwarding_rules
            .iter()
            .find(|(_, it)| it.address == address)?;
        Some(self.settings.regional_object("forwardingRules", key))
    }

    /// A free address of the range.  Addresses are unique in the whole region, whatever the network: the machines
    /// share one loopback device.
    pub(super) fn free_address(&self, range: Ipv4Net) -> Result<Ipv4Addr, Refusal> {
        let reserved = self.state.addresses.values().map(|it| it.address);
        let machines = self.state.instances.values().flat_map(|it| {
            let external = it.interface.access.as_ref().and_then(|access| access.address);
            std::iter::once(it.interface.address).chain(external)
        });
        let promised = self
            .state
            .due
            .iter()
            .filter_map(|(_, name)| self.state.operations.get(name))
            .flat_map(|it| {
                it.steps.iter().filter_map(|step| match &step.effect {
                    Effect::AccessGranted { address, .. } => Some(*address),
                    _ => None,
                })
            });
        let rules = self.state.forwarding_rules.values().map(|it| it.address);
        let taken: std::collections::BTreeSet<Ipv4Addr> =
            reserved.chain(machines).chain(promised).chain(rules).collect();
        range
            .hosts()
            .find(|address| usable(range, *address) && !taken.contains(address))
            .ok_or_else(|| Refusal {
                status: 400,
                reason: "ipSpaceExhausted",
                message: format!("IP space of '{range}' is exhausted."),
            })
    }
}

/// Compute Engine keeps the first two and the last two addresses of a range for itself.
pub(super) fn usable(range: Ipv4Net, address: Ipv4Addr) -> bool {
    let (first, last) = (u32::from(range.network()), u32::from(range.broadcast()));
    (first + 2..=last.saturating_sub(2)).contains(&u32::from(address))
}

/// Refuses labels that are wrong, or that were changed since the caller read `expected`.
pub(super) fn check_label_change(current: &Labels, new: &Labels, expected: Option<&str>) -> Result<(), Refusal> {
    check_labels("labels", new)?;
    match expected {
        Some(expected) if expected == fingerprint(current) => Ok(()),
        // A label set without fingerprint is accepted only for an object that has no labels yet.
        None if current.is_empty() => Ok(()),
        _ => Err(Refusal::condition_not_met(
            "Labels fingerprint either invalid or resource labels have changed".to_owned(),
        )),
    }
}
