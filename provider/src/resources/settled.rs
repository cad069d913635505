//! Machines that are on their way down: what becomes of them is known only at the end.

use std::{sync::Arc, time::Duration};

use multizone_cloud::{CloudError, ClusterName, Inventory, Machine, MachineState};
use multizone_kubernetes::pauses::Pauses;
use tokio::time::{Instant, sleep};

use crate::configuration::Configured;

/// Bounds of the pauses between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// The longest that a machine takes to go down.
const PATIENCE: Duration = Duration::from_mins(2);

/// The inventory once none of the machines concerned is on its way down any more: a machine that is being deleted is not
/// one that has been halted.  Past the deadline it is returned as it is.
pub async fn inventory(
    provider: &Configured,
    cluster: &ClusterName,
    deadline: Instant,
    concerns: impl Fn(&Machine) -> bool + Send,
) -> Result<Inventory, CloudError> {
    let deadline = deadline.min(Instant::now() + PATIENCE);
    let pauses = Pauses::between(PAUSES.0, PAUSES.1);
    loop {
        let inventory = provider.inventory(cluster).await?;
        let going = |machine: &Machine| machine.state == MachineState::Stopping && concerns(machine);
        if Instant::now() >= deadline || !inventory.machines.iter().any(going) {
            return Ok(inventory);
        }
        sleep(pauses.next()).await;
    }
}

/// The same for a refresh, from what this process already knows unless something is on its way down.
pub async fn known_inventory(
    provider: &Configured,
    cluster: &ClusterName,
    concerns: impl Fn(&Machine) -> bool + Send,
) -> Result<Arc<Inventory>, CloudError> {
    let known = provider.known_inventory(cluster).await?;
    if known
        .machines
        .iter()
        .any(|machine| machine.state == MachineState::Stopping && concerns(machine))
    {
        let deadline = Instant::now() + PATIENCE;
        return inventory(provider, cluster, deadline, concerns).await.map(Arc::new);
    }
    Ok(known)
}
