//! How many machines the zones' subnets have room for, where they are zonal, and how many are planned in each.
//!
//! What a subnet has room for is known from the plan of a cluster that is still to get it, and otherwise from the cloud, asked
//! once and before anything of the same apply is made in it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use multizone_cloud::{CloudError, ClusterName};

use super::Configured;

/// What this process knows of the subnets of clusters, by cluster and zone.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<BTreeMap<(ClusterName, String), Room>>);

#[derive(Clone, Debug, Default)]
struct Room {
    /// Addresses that nobody has.
    free: Option<u64>,
    /// New machines, by what is to make them.
    planned: BTreeMap<String, u64>,
}

impl Rooms {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ClusterName, String), Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Configured {
    /// Keeps what the subnet of a zone that a cluster is planned to span has room for.
    pub fn plan_room(&self, cluster: &ClusterName, zone: &str, free: u64) {
        let mut rooms = self.inner.rooms.lock();
        rooms.entry((cluster.clone(), zone.to_owned())).or_default().free = Some(free);
    }

    /// Plans new machines in a zone: gives how many are planned there in all, and how many there is room for; that is `None`
    /// where nobody can tell.
    pub async fn plan_machines(
        &self,
        cluster: &ClusterName,
        zone: &str,
        whose: &str,
        new: u64,
    ) -> Result<(u64, Option<u64>), CloudError> {
        let key = (cluster.clone(), zone.to_owned());
        let known = {
            let mut rooms = self.inner.rooms.lock();
            let room = rooms.entry(key.clone()).or_default();
            room.planned.insert(whose.to_owned(), new);
            room.free
        };
        let free = match known {
            Some(free) => Some(free),
            None => {
                self.ask("free addresses", self.cloud().free_addresses(cluster, zone))
                    .await?
            }
        };
        let mut rooms = self.inner.rooms.lock();
        let room = rooms.entry(key).or_default();
        room.free = room.free.or(free);
        Ok((room.planned.values().sum(), room.free))
    }
}
