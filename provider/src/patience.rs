//! How long a plan waits for a cloud that does not answer: once.
//!
//! A request is tried again for half a minute before it counts as failed, and a plan may have a question for each of a
//! hundred attributes.  So a question has a few seconds, and once one of them has gone without an answer, those that come
//! later in this process are not asked at all until the cloud has answered something.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use multizone_cloud::{Cloud, CloudError, Outage, Unanswered};

/// How long a question has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the cloud answers, as far as is known.
#[derive(Debug)]
pub(crate) struct Patience {
    length: Duration,
    silence: Mutex<Option<Silence>>,
}

/// A question without an answer.
#[derive(Clone, Debug)]
struct Silence {
    last: Unanswered,
    /// Whether every attempt was made.
    to_the_end: bool,
}

impl Default for Patience {
    fn default() -> Self {
        Self::of(PATIENCE)
    }
}

impl Patience {
    fn of(length: Duration) -> Self {
        Self {
            length,
            silence: Mutex::default(),
        }
    }

    /// Asks the cloud about `object`, unless it is known not to answer; for questions that can do without.
    pub(crate) async fn ask<T>(
        &self,
        cloud: &dyn Cloud,
        object: &str,
        question: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        if let Some(silence) = self.silence() {
            return Err(silence.error(object));
        }
        if let Ok(answer) = tokio::time::timeout(self.length, question).await {
            return self.heard(answer);
        }
        // Somebody may have waited longer, for the same answer, and know more.
        let silence = self.silence().unwrap_or_else(|| Silence {
            last: cloud.unanswered().unwrap_or_else(|| Unanswered {
                outage: Outage::Silent,
                attempts: 1,
                reason: format!("nothing came within {} s", self.length.as_secs()),
            }),
            to_the_end: false,
        });
        self.set(Some(silence.clone()));
        Err(silence.error(object))
    }

    /// The error of a question about `object`, where another one has failed after all its attempts.
    pub(crate) fn given_up(&self, object: &str) -> Option<CloudError> {
        let silence = self.silence().filter(|silence| silence.to_the_end)?;
        Some(silence.error(object))
    }

    /// Remembers what an answer says about the cloud, and passes it on.
    pub(crate) fn heard<T>(&self, answer: Result<T, CloudError>) -> Result<T, CloudError> {
        match &answer {
            Err(CloudError::Unavailable {
                outage,
                attempts,
                reason,
                ..
            }) => self.set(Some(Silence {
                last: Unanswered {
                    outage: *outage,
                    attempts: *attempts,
                    reason: reason.clone(),
                },
                to_the_end: true,
            })),
            Err(CloudError::Timeout { .. }) => {}
            // Also a refusal is an answer.
            Ok(_) | Err(_) => self.set(None),
        }
        answer
    }

    fn silence(&self) -> Option<Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, silence: Option<Silence>) {
        *self.silence.lock().unwrap_or_else(PoisonError::into_inner) = silence;
    }
}

impl Silence {
    fn error(self, object: &str) -> CloudError {
        CloudError::Unavailable {
            object: object.to_owned(),
            outage: self.last.outage,
            attempts: self.last.attempts,
            reason: self.last.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::resources::memory_cloud::MemoryCloud;

    #[tokio::test]
    async fn a_silent_cloud_is_waited_for_once() {
        let (cloud, _) = MemoryCloud::region();
        let patience = Patience::of(Duration::ZERO);
        let unheard = patience.ask::<()>(cloud.as_ref(), "the zones", pending()).await;
        let Err(CloudError::Unavailable { object, .. }) = unheard else {
            panic!("nobody answered");
        };
        assert_eq!(object, "the zones");
        let unasked = async { panic!("the cloud is known not to answer") };
        let error = patience.ask::<()>(cloud.as_ref(), "the machine type", unasked).await;
        assert!(error.is_err_and(|error| error.object() == "the machine type"));
        // A refresh cannot do without: it makes all its attempts.
        assert_eq!(patience.given_up("the inventory"), None);
    }

    #[tokio::test]
    async fn a_cloud_that_answers_again_is_asked_again() {
        let (cloud, _) = MemoryCloud::region();
        let patience = Patience::default();
        let lost = CloudError::Unavailable {
            object: "x".to_owned(),
            outage: Outage::Silent,
            attempts: 8,
            reason: "connection refused".to_owned(),
        };
        assert!(patience.heard::<()>(Err(lost)).is_err());
        assert!(patience.ask(cloud.as_ref(), "y", ready(Ok(7))).await.is_err());
        assert!(patience.given_up("the inventory").is_some());
        let refused = CloudError::NotFound { object: "x".to_owned() };
        assert!(patience.heard::<()>(Err(refused)).is_err());
        assert_eq!(patience.ask(cloud.as_ref(), "y", ready(Ok(7))).await, Ok(7));
    }
}
