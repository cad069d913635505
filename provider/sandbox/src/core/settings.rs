//! What a region is and stays: name, project, block of addresses, speed.

use super::catalogue::{self, Region};
use super::error::Refusal;
use super::records::Holder;
use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};
use std::net::Ipv4Addr;

/// The loopback addresses a region has to itself: `127.N.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    number: u8,
}

impl Block {
    /// Block `127.number.0.0/16`; 0 is the host's own.
    pub fn new(number: u8) -> Option<Self> {
        (1..=254).contains(&number).then_some(Self { number })
    }

    /// N of `127.N.0.0/16`.
    pub fn number(self) -> u8 {
        self.number
    }

    /// The whole block.
    pub fn range(self) -> Ipv4Net {
        self.net(0, 16)
    }

    /// Where the API listens.
    pub fn api_address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.number, 0, 1)
    }

    /// Where the claim to the block is held.
    pub fn claim_address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.number, 0, 2)
    }

    /// The part the region uses itself.
    pub fn own_range(self) -> Ipv4Net {
        self.net(0, 20)
    }

    /// The subnetwork of the default network.
    pub fn default_subnet(self) -> Ipv4Net {
        self.net(16, 20)
    }

    /// Where external addresses come from.
    pub fn external_range(self) -> Ipv4Net {
        self.net(240, 20)
    }

    /// The part that is free for the subnetworks of clusters.
    pub fn cluster_range(self) -> Ipv4Net {
        self.net(64, 18)
    }

    fn net(self, third: u8, prefix: u8) -> Ipv4Net {
        Ipv4Net::new_assert(Ipv4Addr::new(127, self.number, third, 0), prefix)
    }
}

/// What a region is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The region.
    pub region: &'static Region,
    /// Project ID.
    pub project: String,
    /// Project number.
    pub project_number: u64,
    /// Its block of addresses.
    pub block: Block,
    /// How many times faster than a real region it is.
    pub speed: f64,
}

impl Settings {
    /// Refuses a zone that is not of this region.
    pub fn require_zone(&self, zone: &str) -> Result<(), Refusal> {
        if self.region.zones.contains(&zone) {
            return Ok(());
        }
        let why = match catalogue::region_of_zone(zone) {
            Some(other) => format!(
                "This sandbox is region {}; the zone is in {}.",
                self.region.name, other.name
            ),
            None => format!("Unknown zone. This sandbox has {}.", self.region.zones.join(", ")),
        };
        Err(Refusal::invalid("zone", zone, why))
    }

    /// Refuses a region that is not this one.
    pub fn require_region(&self, region: &str) -> Result<(), Refusal> {
        if self.region.name == region {
            return Ok(());
        }
        let why = match catalogue::region(region) {
            Some(_) => format!("This sandbox is region {}.", self.region.name),
            None => "Unknown region.".to_owned(),
        };
        Err(Refusal::invalid("region", region, why))
    }

    /// The default service account of the project.
    pub fn default_service_account(&self) -> String {
        format!("{}-compute@developer.gserviceaccount.com", self.project_number)
    }

    /// The moment that is `real_seconds` of a real region after `now`.
    pub fn after(&self, now: Timestamp, real_seconds: f64) -> Timestamp {
        let seconds = (real_seconds / self.speed).clamp(0.0, 1.0e9);
        now.checked_add(SignedDuration::from_secs_f64(seconds)).unwrap_or(now)
    }

    /// `projects/P`.
    pub fn project_path(&self) -> String {
        format!("projects/{}", self.project)
    }

    /// `projects/P/global/COLLECTION/NAME`.
    pub fn global_path(&self, collection: &str, name: &str) -> String {
        format!("projects/{}/global/{collection}/{name}", self.project)
    }

    /// `projects/P/regions/R/COLLECTION/NAME`.
    pub fn regional_path(&self, region: &str, collection: &str, name: &str) -> String {
        format!("projects/{}/regions/{region}/{collection}/{name}", self.project)
    }

    /// `projects/P/zones/Z/COLLECTION/NAME`.
    pub fn zonal_path(&self, zone: &str, collection: &str, name: &str) -> String {
        format!("projects/{}/zones/{zone}/{collection}/{name}", self.project)
    }

    /// Path of the machine with this key.
    pub fn instance_path(&self, key: &str) -> String {
        let (zone, name) = split(key);
        self.zonal_path(zone, "instances", name)
    }

    /// Path of the disk with this key.
    pub fn disk_path(&self, key: &str) -> String {
        let (zone, name) = split(key);
        self.zonal_path(zone, "disks", name)
    }

    /// Path of the object of a regional collection with this key.
    pub fn regional_object(&self, collection: &str, key: &str) -> String {
        let (region, name) = split(key);
        self.regional_path(region, collection, name)
    }

    /// Path of the object of a zonal collection with this key.
    pub fn zonal_object(&self, collection: &str, key: &str) -> String {
        let (zone, name) = split(key);
        self.zonal_path(zone, collection, name)
    }

    /// Path of who holds an address.
    pub fn holder_path(&self, holder: &Holder) -> String {
        match holder {
            Holder::Machine(key) => self.instance_path(key),
            Holder::Rule { forwarding_rule } => self.regional_object("forwardingRules", forwarding_rule),
        }
    }

    /// Path of the subnetwork with this key.
    pub fn subnetwork_path(&self, key: &str) -> String {
        let (region, name) = split(key);
        self.regional_path(region, "subnetworks", name)
    }

    /// Path of the address with this key.
    pub fn address_path(&self, key: &str) -> String {
        let (region, name) = split(key);
        self.regional_path(region, "addresses", name)
    }
}

/// Splits `PLACE/NAME`.
pub fn split(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}
