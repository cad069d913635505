//! Machines.

use google_cloud_compute_v1::model::{self, Instance};
use multizone_cloud::{CloudError, ClusterName, Labels, Machine, MachineSpec, MachineState, Result, label, relabelled};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    instances::{machine_facts, state},
    names::last_segment,
    networks::{present, unless_absent},
    operations::Until,
    ownership::labelled,
};

/// How often a change of labels is tried when others change the labels at the same time.
pub(crate) const LABEL_ATTEMPTS: u32 = 5;

impl ComputeEngine {
    pub(crate) async fn ensure_machine_runs(&self, spec: &MachineSpec) -> Result<Machine> {
        let object = machine_object(&spec.zone, &spec.name);
        if let Some(instance) = self.instance(&spec.zone, &spec.name).await.about(&object)? {
            check(&instance, spec, &object)?;
            match self.run(instance, &object).await {
                // An earlier delete was still at work on it.
                Err(CloudError::NotFound { .. }) => {}
                machine => return machine,
            }
        }
        let instance = self.insert_instance(spec, &object).await?;
        check(&instance, spec, &object)?;
        self.run(instance, &object).await
    }

    async fn insert_instance(&self, spec: &MachineSpec, object: &str) -> Result<Instance> {
        let address = match &spec.address {
            Some(address) => Some(self.own_address(&spec.cluster, address).await?.address.to_string()),
            None => None,
        };
        let body = self.instance_body(spec, address.as_deref());
        let client = self.clients().instances().await.about(object)?;
        let (project, zone) = (&self.settings().project, &spec.zone);
        let inserted = self
            .change("instances.insert", |token| {
                let call = client.insert().set_project(project).set_zone(zone);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await;
        // Something of that name exists: this machine, made by a request whose reply was lost or by somebody else, or
        // the boot disk of an earlier one.  Reading tells which.
        let exists = match inserted {
            Ok(()) => None,
            Err(failure) if failure.is_already_exists() => Some(failure),
            Err(failure) => return Err(failure.into_create_error(object)),
        };
        let found = self.instance(&spec.zone, &spec.name).await.about(object)?;
        match (found, exists) {
            (Some(instance), _) => Ok(instance),
            (None, Some(failure)) => Err(failure.into_create_error(object)),
            (None, None) => Err(CloudError::NotFound {
                object: object.to_owned(),
            }),
        }
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
        if state(&instance) == MachineState::Running {
            return Ok(machine_facts(&instance));
        }
        let Machine { zone, name, .. } = machine_facts(&instance);
        let (zone, name) = (zone.as_str(), name.as_str());
        let running = self
            .poll("it to run", || async {
                let Some(instance) = self.instance(zone, name).await? else {
                    return Ok(Some(None));
                };
                Ok(match state(&instance) {
                    MachineState::Running => Some(Some(instance)),
                    MachineState::Halted => {
                        self.start_instance(zone, name).await?;
                        // The next look, without a pause, sees it run.
                        self.instance(zone, name)
                            .await?
                            .filter(|instance| state(instance) == MachineState::Running)
                            .map(Some)
                    }
                    MachineState::Starting | MachineState::Stopping => None,
                })
            })
            .await
            .about(object)?;
        match running {
            Some(instance) => Ok(machine_facts(&instance)),
            None => Err(CloudError::NotFound {
                object: object.to_owned(),
            }),
        }
    }

    async fn start_instance(&self, zone: &str, name: &str) -> std::result::Result<(), Failure> {
        let client = self.clients().instances().await?;
        let project = &self.settings().project;
        self.change("instances.start", |token| {
            client
                .start()
                .set_project(project)
                .set_zone(zone)
                .set_instance(name)
                .set_request_id(token)
                .send()
        })
        .await
    }

    /// Stops a machine of the cluster.
    pub(crate) async fn stop_instance(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = machine_object(zone, name);
        let Some(instance) = self.owned(cluster, zone, name).await? else {
            return Ok(());
        };
        if state(&instance) == MachineState::Halted {
            return Ok(());
        }
        let client = self.clients().instances().await.about(&object)?;
        let project = &self.settings().project;
        self.change("instances.stop", |token| {
            client
                .stop()
                .set_project(project)
                .set_zone(zone)
                .set_instance(name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// Deletes a machine of the cluster.  Its boot disk goes with it and its other disks stay,
    /// whatever somebody has set meanwhile.
    pub(crate) async fn delete_instance(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let object = machine_object(zone, name);
        let Some(instance) = self.owned(cluster, zone, name).await? else {
            return Ok(());
        };
        self.delete_boot_disk_only(zone, name, &instance).await.about(&object)?;
        let client = self.clients().instances().await.about(&object)?;
        let project = &self.settings().project;
        self.change("instances.delete", |token| {
            client
                .delete()
                .set_project(project)
                .set_zone(zone)
                .set_instance(name)
                .set_request_id(token)
                .send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    async fn delete_boot_disk_only(
        &self,
        zone: &str,
        name: &str,
        instance: &Instance,
    ) -> std::result::Result<(), Failure> {
        let client = self.clients().instances().await?;
        let project = &self.settings().project;
        for disk in &instance.disks {
            let (Some(device), Some(auto_delete)) = (&disk.device_name, disk.auto_delete) else {
                continue;
            };
            let boot = disk.boot == Some(true);
            if auto_delete == boot {
                continue;
            }
            self.change("instances.setDiskAutoDelete", |token| {
                let call = client
                    .set_disk_auto_delete()
                    .set_project(project)
                    .set_zone(zone)
                    .set_instance(name);
                call.set_device_name(device)
                    .set_auto_delete(boot)
                    .set_request_id(token)
                    .send()
            })
            .await?;
        }
        Ok(())
    }

    pub(crate) async fn find_machine(&self, zone: &str, name: &str) -> Result<Option<Machine>> {
        let found = self.instance(zone, name).await.about(&machine_object(zone, name))?;
        Ok(found.as_ref().map(machine_facts))
    }

    /// Replaces the labels; the label that names the owner stays in any case.
    pub(crate) async fn label_instance(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        labels: &Labels,
        until: Until,
    ) -> Result<()> {
        let object = machine_object(zone, name);
        let client = self.clients().instances().await.about(&object)?;
        let project = &self.settings().project;
        let mut attempt = 1;
        loop {
            let found = self.instance(zone, name).await.about(&object)?;
            let instance = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
            let Some(wanted) = relabelled(instance.labels.get(label::CLUSTER), cluster, labels) else {
                return Err(CloudError::NotOurs { object });
            };
            if wanted
                .iter()
                .eq(instance.labels.iter().collect::<std::collections::BTreeMap<_, _>>())
            {
                return Ok(());
            }
            let body = model::InstancesSetLabelsRequest::new()
                .set_labels(wanted)
                .set_or_clear_label_fingerprint(instance.label_fingerprint);
            let changed = self
                .change_to(until, "instances.setLabels", |token| {
                    let call = client
                        .set_labels()
                        .set_project(project)
                        .set_zone(zone)
                        .set_instance(name);
                    call.set_request_id(token).set_body(body.clone()).send()
                })
                .await;
            match changed {
                Err(failure) if failure.is_stale() && attempt < LABEL_ATTEMPTS => attempt += 1,
                changed => return changed.about(&object),
            }
        }
    }

    /// The cluster's machine of that zone and name, if there is one; another's is not to be touched.
    async fn owned(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<Option<Instance>> {
        let object = machine_object(zone, name);
        let found = self.instance(zone, name).await.about(&object)?;
        match found {
            Some(instance) if !labelled(&instance.labels, cluster) => Err(CloudError::NotOurs { object }),
            found => Ok(found),
        }
    }

    pub(crate) async fn instance(&self, zone: &str, name: &str) -> std::result::Result<Option<Instance>, Failure> {
        let client = self.clients().instances().await?;
        let project = &self.settings().project;
        let request = || {
            client
                .get()
                .set_project(project)
                .set_zone(zone)
                .set_instance(name)
                .send()
        };
        present(self.sender().send("instances.get", request).await)
    }
}

/// Whether an existing machine is the one that is wanted.
fn check(instance: &Instance, spec: &MachineSpec, object: &str) -> Result<()> {
    let object = object.to_owned();
    if !labelled(&instance.labels, &spec.cluster) {
        return Err(CloudError::NotOurs { object });
    }
    let machine_type = instance.machine_type.as_deref().map(last_segment).unwrap_or_default();
    if machine_type != last_segment(&spec.machine_type) {
        let difference = format!("its machine type is {machine_type}, not {}", spec.machine_type);
        return Err(CloudError::Differs { object, difference });
    }
    Ok(())
}

pub(crate) fn machine_object(zone: &str, name: &str) -> String {
    format!("machine {name} in {zone}")
}
