//! A refresh: looks at everything, and records what the next plan is made from.

use std::{sync::Arc, time::Duration};

use multizone_cloud::ClusterName;
use multizone_planner::cluster::preview;
use multizone_schema::Diagnostics;
use tokio::time::timeout;
use tracing::warn;

use super::{
    super::{
        ControlPlane,
        facts::{self, address_is_held, altered, not_ready},
        machine::pod_network_fingerprint,
        record,
    },
    executor::nodes,
    observe::{Observation, Observer, Remembered},
    repair::repairs,
    seen::{self, Drift, Seen},
    wanted::Several,
};
use crate::{
    configuration::Configured,
    resources::{marks, settled, trouble::Situation, world},
};

/// How long a refresh waits for what the Kubernetes API says of objects in it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at machines, members, targets and Nodes.
pub(in crate::resources::control_plane) async fn refresh(
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
    let inventory = settled::known_inventory(provider, &cluster, facts::is_master)
        .await
        .map_err(|error| situation.cloud(&error))?;
    let several = Several::of(&state.clone().into()).map_err(|errors| {
        situation.error(
            &format!("What is in Terraform's state makes no control plane: {errors}"),
            "Correct the state, or import the control plane again.",
        )
    })?;
    let capabilities = provider.cloud().capabilities();
    let known = seen::decode(private).or_else(|| seen::of_the_only_master(&state, private, capabilities, &several));
    if world::masters(&inventory).next().is_none() {
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
    marks::confirm(provider, &cluster, world::masters(&inventory)).await;
    let observer = Observer::find(provider, &cluster, &situation).await?;
    let remembered = remembered(known.as_ref(), &state);
    let inventory = Arc::unwrap_or_clone(inventory);
    let observation = Box::pin(observer.look(provider, inventory, &several, &remembered))
        .await
        .map_err(|error| situation.cloud(&error))?;
    let drift = drift(provider, &state, &several, &observation).await;
    let pod_network = several.pod_network.is_some();
    state.nodes = nodes(provider, &observation, pod_network, &drift.repairs);
    let mut world = observation.world;
    world.access &= drift.altered_rights.is_empty();
    if !drift.altered_pod_network.is_empty() {
        world.pod_network = None;
    }
    let operation = several.operation(Some(state.endpoint.clone()));
    if preview(&world, &operation).changes_anything() || drift.heals() {
        // Something changed since: the steps of the last change are not what a plan is compared with.
        state.rollout = Vec::new();
    }
    Ok(Some((state, seen::encode(&Seen { world, drift }))))
}

/// What an earlier run has left; what is imported was applied as it is configured.
fn remembered(known: Option<&Seen>, state: &ControlPlane) -> Remembered {
    let applied = state.pod_network_manifest.as_deref().map(pod_network_fingerprint);
    let remembered = Remembered {
        initialised: true,
        access: true,
        pod_network: applied,
        ..Remembered::default()
    };
    let Some(Seen { world, .. }) = known else {
        return remembered;
    };
    let machines = world
        .machines
        .iter()
        .filter(|(_, machine)| !machine.specification.is_empty());
    Remembered {
        access: world.access,
        pod_network: world.pod_network.clone(),
        specifications: machines
            .map(|(name, machine)| (name.clone(), machine.specification.clone()))
            .collect(),
        ..remembered
    }
}

/// What the planner's facts have no place for.
async fn drift(provider: &Configured, state: &ControlPlane, several: &Several, observation: &Observation) -> Drift {
    let mut drift = Drift {
        repairs: repairs(observation, several, provider.cloud().region()),
        ..Drift::default()
    };
    let Some(connection) = &observation.connection else {
        let runs = |machine| observation.world.runs(machine);
        if observation.world.machines.values().any(runs) {
            drift.silence = Some("none of the masters that run says that it is ready".to_owned());
        }
        return drift;
    };
    let rights = multizone_kubernetes::node_group_access::manifest();
    let looks = async {
        tokio::join!(
            altered(connection, Some(&rights)),
            altered(connection, several.pod_network.as_deref()),
            record::altered(connection, state),
        )
    };
    let Ok(found) = timeout(PATIENCE, looks).await else {
        warn!(cluster = %several.cluster, "the Kubernetes API is slow to say what was changed in it");
        return drift;
    };
    (drift.altered_rights, drift.altered_pod_network, drift.settings) = found;
    if several.pod_network.is_some() {
        for (name, node) in observation.nodes.iter().flatten() {
            drift
                .not_ready
                .extend(not_ready(node).map(|reason| (name.clone(), reason)));
        }
    }
    drift
}
