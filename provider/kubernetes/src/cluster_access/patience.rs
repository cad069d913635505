//! Waiting with a deadline and a way to be stopped.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// The deadline passed.
    Deadline,
    /// The caller gave up.
    Stop,
}

/// A deadline and the future that completes when the caller gives up.
pub(super) struct Patience<S> {
    deadline: Instant,
    stop: Pin<Box<S>>,
    stopped: bool,
}

impl<S: Future<Output = ()>> Patience<S> {
    pub(super) fn new(deadline: Instant, stop: S) -> Self {
        Self {
            deadline,
            stop: Box::pin(stop),
            stopped: false,
        }
    }

    /// The work's result, if it comes in time.
    pub(super) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        if self.stopped {
            return Err(Interrupted::Stop);
        }
        tokio::select! {
            biased;
            () = &mut self.stop => {
                self.stopped = true;
                Err(Interrupted::Stop)
            }
            result = work => Ok(result),
            () = tokio::time::sleep_until(self.deadline) => Err(Interrupted::Deadline),
        }
    }

    /// Lets some time pass.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Interrupted> {
        self.within(tokio::time::sleep(time)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_a_deadline_or_a_stop_ends_the_wait() {
        let mut patience = Patience::new(Instant::now(), std::future::pending());
        assert_eq!(
            patience.within(async { 1 }).await,
            Ok(1),
            "a result that is there counts"
        );
        assert_eq!(
            patience.pause(Duration::from_hours(1)).await,
            Err(Interrupted::Deadline)
        );
        let mut patience = Patience::new(Instant::now() + Duration::from_hours(1), std::future::ready(()));
        assert_eq!(patience.within(async { 1 }).await, Err(Interrupted::Stop));
        assert_eq!(
            patience.within(async { 1 }).await,
            Err(Interrupted::Stop),
            "a stop is for good"
        );
    }
}
