//! What a member does before it serves: finds out who it is, from its own disk or from the members of its cluster.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use multizone_etcd_api::Member;
use sha2::{Digest as _, Sha256};

use super::cluster::Cluster;
use super::files::{Files, Identity};
use super::state::State;
use crate::{ClusterState, MemberConfig};

/// The members of this process, by the address on which their peers find them.
type Neighbours = HashMap<SocketAddr, (Weak<Cluster>, u64)>;

fn neighbours() -> &'static Mutex<Neighbours> {
    static NEIGHBOURS: OnceLock<Mutex<Neighbours>> = OnceLock::new();
    NEIGHBOURS.get_or_init(Mutex::default)
}

/// The member that is found at a peer URL.
fn neighbour(peer_url: &str) -> Option<(Arc<Cluster>, u64)> {
    let address: SocketAddr = peer_url.strip_prefix("https://")?.parse().ok()?;
    let neighbours = neighbours().lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, id) = neighbours.get(&address)?;
    Some((cluster.upgrade()?, *id))
}

/// Lets peers find a member at this address, until the cluster is dropped or another member takes the address.
pub(super) fn announce(address: SocketAddr, cluster: &Arc<Cluster>, id: u64) {
    let mut neighbours = neighbours().lock().unwrap_or_else(PoisonError::into_inner);
    neighbours.retain(|_, (cluster, _)| cluster.strong_count() > 0);
    neighbours.insert(address, (Arc::downgrade(cluster), id));
}

/// The running cluster with this ID, or a new place for it.
fn cluster_of(id: u64, speed: f64) -> Arc<Cluster> {
    static CLUSTERS: OnceLock<Mutex<HashMap<u64, Weak<Cluster>>>> = OnceLock::new();
    let mut clusters = CLUSTERS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    clusters.retain(|_, cluster| cluster.strong_count() > 0);
    let running = clusters.get(&id).and_then(Weak::upgrade);
    running.unwrap_or_else(|| {
        let cluster = Arc::new(Cluster::new(id, speed));
        clusters.insert(id, Arc::downgrade(&cluster));
        cluster
    })
}

/// A member that knows who it is.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) cluster: Arc<Cluster>,
    pub(super) identity: Identity,
    pub(super) state: State,
    pub(super) files: Files,
}

/// Finds out who the member is; the error is what etcd writes before it ends.
pub(super) fn find_out(config: &MemberConfig) -> Result<Known, String> {
    let disk = |error: rusqlite::Error| format!("cannot use the data in {}: {error}", config.data_directory.display());
    let mut files = Files::open(&config.data_directory).map_err(disk)?;
    if let Some((identity, mut state)) = files.load().map_err(disk)? {
        if config.force_new_cluster {
            let others: Vec<u64> = state
                .members
                .keys()
                .copied()
                .filter(|id| *id != identity.member)
                .collect();
            for id in others {
                state.members.remove(&id);
                state.removed.insert(id);
            }
            if let Some(own) = state.members.get_mut(&identity.member) {
                own.is_learner = false;
            }
            files.replace(identity, &state).map_err(disk)?;
        }
        // As etcd, it does not look at the initial cluster any more.
        let cluster = cluster_of(identity.cluster, config.speed);
        return Ok(Known {
            cluster,
            identity,
            state,
            files,
        });
    }
    let initial = initial_cluster(config)?;
    let (cluster, member, members) = match config.initial_cluster_state {
        ClusterState::New => begin(config, &initial)?,
        ClusterState::Existing => join(config, &initial)?,
    };
    let state = State {
        members: members.into_iter().map(|member| (member.id, member)).collect(),
        ..State::default()
    };
    let identity = Identity {
        cluster: cluster.id,
        member,
    };
    files.replace(identity, &state).map_err(disk)?;
    Ok(Known {
        cluster,
        identity,
        state,
        files,
    })
}

/// The peer URLs of each member by its name.
fn initial_cluster(config: &MemberConfig) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in config
        .initial_cluster
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let (name, url) = entry
            .split_once('=')
            .ok_or_else(|| format!("error setting up initial cluster: {entry:?} is not NAME=URL"))?;
        members.entry(name.to_owned()).or_default().push(url.to_owned());
    }
    let Some(own) = members.get(&config.name) else {
        let name = &config.name;
        return Err(format!(
            "couldn't find local name \"{name}\" in the initial cluster configuration"
        ));
    };
    if *own != [config.advertise_peer.clone()] {
        let (name, advertised) = (&config.name, &config.advertise_peer);
        let listed = own.join(",");
        return Err(format!(
            "--initial-cluster has {name}={listed} but missing from --initial-advertise-peer-urls={advertised}"
        ));
    }
    Ok(members)
}

type Found = (Arc<Cluster>, u64, Vec<Member>);

/// Begins a cluster: everyone who is given the same initial cluster comes to the same IDs.
fn begin(config: &MemberConfig, initial: &BTreeMap<String, Vec<String>>) -> Result<Found, String> {
    let members: Vec<Member> = initial
        .iter()
        .map(|(name, urls)| Member {
            id: hash(urls.iter().map(String::as_str)),
            name: name.clone(),
            peer_urls: urls.clone(),
            ..Member::default()
        })
        .collect();
    let mut ids: Vec<String> = members.iter().map(|member| format!("{:x}", member.id)).collect();
    ids.sort();
    let cluster = hash(ids.iter().map(String::as_str));
    let own = hash([config.advertise_peer.as_str()].into_iter());
    for url in initial.values().flatten().filter(|url| **url != config.advertise_peer) {
        let known = neighbour(url).filter(|(other, _)| other.id == cluster);
        let members = known
            .and_then(|(other, id)| other.members_for_joiner(id))
            .unwrap_or_default();
        if members
            .iter()
            .any(|member| member.id == own && !member.client_urls.is_empty())
        {
            return Err(format!("member {own:x} has already been bootstrapped"));
        }
    }
    Ok((cluster_of(cluster, config.speed), own, members))
}

/// Asks the other members for the cluster, which has to know this one already.
fn join(config: &MemberConfig, initial: &BTreeMap<String, Vec<String>>) -> Result<Found, String> {
    let others = initial.values().flatten().filter(|url| **url != config.advertise_peer);
    let found = others.filter_map(|url| neighbour(url)).find_map(|(cluster, asked)| {
        let members = cluster.members_for_joiner(asked)?;
        Some((cluster, members))
    });
    let Some((cluster, members)) = found else {
        return Err(
            "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given \
                    URLs"
                .to_owned(),
        );
    };
    if members.len() != initial.len() {
        return Err(format!(
            "error validating peerURLs {members:?}: member count is unequal"
        ));
    }
    let listed = |member: &Member| initial.values().any(|urls| *urls == member.peer_urls);
    if let Some(other) = members.iter().find(|member| !listed(member)) {
        return Err(format!(
            "error validating peerURLs {members:?}: unmatched member while checking PeerURLs ({:?})",
            other.peer_urls
        ));
    }
    let own = members
        .iter()
        .find(|member| member.peer_urls.contains(&config.advertise_peer));
    let own = own
        .map(|member| member.id)
        .ok_or("unmatched member while checking PeerURLs")?;
    Ok((cluster, own, members))
}

/// An ID from texts; never 0, which etcd takes for nobody.
pub(super) fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> u64 {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.as_bytes());
        digest.update([0]);
    }
    let bytes = digest.finalize();
    bytes[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte)).max(1)
}
