//! Instance groups: a balancer's targets, zone by zone.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use google_cloud_compute_v1::model::{
    InstanceGroup, InstanceGroupsAddInstancesRequest, InstanceGroupsListInstancesRequest,
    InstanceGroupsRemoveInstancesRequest, InstanceReference, InstanceWithNamedPorts,
};
use multizone_cloud::{BalancerSpec, CloudError, ClusterName, Result};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    ownership::Owner,
    pages::PAGE,
};

impl ComputeEngine {
    /// Makes instance groups in these zones.
    pub(super) async fn make_groups(&self, spec: &BalancerSpec, zones: &[&String], name: &str) -> Result<()> {
        if zones.is_empty() {
            return Ok(());
        }
        try_join_all(zones.iter().map(|zone| self.insert_group(spec, zone, name))).await?;
        let found = self.group_zones(&spec.cluster, &spec.name).await;
        let found = found.about(&self.balancer_object(&spec.name, name))?;
        // Of that name, and not found by its owner: somebody else's.
        match zones.iter().find(|zone| !found.contains(**zone)) {
            Some(zone) => Err(CloudError::NotOurs {
                object: group_object(zone, name),
            }),
            None => Ok(()),
        }
    }

    async fn insert_group(&self, spec: &BalancerSpec, zone: &str, name: &str) -> Result<()> {
        let object = group_object(zone, name);
        let project = &self.settings().project;
        let network = self.names(&spec.cluster).network();
        let body = InstanceGroup::new()
            .set_name(name)
            .set_description(self.owner(&spec.cluster, Some(&spec.name)).description())
            .set_network(format!("projects/{project}/global/networks/{network}"));
        let client = self.clients().instance_groups().await.about(&object)?;
        self.change("instanceGroups.insert", |token| {
            let call = client.insert().set_project(project).set_zone(zone);
            call.set_request_id(token).set_body(body.clone()).send()
        })
        .await
        .or_else(unless_exists)
        .making(&object)
    }

    pub(super) async fn delete_group(&self, zone: &str, name: &str) -> Result<()> {
        let object = group_object(zone, name);
        let client = self.clients().instance_groups().await.about(&object)?;
        let project = &self.settings().project;
        self.change("instanceGroups.delete", |token| {
            let call = client.delete().set_project(project).set_zone(zone);
            call.set_instance_group(name).set_request_id(token).send()
        })
        .await
        .or_else(unless_absent)
        .about(&object)
    }

    /// The zones in which a balancer has an instance group.
    pub(super) async fn group_zones(
        &self,
        cluster: &ClusterName,
        balancer: &str,
    ) -> std::result::Result<BTreeSet<String>, Failure> {
        let groups = self.groups_of(cluster).await?;
        let own = groups.into_iter().filter(|(name, _)| name == balancer);
        Ok(own.map(|(_, zone)| zone).collect())
    }

    /// The cluster's instance groups: the balancer and the zone of each.
    pub(super) async fn groups_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<(String, String)>, Failure> {
        let client = self.clients().instance_groups().await?;
        let (project, region) = (&self.settings().project, &self.settings().region);
        let request = |page| {
            let call = client.aggregated_list().set_project(project).set_max_results(PAGE);
            call.set_or_clear_page_token(page).send()
        };
        let own = |group: InstanceGroup| {
            let owner = Owner::parse(group.description.as_deref()).filter(|owner| owner.is(cluster, region));
            let zone = group.zone.as_deref().map(last_segment).unwrap_or_default();
            Ok(owner.and_then(|owner| Some((owner.name?, zone.to_owned()))))
        };
        let mut groups = self.pages("instanceGroups.aggregatedList", request, own).await?;
        groups.sort();
        Ok(groups)
    }

    /// The names of a group's machines, sorted; none when the group is absent.
    pub(super) async fn members(&self, zone: &str, name: &str) -> std::result::Result<Vec<String>, Failure> {
        let client = self.clients().instance_groups().await?;
        let project = &self.settings().project;
        let request = |page| {
            let call = client.list_instances().set_project(project).set_zone(zone);
            let call = call.set_instance_group(name).set_max_results(PAGE);
            call.set_or_clear_page_token(page)
                .set_body(InstanceGroupsListInstancesRequest::new())
                .send()
        };
        let machine = |item: InstanceWithNamedPorts| {
            let url = item.instance;
            Ok(url.map(|url| last_segment(&url).to_owned()))
        };
        let listed = self.pages("instanceGroups.listInstances", request, machine).await;
        let mut members = present(listed)?.unwrap_or_default();
        members.sort();
        Ok(members)
    }

    pub(crate) async fn register_machine(
        &self,
        cluster: &ClusterName,
        balancer: &str,
        zone: &str,
        machine: &str,
    ) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let object = self.balancer_object(balancer, &name);
        if !self.group_zones(cluster, balancer).await.about(&object)?.contains(zone) {
            return Err(CloudError::Refused {
                object,
                code: "zone not spanned".to_owned(),
                reason: format!("it does not span {zone}, where machine {machine} is"),
            });
        }
        if self
            .members(zone, &name)
            .await
            .about(&object)?
            .iter()
            .any(|member| member == machine)
        {
            return Ok(());
        }
        let client = self.clients().instance_groups().await.about(&object)?;
        let project = &self.settings().project;
        let body = InstanceGroupsAddInstancesRequest::new().set_instances([self.reference(zone, machine)]);
        self.change("instanceGroups.addInstances", |token| {
            let call = client.add_instances().set_project(project).set_zone(zone);
            let call = call.set_instance_group(&name).set_request_id(token);
            call.set_body(body.clone()).send()
        })
        .await
        .or_else(|failure| {
            if failure.is_member_already() {
                Ok(())
            } else {
                Err(failure)
            }
        })
        .making(&object)
    }

    /// Takes a machine out of its group, and waits until the balancer has let go of it.
    pub(crate) async fn deregister_machine(
        &self,
        cluster: &ClusterName,
        balancer: &str,
        zone: &str,
        machine: &str,
    ) -> Result<()> {
        let name = self.names(cluster).balancer(balancer);
        let object = self.balancer_object(balancer, &name);
        if !self.group_zones(cluster, balancer).await.about(&object)?.contains(zone) {
            return Ok(());
        }
        if self
            .members(zone, &name)
            .await
            .about(&object)?
            .iter()
            .any(|member| member == machine)
        {
            let client = self.clients().instance_groups().await.about(&object)?;
            let project = &self.settings().project;
            let body = InstanceGroupsRemoveInstancesRequest::new().set_instances([self.reference(zone, machine)]);
            self.change("instanceGroups.removeInstances", |token| {
                let call = client.remove_instances().set_project(project).set_zone(zone);
                let call = call.set_instance_group(&name).set_request_id(token);
                call.set_body(body.clone()).send()
            })
            .await
            .or_else(|failure| {
                if failure.is_member_no_more() {
                    Ok(())
                } else {
                    Err(failure)
                }
            })
            .about(&object)?;
        }
        let gone = || async {
            let (members, health) = futures::try_join!(self.members(zone, &name), self.health_if_backend(zone, &name))?;
            let there = members.iter().any(|member| member == machine) || health.contains_key(machine);
            Ok((!there).then_some(()))
        };
        self.poll(
            &format!("machine {machine} in {zone} to have no connections through it"),
            gone,
        )
        .await
        .about(&object)
    }

    fn reference(&self, zone: &str, machine: &str) -> InstanceReference {
        let project = &self.settings().project;
        InstanceReference::new().set_instance(format!("projects/{project}/zones/{zone}/instances/{machine}"))
    }
}

fn group_object(zone: &str, name: &str) -> String {
    format!("instance group {name} in {zone}")
}
