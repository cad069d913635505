//! Who holds a stable address: a machine by an access configuration, a balancer by its forwarding rule.
//!
//! Moving it has a gap: Compute Engine lets one resource use an address at a time (domain-rules.md, Compute Engine).
//! Everything that can be done before the address is taken is done before, and what can wait comes after; when the new
//! holder cannot take it, the old one gets it back.

use google_cloud_compute_v1::model::{AccessConfig, Instance, access_config};
use multizone_cloud::{Address, AddressHolder, CloudError, ClusterName, Result};

use crate::{ComputeEngine, failure::About as _, machines::machine_object, ownership::labelled};

/// Name that the first access configuration of a machine has.
const ACCESS: &str = "External NAT";
/// The interface that holds the address: machines have no other.
const INTERFACE: &str = "nic0";

impl ComputeEngine {
    pub(crate) async fn attach_to(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        let held = self.own_address(cluster, address).await?;
        match &held.holder {
            Some(holder) if self.same(cluster, holder, to) => Ok(()),
            Some(holder) => {
                let name = self.names(cluster).address(address);
                Err(CloudError::InUse {
                    object: self.address_object(address, &name),
                    reason: format!("{holder} holds it"),
                })
            }
            None => {
                self.prepare(cluster, to).await?;
                self.take_up(cluster, &held, to).await
            }
        }
    }

    pub(crate) async fn detach_from_holder(&self, cluster: &ClusterName, address: &str) -> Result<()> {
        let held = self.own_address(cluster, address).await?;
        let Some(holder) = &held.holder else {
            return Ok(());
        };
        self.let_go(cluster, &held, holder).await?;
        self.reach_out(cluster, holder).await
    }

    pub(crate) async fn move_to(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        let held = self.own_address(cluster, address).await?;
        let from = match &held.holder {
            Some(holder) if self.same(cluster, holder, to) => return Ok(()),
            Some(holder) => holder,
            None => {
                self.prepare(cluster, to).await?;
                return self.take_up(cluster, &held, to).await;
            }
        };
        self.prepare(cluster, to).await?;
        self.let_go(cluster, &held, from).await?;
        if let Err(error) = self.take_up(cluster, &held, to).await {
            let error = match self.take_up(cluster, &held, from).await {
                Ok(()) => error.and(&format!("{from} has the address {} back", held.address)),
                Err(worse) => error.and(&format!(
                    "nobody holds the address {} now, since {from} could not take it back ({worse})",
                    held.address
                )),
            };
            if let Err(unreached) = self.reach_out(cluster, to).await {
                tracing::warn!(target: "multizone::cloud", %to, %unreached, "the machine has no external address");
            }
            return Err(error);
        }
        self.reach_out(cluster, from).await
    }

    /// A move that was interrupted has left a machine without any external address.
    pub(crate) async fn reconnect(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()> {
        let machine = AddressHolder::Machine {
            zone: zone.to_owned(),
            name: name.to_owned(),
        };
        self.reach_out(cluster, &machine).await
    }

    fn same(&self, cluster: &ClusterName, holder: &AddressHolder, wanted: &AddressHolder) -> bool {
        match (holder, wanted) {
            // A name that was cut is the one in the cloud.
            (AddressHolder::Balancer { name }, AddressHolder::Balancer { name: wanted }) => {
                name == wanted || *name == self.names(cluster).balancer(wanted)
            }
            _ => holder == wanted,
        }
    }

    /// What can be done before the address is free: the machine's ephemeral address goes, since it can have one only.
    async fn prepare(&self, cluster: &ClusterName, to: &AddressHolder) -> Result<()> {
        match to {
            AddressHolder::Machine { zone, name } => {
                let instance = self.own_machine(cluster, zone, name).await?;
                for access in accesses(&instance) {
                    self.delete_access(zone, name, access.name.as_deref().unwrap_or(ACCESS))
                        .await?;
                }
                Ok(())
            }
            AddressHolder::Balancer { name } => self.balancer_port(cluster, name).await.map(drop),
        }
    }

    async fn take_up(&self, cluster: &ClusterName, held: &Address, to: &AddressHolder) -> Result<()> {
        let address = held.address.to_string();
        match to {
            AddressHolder::Machine { zone, name } => self.add_access(zone, name, Some(&address)).await,
            AddressHolder::Balancer { name } => self.listen(cluster, name, &address).await,
        }
    }

    async fn let_go(&self, cluster: &ClusterName, held: &Address, from: &AddressHolder) -> Result<()> {
        match from {
            AddressHolder::Balancer { name } => self.listen_no_more(cluster, name).await,
            AddressHolder::Machine { zone, name } => {
                let object = machine_object(zone, name);
                let Some(instance) = self.instance(zone, name).await.about(&object)? else {
                    return Ok(());
                };
                let address = held.address.to_string();
                let holds = |access: &&AccessConfig| access.nat_ip.as_deref() == Some(&address);
                match accesses(&instance).iter().find(holds) {
                    Some(access) => {
                        self.delete_access(zone, name, access.name.as_deref().unwrap_or(ACCESS))
                            .await
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Gives a machine without an external address an ephemeral one: without it, it reaches nothing outside.
    async fn reach_out(&self, cluster: &ClusterName, from: &AddressHolder) -> Result<()> {
        let AddressHolder::Machine { zone, name } = from else {
            return Ok(());
        };
        match self.own_machine(cluster, zone, name).await {
            Ok(instance) if accesses(&instance).is_empty() => self.add_access(zone, name, None).await,
            Ok(_) | Err(CloudError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn own_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<Instance> {
        let object = machine_object(zone, name);
        match self.instance(zone, name).await.about(&object)? {
            None => Err(CloudError::NotFound { object }),
            Some(instance) if !labelled(&instance.labels, cluster) => Err(CloudError::NotOurs { object }),
            Some(instance) => Ok(instance),
        }
    }

    async fn add_access(&self, zone: &str, name: &str, address: Option<&str>) -> Result<()> {
        let object = machine_object(zone, name);
        let body = AccessConfig::new()
            .set_name(ACCESS)
            .set_type(access_config::Type::OneToOneNat)
            .set_or_clear_nat_ip(address);
        let client = self.clients().instances().await.about(&object)?;
        let project = &self.settings().project;
        let added = self
            .change("instances.addAccessConfig", |token| {
                let call = client.add_access_config().set_project(project).set_zone(zone);
                let call = call.set_instance(name).set_network_interface(INTERFACE);
                call.set_request_id(token).set_body(body.clone()).send()
            })
            .await;
        match added {
            Ok(()) => Ok(()),
            Err(failure) => {
                // An earlier call, whose reply was lost, may have done it.
                let instance = self.instance(zone, name).await.about(&object)?;
                let there = instance.is_some_and(|instance| {
                    let mut accesses = accesses(&instance).iter();
                    accesses.any(|access| address.is_none() || access.nat_ip.as_deref() == address)
                });
                if there {
                    Ok(())
                } else {
                    Err(failure.into_error(&object))
                }
            }
        }
    }

    async fn delete_access(&self, zone: &str, name: &str, access: &str) -> Result<()> {
        let object = machine_object(zone, name);
        let client = self.clients().instances().await.about(&object)?;
        let project = &self.settings().project;
        let deleted = self
            .change("instances.deleteAccessConfig", |token| {
                let call = client.delete_access_config().set_project(project).set_zone(zone);
                let call = call.set_instance(name).set_network_interface(INTERFACE);
                call.set_access_config(access).set_request_id(token).send()
            })
            .await;
        match deleted {
            Ok(()) => Ok(()),
            Err(failure) => {
                let instance = self.instance(zone, name).await.about(&object)?;
                let there = instance.is_some_and(|instance| {
                    accesses(&instance)
                        .iter()
                        .any(|found| found.name.as_deref() == Some(access))
                });
                if there {
                    Err(failure.into_error(&object))
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// The access configurations of a machine's only interface.
fn accesses(instance: &Instance) -> &[AccessConfig] {
    instance
        .network_interfaces
        .first()
        .map_or(&[], |interface| &interface.access_configs)
}
