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
    planned: BTreeMap<Maker, NewMachines>,
}

/// What makes machines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    /// The control plane.
    Masters,
    /// The node group of this name.
    Workers(String),
}

/// How many machines are added to those of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewMachines {
    /// For good.
    pub staying: u64,
    /// Beside those: as long as they take the place of others that still run.
    pub passing: u64,
}

impl Room {
    /// All that are planned.  Workers wait for the masters that they depend on, so those that are there for a while come
    /// together only within a control plane or among node groups.
    fn planned(&self) -> NewMachines {
        let (mut all, mut masters, mut workers) = (NewMachines::default(), 0, 0);
        for (maker, new) in &self.planned {
            all.staying += new.staying;
            match maker {
                Maker::Masters => masters += new.passing,
                Maker::Workers(_) => workers += new.passing,
            }
        }
        all.passing = masters.max(workers);
        all
    }
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

    /// Plans new machines in a zone: gives those that are planned there in all, and how many there is room for; that is `None`
    /// where nobody can tell.
    pub async fn plan_machines(
        &self,
        cluster: &ClusterName,
        zone: &str,
        maker: Maker,
        new: NewMachines,
    ) -> Result<(NewMachines, Option<u64>), CloudError> {
        let key = (cluster.clone(), zone.to_owned());
        let known = {
            let mut rooms = self.inner.rooms.lock();
            let room = rooms.entry(key.clone()).or_default();
            room.planned.insert(maker, new);
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
        Ok((room.planned(), room.free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_are_there_for_a_while_are_counted_where_they_meet() {
        let new = |staying, passing| NewMachines { staying, passing };
        let workers = |name: &str| Maker::Workers(name.to_owned());
        let planned = [
            (Maker::Masters, new(0, 1)),
            (workers("a"), new(2, 1)),
            (workers("b"), new(0, 3)),
        ];
        let room = Room {
            free: None,
            planned: planned.into(),
        };
        assert_eq!(room.planned(), new(2, 4));
    }
}
