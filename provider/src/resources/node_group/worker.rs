//! A worker: what it is made from.

use std::{collections::BTreeMap, time::Duration};

use multizone_cloud::{ClusterName, Labels, MachineSpec, Role, label};
use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    cluster_access::OwnedMetadata,
    endpoint::ControlPlaneEndpoint,
    kubeadm::{self, JoinSettings, NodeRegistration},
    labels as node_labels,
    user_data::WorkerUserData,
    version::KubernetesVersion,
};
use multizone_planner::{
    Version, fingerprint,
    node_group::{Desired, Names, Taint},
};
use multizone_schema::{Diagnostic, Diagnostics, Planned};

use super::NodeGroupPlanned;
use crate::{
    configuration::Configured,
    resources::{
        control_plane::SPECIFICATION,
        identity::{ObjectId, zonal_labels},
        marks, timeouts,
        trouble::Situation,
    },
};

/// The label by which a node group knows its Nodes.
pub(super) const GROUP_LABEL: &str = "multizone.dev/node-group";
/// The label on Nodes that are to leave.
pub(super) const LEAVING_LABEL: &str = "multizone.dev/leaving";

/// The annotation by which a Node tells an import how its group is configured.
pub(super) const RECORD: &str = "multizone.dev/node-group-settings";

/// What the configuration asks for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    pub(super) group: String,
    pub(super) zone: String,
    pub(super) size: usize,
    pub(super) version: KubernetesVersion,
    pub(super) machine_type: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<node_labels::Taint>,
    pub(super) legacy_zone_labels: bool,
    pub(super) max_surge: usize,
    pub(super) max_unavailable: usize,
    pub(super) drain_timeout: Duration,
    pub(super) image: Option<String>,
    pub(super) boot_disk_gb: i64,
    pub(super) service_account: Option<String>,
    /// The settings as a Node's annotation keeps them.
    pub(super) record: String,
}

impl Wanted {
    /// What a plan asks for, if enough of it is known.
    pub(super) fn of(planned: &NodeGroupPlanned) -> Result<Self, Diagnostics> {
        let missing = |name: &str| {
            Diagnostics::from(
                Diagnostic::error("Value not known", format!("{name} has no value when it is needed.")).at(name),
            )
        };
        let text = |value: &Planned<String>, name| value.known().cloned().ok_or_else(|| missing(name));
        let count = |value: &Planned<i64>, name| {
            value
                .known()
                .and_then(|value| usize::try_from(*value).ok())
                .ok_or_else(|| missing(name))
        };
        let wrong = |name: &str, error: &dyn std::fmt::Display| {
            Diagnostics::from(Diagnostic::error("Unusable value", format!("{name}: {error}.")).at(name))
        };
        let id = ObjectId::parse_cluster(&text(&planned.control_plane, "control_plane")?)
            .map_err(|error| wrong("control_plane", &error))?;
        if planned.labels.is_unknown() {
            return Err(missing("labels"));
        }
        let mut labels = BTreeMap::new();
        for (key, value) in planned.labels.known().into_iter().flatten() {
            labels.insert(key.clone(), text(value, "labels")?);
        }
        if planned.taints.is_unknown() {
            return Err(missing("taints"));
        }
        let mut taints = Vec::new();
        for taint in planned.taints.known().into_iter().flatten() {
            let taint = taint.known().ok_or_else(|| missing("taints"))?;
            taints.push(node_labels::Taint {
                key: text(&taint.key, "taints")?,
                value: text(&taint.value, "taints")?,
                effect: text(&taint.effect, "taints")?
                    .parse()
                    .map_err(|error| wrong("taints", &error))?,
            });
        }
        let version = text(&planned.kubernetes_version, "kubernetes_version")?;
        let mut wanted = Self {
            cluster: id.cluster,
            group: text(&planned.name, "name")?,
            zone: text(&planned.zone, "zone")?,
            size: count(&planned.size, "size")?,
            version: KubernetesVersion::parse(&version).map_err(|error| wrong("kubernetes_version", &error))?,
            machine_type: text(&planned.machine_type, "machine_type")?,
            labels,
            taints,
            legacy_zone_labels: *planned
                .legacy_zone_labels
                .known()
                .ok_or_else(|| missing("legacy_zone_labels"))?,
            max_surge: count(&planned.max_surge, "max_surge")?,
            max_unavailable: count(&planned.max_unavailable, "max_unavailable")?,
            drain_timeout: timeouts::parse(&text(&planned.drain_timeout, "drain_timeout")?)
                .ok_or_else(|| missing("drain_timeout"))?,
            image: planned.image.known().cloned(),
            boot_disk_gb: *planned.boot_disk_gb.known().ok_or_else(|| missing("boot_disk_gb"))?,
            service_account: planned.service_account.known().cloned(),
            record: String::new(),
        };
        let record = Record {
            group: wanted.group.clone(),
            specification: wanted.specification(),
            labels: (!planned.labels.is_null()).then(|| wanted.labels.clone()),
            taints: (!planned.taints.is_null()).then(|| wanted.taints.iter().map(planner_taint).collect()),
            legacy_zone_labels: wanted.legacy_zone_labels,
            max_surge: wanted.max_surge,
            max_unavailable: wanted.max_unavailable,
            drain_timeout: text(&planned.drain_timeout, "drain_timeout")?,
            image: wanted.image.clone(),
            boot_disk_gb: wanted.boot_disk_gb,
            service_account: wanted.service_account.clone(),
        };
        wanted.record = serde_json::to_string(&record).unwrap_or_default();
        Ok(wanted)
    }

    /// What the machines are made from, as a fingerprint.  What changes in place is not in it.
    pub(super) fn specification(&self) -> String {
        let parts = [
            self.version.to_string(),
            self.machine_type.clone(),
            self.image.clone().unwrap_or_default(),
            self.boot_disk_gb.to_string(),
            self.service_account.clone().unwrap_or_default(),
        ];
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", fingerprint(&parts))
    }

    /// All that the configuration asks for, as a fingerprint: what a finished group is recognised by.
    pub(super) fn fingerprint(&self) -> String {
        let mut parts = vec![self.specification(), self.zone.clone(), self.size.to_string()];
        parts.extend(self.labels.iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
        for taint in &self.taints {
            parts.extend([taint.key.clone(), taint.value.clone(), taint.effect.as_str().to_owned()]);
        }
        parts.push(self.legacy_zone_labels.to_string());
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        format!("{:016x}", fingerprint(&parts))
    }

    /// The labels that this group sets on its Nodes.
    pub(super) fn node_labels(&self, region: &str) -> BTreeMap<String, String> {
        let mut labels = kubeadm::topology_labels(region, &self.zone, self.legacy_zone_labels);
        labels.extend(self.labels.clone());
        labels.insert(GROUP_LABEL.to_owned(), self.group.clone());
        labels
    }

    /// The labels and taints of a Node that belong to this group.
    pub(super) fn owned(&self, region: &str) -> OwnedMetadata {
        OwnedMetadata {
            labels: self.node_labels(region),
            taints: self.taints.clone(),
            annotations: BTreeMap::from([(RECORD.to_owned(), self.record.clone())]),
        }
    }

    /// The same as the planner wants it; `before` is what an earlier configuration set.
    pub(super) fn desired(&self, region: &str, before: Option<&Self>, force: bool) -> Desired {
        let labels = self.node_labels(region);
        let taints: std::collections::BTreeSet<Taint> = self.taints.iter().map(planner_taint).collect();
        let earlier_labels = before.map(|before| before.node_labels(region)).unwrap_or_default();
        let earlier_taints = before.map(|before| before.taints.clone()).unwrap_or_default();
        Desired {
            names: Names {
                cluster: self.cluster.to_string(),
                group: self.group.clone(),
            },
            zone: self.zone.clone(),
            size: self.size,
            version: planner_version(self.version),
            specification: self.specification(),
            absent_labels: earlier_labels
                .into_keys()
                .filter(|key| !labels.contains_key(key))
                .collect(),
            labels,
            record: Some(self.record.clone()),
            absent_taints: earlier_taints
                .iter()
                .map(planner_taint)
                .filter(|taint| !taints.contains(taint))
                .collect(),
            taints,
            max_surge: self.max_surge,
            max_unavailable: self.max_unavailable,
            force,
        }
    }

    /// The labels of a machine once its create has finished.
    pub(super) fn machine_labels(&self, region: &str) -> Labels {
        let mut labels = zonal_labels(&self.cluster, region, &self.zone);
        labels.insert(label::ROLE.to_owned(), Role::Worker.as_str().to_owned());
        labels.insert(label::NODE_GROUP.to_owned(), self.group.clone());
        labels.insert(label::VERSION.to_owned(), self.version.to_string().replace('.', "-"));
        labels.insert(SPECIFICATION.to_owned(), self.specification());
        labels
    }

    /// A machine as the cloud is asked for it; its user data joins the cluster.
    pub(super) fn machine(
        &self,
        provider: &Configured,
        name: &str,
        join: &Join,
        unfinished: bool,
        situation: &Situation<'_>,
    ) -> Result<MachineSpec, Diagnostics> {
        let cloud = provider.cloud();
        let mut labels = self.machine_labels(cloud.region());
        if unfinished {
            labels.insert(label::CREATING.to_owned(), marks::UNFINISHED.to_owned());
        }
        let settings = JoinSettings {
            version: join.kubeadm(self.version),
            endpoint: join.endpoint.clone(),
            token: join.token.clone(),
            ca_certificate_hash: join.ca_certificate_hash.clone(),
            node: NodeRegistration {
                name: name.to_owned(),
                node_ip: None,
                provider_id: cloud.provider_id(&self.zone, name),
                labels: self.node_labels(cloud.region()),
                taints: Some(self.taints.clone()),
                cri_socket: None,
            },
            control_plane: None,
            patched: false,
        };
        let user_data = WorkerUserData {
            version: self.version,
            kubeadm: settings.version,
            kubeadm_configuration: kubeadm::join_configuration(&settings),
        };
        Ok(MachineSpec {
            cluster: self.cluster.clone(),
            name: name.to_owned(),
            zone: self.zone.clone(),
            role: Role::Worker,
            machine_type: self.machine_type.clone(),
            image: self.image.clone(),
            boot_disk_gb: self.boot_disk_gb,
            user_data: user_data.render().map_err(|error| {
                situation.error(&format!("Machine {name} cannot be made: {error}."), "Then apply again.")
            })?,
            identity: self.service_account.clone(),
            address: None,
            labels,
        })
    }
}

/// What a Node remembers of its group, so that an import finds what no cloud keeps.  It is not secret.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Record {
    pub(super) group: String,
    /// Of the machine: the record is written when it joins, and again only while it is up to date.
    pub(super) specification: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) taints: Option<Vec<Taint>>,
    pub(super) legacy_zone_labels: bool,
    pub(super) max_surge: usize,
    pub(super) max_unavailable: usize,
    pub(super) drain_timeout: String,
    pub(super) image: Option<String>,
    pub(super) boot_disk_gb: i64,
    pub(super) service_account: Option<String>,
}

impl Record {
    /// What a Node's annotation says, if it is one of ours.
    pub(super) fn of(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }
}

/// What a machine needs to join.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) endpoint: ControlPlaneEndpoint,
    pub(super) token: BootstrapToken,
    pub(super) ca_certificate_hash: String,
    /// The API server's version, if it is known.
    pub(super) api: Option<Version>,
}

impl Join {
    /// The kubeadm with which a kubelet of this version joins: of the control plane's minor version (domain-rules.md, skew).
    fn kubeadm(&self, kubelet: KubernetesVersion) -> KubernetesVersion {
        self.api
            .filter(|api| api.minor != u64::from(kubelet.minor))
            .and_then(|api| KubernetesVersion::parse(&api.to_string()).ok())
            .unwrap_or(kubelet)
    }
}

pub(super) fn planner_taint(taint: &node_labels::Taint) -> Taint {
    Taint {
        key: taint.key.clone(),
        value: taint.value.clone(),
        effect: taint.effect.as_str().to_owned(),
    }
}

pub(super) fn planner_version(version: KubernetesVersion) -> Version {
    Version::new(version.major.into(), version.minor.into(), version.patch.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::node_group::{NodeGroup, plan::blank};

    fn wanted(change: impl FnOnce(&mut NodeGroup)) -> Wanted {
        let mut group = NodeGroup {
            control_plane: "us-central1/demo".into(),
            kubernetes_version: "1.34.1".into(),
            name: "pool".into(),
            zone: "us-central1-a".into(),
            size: 3,
            machine_type: "n1-standard-2".into(),
            labels: Some(BTreeMap::from([("team".into(), "web".into())])),
            ..blank()
        };
        change(&mut group);
        Wanted::of(&group.into()).unwrap()
    }

    #[test]
    fn what_changes_in_place_does_not_replace_machines() {
        let before = wanted(|_| {}).specification();
        assert_eq!(wanted(|group| group.size = 5).specification(), before);
        assert_eq!(wanted(|group| group.labels = None).specification(), before);
        assert_eq!(wanted(|group| group.legacy_zone_labels = true).specification(), before);
        assert_ne!(
            wanted(|group| group.machine_type = "n1-standard-4".into()).specification(),
            before
        );
        assert_ne!(
            wanted(|group| group.kubernetes_version = "1.34.2".into()).specification(),
            before
        );
    }

    #[test]
    fn labels_that_went_are_taken_away() {
        let before = wanted(|group| group.legacy_zone_labels = true);
        let now = wanted(|group| group.labels = None).desired("us-central1", Some(&before), false);
        let gone: Vec<&str> = now.absent_labels.iter().map(String::as_str).collect();
        assert_eq!(
            gone,
            [
                "failure-domain.beta.kubernetes.io/region",
                "failure-domain.beta.kubernetes.io/zone",
                "team"
            ]
        );
        assert_eq!(now.labels["topology.kubernetes.io/zone"], "us-central1-a");
    }
}
