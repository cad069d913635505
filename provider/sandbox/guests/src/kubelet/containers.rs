//! What the container runtime of a machine runs now. A halt forgets it; a restart of the kubelet does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// The containers of a machine, by the UID of their pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Containers {
    running: BTreeMap<String, RunningPod>,
    images: BTreeSet<String>,
}

/// A pod whose containers run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RunningPod {
    pub(crate) address: Ipv4Addr,
    pub(crate) started: String,
}

impl Containers {
    pub(crate) fn get(&self, uid: &str) -> Option<&RunningPod> {
        self.running.get(uid)
    }

    pub(crate) fn insert(&mut self, uid: &str, pod: RunningPod) {
        self.running.insert(uid.to_owned(), pod);
    }

    pub(crate) fn remove(&mut self, uid: &str) {
        self.running.remove(uid);
    }

    /// Notes that an image is there now; whether it was not before.
    pub(crate) fn pull(&mut self, image: &str) -> bool {
        self.images.insert(image.to_owned())
    }

    /// The first free pod address of the node's block; the first two are the network's and the bridge's.
    pub(crate) fn free_address(&self, block: Ipv4Net) -> Option<Ipv4Addr> {
        block
            .hosts()
            .skip(1)
            .find(|address| self.running.values().all(|pod| pod.address != *address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pod_addresses_are_not_given_twice() {
        let mut containers = Containers::default();
        let block: Ipv4Net = "10.244.1.0/29".parse().unwrap();
        let mut given = Vec::new();
        while let Some(address) = containers.free_address(block) {
            containers.insert(
                &address.to_string(),
                RunningPod {
                    address,
                    started: String::new(),
                },
            );
            given.push(address.octets()[3]);
        }
        assert_eq!(given, [2, 3, 4, 5, 6]);
        containers.remove("10.244.1.4");
        assert_eq!(containers.free_address(block), Some(Ipv4Addr::new(10, 244, 1, 4)));
    }
}
