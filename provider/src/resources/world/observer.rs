//! Asking a cluster itself, with its keys: etcd's members each for itself, the Nodes, the records of API servers.

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::{ClusterName, Inventory, Machine as CloudMachine};
use multizone_kubernetes::{
    cluster_access::{AccessError, Cluster as ClusterConnection, NodeFacts},
    etcd::{CLIENT_PORT, Credentials, Endpoint, Etcd, PortForward},
    pki::ClusterPki,
};
use multizone_planner::cluster::{ApiServer, World};
use multizone_schema::Diagnostics;
use tokio::time::timeout;

use super::{Api, LIFETIME, masters, record_endpoints, record_members};
use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, trouble::Situation},
};

/// How long one question may take.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Who looks at one cluster.
pub(crate) struct Observer {
    pub(crate) facts: ClusterFacts,
    pub(crate) pki: ClusterPki,
    pub(crate) asks: Api,
    etcd: Credentials,
}

/// What could be asked of a cluster beyond its cloud, or why it could not.  The members of etcd, the records of API servers
/// and those that are held are in the world.
pub(crate) struct Answers {
    /// All Nodes, by name.
    pub(crate) nodes: Result<BTreeMap<String, NodeFacts>, String>,
    /// Whether etcd's membership could be read.
    pub(crate) members: Result<(), String>,
    /// Whether the records of API servers could be.
    pub(crate) recorded: Result<(), String>,
}

impl Observer {
    /// Finds the cluster's keys; nothing is asked yet.
    pub(crate) async fn find(
        provider: &Configured,
        cluster: &ClusterName,
        situation: &Situation<'_>,
    ) -> Result<Self, Diagnostics> {
        let facts = ClusterFacts::find(provider, cluster, situation).await?;
        let pki = facts.pki(provider, situation).await?;
        let etcd = pki.etcd_credential(provider.now(), LIFETIME).map_err(|error| {
            let what = format!("A certificate for asking etcd cannot be made: {error}.");
            situation.error(&what, "This is an error in the provider.")
        })?;
        Ok(Self {
            asks: Api::with(&facts, &pki, provider, situation)?,
            etcd: Credentials {
                ca_pem: pki.etcd_ca.certificate_pem.clone(),
                certificate_pem: etcd.certificate_pem,
                key_pem: etcd.key_pem,
            },
            pki,
            facts,
        })
    }

    /// etcd's members at these masters, through a connection to an API server.
    pub(crate) fn etcd<'m>(
        &self,
        through: &ClusterConnection,
        masters: impl IntoIterator<Item = &'m CloudMachine>,
    ) -> Etcd<PortForward> {
        self.etcd_at(through, masters.into_iter().filter_map(etcd_endpoint).collect())
    }

    fn etcd_at(&self, through: &ClusterConnection, endpoints: Vec<Endpoint>) -> Etcd<PortForward> {
        Etcd::new(PortForward::through(through), self.etcd.clone(), endpoints).with_patience(LOOK)
    }

    /// A connection to the own API server of a master that serves.
    pub(crate) fn connection(&self, world: &World, inventory: &Inventory) -> Option<ClusterConnection> {
        let machine = |name: &str| masters(inventory).find(|machine| machine.name == name);
        world
            .serving()
            .filter_map(machine)
            .find_map(|machine| self.asks.connect(machine))
    }

    /// Asks through such a connection.
    pub(crate) async fn ask(
        &self,
        world: &mut World,
        inventory: &Inventory,
        connection: &ClusterConnection,
    ) -> Answers {
        let (nodes, recorded, held) = futures::join!(
            within(connection.nodes()),
            within(connection.api_server_endpoints()),
            within(connection.held_api_servers()),
        );
        let by_name = |nodes: Vec<NodeFacts>| nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let nodes: Result<BTreeMap<String, NodeFacts>, String> = nodes.map(by_name);
        // A master's Node that is ready has an etcd that can be asked, even if the cloud shows no machine of the cluster's
        // for it.
        let strays = nodes.iter().flatten().filter_map(|(name, node)| {
            let stray = node.ready && node.is_masters() && !world.machines.contains_key(name);
            let address = node.addresses.first().filter(|_| stray)?;
            Some(Endpoint {
                name: name.clone(),
                host: address.address.clone(),
                port: CLIENT_PORT,
            })
        });
        let running = masters(inventory).filter(|machine| super::runs(world, machine));
        let endpoints = running.filter_map(etcd_endpoint).chain(strays).collect();
        let members = match Box::pin(self.etcd_at(connection, endpoints).view()).await {
            Ok(view) => {
                record_members(world, inventory, &view);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        let recorded = recorded.map(|recorded| {
            if let Ok(nodes) = &nodes {
                record_endpoints(world, inventory, nodes, &recorded);
            }
        });
        for name in held.unwrap_or_default() {
            if let Some(machine) = world.machines.get_mut(&name)
                && machine.api != ApiServer::Serving
            {
                machine.api = ApiServer::Stopped;
            }
        }
        Answers {
            nodes,
            members,
            recorded,
        }
    }
}

fn etcd_endpoint(machine: &CloudMachine) -> Option<Endpoint> {
    Some(Endpoint {
        name: machine.name.clone(),
        host: machine.address?.to_string(),
        port: CLIENT_PORT,
    })
}

/// What is answered in time, or why it is not.
async fn within<T>(question: impl Future<Output = Result<T, AccessError>>) -> Result<T, String> {
    match timeout(LOOK, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", LOOK.as_secs())),
    }
}
