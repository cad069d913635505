//! What a member is started with: what kubeadm writes into etcd's manifest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Whether the member begins a cluster or joins one (`--initial-cluster-state`). Only looked at while the data
/// directory is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It begins a cluster.
    New,
    /// It joins one that knows it already: adding the member comes before starting it.
    Existing,
}

impl ClusterState {
    /// The flag's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// The certificates of a member; kubeadm keeps them in `/etc/kubernetes/pki/etcd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Shown to clients.
    pub server_certificate: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// Shown to other members, which also connect with it.
    pub peer_certificate: PathBuf,
    /// Its key.
    pub peer_key: PathBuf,
    /// Clients and other members need a certificate of this authority.
    pub trusted_ca: PathBuf,
}

/// One member. Give it the same again to start it again.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberConfig {
    /// Its name in the cluster: kubeadm takes the node's.
    pub name: String,
    /// Its data, made if it is missing; belongs to this member alone.
    pub data_directory: PathBuf,
    /// Where clients connect, for example 127.8.0.2:2379.
    pub listen_client: SocketAddr,
    /// Where other members connect, for example 127.8.0.2:2380.
    pub listen_peer: SocketAddr,
    /// What other members are told, for example `https://127.8.0.2:2380`.
    pub advertise_peer: String,
    /// `NAME=PEER-URL`, separated by commas: every member of the cluster, this one included.
    pub initial_cluster: String,
    /// Whether it begins a cluster or joins one.
    pub initial_cluster_state: ClusterState,
    /// Whether it starts as the only member of its cluster, with the data that it has (`--force-new-cluster`): what is left
    /// to do when the others are lost.
    pub force_new_cluster: bool,
    /// Its certificates.
    pub tls: Tls,
    /// Where its log goes, after what is there already.
    pub log: PathBuf,
    /// The version that a stand-in says it has: 3.4.0 if unset, whose behaviour it has.  Real etcd knows its own.
    pub version: Option<String>,
    /// How many times faster than real time the sandbox runs. The stand-in's patience follows it; real etcd knows only
    /// real time.
    pub speed: f64,
}

impl MemberConfig {
    /// One that begins a cluster of its own, its data and its log in this directory, `listens` to clients and to peers.
    /// Several begin a cluster together when `initial_cluster` is made to name all of them.
    pub fn first(name: &str, directory: &Path, listens: [SocketAddr; 2], tls: Tls, speed: f64) -> Self {
        let [listen_client, listen_peer] = listens;
        let advertise_peer = format!("https://{listen_peer}");
        Self {
            name: name.to_owned(),
            data_directory: directory.join("etcd"),
            listen_client,
            listen_peer,
            initial_cluster: format!("{name}={advertise_peer}"),
            advertise_peer,
            initial_cluster_state: ClusterState::New,
            force_new_cluster: false,
            tls,
            log: directory.join("etcd.log"),
            version: None,
            speed,
        }
    }

    /// What clients are told: `https://` and the address they connect to.
    pub fn advertise_client(&self) -> String {
        format!("https://{}", self.listen_client)
    }
}
