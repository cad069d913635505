//! The network's way to the internet: a gateway, and the route to it in the VPC's main table, which the cluster's subnets
//! use: none of them has a table of its own, unless somebody gives it one that leads there too.

use aws_sdk_ec2::types::{InternetGateway, ResourceType, Route, RouteState, RouteTable, Subnet};
use multizone_cloud::{CloudError, ClusterName, Labels, Result};

use crate::{
    Aws,
    failure::{About as _, Failure, unless_absent, unless_exists},
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
        self.ensure_route(cluster, vpc, &id).await
    }

    async fn ensure_route(&self, cluster: &ClusterName, vpc: &str, gateway: &str) -> Result<()> {
        let object = format!("route of network {vpc} to the internet");
        let tables = self.route_tables(vpc).await.about(&object)?;
        let Some(table) = tables.iter().find(|table| is_main(table)) else {
            return Err(CloudError::NotFound {
                object: format!("main route table of network {vpc}"),
            });
        };
        let client = &self.clients().ec2;
        let subnets = self.subnets_of(cluster).await.about(&object)?;
        for stray in astray(&tables, &subnets, gateway) {
            self.call("ec2:DisassociateRouteTable", || {
                client
                    .disassociate_route_table()
                    .association_id(stray.association)
                    .send()
            })
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)?;
        }
        let id = table.route_table_id().unwrap_or_default();
        match default_route(table) {
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

    async fn route_tables(&self, vpc: &str) -> Called<Vec<RouteTable>> {
        let client = &self.clients().ec2;
        self.pages(|token| async move {
            let reply = self
                .call("ec2:DescribeRouteTables", || {
                    client
                        .describe_route_tables()
                        .filters(filter("vpc-id", vpc))
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            Ok((reply.route_tables.unwrap_or_default(), reply.next_token))
        })
        .await
    }

    /// What the way to the internet is otherwise than it should be, in words.
    pub(super) async fn way_out_deviation(
        &self,
        vpc: &str,
        gateways: &[InternetGateway],
        subnets: &[Subnet],
    ) -> Called<Option<String>> {
        let Some(gateway) = gateways.iter().find(|gateway| is_attached(gateway, vpc)) else {
            return Ok(Some("it has no internet gateway".to_owned()));
        };
        let tables = self.route_tables(vpc).await?;
        let main = tables.iter().find(|table| is_main(table));
        let gateway = gateway.internet_gateway_id.as_deref().unwrap_or_default();
        let of_all = match main.and_then(default_route) {
            Some(route) if leads_to(route, gateway) => None,
            Some(_) => Some("its route to the internet leads elsewhere".to_owned()),
            None => Some("its route to the internet is gone".to_owned()),
        };
        let astray = astray(&tables, subnets, gateway);
        let of_one = astray.iter().map(|stray| {
            format!(
                "the subnet of zone {} uses route table {}, which does not lead to the internet",
                stray.zone, stray.table
            )
        });
        let all: Vec<String> = of_all.into_iter().chain(of_one).collect();
        Ok((!all.is_empty()).then(|| all.join(", ")))
    }
}

/// A subnet that was given a route table of its own, by which it does not reach the internet.
#[derive(Debug, PartialEq, Eq)]
struct Astray<'a> {
    zone: &'a str,
    table: &'a str,
    association: &'a str,
}

fn astray<'a>(tables: &'a [RouteTable], subnets: &'a [Subnet], gateway: &str) -> Vec<Astray<'a>> {
    let leads_out = |table: &RouteTable| default_route(table).is_some_and(|route| leads_to(route, gateway));
    let zone_of = |id: &str| {
        let mut found = subnets.iter().filter(|subnet| subnet.subnet_id() == Some(id));
        found.find_map(|subnet| subnet.availability_zone())
    };
    let mut found = Vec::new();
    for table in tables.iter().filter(|table| !leads_out(table)) {
        for association in table.associations() {
            if let Some(zone) = association.subnet_id().and_then(zone_of) {
                found.push(Astray {
                    zone,
                    table: table.route_table_id().unwrap_or_default(),
                    association: association.route_table_association_id().unwrap_or_default(),
                });
            }
        }
    }
    found
}

fn is_main(table: &RouteTable) -> bool {
    table.associations().iter().any(|found| found.main == Some(true))
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

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::RouteTableAssociation;

    use super::*;

    fn table(id: &str, gateway: Option<&str>, subnet: Option<&str>) -> RouteTable {
        let route = gateway.map(|gateway| {
            let route = Route::builder().destination_cidr_block(EVERYWHERE);
            route.gateway_id(gateway).build()
        });
        let association = RouteTableAssociation::builder()
            .main(subnet.is_none())
            .set_subnet_id(subnet.map(ToOwned::to_owned))
            .route_table_association_id(format!("rtbassoc-{id}"));
        RouteTable::builder()
            .route_table_id(id)
            .set_routes(Some(route.into_iter().collect()))
            .associations(association.build())
            .build()
    }

    #[test]
    fn a_subnets_own_table_is_amiss_only_where_it_does_not_lead_out() {
        let subnet = |id: &str, zone: &str| Subnet::builder().subnet_id(id).availability_zone(zone).build();
        let subnets = [subnet("subnet-a", "a"), subnet("subnet-b", "b")];
        let tables = [
            table("main", None, None),
            table("good", Some("igw-1"), Some("subnet-a")),
            table("bad", Some("nat-1"), Some("subnet-b")),
            table("theirs", None, Some("subnet-x")),
        ];
        let bad = Astray {
            zone: "b",
            table: "bad",
            association: "rtbassoc-bad",
        };
        assert_eq!(astray(&tables, &subnets, "igw-1"), [bad]);
    }
}
