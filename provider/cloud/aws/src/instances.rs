//! How a machine is read from EC2.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Instance, InstanceStateName, Volume};
use aws_smithy_types::date_time::Format;
use multizone_cloud::{Machine, MachineState};

use crate::{
    Aws,
    making::Called,
    tags::{NAME, Tags, filter, of_ec2, of_name},
};

/// How many are asked for at once.
const PAGE: i32 = 1000;

/// States of an instance that is there: EC2 shows those that are gone for an hour.
pub(crate) const ALIVE: &[&str] = &["pending", "running", "stopping", "stopped", "shutting-down"];

/// What selects instances in these states.
pub(crate) fn alive(states: &[&str]) -> Filter {
    states
        .iter()
        .fold(Filter::builder().name("instance-state-name"), |filter, state| {
            filter.values(*state)
        })
        .build()
}

impl Aws {
    /// Instances that pass the filters, in pages.
    pub(crate) async fn instances(&self, filters: &[Filter]) -> Called<Vec<Instance>> {
        let client = &self.clients().ec2;
        self.pages(|token| async move {
            let reply = self
                .call("ec2:DescribeInstances", || {
                    client
                        .describe_instances()
                        .set_filters(Some(filters.to_vec()))
                        .max_results(PAGE)
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            let reservations = reply.reservations.unwrap_or_default().into_iter();
            let instances = reservations.flat_map(|reservation| reservation.instances.unwrap_or_default());
            Ok((instances.collect(), reply.next_token))
        })
        .await
    }

    /// The instance that is the machine of that zone and name, whoever's it is.  Of several, which only a request whose
    /// token was ignored can have made, the oldest.
    pub(crate) async fn instance(&self, zone: &str, name: &str) -> Called<Option<Instance>> {
        let filters = [of_name(name), filter("availability-zone", zone), alive(ALIVE)];
        let mut found = self.instances(&filters).await?;
        found.retain(|instance| named(instance) == name && zone_of(instance) == zone);
        found.sort_by_key(|instance| (made(instance), instance.instance_id.clone()));
        Ok(found.into_iter().next())
    }

    /// What the cloud says of a machine.  `volumes` are the names of volumes, by their IDs.
    pub(crate) fn machine_facts(&self, instance: &Instance, volumes: &BTreeMap<String, String>) -> Machine {
        let root = instance.root_device_name();
        let attached = instance.block_device_mappings().iter();
        let mut disks: Vec<String> = attached
            .filter(|mapping| mapping.device_name() != root)
            .filter_map(|mapping| mapping.ebs()?.volume_id())
            .map(|id| volumes.get(id).cloned().unwrap_or_else(|| id.to_owned()))
            .collect();
        disks.sort();
        Machine {
            id: instance.instance_id.clone().unwrap_or_default(),
            name: named(instance),
            zone: zone_of(instance).to_owned(),
            state: state(instance),
            machine_type: instance
                .instance_type
                .as_ref()
                .map(|kind| kind.as_str().to_owned())
                .unwrap_or_default(),
            address: instance.private_ip_address().and_then(|address| address.parse().ok()),
            external_address: instance.public_ip_address().and_then(|address| address.parse().ok()),
            disks,
            labels: self.labels(&of_ec2(instance.tags())),
            created: made(instance).unwrap_or_default(),
        }
    }
}

/// The names of volumes by their IDs.
pub(crate) fn volume_names(volumes: &[Volume]) -> BTreeMap<String, String> {
    volumes
        .iter()
        .filter_map(|volume| {
            let name = of_ec2(volume.tags()).remove(NAME)?;
            Some((volume.volume_id.clone()?, name))
        })
        .collect()
}

pub(crate) fn tags(instance: &Instance) -> Tags {
    of_ec2(instance.tags())
}

fn named(instance: &Instance) -> String {
    tags(instance).remove(NAME).unwrap_or_default()
}

pub(crate) fn zone_of(instance: &Instance) -> &str {
    instance
        .placement()
        .and_then(|placement| placement.availability_zone())
        .unwrap_or_default()
}

/// When it was made: its boot volume was attached then, while its launch is that of its last start.
fn made(instance: &Instance) -> Option<String> {
    let root = instance.root_device_name();
    let mut attached = instance.block_device_mappings().iter();
    let boot = attached.find(|mapping| mapping.device_name() == root);
    let when = boot
        .and_then(|mapping| mapping.ebs()?.attach_time())
        .or(instance.launch_time())?;
    when.fmt(Format::DateTime).ok()
}

/// What a machine is doing.
pub(crate) fn state(instance: &Instance) -> MachineState {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running) => MachineState::Running,
        Some(InstanceStateName::Stopping | InstanceStateName::ShuttingDown) => MachineState::Stopping,
        Some(InstanceStateName::Stopped | InstanceStateName::Terminated) => MachineState::Halted,
        _ => MachineState::Starting,
    }
}

/// Whether it is on its way out for good.
pub(crate) fn is_leaving(instance: &Instance) -> bool {
    matches!(
        instance.state().and_then(|state| state.name()),
        Some(InstanceStateName::ShuttingDown | InstanceStateName::Terminated)
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{EbsInstanceBlockDevice, InstanceBlockDeviceMapping, InstanceState, Tag};
    use aws_smithy_types::DateTime;

    use super::*;
    use crate::Settings;

    fn mapping(device: &str, volume: &str, attached: i64) -> InstanceBlockDeviceMapping {
        InstanceBlockDeviceMapping::builder()
            .device_name(device)
            .ebs(
                EbsInstanceBlockDevice::builder()
                    .volume_id(volume)
                    .attach_time(DateTime::from_secs(attached))
                    .build(),
            )
            .build()
    }

    #[tokio::test]
    async fn facts_leave_the_boot_volume_out_and_tell_when_it_was_made() {
        let instance = Instance::builder()
            .instance_id("i-1")
            .root_device_name("/dev/sda1")
            .block_device_mappings(mapping("/dev/sda1", "vol-1", 0))
            .block_device_mappings(mapping("/dev/sdf", "vol-2", 9))
            .block_device_mappings(mapping("/dev/sdg", "vol-3", 9))
            .launch_time(DateTime::from_secs(100))
            .private_ip_address("10.0.0.4")
            .state(InstanceState::builder().name(InstanceStateName::Stopped).build())
            .tags(Tag::builder().key(NAME).value("m").build())
            .tags(Tag::builder().key("Name").value("renamed").build())
            .tags(Tag::builder().key("team").value("web").build())
            .build();
        let aws = Aws::connect(Settings::new("us-west-2")).await;
        let volumes = BTreeMap::from([("vol-2".to_owned(), "data".to_owned())]);
        let machine = aws.machine_facts(&instance, &volumes);
        assert_eq!((machine.id.as_str(), machine.name.as_str()), ("i-1", "m"));
        assert_eq!(machine.disks, ["data", "vol-3"]);
        assert_eq!(machine.created, "1970-01-01T00:00:00Z");
        assert_eq!(machine.state, MachineState::Halted);
        assert_eq!(machine.labels, [("team".to_owned(), "web".to_owned())].into());
    }
}
