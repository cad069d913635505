//! What kubeadm does with etcd when a master joins: finds the members, checks them, adds the new one as a learner and
//! promotes it once it has caught up.

use std::net::SocketAddr;
use std::time::Duration;

use multizone_etcd_api::cluster_client::ClusterClient;
use multizone_etcd_api::maintenance_client::MaintenanceClient;
use multizone_etcd_api::{
    Credentials, Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, Refusal, StatusRequest,
    channel_over,
};
use tonic::transport::Channel;

use super::manifests::ETCD_CLIENT_URLS;
use super::settings::Master;
use super::{Attempts, say};
use crate::api::Api;
use crate::machine::Machine;

const MEMBERS: &str = "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Detcd%2Ctier%3Dcontrol-plane";
/// How long kubeadm tries one thing with etcd.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
const LEAST_REQUEST: Duration = Duration::from_secs(2);

/// Where the members are that have a static pod; asked until there is one, since a new one is not there at once.
async fn endpoints(machine: &Machine, api: &Api) -> Result<Vec<String>, String> {
    let attempts = Attempts::within(machine, PATIENCE);
    loop {
        let problem = match api.get(MEMBERS).await {
            Ok(pods) => {
                let found: Vec<String> = pods["items"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|pod| pod["metadata"]["annotations"][ETCD_CLIENT_URLS].as_str())
                    .map(str::to_owned)
                    .collect();
                if !found.is_empty() {
                    return Ok(found);
                }
                "no etcd pod is annotated".to_owned()
            }
            Err(error) => error.to_string(),
        };
        if attempts.are_over() {
            return Err(format!("could not retrieve the list of etcd endpoints: {problem}"));
        }
        attempts.pause().await;
    }
}

/// A connection to one member, from this machine.
fn channel(machine: &Machine, endpoint: &str, client: &Credentials) -> Result<Channel, String> {
    let target: SocketAddr = endpoint
        .strip_prefix("https://")
        .and_then(|target| target.parse().ok())
        .ok_or_else(|| format!("the etcd endpoint {endpoint} is not https://ADDRESS:PORT"))?;
    let (network, name) = (machine.network.clone(), machine.spec.name.clone());
    channel_over(&target.ip().to_string(), Some(client), move || {
        let (network, name) = (network.clone(), name.clone());
        async move { network.connect(&name, target).await }
    })
    .map_err(|error| error.to_string())
}

async fn within<T>(
    machine: &Machine,
    request: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, tonic::Status> {
    match tokio::time::timeout(machine.interval(REQUEST, LEAST_REQUEST), request).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(tonic::Status::deadline_exceeded("context deadline exceeded")),
    }
}

/// Where the members are that etcd itself lists: the pod of one that was removed may outlive it for a while.
async fn members(machine: &Machine, api: &Api, client: &Credentials) -> Result<Vec<String>, String> {
    let mut last = String::new();
    for endpoint in endpoints(machine, api).await? {
        let mut cluster = ClusterClient::new(channel(machine, &endpoint, client)?);
        match within(machine, cluster.member_list(MemberListRequest { linearizable: true })).await {
            Ok(answer) => return Ok(answer.members.into_iter().flat_map(|it| it.client_urls).collect()),
            Err(error) => last = format!("{endpoint}: {}", error.message()),
        }
    }
    Err(format!("error syncing endpoints with etcd: {last}"))
}

/// The check-etcd phase: every member must answer in time, a dead one fails the join.
pub(super) async fn check_health(machine: &Machine, api: &Api, client: &Credentials) -> Result<(), String> {
    say(machine, "[check-etcd] Checking that the etcd cluster is healthy");
    let attempts = Attempts::within(machine, PATIENCE);
    loop {
        let error = match every_member_answers(machine, api, client).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if attempts.are_over() {
            return Err(error);
        }
        attempts.pause().await;
    }
}

async fn every_member_answers(machine: &Machine, api: &Api, client: &Credentials) -> Result<(), String> {
    for endpoint in members(machine, api, client).await? {
        let mut maintenance = MaintenanceClient::new(channel(machine, &endpoint, client)?);
        let status = within(machine, maintenance.status(StatusRequest {})).await;
        status.map_err(|error| {
            let why = error.message();
            format!("etcd cluster is not healthy: failed to dial endpoint {endpoint}: {why}")
        })?;
    }
    Ok(())
}

/// Adds this machine as a learner, unless an earlier attempt did.  Returns its ID and `--initial-cluster`.
pub(super) async fn add_learner(
    machine: &Machine,
    api: &Api,
    client: &Credentials,
    master: &Master,
) -> Result<(u64, String), String> {
    let peer = format!("https://{}:2380", master.advertise);
    let mut said = String::new();
    let attempts = Attempts::within(machine, PATIENCE);
    loop {
        match try_add(machine, api, client, &peer).await {
            Ok(members) => {
                let own = members.iter().find(|member| member.peer_urls.contains(&peer));
                let own = own.ok_or("etcd's answer does not name the member that was added")?;
                let list: Vec<_> = members
                    .iter()
                    .flat_map(|member| {
                        let name = if member.peer_urls.contains(&peer) {
                            &master.node
                        } else {
                            &member.name
                        };
                        member.peer_urls.iter().map(move |url| format!("{name}={url}"))
                    })
                    .collect();
                return Ok((own.id, list.join(",")));
            }
            Err(error) if attempts.are_over() => {
                return Err(format!("error creating local etcd static pod manifest file: {error}"));
            }
            Err(error) if said != error => {
                say(machine, format!("[etcd] Failed to add etcd member: {error}"));
                said = error;
            }
            Err(_) => {}
        }
        attempts.pause().await;
    }
}

async fn try_add(machine: &Machine, api: &Api, client: &Credentials, peer: &str) -> Result<Vec<Member>, String> {
    let mut last = String::new();
    for endpoint in endpoints(machine, api).await? {
        let mut cluster = ClusterClient::new(channel(machine, &endpoint, client)?);
        let listed = within(machine, cluster.member_list(MemberListRequest { linearizable: true })).await;
        let members = match listed {
            Ok(answer) => answer.members,
            Err(error) => {
                error.message().clone_into(&mut last);
                continue;
            }
        };
        if members
            .iter()
            .any(|member| member.peer_urls.iter().any(|url| url == peer))
        {
            say(machine, "[etcd] The etcd member already exists in the cluster");
            return Ok(members);
        }
        say(machine, "[etcd] Adding etcd member as learner");
        let request = MemberAddRequest {
            peer_urls: vec![peer.to_owned()],
            is_learner: true,
        };
        match within(machine, cluster.member_add(request)).await {
            Ok(added) => return Ok(added.members),
            Err(error) => error.message().clone_into(&mut last),
        }
    }
    Err(last)
}

/// Whether this machine's own member says that it is a learner.
pub(super) async fn is_learner(machine: &Machine, client: &Credentials) -> bool {
    let own = format!("https://{}:2379", machine.spec.address);
    let Ok(channel) = channel(machine, &own, client) else {
        return false;
    };
    let mut maintenance = MaintenanceClient::new(channel);
    let status = within(machine, maintenance.status(StatusRequest {})).await;
    status.is_ok_and(|status| status.is_learner)
}

/// Waits until the learner has caught up, and makes it a voter.
pub(super) async fn promote(machine: &Machine, api: &Api, client: &Credentials, id: u64) -> Result<(), String> {
    say(machine, format!("[etcd] Promoting the learner {id:016x}"));
    let attempts = Attempts::within(machine, PATIENCE);
    loop {
        let error = match try_promote(machine, api, client, id).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if attempts.are_over() {
            return Err(format!("failed to promote the member {id:016x}: {error}"));
        }
        attempts.pause().await;
    }
}

async fn try_promote(machine: &Machine, api: &Api, client: &Credentials, id: u64) -> Result<(), String> {
    let mut last = String::new();
    for endpoint in endpoints(machine, api).await? {
        let mut cluster = ClusterClient::new(channel(machine, &endpoint, client)?);
        match within(machine, cluster.member_promote(MemberPromoteRequest { id })).await {
            Ok(_) => return Ok(()),
            Err(error) if Refusal::of(&error) == Some(Refusal::MemberNotLearner) => return Ok(()),
            Err(error) => error.message().clone_into(&mut last),
        }
    }
    Err(last)
}
