//! The network's way to the internet: a gateway, and the route to it in the VPC's main table.

use aws_sdk_ec2::types::{InternetGateway, ResourceType, Route, RouteState, RouteTable};
use multizone_cloud::{ClusterName, Labels, Result};

use crate::{
    Aws,
    failure::{About as _, Failure, unless_exists},
    making::Called,
    tags::{at_birth, filter, is_of, of_cluster, of_ec2},
};

const EVERYWHERE: &str = "0.0.0.0/0";

impl Aws {
    pub(super) async fn ensure_way_out(&self, cluster: &ClusterName, vpc: &str) -> Result<()> {
        let object = format!("internet gateway of network {vpc}");
        let client = &self.clients().ec2;
        let tags = self.tags(cluster, "internet-gateway", &Labels::new());
        let look = || async { Ok(self.gateways_of(cluster).await?.into_iter().next()) };
        let make = || async {
            let made = self
                .call_once("ec2:CreateInternetGateway", || {
                    client
                        .create_internet_gateway()
                        .tag_specifications(at_birth(ResourceType::InternetGateway, &tags))
                        .send()
                })
                .await?;
            made.internet_gateway
                .ok_or_else(|| Failure::unreadable("the reply names no gateway"))
        };
        let gateway = self.found_or_made(&object, look, make).await?;
        let id = gateway.internet_gateway_id.clone().unwrap_or_default();
        if !is_attached(&gateway, vpc) {
            self.call("ec2:AttachInternetGateway", || {
                client
                    .attach_internet_gateway()
                    .internet_gateway_id(&id)
                    .vpc_id(vpc)
                    .send()
            })
            .await
            .map(drop)
            .or_else(unless_exists)
            .about(&object)?;
        }
        self.ensure_route(vpc, &id).await
    }

    async fn ensure_route(&self, vpc: &str, gateway: &str) -> Result<()> {
        let object = format!("route of network {vpc} to the internet");
        let Some(table) = self.main_route_table(vpc).await.about(&object)? else {
            return Err(multizone_cloud::CloudError::NotFound {
                object: format!("main route table of network {vpc}"),
            });
        };
        let client = &self.clients().ec2;
        let id = table.route_table_id().unwrap_or_default();
        match default_route(&table) {
            Some(route) if leads_to(route, gateway) => Ok(()),
            Some(_) => self
                .call("ec2:ReplaceRoute", || {
                    client
                        .replace_route()
                        .route_table_id(id)
                        .destination_cidr_block(EVERYWHERE)
                        .gateway_id(gateway)
                        .send()
                })
                .await
                .map(drop)
                .about(&object),
            None => self
                .call("ec2:CreateRoute", || {
                    client
                        .create_route()
                        .route_table_id(id)
                        .destination_cidr_block(EVERYWHERE)
                        .gateway_id(gateway)
                        .send()
                })
                .await
                .map(drop)
                .or_else(unless_exists)
                .about(&object),
        }
    }

    pub(super) async fn gateways_of(&self, cluster: &ClusterName) -> Called<Vec<InternetGateway>> {
        let client = &self.clients().ec2;
        let reply = self
            .call("ec2:DescribeInternetGateways", || {
                client.describe_internet_gateways().filters(of_cluster(cluster)).send()
            })
            .await?;
        let mut gateways = reply.internet_gateways.unwrap_or_default();
        gateways.retain(|gateway| is_of(&of_ec2(gateway.tags()), cluster));
        Ok(gateways)
    }

    async fn main_route_table(&self, vpc: &str) -> Called<Option<RouteTable>> {
        let client = &self.clients().ec2;
        let reply = self
            .call("ec2:DescribeRouteTables", || {
                client.describe_route_tables().filters(filter("vpc-id", vpc)).send()
            })
            .await?;
        let is_main = |table: &RouteTable| table.associations().iter().any(|found| found.main == Some(true));
        Ok(reply.route_tables.unwrap_or_default().into_iter().find(is_main))
    }

    /// What the way to the internet is otherwise than it should be, in words.
    pub(super) async fn way_out_deviation(&self, vpc: &str, gateways: &[InternetGateway]) -> Called<Option<String>> {
        let Some(gateway) = gateways.iter().find(|gateway| is_attached(gateway, vpc)) else {
            return Ok(Some("it has no internet gateway".to_owned()));
        };
        let table = self.main_route_table(vpc).await?;
        let gateway = gateway.internet_gateway_id.as_deref().unwrap_or_default();
        Ok(match table.as_ref().and_then(default_route) {
            Some(route) if leads_to(route, gateway) => None,
            Some(_) => Some("its route to the internet leads elsewhere".to_owned()),
            None => Some("its route to the internet is gone".to_owned()),
        })
    }
}

pub(super) fn is_attached(gateway: &InternetGateway, vpc: &str) -> bool {
    gateway
        .attachments()
        .iter()
        .any(|attachment| attachment.vpc_id.as_deref() == Some(vpc))
}

fn default_route(table: &RouteTable) -> Option<&Route> {
    table
        .routes()
        .iter()
        .find(|route| route.destination_cidr_block.as_deref() == Some(EVERYWHERE))
}

fn leads_to(route: &Route, gateway: &str) -> bool {
    route.gateway_id.as_deref() == Some(gateway) && route.state != Some(RouteState::Blackhole)
}
