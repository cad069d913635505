//! What the configuration asks for, as the planner wants it.

use std::collections::BTreeMap;

use multizone_kubernetes::version::KubernetesVersion;
use multizone_planner::{
    Version,
    cluster::{ControlPlane as Intent, Operation, Replica},
    fingerprint,
};
use multizone_schema::Diagnostics;

use super::super::{
    ControlPlanePlanned,
    machine::{Wanted, pod_network_fingerprint},
};
use crate::resources::identity::master_name;

/// A control plane of any number of masters.
#[derive(Clone, Debug)]
pub(super) struct Several {
    /// What all masters share; its replica and zone are those of one of them.
    base: Wanted,
    /// The zone of each replica, by key.
    pub(super) replicas: BTreeMap<String, String>,
    /// The balancer in front of them, by name.
    pub(super) balancer: Option<String>,
    /// Where snapshots of etcd go.
    pub(super) backup: Option<String>,
}

impl std::ops::Deref for Several {
    type Target = Wanted;

    fn deref(&self) -> &Wanted {
        &self.base
    }
}

impl Several {
    /// What a plan asks for, if enough of it is known.
    pub(super) fn of(planned: &ControlPlanePlanned) -> Result<Self, Diagnostics> {
        let base = Wanted::of(planned)?;
        let mut replicas = BTreeMap::new();
        for (key, replica) in planned.replicas.known().into_iter().flatten() {
            let zone = replica.known().and_then(|replica| replica.zone.known());
            let zone = zone.ok_or_else(|| super::missing("replicas"))?;
            replicas.insert(key.clone(), zone.clone());
        }
        if planned.load_balancer.is_unknown() {
            return Err(super::missing("load_balancer"));
        }
        Ok(Self {
            base,
            replicas,
            balancer: planned.load_balancer.known().cloned(),
            backup: planned.etcd_backup.known().cloned(),
        })
    }

    /// One master of it.
    pub(super) fn replica(&self, key: &str, zone: &str) -> Wanted {
        Wanted {
            replica: key.to_owned(),
            zone: zone.to_owned(),
            ..self.base.clone()
        }
    }

    /// The operation that the planner is asked about.
    pub(super) fn operation(&self, endpoint: Option<String>) -> Operation {
        let replica = |(key, zone): (&String, &String)| {
            let replica = Replica {
                zone: zone.clone(),
                specification: self.replica(key, zone).specification(),
            };
            (key.clone(), replica)
        };
        Operation::ControlPlane(Intent {
            prefix: master_name(&self.base.cluster, ""),
            replicas: self.replicas.iter().map(replica).collect(),
            version: version(self.base.version),
            settings: String::new(),
            balancer: self.balancer.clone(),
            endpoint,
            backup: self.backup.clone(),
            pod_network: self.base.pod_network.as_deref().map(pod_network_fingerprint),
        })
    }

    /// The end of it.
    pub(super) fn removal(&self, endpoint: Option<String>) -> Operation {
        Self {
            replicas: BTreeMap::new(),
            ..self.clone()
        }
        .operation(endpoint)
    }

    /// All that the configuration asks for, as a fingerprint: what a finished control plane is recognised by.
    pub(super) fn fingerprint(&self) -> String {
        let mut parts = vec![self.base.fingerprint()];
        for (key, zone) in &self.replicas {
            parts.push(key.clone());
            parts.push(zone.clone());
        }
        parts.extend(self.balancer.clone());
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", fingerprint(&parts))
    }
}

pub(super) fn version(version: KubernetesVersion) -> Version {
    Version::new(version.major.into(), version.minor.into(), version.patch.into())
}
