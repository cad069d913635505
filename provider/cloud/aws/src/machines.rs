//! Machines.

mod launch;

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    EbsInstanceBlockDevice, EbsInstanceBlockDeviceSpecification, Instance, InstanceBlockDeviceMappingSpecification,
    InstanceType,
};
use multizone_cloud::{
    AddressHolder, CloudError, ClusterName, Labels, Machine, MachineSpec, MachineState, Result, Role, label, relabelled,
};

use crate::{
    Aws,
    failure::{About as _, Failure, unless_absent},
    instances::{is_leaving, state, tags, volume_names},
    making::Called,
    tags::{filter, is_of, to_ec2},
};

impl Aws {
    pub(crate) async fn ensure_machine_runs(&self, spec: &MachineSpec) -> Result<Machine> {
        let object = machine_object(&spec.zone, &spec.name);
        let found = self.instance(&spec.zone, &spec.name).await.about(&object)?;
        let instance = match found {
            Some(leaving) if is_leaving(&leaving) => {
                self.await_gone(&spec.zone, &spec.name).await.about(&object)?;
                self.launch(spec, &object).await?
            }
            Some(instance) => instance,
            None => self.launch(spec, &object).await?,
        };
        check(&instance, spec, &object)?;
        let machine = self.run(instance, &object).await?;
        if let Some(address) = &spec.address {
            let holder = AddressHolder::Machine {
                zone: spec.zone.clone(),
                name: spec.name.clone(),
            };
            self.attach_to(&spec.cluster, address, &holder).await?;
        }
        Ok(machine)
    }

    /// Starts a machine if it is halted, and waits until it runs.
    pub(crate) async fn run_existing(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<Machine> {
        let object = machine_object(zone, name);
        match self.owned(cluster, zone, name).await? {
            Some(instance) => self.run(instance, &object).await,
            None => Err(CloudError::NotFound { object }),
        }
    }

    /// Waits until a machine runs, and starts it if it is halted.
    async fn run(&self, instance: Instance, object: &str) -> Result<Machine> {
        let id = instance.instance_id().unwrap_or_default().to_owned();
        let running = self
            .poll("it to run", || async {
                let Some(instance) = self.instance_by_id(&id).await? else {
                    return Ok(None);
                };
                if is_leaving(&instance) {
                    let why = instance
                        .state_reason()
                        .and_then(|reason| reason.message())
                        .unwrap_or("no reason given");
                    return Err(Failure::failed(
                        "terminated",
                        format!("instance {id} was terminated while it was started: {why}"),
                    ));
                }
                Ok(match state(&instance) {
                    MachineState::Running => Some(instance),
                    MachineState::Halted => {
                        self.start(&id).await?;
                        self.instance_by_id(&id)
                            .await?
                            .filter(|instance| state(instance) == MachineState::Running)
                    }
                    MachineState::Starting | MachineState::Stopping => None,
                })
            })
            .await
            .about(object)?;
        let volumes = self.volumes_attached_to(&id).await.about(object)?;
        Ok(self.machine_facts(&running, &volumes))
    }

    async fn start(&self, id: &str) -> Called<()> {
        let client = &self.clients().ec2;
        let started = self
            .call("ec2:StartInstances", || {
                client.start_instances().instance_ids(id).send()
            })
            .await;
        match started {
            // It is on its way down, or up: the next look tells.
            Err(failure) if failure.is(&["IncorrectInstanceState"]) => Ok(()),
            started => started.map(drop),
        }
    }

    /// Stops a machine of the cluster.
    pub(crate) async fn stop_instance(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = machine_object(zone, name);
        let Some(instance) = self.owned(cluster, zone, name).await? else {
            return Ok(());
        };
        let client = &self.clients().ec2;
        let id = instance.instance_id().unwrap_or_default();
        if state(&instance) != MachineState::Halted && !is_leaving(&instance) {
            let stopped = self
                .call("ec2:StopInstances", || client.stop_instances().instance_ids(id).send())
                .await;
            stopped.map(drop).or_else(unless_absent).about(&object)?;
        }
        self.poll("it to be halted", || async {
            let found = self.instance_by_id(id).await?;
            Ok(found
                .is_none_or(|found| state(&found) == MachineState::Halted)
                .then_some(()))
        })
        .await
        .about(&object)
    }

    /// Deletes a machine of the cluster, and waits until it is gone.  Its boot volume goes with it and
    /// its other volumes stay.
    pub(crate) async fn delete_instance(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = machine_object(zone, name);
        loop {
            let Some(instance) = self.owned(cluster, zone, name).await? else {
                return Ok(());
            };
            let id = instance.instance_id().unwrap_or_default();
            if !is_leaving(&instance) {
                self.keep_volumes(&instance).await.about(&object)?;
                if tags(&instance).get(label::ROLE).map(String::as_str) == Some(Role::Master.as_str()) {
                    self.forget_target(cluster, id).await.about(&object)?;
                }
                let client = &self.clients().ec2;
                let terminated = self
                    .call("ec2:TerminateInstances", || {
                        client.terminate_instances().instance_ids(id).send()
                    })
                    .await;
                terminated.map(drop).or_else(unless_absent).about(&object)?;
            }
            self.poll("it to be gone", || async {
                let found = self.instance_by_id(id).await?;
                let gone = found.is_none_or(|found| is_leaving(&found) && state(&found) == MachineState::Halted);
                Ok(gone.then_some(()))
            })
            .await
            .about(&object)?;
        }
    }

    /// Volumes that somebody has set to go with the machine stay: only its boot volume is its own.
    async fn keep_volumes(&self, instance: &Instance) -> Called<()> {
        let root = instance.root_device_name();
        let mut mappings = Vec::new();
        for mapping in instance.block_device_mappings() {
            let goes = mapping.ebs().and_then(EbsInstanceBlockDevice::delete_on_termination);
            if mapping.device_name() != root && goes == Some(true) {
                mappings.push(
                    InstanceBlockDeviceMappingSpecification::builder()
                        .set_device_name(mapping.device_name.clone())
                        .ebs(
                            EbsInstanceBlockDeviceSpecification::builder()
                                .delete_on_termination(false)
                                .build(),
                        )
                        .build(),
                );
            }
        }
        if mappings.is_empty() {
            return Ok(());
        }
        let client = &self.clients().ec2;
        self.call("ec2:ModifyInstanceAttribute", || {
            client
                .modify_instance_attribute()
                .instance_id(instance.instance_id().unwrap_or_default())
                .set_block_device_mappings(Some(mappings.clone()))
                .send()
        })
        .await
        .map(drop)
    }

    async fn await_gone(&self, zone: &str, name: &str) -> Called<()> {
        self.poll("an earlier one of that name to be gone", || async {
            Ok(self
                .instance(zone, name)
                .await?
                .is_none_or(|found| !is_leaving(&found))
                .then_some(()))
        })
        .await
    }

    pub(crate) async fn find_machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        let object = machine_object(zone, name);
        let Some(instance) = self.instance(zone, name).await.about(&object)? else {
            return Ok(None);
        };
        let id = instance.instance_id().unwrap_or_default();
        let volumes = self.volumes_attached_to(id).await.about(&object)?;
        Ok(Some(self.machine_facts(&instance, &volumes)))
    }

    /// Replaces the labels; the label that names the owner stays in any case.
    pub(crate) async fn label_instance(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        labels: &Labels,
    ) -> Result<()> {
        let object = machine_object(zone, name);
        let found = self.instance(zone, name).await.about(&object)?;
        let instance = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
        let now = tags(&instance);
        let wanted = relabelled(now.get(label::CLUSTER), cluster, labels)
            .ok_or(CloudError::NotOurs { object: object.clone() })?;
        let (set, gone) = self.relabel(&now, &wanted);
        self.retag(instance.instance_id().unwrap_or_default(), &set, &gone)
            .await
            .about(&object)
    }

    /// Sets tags of one of EC2's objects, and takes others away.
    pub(crate) async fn retag(&self, id: &str, set: &Labels, gone: &[String]) -> Called<()> {
        let client = &self.clients().ec2;
        if !set.is_empty() {
            self.call("ec2:CreateTags", || {
                client.create_tags().resources(id).set_tags(Some(to_ec2(set))).send()
            })
            .await?;
        }
        if !gone.is_empty() {
            let keys = gone
                .iter()
                .map(|key| aws_sdk_ec2::types::Tag::builder().key(key).build());
            let keys: Vec<_> = keys.collect();
            self.call("ec2:DeleteTags", || {
                client.delete_tags().resources(id).set_tags(Some(keys.clone())).send()
            })
            .await?;
        }
        Ok(())
    }

    /// The cluster's machine of that zone and name, if there is one; another's is not to be touched.
    async fn owned(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<Option<Instance>> {
        let object = machine_object(zone, name);
        let found = self.instance(zone, name).await.about(&object)?;
        match found {
            Some(instance) if !is_of(&tags(&instance), cluster) => Err(CloudError::NotOurs { object }),
            found => Ok(found),
        }
    }

    /// The names of the volumes that are attached to an instance, by their IDs.
    async fn volumes_attached_to(&self, id: &str) -> Called<BTreeMap<String, String>> {
        let volumes = self.volumes(&[filter("attachment.instance-id", id)]).await?;
        Ok(volume_names(&volumes))
    }
}

/// Whether an existing machine is the one that is wanted.
fn check(instance: &Instance, spec: &MachineSpec, object: &str) -> Result<()> {
    let object = object.to_owned();
    if !is_of(&tags(instance), &spec.cluster) {
        return Err(CloudError::NotOurs { object });
    }
    let machine_type = instance
        .instance_type
        .as_ref()
        .map(InstanceType::as_str)
        .unwrap_or_default();
    if machine_type != spec.machine_type {
        let difference = format!("its machine type is {machine_type}, not {}", spec.machine_type);
        return Err(CloudError::Differs { object, difference });
    }
    Ok(())
}

pub(crate) fn machine_object(zone: &str, name: &str) -> String {
    format!("machine {name} in {zone}")
}
