//! The mark of a create (design.md, Resources): the label [`label::CREATING`] on machines and disks.
//!
//! What a create makes carries the mark from the first moment, so that the next create adopts it when this one is
//! interrupted.  The create does not take the mark away when it is done: Terraform may die before it has written its
//! state.  It writes the configuration's fingerprint into the mark instead, so that what is finished is adopted by the
//! same configuration only; another one that asks for the same name is refused.  The first read takes the mark away: what
//! is read is in Terraform's state.

use multizone_cloud::{ClusterName, Labels, Machine, label};
use tracing::warn;

use crate::configuration::Configured;

/// The value of the mark while a create is under way.
pub const UNFINISHED: &str = label::UNFINISHED;

/// Whether the create that made this is not known to have finished.
pub fn unfinished(labels: &Labels) -> bool {
    labels.get(label::CREATING).is_some_and(|mark| mark == UNFINISHED)
}

/// Whether a create of the configuration with this fingerprint has made and finished it, and no state is known to have it.
pub fn finished_for(labels: &Labels, fingerprint: &str) -> bool {
    labels.get(label::CREATING).is_some_and(|mark| mark == fingerprint)
}

/// Whether a create with this configuration may adopt machines: some that are unfinished are among them, or all were
/// finished by the same configuration.
pub fn adoptable<'m>(machines: impl IntoIterator<Item = &'m Machine> + Clone, fingerprint: &str) -> bool {
    let mut all = machines.clone().into_iter();
    machines.into_iter().any(|machine| unfinished(&machine.labels))
        || all.all(|machine| finished_for(&machine.labels, fingerprint))
}

/// Says on the machines of a create that it has finished.  Failing to is no harm: they are then taken for unfinished.  So
/// nobody waits until the cloud shows it.
pub async fn finish<'m>(
    provider: &Configured,
    cluster: &ClusterName,
    machines: impl IntoIterator<Item = &'m Machine>,
    fingerprint: &str,
) {
    let marked = machines
        .into_iter()
        .filter(|machine| machine.creating() && !finished_for(&machine.labels, fingerprint));
    relabel(provider, cluster, marked, Some(fingerprint)).await;
}

/// Takes the mark away from machines that Terraform has in its state.  Failing to is no harm: the next read tries again.
pub async fn confirm<'m>(
    provider: &Configured,
    cluster: &ClusterName,
    machines: impl IntoIterator<Item = &'m Machine>,
) {
    let marked = machines.into_iter().filter(|machine| machine.creating());
    relabel(provider, cluster, marked, None).await;
}

async fn relabel<'m>(
    provider: &Configured,
    cluster: &ClusterName,
    machines: impl Iterator<Item = &'m Machine>,
    mark: Option<&str>,
) {
    let changes: Vec<_> = machines
        .map(|machine| async move {
            // What is in a zone that is out cannot be changed: every read would try for half a minute.
            if provider.is_out(&machine.zone).await {
                return;
            }
            let mut labels = machine.labels.clone();
            labels.remove(label::CREATING);
            labels.extend(mark.map(|mark| (label::CREATING.to_owned(), mark.to_owned())));
            let cloud = provider.cloud();
            if let Err(error) = cloud
                .note_machine_labels(cluster, &machine.zone, &machine.name, &labels)
                .await
            {
                warn!(machine = %machine.name, %error, "the mark of the machine's create stays as it is for now");
            }
        })
        .collect();
    if changes.is_empty() {
        return;
    }
    futures::future::join_all(changes).await;
    provider.forget(cluster).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::memory_cloud::machine;

    fn marked(mark: Option<&str>) -> Machine {
        let labels = mark.map(|mark| (label::CREATING.to_owned(), mark.to_owned()));
        machine("us-central1-a", "demo-pool-1", labels.into_iter().collect())
    }

    #[test]
    fn what_is_finished_is_adopted_by_the_same_configuration_only() {
        let (ours, theirs) = (marked(Some("1234")), marked(Some("5678")));
        let (unfinished, known) = (marked(Some(UNFINISHED)), marked(None));
        assert!(adoptable([&ours], "1234"));
        assert!(!adoptable([&ours, &theirs], "1234"));
        assert!(!adoptable([&ours, &known], "1234"));
        assert!(adoptable([&theirs, &unfinished], "1234"));
        assert!(!adoptable([&known], "1234"));
    }
}
