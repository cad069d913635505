//! What the cloud holds of each cluster, asked for once by everybody in this process who wants to know.
//!
//! There are two questions. *What was there when this process first looked?* serves the refresh of a thousand resources
//! from one fetch; whoever changes something lets the answer be forgotten. *What is there now?* serves those who are about
//! to act: the answer is from a fetch that began after they asked, and those who ask while another fetch is under way
//! share the next one. So a hundred creates at the same time cost a few fetches, not a hundred.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use multizone_cloud::{Cloud, CloudError, ClusterName, Inventory};
use tracing::Instrument as _;

type Answer = Result<Arc<Inventory>, CloudError>;
type Fetch = Shared<BoxFuture<'static, Answer>>;

/// The inventories of a region's clusters.
pub(crate) struct Inventories {
    cloud: Arc<dyn Cloud>,
    clusters: Mutex<BTreeMap<ClusterName, Arc<Cluster>>>,
}

/// What is known of one cluster.
#[derive(Default)]
struct Cluster {
    fetches: Mutex<Fetches>,
    /// Held while a fetch is under way.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Fetches {
    /// The one that answers what was there; `None` before the first question and after a change.
    known: Option<Fetch>,
    /// The one that has not begun yet.
    next: Option<Fetch>,
}

impl fmt::Debug for Inventories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inventories").finish_non_exhaustive()
    }
}

impl Inventories {
    pub(crate) fn new(cloud: Arc<dyn Cloud>) -> Self {
        Self {
            cloud,
            clusters: Mutex::default(),
        }
    }

    /// What was there when this process first looked after its last change.
    pub(crate) async fn known(&self, name: &ClusterName) -> Answer {
        let cluster = self.cluster(name);
        let fetch = {
            let mut fetches = cluster.fetches();
            match &fetches.known {
                // A failure is told to those who waited for it; who comes later has it tried again.
                Some(fetch) if !matches!(fetch.peek(), Some(Err(_))) => fetch.clone(),
                _ => {
                    let fetch = self.next(&cluster, name, &mut fetches);
                    fetches.known = Some(fetch.clone());
                    fetch
                }
            }
        };
        fetch.await
    }

    /// What this process knows already, without asking.
    pub(crate) fn peek(&self, name: &ClusterName) -> Option<Arc<Inventory>> {
        let cluster = self.cluster(name);
        let fetches = cluster.fetches();
        fetches.known.as_ref()?.peek()?.clone().ok()
    }

    /// What is there now. What was known before is forgotten.
    pub(crate) async fn now(&self, name: &ClusterName) -> Answer {
        let cluster = self.cluster(name);
        let fetch = {
            let mut fetches = cluster.fetches();
            fetches.known = None;
            self.next(&cluster, name, &mut fetches)
        };
        fetch.await
    }

    /// Forgets what was known: something of the cluster has changed.
    pub(crate) fn forget(&self, name: &ClusterName) {
        self.cluster(name).fetches().known = None;
    }

    fn cluster(&self, name: &ClusterName) -> Arc<Cluster> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.entry(name.clone()).or_default().clone()
    }

    /// The fetch that has not begun yet.
    fn next(&self, cluster: &Arc<Cluster>, name: &ClusterName, fetches: &mut Fetches) -> Fetch {
        if let Some(fetch) = &fetches.next {
            return fetch.clone();
        }
        let (cloud, cluster, name) = (self.cloud.clone(), cluster.clone(), name.clone());
        let fetch = async move {
            let _turn = cluster.turn.lock().await;
            // From here on it may miss what changes: who asks now needs another one.
            cluster.fetches().next = None;
            cloud.inventory(&name).await.map(Arc::new)
        };
        let fetch = fetch.boxed().shared();
        // A task of its own: those who wait may give up, and the next fetch waits for this one's end.
        tokio::spawn(fetch.clone().in_current_span());
        fetches.next = Some(fetch.clone());
        fetch
    }
}

impl Cluster {
    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::resources::memory_cloud::MemoryCloud;

    fn demo() -> ClusterName {
        ClusterName::new("demo")
    }

    fn region() -> (Arc<MemoryCloud>, Inventories) {
        let (cloud, _) = MemoryCloud::region();
        let inventories = Inventories::new(cloud.clone());
        (cloud, inventories)
    }

    /// Something that was not there before.
    fn add(cloud: &MemoryCloud) {
        let address = multizone_cloud::Address {
            name: "api".to_owned(),
            address: [10, 0, 0, 1].into(),
            holder: None,
            labels: multizone_cloud::Labels::new(),
            unexpected: None,
        };
        cloud.tamper(|inventory| inventory.addresses.push(address));
    }

    #[tokio::test]
    async fn everybody_who_refreshes_shares_one_fetch_until_something_changes() {
        let (cloud, inventories) = region();
        let name = demo();
        let all = join_all((0..100).map(|_| inventories.known(&name))).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(cloud.looks(), 1);
        add(&cloud);
        assert!(inventories.known(&name).await.unwrap().addresses.is_empty());
        inventories.forget(&name);
        assert_eq!(inventories.known(&name).await.unwrap().addresses.len(), 1);
        assert_eq!(cloud.looks(), 2);
    }

    #[tokio::test]
    async fn who_is_about_to_act_sees_what_was_there_when_it_asked() {
        let (cloud, inventories) = region();
        let name = demo();
        let mut first = Box::pin(inventories.now(&name));
        assert!(futures::poll!(&mut first).is_pending());
        while cloud.looks() == 0 {
            tokio::task::yield_now().await;
        }
        add(&cloud);
        let later = join_all((0..100).map(|_| inventories.now(&name))).await;
        assert!(later.into_iter().all(|seen| seen.unwrap().addresses.len() == 1));
        assert!(first.await.unwrap().addresses.is_empty());
        assert_eq!(cloud.looks(), 2);
    }

    #[tokio::test]
    async fn a_fetch_that_nobody_waits_for_any_more_is_in_nobodys_way() {
        let (cloud, inventories) = region();
        let name = demo();
        let mut first = Box::pin(inventories.known(&name));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        inventories.now(&name).await.unwrap();
        assert!(cloud.looks() >= 1);
    }
}
