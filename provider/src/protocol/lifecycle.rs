//! When to stop operations, when to close, when to leave.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::stop::Stop;

/// The life of one serving process. Clones share it.
///
/// Expected flow: connections come, operations run, then one of these ends it: the host asks for the shutdown; a signal
/// does; or nobody is connected any more because the host died. Operations are asked to stop first, so that each
/// returns at a safe point.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    counts: watch::Sender<Counts>,
    stop: Mutex<Stop>,
    closing: CancellationToken,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    connections: usize,
    ever_connected: bool,
    operations: usize,
}

/// What is counted as long as a guard lives.
#[derive(Debug, Clone, Copy)]
enum Counted {
    Connection,
    Operation,
}

/// Counts one connection or operation until it is dropped.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    counted: Counted,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.counts.send_modify(|counts| match self.counted {
            Counted::Connection => counts.connections -= 1,
            Counted::Operation => counts.operations -= 1,
        });
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// The start: nobody is connected, nothing runs.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                counts: watch::Sender::new(Counts::default()),
                stop: Mutex::default(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// The stop that new operations are to watch.
    pub fn stop(&self) -> Stop {
        self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the running operations to stop.
    pub fn request_stop(&self) {
        self.stop().request();
    }

    /// Lets operations that start from now on run, after a stop: in a process that outlives one run of Terraform.
    pub fn renew_stop(&self) {
        let mut stop = self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if stop.requested() {
            *stop = Stop::new();
        }
    }

    /// Ends the serving: streams end, connections close once their requests are answered.
    pub fn close(&self) {
        self.shared.closing.cancel();
    }

    /// Completes when the serving is to end.
    pub async fn closing(&self) {
        self.shared.closing.cancelled().await;
    }

    /// Counts a connection as long as the guard lives.
    pub fn connected(&self) -> Guard {
        self.shared.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.ever_connected = true;
        });
        Guard {
            shared: self.shared.clone(),
            counted: Counted::Connection,
        }
    }

    /// Runs an operation to its end, even when nobody waits for it any more, and survives its panic.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Panicked> {
        self.shared.counts.send_modify(|counts| counts.operations += 1);
        let guard = Guard {
            shared: self.shared.clone(),
            counted: Counted::Operation,
        };
        let task = async move {
            let _guard = guard;
            operation.await
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok(value) => Ok(value),
            Err(error) => Err(match error.try_into_panic() {
                Ok(payload) => Panicked::from_payload(payload.as_ref()),
                Err(cancelled) => Panicked {
                    message: cancelled.to_string(),
                },
            }),
        }
    }

    /// Completes when no operation runs.
    pub async fn idle(&self) {
        // An error means that the sender is gone; this value holds it.
        let _ = self
            .shared
            .counts
            .subscribe()
            .wait_for(|counts| counts.operations == 0)
            .await;
    }

    /// Completes when the host is gone: nobody connected within `first`, or all connections have been closed for
    /// `grace`.
    pub async fn deserted(&self, first: Duration, grace: Duration) {
        let mut counts = self.shared.counts.subscribe();
        if tokio::time::timeout(first, counts.wait_for(|counts| counts.ever_connected))
            .await
            .is_err()
        {
            return;
        }
        loop {
            let _ = counts.wait_for(|counts| counts.connections == 0).await;
            if tokio::time::timeout(grace, counts.wait_for(|counts| counts.connections > 0))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// An operation ended in a panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

impl Panicked {
    fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self { message }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn deserted_when_nobody_comes() {
        Lifecycle::new().deserted(SHORT, LONG).await;
    }

    #[tokio::test]
    async fn deserted_when_the_last_connection_closes() {
        let lifecycle = Lifecycle::new();
        let (first, second) = (lifecycle.connected(), lifecycle.connected());
        let watching = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.deserted(LONG, SHORT).await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!watching.is_finished());
        drop(second);
        watching.await.unwrap();
    }

    #[tokio::test]
    async fn an_operation_survives_its_caller_and_counts_until_its_end() {
        let lifecycle = Lifecycle::new();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let mut call = Box::pin(lifecycle.run(async move { finished.await.is_ok() }));
        assert!(futures::poll!(&mut call).is_pending());
        drop(call);
        assert!(tokio::time::timeout(SHORT, lifecycle.idle()).await.is_err());
        finish.send(()).unwrap();
        lifecycle.idle().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let lifecycle = Lifecycle::new();
        let panicked = lifecycle.run(async { panic!("index {} is out of range", 3) }).await;
        assert_eq!(
            panicked,
            Err::<(), _>(Panicked {
                message: "index 3 is out of range".into()
            })
        );
        lifecycle.idle().await;
    }

    #[test]
    fn a_renewed_stop_leaves_the_old_one_requested() {
        let lifecycle = Lifecycle::new();
        let old = lifecycle.stop();
        lifecycle.request_stop();
        assert!(old.requested());
        lifecycle.renew_stop();
        assert!(old.requested());
        assert!(!lifecycle.stop().requested());
    }
}
