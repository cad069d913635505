//! The end of a network, and of a zone's part of it.

use aws_sdk_ec2::types::Instance;
use multizone_cloud::{CloudError, ClusterName, Result};

use crate::{
    Aws,
    failure::{About as _, unless_absent},
    instances::{ALIVE, alive},
    making::Called,
    tags::{filter, is_of, of_cluster, of_ec2},
};

impl Aws {
    /// Deletes what hangs on the network first.
    pub(crate) async fn delete_network_of(&self, cluster: &ClusterName) -> Result<()> {
        for vpc in self
            .vpcs_of(cluster)
            .await
            .about(&format!("network of cluster {cluster}"))?
        {
            let id = vpc.vpc_id.unwrap_or_default();
            let object = format!("network {id}");
            let users = self.instances_in(&id).await.about(&object)?;
            if let Some(user) = users.first() {
                let reason = format!("instance {} is in it", user.instance_id().unwrap_or_default());
                return Err(CloudError::InUse { object, reason });
            }
        }
        let given = self.existing_network_of(cluster).await;
        if let Some(given) = given.about(&format!("security groups of cluster {cluster}"))? {
            let object = format!("security groups of cluster {cluster} in network {}", given.id);
            if let Some(user) = self.instances_of(cluster).await.about(&object)?.first() {
                let reason = format!("instance {} is in them", user.instance_id().unwrap_or_default());
                return Err(CloudError::InUse { object, reason });
            }
        }
        self.delete_role_groups(cluster).await?;
        for subnet in self
            .own_subnets_of(cluster)
            .await
            .about(&format!("subnets of cluster {cluster}"))?
        {
            let id = subnet.subnet_id.unwrap_or_default();
            self.delete_subnet(&id).await?;
        }
        self.delete_gateways(cluster).await?;
        let client = &self.clients().ec2;
        for vpc in self
            .vpcs_of(cluster)
            .await
            .about(&format!("network of cluster {cluster}"))?
        {
            let id = vpc.vpc_id.unwrap_or_default();
            self.once_free(|| async {
                self.call("ec2:DeleteVpc", || client.delete_vpc().vpc_id(&id).send())
                    .await
                    .map(drop)
                    .or_else(unless_absent)
            })
            .await
            .about(&format!("network {id}"))?;
        }
        self.delete_identity(cluster).await
    }

    async fn delete_gateways(&self, cluster: &ClusterName) -> Result<()> {
        let client = &self.clients().ec2;
        let found = self.gateways_of(cluster).await;
        for gateway in found.about(&format!("internet gateway of cluster {cluster}"))? {
            let id = gateway.internet_gateway_id.clone().unwrap_or_default();
            let object = format!("internet gateway {id}");
            for attachment in gateway.attachments() {
                let vpc = attachment.vpc_id.as_deref().unwrap_or_default();
                self.once_free(|| async {
                    let detached = self.call("ec2:DetachInternetGateway", || {
                        client
                            .detach_internet_gateway()
                            .internet_gateway_id(&id)
                            .vpc_id(vpc)
                            .send()
                    });
                    match detached.await {
                        Err(failure) if failure.is(&["Gateway.NotAttached"]) => Ok(()),
                        detached => detached.map(drop).or_else(unless_absent),
                    }
                })
                .await
                .about(&object)?;
            }
            self.call("ec2:DeleteInternetGateway", || {
                client.delete_internet_gateway().internet_gateway_id(&id).send()
            })
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)?;
        }
        Ok(())
    }

    /// Deletes the subnet of a zone, or gives it back; the load balancer leaves it first where nobody else decides on its zones.
    pub(crate) async fn delete_subnet_of(&self, cluster: &ClusterName, zone: &str) -> Result<()> {
        let object = format!("subnet of cluster {cluster} in {zone}");
        let Some(subnet) = self.subnet_in(cluster, zone).await.about(&object)? else {
            return Ok(());
        };
        if !self.is_unused(cluster, zone).await? {
            let reason = "a machine or the API's load balancer is in it".to_owned();
            return Err(CloudError::InUse { object, reason });
        }
        self.leave_subnet(cluster, zone).await?;
        match self.existing_network_of(cluster).await.about(&object)? {
            Some(given) => self.give_back(cluster, &given, zone).await.about(&object),
            None => self.delete_subnet(subnet.subnet_id().unwrap_or_default()).await,
        }
    }

    async fn delete_subnet(&self, id: &str) -> Result<()> {
        let client = &self.clients().ec2;
        self.once_free(|| async {
            self.call("ec2:DeleteSubnet", || client.delete_subnet().subnet_id(id).send())
                .await
                .map(drop)
                .or_else(unless_absent)
        })
        .await
        .about(&format!("subnet {id}"))
    }

    /// Whether a zone's subnet can go: no machine is in it, and no balancer of the user's spans it.
    pub(super) async fn is_unused(&self, cluster: &ClusterName, zone: &str) -> Result<bool> {
        let object = format!("subnet of cluster {cluster} in {zone}");
        let Some(subnet) = self.subnet_in(cluster, zone).await.about(&object)? else {
            return Ok(true);
        };
        let mut users = vec![
            filter("subnet-id", subnet.subnet_id().unwrap_or_default()),
            alive(ALIVE),
        ];
        if !is_of(&of_ec2(subnet.tags()), cluster) {
            // Somebody else's subnet has somebody else's machines.
            users.push(of_cluster(cluster));
        }
        let users = self.instances(&users).await.about(&object)?;
        Ok(users.is_empty() && !self.balancer_decides_on(cluster, zone).await?)
    }

    async fn instances_in(&self, vpc: &str) -> Called<Vec<Instance>> {
        self.instances(&[filter("vpc-id", vpc), alive(ALIVE)]).await
    }
}
