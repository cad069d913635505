//! Networks and subnetworks.

use super::error::Refusal;
use super::names::check_name;
use super::operations::{Effect, Operation};
use super::records::{Allowed, Firewall, Network, Subnetwork};
use super::transaction::Transaction;
use ipnet::Ipv4Net;
use std::collections::BTreeSet;

/// Name of the network that every project begins with.
pub const DEFAULT_NETWORK: &str = "default";

/// A network to make.
#[derive(Debug, Clone, Default)]
pub struct NewNetwork {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether a subnetwork comes with it; `None` is the long obsolete network without subnetworks.
    pub auto_create_subnetworks: Option<bool>,
    /// `REGIONAL` or `GLOBAL`.
    pub routing_mode: Option<String>,
    /// Largest packet.
    pub mtu: Option<u32>,
}

/// A subnetwork to make.
#[derive(Debug, Clone, Default)]
pub struct NewSubnetwork {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Region.
    pub region: String,
    /// Network.
    pub network: String,
    /// Range, as written.
    pub range: String,
    /// Private access to Google's services.
    pub private_google_access: bool,
}

impl Transaction<'_> {
    /// Makes the network that every project begins with, with its subnetwork and rules.
    pub(super) fn make_default_network(&mut self) {
        let identity = self.new_identity(DEFAULT_NETWORK, "Default network for the project");
        self.put(Network {
            identity,
            auto_create_subnetworks: true,
            routing_mode: "REGIONAL".to_owned(),
            mtu: 1460,
        });
        let identity = self.new_identity(DEFAULT_NETWORK, "");
        self.put(Subnetwork {
            identity,
            region: self.settings.region.name.to_owned(),
            network: DEFAULT_NETWORK.to_owned(),
            range: self.settings.block.default_subnet(),
            private_google_access: false,
        });
        let inside = vec![self.settings.block.default_subnet()];
        let anywhere = vec![Ipv4Net::default()];
        let rule = |protocol: &str, ports: &[&str]| Allowed {
            protocol: protocol.to_owned(),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        };
        let rules = [
            ("default-allow-icmp", vec![rule("icmp", &[])], anywhere.clone()),
            (
                "default-allow-internal",
                vec![rule("tcp", &["0-65535"]), rule("udp", &["0-65535"]), rule("icmp", &[])],
                inside,
            ),
            ("default-allow-ssh", vec![rule("tcp", &["22"])], anywhere),
        ];
        for (name, allowed, source_ranges) in rules {
            let identity = self.new_identity(name, "");
            self.put(Firewall {
                identity,
                network: DEFAULT_NETWORK.to_owned(),
                priority: 65534,
                allowed,
                source_ranges,
                source_tags: BTreeSet::new(),
                target_tags: BTreeSet::new(),
                disabled: false,
            });
        }
    }

    /// Makes a network.
    pub fn insert_network(&mut self, new: NewNetwork) -> Result<Operation, Refusal> {
        check_name("resource.name", &new.name)?;
        let path = self.settings.global_path("networks", &new.name);
        if self.state.networks.contains_key(&new.name) {
            return Err(Refusal::already_exists(&path));
        }
        let routing_mode = new.routing_mode.unwrap_or_else(|| "REGIONAL".to_owned());
        if !["REGIONAL", "GLOBAL"].contains(&routing_mode.as_str()) {
            return Err(Refusal::invalid(
                "resource.routingConfig.routingMode",
                routing_mode,
                "REGIONAL or GLOBAL",
            ));
        }
        let mtu = new.mtu.unwrap_or(1460);
        if !(1300..=8896).contains(&mtu) {
            return Err(Refusal::invalid("resource.mtu", mtu, "Must be between 1300 and 8896"));
        }
        match new.auto_create_subnetworks {
            Some(false) => {}
            Some(true) => {
                return Err(Refusal::invalid(
                    "resource.autoCreateSubnetworks",
                    true,
                    "The sandbox has addresses for the default network's automatic subnetwork only: make a custom network",
                ));
            }
            None => {
                return Err(Refusal::invalid(
                    "resource.IPv4Range",
                    "",
                    "Networks without subnetworks can no longer be made: set autoCreateSubnetworks",
                ));
            }
        }
        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        self.put(Network {
            identity,
            auto_create_subnetworks: false,
            routing_mode,
            mtu,
        });
        Ok(self.begin(Self::global("networks.insert", path, id), [(12.0, Effect::None)]))
    }

    /// Deletes a network that nothing uses.
    pub fn delete_network(&mut self, name: &str) -> Result<Operation, Refusal> {
        let path = self.settings.global_path("networks", name);
        let network = self.state.networks.get(name).ok_or_else(|| Refusal::not_found(&path))?;
        let id = network.identity.id;
        self.require_ready(&path)?;
        if let Some((key, _)) = self.state.subnetworks.iter().find(|(_, it)| it.network == name) {
            return Err(Refusal::in_use("network", &path, &self.settings.subnetwork_path(key)));
        }
        if let Some((key, _)) = self.state.firewalls.iter().find(|(_, it)| it.network == name) {
            return Err(Refusal::in_use(
                "network",
                &path,
                &self.settings.global_path("firewalls", key),
            ));
        }
        let group = self
            .state
            .instance_groups
            .iter()
            .find(|(_, it)| it.network.as_deref() == Some(name));
        if let Some((key, _)) = group {
            let user = self.settings.zonal_object("instanceGroups", key);
            return Err(Refusal::in_use("network", &path, &user));
        }
        Ok(self.begin(
            Self::global("networks.delete", path, id),
            [(15.0, Effect::NetworkGone(name.to_owned()))],
        ))
    }

    /// Makes a subnetwork.
    pub fn insert_subnetwork(&mut self, new: NewSubnetwork) -> Result<Operation, Refusal> {
        self.require_region(&new.region)?;
        check_name("resource.name", &new.name)?;
        let path = self.settings.regional_path(&new.region, "subnetworks", &new.name);
        if self
            .state
            .subnetworks
            .contains_key(&format!("{}/{}", new.region, new.name))
        {
            return Err(Refusal::already_exists(&path));
        }
        let network_path = self.settings.global_path("networks", &new.network);
        if !self.state.networks.contains_key(&new.network) {
            return Err(Refusal::not_found(&network_path));
        }
        self.require_existing(&network_path)?;
        let range = self.check_range(&new)?;
        let identity = self.new_identity(&new.name, &new.description);
        let id = identity.id;
        self.put(Subnetwork {
            identity,
            region: new.region,
            network: new.network,
            range,
            private_google_access: new.private_google_access,
        });
        Ok(self.begin(self.regional("subnetworks.insert", path, id), [(12.0, Effect::None)]))
    }

    fn check_range(&self, new: &NewSubnetwork) -> Result<Ipv4Net, Refusal> {
        let field = "resource.ipCidrRange";
        let refuse = |why: String| Refusal::invalid(field, &new.range, why);
        if new.range.is_empty() {
            return Err(Refusal::required(field));
        }
        let range: Ipv4Net = new
            .range
            .parse()
            .map_err(|_| refuse("Must be a CIDR address range, such as 10.0.0.0/16.".to_owned()))?;
        if range.trunc() != range {
            return Err(refuse(format!(
                "Must be the first address of a range: {}.",
                range.trunc()
            )));
        }
        if range.prefix_len() > 29 {
            return Err(refuse("The range is too small: at most /29.".to_owned()));
        }
        let block = self.settings.block;
        if !block.range().contains(&range) {
            return Err(refuse(format!(
                "The sandbox's machines have loopback addresses: the range must lie within {}, outside of {} and {}.",
                block.range(),
                block.own_range(),
                block.external_range(),
            )));
        }
        for (reserved, what) in [
            (block.own_range(), "the sandbox itself"),
            (block.external_range(), "external addresses"),
        ] {
            if overlap(reserved, range) {
                return Err(refuse(format!(
                    "The range overlaps {reserved}, which is reserved for {what}."
                )));
            }
        }
        if let Some((key, other)) = self
            .state
            .subnetworks
            .iter()
            .find(|(_, it)| it.network == new.network && overlap(it.range, range))
        {
            return Err(Refusal::invalid(
                field,
                &new.range,
                format!(
                    "Invalid IPCidrRange: {range} conflicts with existing subnetwork '{}' in region '{}' ({}).",
                    super::settings::split(key).1,
                    other.region,
                    other.range
                ),
            ));
        }
        Ok(range)
    }

    /// Sets whether machines without external address reach Google's services.
    pub fn patch_subnetwork(&mut self, region: &str, name: &str, access: Option<bool>) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        let (path, id) = self.subnetwork(region, name)?;
        self.require_ready(&path)?;
        if let Some(access) = access {
            self.alter::<Subnetwork>(&format!("{region}/{name}"), |it| it.private_google_access = access);
        }
        Ok(self.begin(self.regional("subnetworks.patch", path, id), [(5.0, Effect::None)]))
    }

    /// Deletes a subnetwork that no machine and no address uses.
    pub fn delete_subnetwork(&mut self, region: &str, name: &str) -> Result<Operation, Refusal> {
        self.require_region(region)?;
        let key = format!("{region}/{name}");
        let (path, id) = self.subnetwork(region, name)?;
        self.require_ready(&path)?;
        let user = self
            .state
            .instances
            .iter()
            .find(|(_, it)| it.interface.subnetwork == key);
        if let Some((instance, _)) = user {
            return Err(Refusal::in_use(
                "subnetwork",
                &path,
                &self.settings.instance_path(instance),
            ));
        }
        let user = self
            .state
            .addresses
            .iter()
            .find(|(_, it)| it.subnetwork.as_deref() == Some(&key));
        if let Some((address, _)) = user {
            return Err(Refusal::in_use(
                "subnetwork",
                &path,
                &self.settings.address_path(address),
            ));
        }
        let network = self.state.subnetworks.get(&key).map(|it| it.network.as_str());
        if network
            .and_then(|it| self.state.networks.get(it))
            .is_some_and(|it| it.auto_create_subnetworks)
        {
            return Err(Refusal::bad_request(format!(
                "Invalid resource usage: 'Cannot delete auto subnetwork: {path}'"
            )));
        }
        Ok(self.begin(
            self.regional("subnetworks.delete", path, id),
            [(15.0, Effect::SubnetworkGone(key))],
        ))
    }

    fn subnetwork(&self, region: &str, name: &str) -> Result<(String, u64), Refusal> {
        let path = self.settings.regional_path(region, "subnetworks", name);
        match self.state.subnetworks.get(&format!("{region}/{name}")) {
            Some(subnetwork) => Ok((path, subnetwork.identity.id)),
            None => Err(Refusal::not_found(&path)),
        }
    }
}

/// Whether two ranges share an address.
pub fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}
