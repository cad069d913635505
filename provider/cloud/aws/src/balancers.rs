//! The balancer that the user declares: which zones the load balancer spans, and who is behind it.
//!
//! The load balancer itself is the cluster's address ([`crate::front`]) and is there without one.  A balancer is a mark on
//! its target group, with the user's labels.

use std::collections::{BTreeMap, BTreeSet};

use multizone_cloud::{
    Address, AddressHolder, Balancer, BalancerSpec, CloudError, ClusterName, Host, Labels, Result, label,
};

use crate::{
    Aws,
    failure::About as _,
    front::{ADDRESS, BALANCER, Front, to_tags, without_mark},
    making::Called,
    tags::Tags,
};

/// Zone and name of machines, by their instances.
pub(crate) type Machines = BTreeMap<String, (String, String)>;

impl Aws {
    pub(crate) async fn ensure_balancer_of(&self, spec: &BalancerSpec) -> Result<Balancer> {
        let object = balancer_object(&spec.name);
        let cluster = &spec.cluster;
        if spec.port != 6443 || spec.health_path != "/readyz" {
            return Err(CloudError::Refused {
                object,
                code: "port".to_owned(),
                reason: "a balancer listens at port 6443 and checks /readyz on AWS".to_owned(),
            });
        }
        let mut front = self.own_front(cluster).await?;
        if let Some(other) = front.balancer().filter(|other| *other != spec.name) {
            let object = format!("address {ADDRESS}");
            let reason = format!("balancer {other} listens at it");
            return Err(CloudError::InUse { object, reason });
        }
        if !front.deviations().is_empty() {
            self.ensure_front(cluster, &Labels::new()).await?;
            front = self.own_front(cluster).await?;
        }
        let machines = self.machines_of(cluster).await.about(&object)?;
        if !spec.zones.is_empty() {
            let left = front.machines(&machines);
            if let Some(target) = left.iter().find(|target| !spec.zones.contains(&target.zone)) {
                let reason = format!("machine {} in {} is its target", target.machine, target.zone);
                return Err(CloudError::InUse { object, reason });
            }
        }
        self.mark(&front, spec).await.about(&object)?;
        self.span(cluster, &front, &spec.zones).await?;
        let front = self.own_front(cluster).await?;
        self.balancer_facts(&front, &machines)
            .ok_or(CloudError::NotFound { object })
    }

    /// Gives the target group the balancer's mark and labels.
    async fn mark(&self, front: &Front, spec: &BalancerSpec) -> Called<()> {
        let mut wanted = spec.labels.clone();
        wanted.insert(label::CLUSTER.to_owned(), spec.cluster.as_str().to_owned());
        wanted.insert(BALANCER.to_owned(), spec.name.clone());
        self.relabel_targets(front, &wanted).await
    }

    async fn relabel_targets(&self, front: &Front, wanted: &Labels) -> Called<()> {
        let now = front.group.as_ref().map(|(_, tags)| tags.clone()).unwrap_or_default();
        let (set, gone): (Tags, Vec<String>) = self.relabel(&now, wanted);
        let client = &self.clients().balancing;
        if !set.is_empty() {
            let tags = to_tags(&set);
            self.call("elasticloadbalancing:AddTags", || {
                client
                    .add_tags()
                    .resource_arns(front.group_arn())
                    .set_tags(Some(tags.clone()))
                    .send()
            })
            .await?;
        }
        if !gone.is_empty() {
            self.call("elasticloadbalancing:RemoveTags", || {
                client
                    .remove_tags()
                    .resource_arns(front.group_arn())
                    .set_tag_keys(Some(gone.clone()))
                    .send()
            })
            .await?;
        }
        Ok(())
    }

    /// Takes the mark away; the load balancer stays, since the cluster's endpoint is its name.
    pub(crate) async fn delete_balancer_of(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = balancer_object(name);
        match self.own_front(cluster).await {
            Err(CloudError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(front) if front.balancer() != Some(name) => Ok(()),
            Ok(front) => {
                let machines = self.machines_of(cluster).await.about(&object)?;
                if let Some(target) = front.machines(&machines).first() {
                    let reason = format!("machine {} in {} is its target", target.machine, target.zone);
                    return Err(CloudError::InUse { object, reason });
                }
                let bare = Labels::from([(label::CLUSTER.to_owned(), cluster.as_str().to_owned())]);
                self.relabel_targets(&front, &bare).await.about(&object)?;
                let subnets = self.subnets_of(cluster).await.about(&object)?;
                let zones: BTreeSet<String> = subnets
                    .into_iter()
                    .filter_map(|subnet| subnet.availability_zone)
                    .collect();
                self.span(cluster, &front, &zones).await
            }
        }
    }

    /// Refuses a balancer that nobody has declared.
    pub(crate) async fn check_balancer(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        match self.own_front(cluster).await?.balancer() {
            Some(found) if found == name => Ok(()),
            _ => Err(CloudError::NotFound {
                object: balancer_object(name),
            }),
        }
    }

    /// Zone and name of the cluster's machines, by their instances.
    pub(crate) async fn machines_of(&self, cluster: &ClusterName) -> Called<Machines> {
        let found = self.instances_of(cluster).await?;
        Ok(found
            .iter()
            .map(|instance| {
                let machine = self.machine_facts(instance, &BTreeMap::new());
                (machine.id, (machine.zone, machine.name))
            })
            .collect())
    }

    /// The balancer that the user has declared, if there is one.
    pub(crate) fn balancer_facts(&self, front: &Front, machines: &Machines) -> Option<Balancer> {
        let name = front.balancer()?;
        let tags = &front.group.as_ref()?.1;
        let deviations = front.deviations();
        Some(Balancer {
            name: name.to_owned(),
            zones: front.zones(),
            targets: front.machines(machines),
            address: None,
            dns_name: front.load_balancer.dns_name.clone(),
            labels: without_mark(self.labels(tags)),
            unexpected: (!deviations.is_empty()).then(|| deviations.join(", ")),
        })
    }

    /// The cluster's address, as its load balancer is.  `subnets` are the zones in which the cluster has one.
    pub(crate) fn address_facts(&self, front: &Front, machines: &Machines, subnets: &BTreeSet<String>) -> Address {
        let unexpected = match front.balancer() {
            Some(_) => Vec::new(),
            None => front.deviations().into_iter().chain(front.unspanned(subnets)).collect(),
        };
        let holder = match front.balancer() {
            Some(name) => Some(AddressHolder::Balancer { name: name.to_owned() }),
            None => front
                .machines(machines)
                .into_iter()
                .next()
                .map(|target| AddressHolder::Machine {
                    zone: target.zone,
                    name: target.machine,
                }),
        };
        Address {
            name: ADDRESS.to_owned(),
            address: Host::Name(front.load_balancer.dns_name.clone().unwrap_or_default()),
            holder,
            labels: self.labels(&front.tags),
            unexpected: (!unexpected.is_empty()).then(|| unexpected.join(", ")),
        }
    }
}

fn balancer_object(name: &str) -> String {
    format!("balancer {name}")
}
