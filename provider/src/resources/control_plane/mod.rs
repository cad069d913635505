//! `multizone_control_plane`: the masters, for now exactly one.
//!
//! The order is the planner's (`multizone_planner::control_plane`); [`executor`] observes, asks it, and acts.  What
//! planning needs is recorded at the end of every apply and read, in private data.

mod executor;
mod facts;
mod machine;

pub(in crate::resources) use machine::{SPECIFICATION, timing};

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use multizone_cloud::ClusterName;
use multizone_planner::{
    control_plane::{Next, Observed, Step, preview},
    lines,
};
use multizone_schema::{Diagnostic, Diagnostics, Model, Nested, Path, Planned, PlannedModel};

use super::{
    Created, Failed, PlanRequest, Planning, Resource, Updated, checks,
    identity::{ClusterIdentity, ObjectId},
    offers::{self, Purpose},
    timeouts::{self, Timeouts},
    trouble::{ADOPTED, CONTINUED, STILL_THERE, Situation},
};
use crate::{configuration::Configured, stop::Stop};

/// A machine, kubeadm's initialisation and the pod network, with much to spare.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The control plane of a cluster: its masters, the Kubernetes version, and the pod network.
///
/// This release runs exactly one master. Its disk holds the only copy of etcd, so whatever would need another machine is
/// refused at plan.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ControlPlane {
    /// Name of the cluster: `multizone_cluster.NAME.name`.
    #[attribute(required, requires_replace, validate = checks::cluster_name)]
    pub cluster: String,
    /// Kubernetes version, for example `1.34.1`; 1.29.0 or later.
    #[attribute(required, validate = checks::kubernetes_version)]
    pub kubernetes_version: String,
    /// Machine type of the masters: 2 CPUs and 2 GiB at least.
    #[attribute(required)]
    pub machine_type: String,
    /// The masters, by a key that stays with each: exactly one for now.
    #[attribute(required, nested, validate = checks::replica_keys)]
    pub replicas: BTreeMap<String, Replica>,
    /// Manifest of the pod network, in YAML: applied once the API serves and whenever it changes. Without it, install a
    /// pod network yourself; nodes then count as ready once they are registered.
    #[attribute(optional, validate = manifest)]
    pub pod_network_manifest: Option<String>,
    /// Image of the masters, in the cloud's words. Defaults to the cloud's current Ubuntu LTS.
    #[attribute(optional)]
    pub image: Option<String>,
    /// Size of the masters' boot disks in GiB; etcd is on it.
    #[attribute(optional, default = 30, validate = checks::boot_disk)]
    pub boot_disk_gb: i64,
    /// Machine identity of the masters: the one that reads the cluster's keys. Defaults to the cloud's default identity.
    #[attribute(optional)]
    pub service_account: Option<String>,
    /// Also label the masters' nodes with the failure-domain.beta.kubernetes.io pair.
    #[attribute(optional, default = false)]
    pub legacy_zone_labels: bool,
    /// Refuse to destroy the control plane.
    #[attribute(optional, default = false)]
    pub deletion_protection: bool,
    /// How long operations may take.
    #[attribute(optional, nested)]
    pub timeouts: Option<Timeouts>,
    /// `REGION/CLUSTER`, known once the API serves; also what `terraform import` takes.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// URL of the Kubernetes API.
    #[attribute(computed, keep_prior)]
    pub endpoint: String,
    /// The masters' machines and nodes, by name.
    #[attribute(computed, nested)]
    pub nodes: BTreeMap<String, MasterNode>,
    /// The steps of the planned change, in order, each with its usual duration; afterwards those of the last change.
    #[attribute(computed)]
    pub rollout: Vec<String>,
}

/// One master.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Replica {
    /// The zone it is in: one that the cluster spans.
    #[attribute(required)]
    pub zone: String,
}

/// A master's machine and its node.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct MasterNode {
    /// Key in `replicas`.
    #[attribute(computed)]
    pub replica: String,
    /// The zone.
    #[attribute(computed)]
    pub zone: String,
    /// Address in the cluster's network.
    #[attribute(computed)]
    pub address: String,
    /// Kubernetes' name for the machine.
    #[attribute(computed)]
    pub provider_id: String,
    /// `ready`, `registered` (no pod network yet), `not ready`, `not registered`, `halted`, or `unknown` when the API did
    /// not answer.
    #[attribute(computed)]
    pub state: String,
}

/// Serves `multizone_control_plane`.
#[derive(Debug)]
pub struct ControlPlaneResource;

#[async_trait]
impl Resource for ControlPlaneResource {
    type Model = ControlPlane;
    type Identity = ClusterIdentity;

    fn type_name(&self) -> &'static str {
        "multizone_control_plane"
    }

    fn validate(&self, config: &ControlPlanePlanned) -> Diagnostics {
        let Some(count) = config.replicas.known().map(BTreeMap::len).filter(|count| *count != 1) else {
            return Diagnostics::new();
        };
        let detail = if count == 0 {
            "replicas is empty, and a cluster needs a master. Write one, for example: replicas = { a = { zone = \
             \"us-central1-a\" } }"
                .to_owned()
        } else {
            format!(
                "replicas has {count} masters. This release runs exactly one; several masters behind a load balancer are \
                 not supported yet."
            )
        };
        Diagnostic::error("Exactly one master for now", detail)
            .at("replicas")
            .into()
    }

    async fn plan(&self, provider: &Configured, request: PlanRequest<'_, ControlPlane>) -> Planning<ControlPlane> {
        let prior = request.prior.cloned();
        let observed = match &prior {
            None => Some(facts::nothing()),
            Some(_) => facts::decode(request.prior_private),
        };
        let mut planning = Planning::of(request);
        planning
            .diagnostics
            .extend(ask(provider, prior.as_ref(), &planning.planned).await);
        if let Some(prior) = &prior {
            let refused = refusals(prior, &planning.planned);
            if refused.has_errors() {
                planning.diagnostics.extend(refused);
                return planning;
            }
        }
        foresee(provider, prior.as_ref(), observed, &mut planning.planned);
        planning
    }

    async fn plan_destroy(&self, _provider: &Configured, prior: &ControlPlane, _private: &[u8]) -> Diagnostics {
        if prior.deletion_protection {
            return protected(prior).into();
        }
        Diagnostic::warning(
            format!("Destroying the control plane of {} loses its etcd", prior.cluster),
            format!(
                "The disk of {} is the only copy of what the cluster's API holds: workloads, Secrets, everything. Disks of \
                 multizone_disk and the nodes' own disks are not concerned.",
                prior.nodes.keys().cloned().collect::<Vec<_>>().join(", ")
            ),
        )
        .into()
    }

    async fn read(
        &self,
        provider: &Configured,
        state: ControlPlane,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Option<(ControlPlane, Vec<u8>)>, Diagnostics> {
        facts::refresh(provider, state, &private, stop).await
    }

    async fn create(
        &self,
        provider: &Configured,
        planned: ControlPlanePlanned,
        stop: &Stop,
    ) -> Result<Created<ControlPlane>, Diagnostics> {
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.create);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let cluster = planned.cluster.known().cloned().unwrap_or_default();
        let doing = format!("create the control plane of cluster {cluster}");
        let situation = Situation {
            doing: &doing,
            left: ADOPTED,
        };
        let wanted = machine::Wanted::of(&planned)?;
        let mut executor = executor::Executor::find(provider, wanted, deadline, stop, situation).await?;
        executor.adopt().await?;
        let reached = executor.run().await?;
        let private = facts::encode(&reached);
        let state = complete(provider, planned, &executor, &reached)?;
        Ok(Created {
            state,
            private,
            warnings: Diagnostics::new(),
        })
    }

    async fn update(
        &self,
        provider: &Configured,
        prior: ControlPlane,
        planned: ControlPlanePlanned,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<ControlPlane>, Failed<ControlPlane>> {
        let failed = |diagnostics| Failed {
            state: prior.clone(),
            private: private.clone(),
            diagnostics,
        };
        let timeout = timeouts::planned(&planned.timeouts, |timeouts| &timeouts.update);
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!("update the control plane of cluster {}", prior.cluster);
        let situation = Situation {
            doing: &doing,
            left: CONTINUED,
        };
        let wanted = machine::Wanted::of(&planned).map_err(failed)?;
        let mut executor = executor::Executor::find(provider, wanted, deadline, stop, situation)
            .await
            .map_err(failed)?;
        executor.remember(facts::decode(&private));
        let reached = executor.run().await.map_err(failed)?;
        executor.relabel(prior.legacy_zone_labels).await.map_err(failed)?;
        let private = facts::encode(&reached);
        let state = complete(provider, planned, &executor, &reached).map_err(failed)?;
        Ok(Updated::new(state, private))
    }

    async fn delete(
        &self,
        provider: &Configured,
        prior: ControlPlane,
        _private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        if prior.deletion_protection {
            return Err(protected(&prior).into());
        }
        let timeout = prior.timeouts.as_ref().and_then(|timeouts| timeouts.delete.clone());
        let deadline = timeouts::deadline(timeout.as_ref(), TIMEOUT);
        let doing = format!("delete the control plane of cluster {}", prior.cluster);
        let situation = Situation {
            doing: &doing,
            left: STILL_THERE,
        };
        executor::delete(provider, &ClusterName::new(&prior.cluster), deadline, &situation).await?;
        Ok(Diagnostics::new())
    }

    async fn import(&self, provider: &Configured, id: &str) -> Result<ControlPlane, Diagnostics> {
        facts::import(provider, id).await
    }
}

/// Asks the cloud whether what is new can be had.
async fn ask(provider: &Configured, prior: Option<&ControlPlane>, planned: &ControlPlanePlanned) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if prior.is_some() {
        return diagnostics;
    }
    for (key, replica) in planned.replicas.known().into_iter().flatten() {
        let Some(zone) = replica.known().and_then(|replica| replica.zone.known()) else {
            continue;
        };
        let path = Path::from("replicas").key(key).attribute("zone");
        let unknown = offers::check_zone(provider, path, zone).await;
        let zone_exists = !unknown.has_errors();
        diagnostics.extend(unknown);
        if let Some(machine_type) = planned.machine_type.known().filter(|_| zone_exists) {
            let path = Path::from("machine_type");
            diagnostics.extend(offers::check_machine_type(provider, path, zone, machine_type, Purpose::Master).await);
        }
    }
    diagnostics
}

/// What would replace the only master, each with the attribute that asks for it.
fn refusals(prior: &ControlPlane, planned: &ControlPlanePlanned) -> Diagnostics {
    const WHY: &str = "The only master's disk holds the only copy of etcd, so its machine is not replaced. Change it back. \
                       To move on, destroy the cluster and create it anew; replacing masters one by one needs several of \
                       them, which this release does not support yet.";
    let mut diagnostics = Diagnostics::new();
    let mut fixed = |path: &str, was: &str, wanted: Planned<&String>| {
        if let Some(wanted) = wanted.into_known().filter(|wanted| *wanted != was) {
            diagnostics.push(checks::fixed(path, was, wanted, WHY));
        }
    };
    fixed(
        "kubernetes_version",
        &prior.kubernetes_version,
        planned.kubernetes_version.as_ref(),
    );
    fixed("machine_type", &prior.machine_type, planned.machine_type.as_ref());
    for (path, was, wanted) in [
        ("image", &prior.image, &planned.image),
        ("service_account", &prior.service_account, &planned.service_account),
    ] {
        let none = "the default".to_owned();
        let wanted = if wanted.is_null() {
            Planned::Known(&none)
        } else {
            wanted.as_ref()
        };
        fixed(path, was.as_ref().unwrap_or(&none), wanted);
    }
    let boot_disk = planned.boot_disk_gb.known().map(ToString::to_string);
    fixed(
        "boot_disk_gb",
        &prior.boot_disk_gb.to_string(),
        boot_disk.as_ref().map_or(Planned::Null, Planned::Known),
    );
    if let Some(replicas) = planned.replicas.known() {
        for (key, was) in &prior.replicas {
            match replicas.get(key) {
                None => diagnostics.push(
                    Diagnostic::error(
                        "Change that cannot be made in place",
                        format!("Master {key} in {} is no longer in replicas. {WHY}", was.zone),
                    )
                    .at("replicas"),
                ),
                Some(replica) => {
                    let zone = replica.known().and_then(|replica| replica.zone.known());
                    if let Some(zone) = zone.filter(|zone| **zone != was.zone) {
                        diagnostics.push(
                            Diagnostic::error(
                                "Change that cannot be made in place",
                                format!("Master {key} is in {} and is to be in {zone}. {WHY}", was.zone),
                            )
                            .at(Path::from("replicas").key(key).attribute("zone")),
                        );
                    }
                }
            }
        }
    }
    diagnostics
}

/// Plans what the engine will do: its steps, and what they make unknown.
fn foresee(
    provider: &Configured,
    prior: Option<&ControlPlane>,
    observed: Option<Observed>,
    planned: &mut ControlPlanePlanned,
) {
    let unchanged = |planned: &mut ControlPlanePlanned| {
        if let Some(prior) = prior {
            let prior = ControlPlanePlanned::from(prior.clone());
            planned.rollout = prior.rollout;
            planned.nodes = prior.nodes;
        }
    };
    let (Some(observed), Ok(wanted), false) = (
        observed,
        machine::Wanted::of(planned),
        planned.pod_network_manifest.is_unknown(),
    ) else {
        return unchanged(planned);
    };
    let desired = wanted.desired(prior.map(|prior| prior.endpoint.clone()));
    let preview = preview(&observed, &desired);
    if !preview.changes_anything() || matches!(preview.end, Next::Refused(_)) {
        return unchanged(planned);
    }
    let timing = machine::timing(provider.cloud().capabilities().timing);
    let steps = lines(&preview.describe(&desired, &timing));
    planned.rollout = steps.into_iter().map(Planned::Known).collect::<Vec<_>>().into();
    let touches_the_machine = |step: &Step| matches!(step, Step::CreateMaster | Step::StartMaster | Step::WaitJoined);
    planned.nodes = match prior {
        Some(prior) if !preview.steps.iter().any(touches_the_machine) => ControlPlanePlanned::from(prior.clone()).nodes,
        _ => Planned::Unknown,
    };
}

/// The planned object with what only apply could tell.
fn complete(
    provider: &Configured,
    mut planned: ControlPlanePlanned,
    executor: &executor::Executor<'_>,
    reached: &executor::Reached,
) -> Result<ControlPlane, Diagnostics> {
    let cluster = ClusterName::new(planned.cluster.known().cloned().unwrap_or_default());
    planned.id = ObjectId::cluster(provider.cloud().region(), &cluster).into();
    planned.endpoint = executor.endpoint().into();
    if !planned.nodes.is_known() {
        planned.nodes = ControlPlanePlanned::from(ControlPlane {
            nodes: reached.nodes.clone(),
            ..blank()
        })
        .nodes;
    }
    if !planned.rollout.is_known() {
        planned.rollout = executor
            .steps()
            .into_iter()
            .map(Planned::Known)
            .collect::<Vec<_>>()
            .into();
    }
    planned.into_known()
}

/// An object of defaults, from which single attributes are taken.
fn blank() -> ControlPlane {
    ControlPlane {
        cluster: String::new(),
        kubernetes_version: String::new(),
        machine_type: String::new(),
        replicas: BTreeMap::new(),
        pod_network_manifest: None,
        image: None,
        boot_disk_gb: 30,
        service_account: None,
        legacy_zone_labels: false,
        deletion_protection: false,
        timeouts: None,
        id: String::new(),
        endpoint: String::new(),
        nodes: BTreeMap::new(),
        rollout: Vec::new(),
    }
}

fn protected(control_plane: &ControlPlane) -> Diagnostic {
    Diagnostic::error(
        "The control plane is protected",
        format!(
            "deletion_protection of the control plane of cluster {} is true, so it is not destroyed; nothing was changed. \
             To destroy it, set deletion_protection to false and apply that first.",
            control_plane.cluster
        ),
    )
    .at("deletion_protection")
}

/// Refuses what is no Kubernetes manifest.
fn manifest(value: &multizone_schema::Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(Err(error)) = value.as_str().map(multizone_kubernetes::cluster_access::check_manifest) else {
        return;
    };
    diagnostics.error(
        path.clone(),
        "Malformed manifest",
        format!("{path}: {error}. It must be YAML documents that are Kubernetes objects, as kubectl apply takes them."),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control_plane() -> ControlPlane {
        ControlPlane {
            cluster: "demo".into(),
            kubernetes_version: "1.34.1".into(),
            machine_type: "n1-standard-2".into(),
            replicas: BTreeMap::from([(
                "a".into(),
                Replica {
                    zone: "us-central1-a".into(),
                },
            )]),
            ..blank()
        }
    }

    #[test]
    fn there_is_exactly_one_master_for_now() {
        let with = |keys: &[&str]| {
            let replica = Replica {
                zone: "us-central1-a".into(),
            };
            let replicas = keys.iter().map(|key| ((*key).to_owned(), replica.clone())).collect();
            ControlPlaneResource
                .validate(
                    &ControlPlane {
                        replicas,
                        ..control_plane()
                    }
                    .into(),
                )
                .to_string()
        };
        assert_eq!(with(&["a"]), "");
        assert!(with(&[]).contains("at replicas"));
        assert!(with(&["a", "b"]).contains("exactly one"));
    }

    #[test]
    fn what_would_replace_the_only_master_is_refused() {
        let refused = |changed: ControlPlane| refusals(&control_plane(), &changed.into()).to_string();
        assert_eq!(refused(control_plane()), "");
        assert_eq!(
            refused(ControlPlane {
                legacy_zone_labels: true,
                ..control_plane()
            }),
            ""
        );
        assert_eq!(
            refused(ControlPlane {
                pod_network_manifest: Some("x".into()),
                ..control_plane()
            }),
            ""
        );
        for (path, changed) in [
            (
                "machine_type",
                ControlPlane {
                    machine_type: "n1-standard-4".into(),
                    ..control_plane()
                },
            ),
            (
                "kubernetes_version",
                ControlPlane {
                    kubernetes_version: "1.34.2".into(),
                    ..control_plane()
                },
            ),
            (
                "image",
                ControlPlane {
                    image: Some("other".into()),
                    ..control_plane()
                },
            ),
            (
                "boot_disk_gb",
                ControlPlane {
                    boot_disk_gb: 50,
                    ..control_plane()
                },
            ),
            (
                "replicas[\"a\"].zone",
                ControlPlane {
                    replicas: BTreeMap::from([(
                        "a".into(),
                        Replica {
                            zone: "us-central1-b".into(),
                        },
                    )]),
                    ..control_plane()
                },
            ),
            (
                "replicas",
                ControlPlane {
                    replicas: BTreeMap::new(),
                    ..control_plane()
                },
            ),
        ] {
            let said = refused(changed);
            assert!(said.contains(&format!("(at {path})")), "{path}: {said}");
            assert!(said.contains("only copy of etcd"));
        }
    }

    #[test]
    fn a_manifest_must_be_one() {
        let mut diagnostics = Diagnostics::new();
        manifest(
            &"apiVersion: v1\nkind: Namespace\nmetadata: { name: x }\n".into(),
            &Path::from("x"),
            &mut diagnostics,
        );
        assert!(diagnostics.is_empty(), "{diagnostics}");
        manifest(&"just text".into(), &Path::from("x"), &mut diagnostics);
        assert!(diagnostics.has_errors());
    }
}
