//! The mark of an unfinished create (design.md, Resources).
//!
//! What a create makes carries [`label::CREATING`], so that the next create adopts it when this one is interrupted.  The
//! mark is not taken away by the create itself: Terraform may die before it has written its state, and the provider
//! finish all the same.  The first read takes it away: what is read is in Terraform's state.

use multizone_cloud::{ClusterName, Machine, label};
use tracing::warn;

use crate::configuration::Configured;

/// Takes the mark away from machines that Terraform has in its state.  Failing to is no harm: the next read tries again.
pub async fn confirm<'m>(
    provider: &Configured,
    cluster: &ClusterName,
    machines: impl IntoIterator<Item = &'m Machine>,
) {
    let marked: Vec<&Machine> = machines.into_iter().filter(|machine| machine.creating()).collect();
    let confirmations = marked.iter().map(|machine| async move {
        let mut labels = machine.labels.clone();
        labels.remove(label::CREATING);
        if let Err(error) = provider
            .cloud()
            .set_machine_labels(&machine.zone, &machine.name, &labels)
            .await
        {
            warn!(machine = %machine.name, %error, "the mark of the machine's create stays for now");
        }
    });
    futures::future::join_all(confirmations).await;
    if !marked.is_empty() {
        provider.forget(cluster).await;
    }
}
