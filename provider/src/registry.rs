//! Everything that is served.

use crate::{
    data_sources::{cluster_status::ClusterStatusSource, zones::ZonesSource},
    ephemeral::kubeconfig::KubeconfigResource,
    functions::{quorum_size::QuorumSize, spread::Spread},
    protocol::served::{AnyDataSource, AnyEphemeral, AnyFunction, AnyResource},
    resources::{
        api_load_balancer::ApiLoadBalancerResource, cluster::ClusterResource, control_plane::ControlPlaneResource,
        disk::DiskResource, node_group::NodeGroupResource,
    },
};

/// The resources.
pub fn resources() -> Vec<Box<dyn AnyResource>> {
    vec![
        Box::new(ClusterResource),
        Box::new(ApiLoadBalancerResource),
        Box::new(ControlPlaneResource),
        Box::new(NodeGroupResource),
        Box::new(DiskResource),
    ]
}

/// The data sources.
pub fn data_sources() -> Vec<Box<dyn AnyDataSource>> {
    vec![Box::new(ClusterStatusSource), Box::new(ZonesSource)]
}

/// The ephemeral resources.
pub fn ephemeral_resources() -> Vec<Box<dyn AnyEphemeral>> {
    vec![Box::new(KubeconfigResource)]
}

/// The functions.
pub fn functions() -> Vec<Box<dyn AnyFunction>> {
    vec![Box::new(QuorumSize), Box::new(Spread)]
}
