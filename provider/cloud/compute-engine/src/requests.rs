//! Sending requests: counted, retried within bounds, with tokens that make a repeated insert the same insert.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use multizone_cloud::{Retries, Unanswered};

use crate::failure::Failure;

/// Counts and retries.
#[derive(Debug)]
pub(crate) struct Requests {
    sent: AtomicU64,
    tokens: AtomicU64,
    /// Makes the tokens of this object unlike those of any other.
    nonce: u64,
    retries: Retries,
    /// The last failure that is being tried again, while nothing has succeeded since.
    unanswered: Mutex<Option<Unanswered>>,
}

impl Requests {
    pub(crate) fn new(retries: Retries, nonce: u64) -> Self {
        Self {
            sent: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            nonce,
            retries,
            unanswered: Mutex::default(),
        }
    }

    /// What was met by the last request that got no answer; `None` once one has.
    pub(crate) fn unanswered(&self) -> Option<Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, unanswered: Option<Unanswered>) {
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = unanswered;
    }

    /// How many requests were sent, retries included.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// A new request ID, a UUID: the same for every attempt at one request, another for the next request.  It may not be
    /// derived from the object alone, since the cloud remembers it past the object's deletion.
    pub(crate) fn token(&self) -> String {
        let number = self.tokens.fetch_add(1, Ordering::Relaxed);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            self.nonce >> 32,
            (self.nonce >> 16) & 0xffff,
            self.nonce & 0x0fff,
            (number >> 48) & 0x0fff,
            number & 0xffff_ffff_ffff
        )
    }

    /// Sends a request until it succeeds, fails for good, or has been tried often enough.
    pub(crate) async fn send<T, E, F, R>(&self, what: &str, request: R) -> Result<T, Failure>
    where
        R: Fn() -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<Failure>,
    {
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.sent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(target: "multizone::cloud", request = what, attempt = attempts, "request");
            let mut failure = match request().await {
                Ok(reply) => {
                    self.note(None);
                    return Ok(reply);
                }
                Err(error) => error.into(),
            };
            failure.attempts = attempts;
            if !failure.is_transient() || attempts >= self.retries.attempts {
                return Err(failure);
            }
            self.note(Some(Unanswered {
                outage: failure.outage(),
                attempts,
                reason: failure.words(),
            }));
            let delay = self.retries.delay(attempts, failure.retry_after, rand::random::<f64>());
            tracing::info!(
                target: "multizone::cloud",
                request = what,
                attempt = attempts,
                reason = failure.reason,
                message = failure.message,
                delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                "trying again"
            );
            tokio::time::sleep(delay).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn requests() -> Requests {
        Requests::new(
            Retries {
                attempts: 3,
                first_delay: Duration::from_millis(100),
                longest_delay: Duration::from_secs(1),
            },
            0x0123_4567_89ab_cdef,
        )
    }

    #[test]
    fn tokens_are_uuids_and_differ() {
        let requests = requests();
        let (one, other) = (requests.token(), requests.token());
        assert_eq!(one, "01234567-89ab-4def-8000-000000000000");
        assert_eq!(other, "01234567-89ab-4def-8000-000000000001");
    }
}
