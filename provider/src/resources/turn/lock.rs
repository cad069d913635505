//! The lock in the cloud's secret store: a notice that says who has it, put up only where there is none, changed and taken
//! down only while it is the one that was read.
//!
//! Its holder changes it every now and then.  A holder that has died does not, and whoever waits takes over once it has
//! itself seen no change for as long as a lock lasts: no two clocks are ever compared.  A holder that was a process of
//! this machine and has ended is waited for by nobody.

use std::{sync::Arc, time::Duration};

use multizone_cloud::{Cloud, CloudError, ClusterName, Notice};
use multizone_kubernetes::cluster_access::RolloutHolder;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tracing::{Instrument as _, info, warn};

use crate::stop::Stop;

/// How long a lock takes for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// It lasts this long without a renewal.
    lasts: Duration,
    /// It is renewed this often: two renewals may fail.
    renewed: Duration,
    /// One that is taken is looked at this often.
    looked_at: Duration,
}

/// What holds among processes.
pub(super) const TERMS: Terms = Terms {
    lasts: Duration::from_mins(1),
    renewed: Duration::from_secs(18),
    looked_at: Duration::from_secs(1),
};
/// How often a notice is taken down that changes at the same moment.
const ATTEMPTS: usize = 3;

/// Why a lock was not taken.
#[derive(Debug)]
pub(super) enum LockError {
    /// The cloud's own error.
    Cloud(CloudError),
    /// Somebody else has it, to the deadline.
    Taken {
        /// Who.
        by: String,
    },
    /// The user wants to stop.
    Stopped,
}

/// What the notice says.
#[derive(Debug, Serialize, Deserialize)]
struct Says {
    holder: String,
    renewal: u64,
}

/// Where the notice is.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    pub(super) cloud: Arc<dyn Cloud>,
    pub(super) cluster: ClusterName,
    pub(super) name: String,
    pub(super) terms: Terms,
}

/// A lock that is held, and renewed until [`Lock::end`].
pub(super) struct Lock {
    notices: Notices,
    identity: String,
    notice: Arc<Mutex<Notice>>,
    renewal: JoinHandle<()>,
    held: watch::Receiver<bool>,
}

impl Notices {
    async fn read(&self) -> Result<Option<Notice>, CloudError> {
        self.cloud.notice(&self.cluster, &self.name).await
    }

    async fn post(&self, identity: &str, renewal: u64, over: Option<&Notice>) -> Result<Option<Notice>, CloudError> {
        let says = Says {
            holder: identity.to_owned(),
            renewal,
        };
        let text = serde_json::to_string(&says).unwrap_or_default();
        self.cloud.post_notice(&self.cluster, &self.name, &text, over).await
    }

    /// The notice as it is now, if it is still this holder's.
    async fn own(&self, identity: &str) -> Result<Option<Notice>, CloudError> {
        Ok(self.read().await?.filter(|found| holder(found) == identity))
    }
}

impl Lock {
    /// Waits until nobody has it, and takes it.
    pub(super) async fn take(
        notices: Notices,
        holder: &RolloutHolder,
        deadline: Instant,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        let mut seen: Option<(Notice, Instant)> = None;
        loop {
            let by = match Self::attempt(&notices, holder, &mut seen)
                .await
                .map_err(LockError::Cloud)?
            {
                Ok(notice) => return Ok(Self::held(notices, holder.identity.clone(), notice)),
                Err(by) => by,
            };
            if Instant::now() >= deadline {
                return Err(LockError::Taken { by });
            }
            tokio::select! {
                () = sleep(notices.terms.looked_at) => {}
                () = stop.wait() => return Err(LockError::Stopped),
            }
        }
    }

    /// Takes it if it is free; otherwise says who has it.  `seen` is the last change and when it was first seen.
    async fn attempt(
        notices: &Notices,
        mine: &RolloutHolder,
        seen: &mut Option<(Notice, Instant)>,
    ) -> Result<Result<Notice, String>, CloudError> {
        let found = match seen {
            Some(_) => notices.read().await?,
            None => match notices.post(&mine.identity, 0, None).await? {
                Some(notice) => return Ok(Ok(notice)),
                None => notices.read().await?,
            },
        };
        let now = Instant::now();
        if let Some(found) = &found {
            let by = holder(found);
            let free = by == mine.identity || (mine.is_gone)(&by);
            match seen {
                Some((known, since)) if known == found && now.duration_since(*since) >= notices.terms.lasts => {}
                Some((known, _)) if known == found && !free => return Ok(Err(by)),
                _ if free => {}
                _ => {
                    info!(cluster = %notices.cluster, %by, "wait for the turn to change the masters");
                    *seen = Some((found.clone(), now));
                    return Ok(Err(by));
                }
            }
        }
        let posted = notices.post(&mine.identity, 0, found.as_ref()).await?;
        Ok(posted.ok_or_else(|| "somebody who was faster".to_owned()))
    }

    fn held(notices: Notices, identity: String, notice: Notice) -> Self {
        let (said, held) = watch::channel(true);
        let notice = Arc::new(Mutex::new(notice));
        let renew = {
            let (notices, identity, notice) = (notices.clone(), identity.clone(), notice.clone());
            async move {
                let mut last = Instant::now();
                for renewal in 1.. {
                    sleep(notices.terms.renewed).await;
                    let mut notice = notice.lock().await;
                    let renewed = match notices.post(&identity, renewal, Some(&notice)).await {
                        // A reply may have been lost.
                        Ok(None) => notices.own(&identity).await,
                        renewed => renewed,
                    };
                    match renewed {
                        Ok(Some(renewed)) => {
                            *notice = renewed;
                            last = Instant::now();
                        }
                        Ok(None) => break,
                        Err(error) => warn!(%error, "the turn to change the masters was not renewed"),
                    }
                    if last.elapsed() >= notices.terms.lasts {
                        break;
                    }
                }
                said.send_replace(false);
            }
        };
        Self {
            renewal: tokio::spawn(renew.in_current_span()),
            notices,
            identity,
            notice,
            held,
        }
    }

    /// Whether it is still held, as far as is known.
    pub(super) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Gives it back.  A failure does no harm: it runs out.
    pub(super) async fn end(self) {
        self.renewal.abort();
        let mut notice = self.notice.lock().await.clone();
        for _ in 0..ATTEMPTS {
            let Notices {
                cloud, cluster, name, ..
            } = &self.notices;
            let removed = cloud.remove_notice(cluster, name, &notice).await;
            match removed {
                Ok(()) => match self.notices.own(&self.identity).await {
                    // A renewal was under way.
                    Ok(Some(found)) => notice = found,
                    _ => return,
                },
                Err(error) => {
                    warn!(%error, "the turn to change the masters was not given back, and runs out");
                    return;
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

fn holder(notice: &Notice) -> String {
    let says: Option<Says> = serde_json::from_str(&notice.text).ok();
    says.map_or_else(|| notice.text.clone(), |says| says.holder)
}

#[cfg(test)]
mod tests;
