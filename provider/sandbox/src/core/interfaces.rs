//! Network interfaces of machines: which subnetwork, which addresses.

use super::addresses::usable;
use super::error::Refusal;
use super::instances::{DEFAULT_ACCESS_NAME, NewAccess, NewInstance};
use super::records::{AccessConfig, Address, Holder, Interface, Subnetwork};
use super::transaction::Transaction;
use std::net::Ipv4Addr;

impl Transaction<'_> {
    /// The interface of a new machine, whose addresses are its from now on.
    pub(super) fn make_interface(&mut self, new: &NewInstance, key: &str) -> Result<Interface, Refusal> {
        let field = "resource.networkInterfaces";
        match new.interfaces {
            1 => {}
            0 => {
                return Err(Refusal::invalid(
                    field,
                    "",
                    "At least one network interface is required.",
                ));
            }
            many => {
                return Err(Refusal::invalid(
                    field,
                    many,
                    "The sandbox simulates one network interface per machine.",
                ));
            }
        }
        let subnetwork = self.find_subnetwork(new)?;
        let subnetwork_key = format!("{}/{}", subnetwork.region, subnetwork.identity.name);
        self.require_existing(&self.settings.subnetwork_path(&subnetwork_key))?;
        let address = self.internal_address(new, &subnetwork, &subnetwork_key, key)?;
        let access = match &new.access {
            Some(wanted) => {
                let name = wanted.name.clone().unwrap_or_else(|| DEFAULT_ACCESS_NAME.to_owned());
                let (address, reserved) =
                    self.external_address(wanted, key, &format!("{field}[0].accessConfigs[0].natIP"))?;
                Some(AccessConfig {
                    name,
                    address: Some(address),
                    reserved,
                })
            }
            None => None,
        };
        Ok(Interface {
            network: subnetwork.network,
            subnetwork: subnetwork_key,
            address,
            access,
        })
    }

    fn find_subnetwork(&self, new: &NewInstance) -> Result<Subnetwork, Refusal> {
        let region = self.settings.region.name;
        let field = "resource.networkInterfaces[0]";
        let Some((given_region, name)) = &new.subnetwork else {
            let network = new
                .network
                .clone()
                .unwrap_or_else(|| super::networks::DEFAULT_NETWORK.to_owned());
            let path = self.settings.global_path("networks", &network);
            let found = self
                .state
                .networks
                .get(&network)
                .ok_or_else(|| Refusal::not_found(&path))?;
            if !found.auto_create_subnetworks {
                return Err(Refusal::invalid(
                    &format!("{field}.subnetwork"),
                    "",
                    "Network interface must specify a subnet if the network resource is in custom subnet mode.",
                ));
            }
            let subnetwork = self.state.subnetworks.values().find(|it| it.network == network);
            return subnetwork.cloned().ok_or_else(|| Refusal::not_found(&path));
        };
        if let Some(other) = given_region.as_deref().filter(|it| *it != region) {
            let written = format!("regions/{other}/subnetworks/{name}");
            return Err(Refusal::invalid(
                &format!("{field}.subnetwork"),
                written,
                format!("The subnetwork must be in the instance's region '{region}'."),
            ));
        }
        let path = self.settings.regional_path(region, "subnetworks", name);
        let subnetwork = self
            .state
            .subnetworks
            .get(&format!("{region}/{name}"))
            .ok_or_else(|| Refusal::not_found(&path))?;
        if let Some(network) = new.network.as_deref().filter(|it| *it != subnetwork.network) {
            return Err(Refusal::invalid(
                &format!("{field}.subnetwork"),
                path,
                format!("The specified subnetwork is not in the specified network '{network}'."),
            ));
        }
        Ok(subnetwork.clone())
    }

    fn internal_address(
        &mut self,
        new: &NewInstance,
        subnetwork: &Subnetwork,
        subnetwork_key: &str,
        key: &str,
    ) -> Result<Ipv4Addr, Refusal> {
        let Some(text) = &new.address else {
            return self.free_address(subnetwork.range);
        };
        let field = "resource.networkInterfaces[0].networkIP";
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| Refusal::invalid(field, text, "Must be a valid IPv4 address."))?;
        if !usable(subnetwork.range, address) {
            let why = format!(
                "IP address '{address}' is not a usable address of the subnetwork's range {}.",
                subnetwork.range
            );
            return Err(Refusal::invalid(field, text, why));
        }
        let reservation = self
            .state
            .addresses
            .iter()
            .find(|(_, it)| {
                it.address == address && it.subnetwork.as_deref() == Some(subnetwork_key) && it.user.is_none()
            })
            .map(|(reserved, _)| reserved.clone());
        if let Some(reserved) = reservation {
            self.alter::<Address>(&reserved, |it| it.user = Some(Holder::machine(key)));
            return Ok(address);
        }
        match self.holder_of(address) {
            Some(holder) => {
                let why = format!("IP '{address}' is already being used by another resource: '{holder}'.");
                Err(Refusal::invalid(field, text, why))
            }
            None => Ok(address),
        }
    }

    /// Finds the external address that is wanted and marks a reserved one as held by the machine `key`.
    pub(super) fn external_address(
        &mut self,
        wanted: &NewAccess,
        key: &str,
        field: &str,
    ) -> Result<(Ipv4Addr, Option<String>), Refusal> {
        let Some(text) = wanted.address.as_deref().filter(|it| !it.is_empty()) else {
            return Ok((self.free_address(self.settings.block.external_range())?, None));
        };
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| Refusal::invalid(field, text, "Must be a valid IPv4 address."))?;
        let found = self
            .state
            .addresses
            .iter()
            .find(|(_, it)| it.address == address && it.subnetwork.is_none());
        let Some((reserved, record)) = found else {
            let region = self.settings.region.name;
            let why = format!("The specified external IP address '{text}' was not found in region '{region}'.");
            return Err(Refusal::invalid(field, text, why));
        };
        if let Some(user) = &record.user {
            let why = format!(
                "External IP address: {text} is already in-use by '{}'.",
                self.settings.holder_path(user)
            );
            return Err(Refusal::invalid(field, text, why));
        }
        let reserved = reserved.clone();
        self.require_existing(&self.settings.address_path(&reserved))?;
        self.alter::<Address>(&reserved, |it| it.user = Some(Holder::machine(key)));
        Ok((address, Some(reserved)))
    }
}
