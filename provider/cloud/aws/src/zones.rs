//! What the region offers: zones and machine types.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{ArchitectureType, AvailabilityZoneState, InstanceType, InstanceTypeInfo, LocationType};
use multizone_cloud::{CloudError, MachineType, Result, Zone};

use crate::{
    Aws,
    failure::{About as _, present},
    making::Called,
    tags::filter,
};

impl Aws {
    /// The zones of the region that the account has: no local zones, no wavelength zones.
    pub(crate) async fn zones_on_offer(&self) -> Result<Vec<Zone>> {
        let object = format!("the zones of {}", self.settings().region);
        let client = &self.clients().ec2;
        let reply = self
            .call("ec2:DescribeAvailabilityZones", || {
                client.describe_availability_zones().send()
            })
            .await
            .about(&object)?;
        let ordinary = |kind: Option<&str>| kind.is_none_or(|kind| kind == "availability-zone");
        let zones = reply.availability_zones.unwrap_or_default().into_iter();
        let mut zones: Vec<Zone> = zones
            .filter(|zone| ordinary(zone.zone_type.as_deref()))
            .filter_map(|zone| {
                Some(Zone {
                    up: zone.state == Some(AvailabilityZoneState::Available),
                    name: zone.zone_name?,
                })
            })
            .collect();
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(zones)
    }

    /// A machine type as a zone offers it.
    pub(crate) async fn machine_type_in(&self, zone: &str, name: &str) -> Result<Option<MachineType>> {
        let object = format!("machine type {name} in {zone}");
        let offered = self.zones_that_offer(name).await.about(&object)?;
        if !offered.contains(zone) {
            // Which of the two is wrong?  The zone's absence is an error of its own.
            let zones = self.zones_on_offer().await?;
            return if zones.iter().any(|known| known.name == zone) {
                Ok(None)
            } else {
                Err(CloudError::NotFound {
                    object: format!("zone {zone}"),
                })
            };
        }
        let Some(found) = self.machine_type_facts(name).await.about(&object)? else {
            return Ok(None);
        };
        let cpus = found.v_cpu_info.and_then(|cpus| cpus.default_v_cpus);
        let memory = found.memory_info.and_then(|memory| memory.size_in_mib);
        Ok(Some(MachineType {
            name: name.to_owned(),
            cpus: cpus.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or_default(),
            memory_mib: memory.and_then(|memory| u64::try_from(memory).ok()).unwrap_or_default(),
        }))
    }

    /// The zones that offer a machine type.
    pub(crate) async fn zones_that_offer(&self, machine_type: &str) -> Called<BTreeSet<String>> {
        let client = &self.clients().ec2;
        let offers = self
            .pages(|token| async move {
                let reply = self
                    .call("ec2:DescribeInstanceTypeOfferings", || {
                        client
                            .describe_instance_type_offerings()
                            .location_type(LocationType::AvailabilityZone)
                            .filters(filter("instance-type", machine_type))
                            .set_next_token(token.clone())
                            .send()
                    })
                    .await?;
                Ok((reply.instance_type_offerings.unwrap_or_default(), reply.next_token))
            })
            .await?;
        let named = |offer: &InstanceType| offer.as_str() == machine_type;
        Ok(offers
            .into_iter()
            .filter(|offer| offer.instance_type.as_ref().is_some_and(named))
            .filter_map(|offer| offer.location)
            .collect())
    }

    async fn machine_type_facts(&self, name: &str) -> Called<Option<InstanceTypeInfo>> {
        let client = &self.clients().ec2;
        let wanted = InstanceType::from(name);
        let reply = self
            .call("ec2:DescribeInstanceTypes", || {
                client.describe_instance_types().instance_types(wanted.clone()).send()
            })
            .await;
        let reply = match reply {
            // What is no type at all is an invalid one.
            Err(failure) if failure.is(&["InvalidInstanceType", "InvalidParameterValue"]) => return Ok(None),
            reply => present(reply)?,
        };
        let mut types = reply
            .and_then(|reply| reply.instance_types)
            .unwrap_or_default()
            .into_iter();
        Ok(types.find(|found| found.instance_type.as_ref() == Some(&wanted)))
    }

    /// The architecture that a machine type has, as images name it.
    pub(crate) async fn architecture_of(&self, machine_type: &str) -> Called<&'static str> {
        let facts = self.machine_type_facts(machine_type).await?;
        let processor = facts.and_then(|facts| facts.processor_info);
        let architectures = processor.and_then(|processor| processor.supported_architectures);
        let arm = architectures
            .is_some_and(|found| found.contains(&ArchitectureType::Arm64) && !found.contains(&ArchitectureType::X8664));
        Ok(if arm { "arm64" } else { "amd64" })
    }
}
