//! Sending requests: counted, retried within bounds; and tokens that make a repeated request the same request.

use std::{
    fmt::Write as _,
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use multizone_cloud::{Retries, Unanswered};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Counts and retries.
#[derive(Debug)]
pub(crate) struct Requests {
    sent: AtomicU64,
    retries: Retries,
    /// The last failure that is being tried again, while nothing has succeeded since.
    unanswered: Mutex<Option<Unanswered>>,
}

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Always: to send it twice is to send it once.
    Freely,
    /// Only when the cloud says that it has not carried it out: it makes an object and knows no token.
    Undone,
}

impl Requests {
    pub(crate) fn new(retries: Retries) -> Self {
        Self {
            sent: AtomicU64::new(0),
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

    /// The attempts that a request has in all.
    pub(crate) fn attempts(&self) -> u32 {
        self.retries.attempts
    }

    /// Sends a request until it succeeds, fails for good, or has been tried often enough.
    pub(crate) async fn send<T, F, R>(&self, action: &'static str, repeat: Repeat, request: R) -> Result<T, Failure>
    where
        R: Fn() -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.sent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(target: "multizone::cloud", request = action, attempt = attempts, "request");
            let mut failure = match request().await {
                Ok(reply) => {
                    self.note(None);
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            failure.attempts = attempts;
            let again = match repeat {
                Repeat::Freely => failure.is_transient(),
                Repeat::Undone => failure.is_throttled(),
            };
            if !again || attempts >= self.retries.attempts {
                return Err(failure);
            }
            self.pause(&failure, attempts).await;
        }
    }

    /// Waits before the next attempt after a failure.
    pub(crate) async fn pause(&self, failure: &Failure, attempts: u32) {
        self.note(Some(Unanswered {
            outage: failure.outage(),
            attempts,
            reason: failure.words(),
        }));
        let delay = self.retries.delay(attempts, None, rand::random::<f64>());
        tracing::info!(
            target: "multizone::cloud",
            request = failure.action,
            attempt = attempts,
            code = failure.code,
            message = failure.message,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "trying again"
        );
        tokio::time::sleep(delay).await;
    }
}

/// A request's token: the same for the same parts.
pub(crate) fn token(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    hex(&digest.finalize()[..16])
}

/// A request's token that no other request has, in the form of a UUID.
pub(crate) fn fresh_token() -> String {
    let text = hex(&rand::random::<[u8; 16]>());
    format!(
        "{}-{}-4{}-8{}-{}",
        &text[..8],
        &text[8..12],
        &text[13..16],
        &text[17..20],
        &text[20..]
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::failure::Kind;

    fn requests() -> Requests {
        Requests::new(Retries {
            attempts: 3,
            first_delay: Duration::from_millis(2),
            longest_delay: Duration::from_millis(5),
        })
    }

    async fn attempts(repeat: Repeat, failure: Failure) -> u32 {
        let requests = requests();
        let sent: Result<(), Failure> = requests
            .send("ec2:RunInstances", repeat, || async { Err(failure.clone()) })
            .await;
        assert_eq!(u64::from(sent.as_ref().unwrap_err().attempts), requests.sent());
        sent.unwrap_err().attempts
    }

    #[tokio::test]
    async fn what_may_have_been_done_is_not_sent_again_unless_that_does_no_harm() {
        let lost = Failure::new(Kind::Transport, "", "reset");
        let throttled = Failure::new(Kind::Http(503), "RequestLimitExceeded", "");
        let refused = Failure::new(Kind::Http(400), "InvalidParameterValue", "");
        assert_eq!(attempts(Repeat::Freely, lost.clone()).await, 3);
        assert_eq!(attempts(Repeat::Undone, lost).await, 1);
        assert_eq!(attempts(Repeat::Undone, throttled).await, 3);
        assert_eq!(attempts(Repeat::Freely, refused).await, 1);
    }

    #[test]
    fn a_token_is_of_its_parts() {
        assert_eq!(token(&["a", "b"]), token(&["a", "b"]));
        assert_ne!(token(&["a", "b"]), token(&["ab"]));
        assert_eq!(fresh_token().len(), 36);
        assert_ne!(fresh_token(), fresh_token());
    }
}
