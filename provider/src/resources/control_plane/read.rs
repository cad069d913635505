//! A refresh: looks at everything, and records what the next plan is made from.

use std::{sync::Arc, time::Duration};

use multizone_cloud::ClusterName;
use multizone_kubernetes::cluster_access::Cluster as ClusterConnection;
use multizone_planner::cluster::{Power, preview};
use multizone_schema::Diagnostics;
use tokio::time::timeout;
use tracing::warn;

use super::{
    ControlPlane, certificates,
    drift::Drift,
    nodes::{address_is_held, is_master, nodes, not_ready},
    observe::{self, Observation, Observer, Remembered},
    record,
    repair::repairs,
    seen::{self, Seen},
    wanted::Wanted,
};
use crate::{
    configuration::Configured,
    resources::{marks, settled, trouble::Situation, world},
};

/// How long a refresh waits for what the Kubernetes API says of objects in it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at machines, members, targets and Nodes.
pub(super) async fn refresh(
    provider: &Configured,
    mut state: ControlPlane,
    private: &[u8],
) -> Result<Option<(ControlPlane, Vec<u8>)>, Diagnostics> {
    let cluster = ClusterName::new(&state.cluster);
    let doing = format!("read the control plane of cluster {cluster}");
    let situation = Situation {
        doing: &doing,
        left: "Nothing was changed.",
    };
    let inventory = settled::known_inventory(provider, &cluster, is_master)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let wanted = Wanted::of(&state.clone().into()).map_err(|errors| {
        situation.error(
            &format!("What is in Terraform's state makes no control plane: {errors}"),
            "Correct the state, or import the control plane again.",
        )
    })?;
    let known = seen::decode(private);
    let remembered = Remembered::of(&state, known.as_ref());
    marks::confirm(provider, &cluster, world::masters(&inventory)).await;
    let inventory = Arc::unwrap_or_clone(inventory);
    if !inventory.machines.iter().any(|machine| remembered.is_master(machine)) {
        let (Some(mut known), true) = (known, address_is_held(&inventory)) else {
            return Ok(None);
        };
        // It is not gone: a plan to make another one would begin by destroying the node groups.
        known.drift = Drift {
            unlabelled: state.nodes.keys().next().cloned(),
            ..Drift::default()
        };
        return Ok(Some((state, seen::encode(&known))));
    }
    let observer = Observer::find(provider, &cluster, &situation).await;
    let looked = match &observer {
        Ok(observer) => Box::pin(observer.look(provider, inventory, &wanted, &remembered)).await,
        // The cluster's own plan says which of its keys is gone.
        Err(_) => observe::unasked(provider, inventory, &wanted, &remembered).await,
    };
    let observation = looked.map_err(|error| situation.cloud(&error))?;
    let mut drift = drift(provider, &state, &wanted, &observation).await;
    if drift.silence.is_some() {
        drift.silence = Some(match &observer {
            Ok(observer) => observer.asks.silence().await,
            Err(errors) => said(errors),
        });
    }
    let pod_network = wanted.pod_network.is_some();
    let mut certificates = certificates::known(&state);
    if let Ok(observer) = &observer {
        certificates.extend(certificates::of_masters(&observer.asks, &observation).await);
    }
    state.nodes = nodes(provider, &observation, pod_network, &drift.repairs, &certificates);
    let read = observation.read;
    let mut world = observation.world;
    world.access &= drift.altered_rights.is_empty();
    if !drift.altered_pod_network.is_empty() {
        world.pod_network = None;
    }
    let operation = wanted.operation(Some(state.endpoint.clone()));
    if preview(&world, &operation).changes_anything() || drift.heals() {
        // Something changed since: the steps of the last change are not what a plan is compared with.
        state.rollout = Vec::new();
    }
    Ok(Some((state, seen::encode(&Seen { world, drift, read }))))
}

/// What diagnostics say, for a text of another one.
fn said(errors: &Diagnostics) -> String {
    let details: Vec<&str> = errors
        .iter()
        .map(|error| error.detail.lines().next().unwrap_or_default())
        .collect();
    details.join(" ").trim_end_matches('.').to_owned()
}

/// What the planner's facts have no place for.
async fn drift(provider: &Configured, state: &ControlPlane, wanted: &Wanted, observation: &Observation) -> Drift {
    let mut drift = Drift {
        repairs: repairs(provider, observation, wanted),
        unlabelled: observation.unlabelled().map(str::to_owned),
        ..Drift::default()
    };
    let Some(connection) = &observation.connection else {
        if observation
            .world
            .machines
            .values()
            .any(|machine| machine.power == Power::On)
        {
            drift.silence = Some(String::new());
        }
        return drift;
    };
    let rights = multizone_kubernetes::node_group_access::manifest();
    let looks = async {
        tokio::join!(
            altered(connection, Some(&rights)),
            altered(connection, wanted.pod_network.as_deref()),
            record::altered(connection, state),
        )
    };
    let Ok(found) = timeout(PATIENCE, looks).await else {
        warn!(cluster = %wanted.cluster, "the Kubernetes API is slow to say what was changed in it");
        return drift;
    };
    (drift.altered_rights, drift.altered_pod_network, drift.settings) = found;
    if wanted.pod_network.is_some() {
        // What is halted or in a zone that is out is spoken of as that.
        let runs = |name: &String| {
            let machine = observation.world.machines.get(name);
            machine.is_some_and(|machine| observation.world.runs(machine))
        };
        for (name, node) in observation.nodes.iter().flatten().filter(|(name, _)| runs(name)) {
            drift
                .not_ready
                .extend(not_ready(node).map(|reason| (name.clone(), reason)));
        }
    }
    drift
}

async fn altered(connection: &ClusterConnection, manifest: Option<&str>) -> Vec<String> {
    let Some(manifest) = manifest else {
        return Vec::new();
    };
    match connection.alterations(manifest).await {
        Ok(found) => found.iter().map(ToString::to_string).collect(),
        Err(error) => {
            warn!(%error, "what was applied cannot be compared with what there is");
            Vec::new()
        }
    }
}
