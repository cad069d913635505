//! The end of masters that nobody can be asked about any more: the cluster's keys are gone.

use multizone_cloud::{ClusterName, EndpointKind, label};
use multizone_schema::Diagnostics;
use tokio::time::Instant;
use tracing::info;

use super::{
    ControlPlane, drift,
    nodes::{address_is_held, is_master},
};
use crate::{
    configuration::Configured,
    resources::{
        identity::{API_ADDRESS, SecretNames},
        trouble::{Situation, within},
    },
};

/// Whether the API's address or the cluster's keys are provably gone.  That they could not be looked at, or make no sense
/// (a later release may have written them), proves nothing: then nothing is deleted.  Nor does it that the settings are
/// gone: an apply of the cluster writes them anew, and the masters can be asked.
pub(super) async fn keys_are_gone(provider: &Configured, cluster: &ClusterName) -> bool {
    let cloud = provider.cloud();
    let names = SecretNames::of(cloud.region(), cluster);
    if cloud.capabilities().endpoint == EndpointKind::Address {
        match provider.inventory(cluster).await {
            Ok(inventory) if inventory.address(API_ADDRESS).is_none() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    matches!(cloud.secret(&names.keys).await, Ok(None))
}

/// Deletes the masters' machines.  Whatever order Terraform calls operations in, this needs no other one to have run.
pub(super) async fn as_they_are(
    provider: &Configured,
    prior: &ControlPlane,
    deadline: Instant,
    situation: &Situation<'_>,
) -> Result<(), Diagnostics> {
    let cluster = &ClusterName::new(&prior.cluster);
    let delete = async {
        let inventory = provider.inventory(cluster).await;
        let inventory = inventory.map_err(|error| situation.cloud(&error))?;
        let machines = inventory.machines.iter();
        let masters: Vec<_> = machines
            .filter(|machine| {
                let labelled = machine.labels.contains_key(label::REPLICA) || is_master(machine);
                labelled || prior.nodes.contains_key(&machine.name)
            })
            .collect();
        if masters.is_empty() && address_is_held(&inventory) {
            let name = prior.nodes.keys().next().cloned().unwrap_or_default();
            let what = drift::unlabelled_text(&name, &prior.cluster);
            return Err(situation.error(&what, "Then run Terraform again."));
        }
        for machine in masters {
            info!(cluster = %cluster, machine = %machine.name, zone = %machine.zone, "delete the master");
            let deleted = provider
                .cloud()
                .delete_machine(cluster, &machine.zone, &machine.name)
                .await;
            deleted.map_err(|error| situation.cloud(&error))?;
        }
        provider.forget(cluster).await;
        Ok(())
    };
    within(deadline, situation, delete).await
}
