//! A control plane that exists, for `terraform import`.

use multizone_cloud::{Machine as CloudMachine, label};
use multizone_schema::{Diagnostic, Diagnostics};

use super::{ControlPlane, Replica, plan::blank, record};
use crate::{
    configuration::Configured,
    resources::{cluster::ClusterFacts, identity::ObjectId, trouble::Situation, world},
};

pub(super) async fn import(provider: &Configured, id: &str) -> Result<ControlPlane, Diagnostics> {
    let refuse = |reason: String| Diagnostics::from(Diagnostic::error("Cannot import the control plane", reason));
    let found = ObjectId::parse_cluster(id).map_err(|error| refuse(format!("{error}.")))?;
    let region = provider.cloud().region();
    if found.region != region {
        return Err(refuse(format!(
            "The provider works on region {region}, not on {}.",
            found.region
        )));
    }
    let situation = Situation {
        doing: "import the control plane",
        left: "Nothing was changed.",
    };
    let facts = ClusterFacts::find(provider, &found.cluster, &situation).await?;
    let inventory = provider.inventory(&found.cluster).await;
    let inventory = inventory.map_err(|error| situation.cloud(&error))?;
    let Some(machine) = world::masters(&inventory).next() else {
        return Err(refuse(format!(
            "Cluster {} has no master in {region}: there is nothing to import, and an apply creates it.",
            found.cluster
        )));
    };
    let label = |key: &str| machine.labels.get(key).cloned().unwrap_or_default();
    let replica = |machine: &CloudMachine| {
        let zone = machine.zone.clone();
        let key = machine.labels.get(label::REPLICA).cloned().unwrap_or_default();
        (key, Replica { zone })
    };
    let imported = ControlPlane {
        cluster: found.cluster.to_string(),
        kubernetes_version: label(label::VERSION).replace('-', "."),
        machine_type: machine.machine_type.clone(),
        replicas: world::masters(&inventory).map(replica).collect(),
        id: ObjectId::cluster(region, &found.cluster),
        endpoint: facts.endpoint.url(),
        ..blank()
    };
    Ok(record::recall(provider, &facts, imported, &situation).await)
}
