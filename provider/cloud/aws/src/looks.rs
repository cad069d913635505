//! Looks at instances that are waited for: those who wait at the same time share one call, so that many machines that are made
//! together do not cost a call each, time and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_ec2::types::{Filter, Instance};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};

use crate::{Aws, making::Called};

/// The most values that a filter of EC2's takes.
const VALUES: usize = 200;

type Found = Arc<BTreeMap<String, Instance>>;

/// The look that has not begun yet, and the turn of the one under way.
#[derive(Default)]
pub(crate) struct Looks {
    next: Mutex<Option<Look>>,
    turn: tokio::sync::Mutex<()>,
}

struct Look {
    ids: Arc<Mutex<BTreeSet<String>>>,
    fetch: Shared<BoxFuture<'static, Called<Found>>>,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Aws {
    /// An instance as it is now, whoever's it is: what is told was asked for after this was.
    pub(crate) async fn instance_by_id(&self, id: &str) -> Called<Option<Instance>> {
        let fetch = {
            let mut next = locked(&self.looks().next);
            let look = next.get_or_insert_with(|| self.look());
            locked(&look.ids).insert(id.to_owned());
            look.fetch.clone()
        };
        Ok(fetch.await?.get(id).cloned())
    }

    fn look(&self) -> Look {
        let ids: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (aws, wanted) = (self.clone(), ids.clone());
        let fetch = async move {
            let _turn = aws.looks().turn.lock().await;
            // From here on it may miss what changes: who asks now needs another one.
            drop(locked(&aws.looks().next).take());
            let ids: Vec<String> = mem::take(&mut *locked(&wanted)).into_iter().collect();
            let mut found = BTreeMap::new();
            for some in ids.chunks(VALUES) {
                let by_id = Filter::builder().name("instance-id").set_values(Some(some.to_vec()));
                let instances = aws.instances(&[by_id.build()]).await?;
                found.extend(
                    instances
                        .into_iter()
                        .filter_map(|instance| Some((instance.instance_id.clone()?, instance))),
                );
            }
            Ok(Arc::new(found))
        };
        Look {
            ids,
            fetch: fetch.boxed().shared(),
        }
    }
}
