//! The Service `kubernetes` leads to the servers that live.

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;

use crate::client;
use crate::fixture::{Cluster, etcd_is_there, eventually};

async fn endpoints(server: &Cluster) -> (Vec<String>, Vec<String>) {
    let client = client(server).await;
    let endpoints: Api<Endpoints> = Api::namespaced(client.clone(), "default");
    let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
    let addresses = match endpoints.get_opt("kubernetes").await.unwrap() {
        Some(found) => found.subsets.unwrap()[0].addresses.clone().unwrap(),
        None => Vec::new(),
    };
    let slice = slices.get_opt("kubernetes").await.unwrap();
    let parts = slice.and_then(|found| found.endpoints).unwrap_or_default();
    let mut parts: Vec<String> = parts.into_iter().flat_map(|one| one.addresses).collect();
    parts.sort();
    (addresses.into_iter().map(|one| one.ip).collect(), parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kubernetes_service_leads_to_the_servers_that_live() {
    if !etcd_is_there() {
        return;
    }
    // The fifteen seconds of a record pass in six.
    let mut servers = Cluster::of_several_on_one_member(3, 2.5).await;
    let (all, two, one) = (
        ["127.0.0.1", "127.0.0.2", "127.0.0.3"].as_slice(),
        ["127.0.0.2", "127.0.0.3"].as_slice(),
        ["127.0.0.3"].as_slice(),
    );
    let leads_to = async |server: &Cluster, wanted: &[&str]| {
        eventually(&format!("endpoints {wanted:?}"), async || {
            let (endpoints, slice) = endpoints(server).await;
            (endpoints == wanted && slice == wanted).then_some(())
        })
        .await;
    };
    leads_to(&servers[2], all).await;
    let (etcd, _) = servers[0].etcd.clone().unwrap();
    assert_eq!(etcd.keys("/registry/masterleases/").await.len(), 3);

    // Stopped: gone by the time that it has stopped.
    servers[0].stop().await;
    let (found, slice) = endpoints(&servers[2]).await;
    assert_eq!(found, two);
    assert_eq!(slice, two);
    assert_eq!(
        etcd.keys("/registry/masterleases/").await,
        ["/registry/masterleases/127.0.0.2", "/registry/masterleases/127.0.0.3"]
    );

    // Killed: there until its lease has expired.
    servers[1].kill().await;
    let (found, _) = endpoints(&servers[2]).await;
    assert_eq!(found, two, "a killed server's record stays for now");
    leads_to(&servers[2], one).await;

    // The last one leaves its address: there is no better one.
    servers[2].stop().await;
    servers[0].run().await;
    leads_to(&servers[0], &["127.0.0.1"]).await;
}
