//! What every `ensure` has in common: an object is found or made, and waited for.

use std::{error::Error, future::Future};

use aws_smithy_runtime_api::{client::result::SdkError, http::Response};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use multizone_cloud::Result;
use tokio::time::Instant;

use crate::{
    Aws,
    failure::{About as _, Failure, Kind},
    requests::Repeat,
};

/// What a call gives.
pub(crate) type Called<T> = std::result::Result<T, Failure>;

impl Aws {
    /// One of the SDK's calls that may be repeated freely.
    pub(crate) async fn call<T, E, F, R>(&self, action: &'static str, request: R) -> Called<T>
    where
        R: Fn() -> F,
        F: Future<Output = std::result::Result<T, SdkError<E, Response>>>,
        E: Error + ProvideErrorMetadata + 'static,
    {
        self.send(action, Repeat::Freely, request).await
    }

    /// One of the SDK's calls that makes an object, which is looked for before it is made again: see [`Aws::found_or_made`].
    pub(crate) async fn call_once<T, E, F, R>(&self, action: &'static str, request: R) -> Called<T>
    where
        R: Fn() -> F,
        F: Future<Output = std::result::Result<T, SdkError<E, Response>>>,
        E: Error + ProvideErrorMetadata + 'static,
    {
        self.send(action, Repeat::Undone, request).await
    }

    async fn send<T, E, F, R>(&self, action: &'static str, repeat: Repeat, request: R) -> Called<T>
    where
        R: Fn() -> F,
        F: Future<Output = std::result::Result<T, SdkError<E, Response>>>,
        E: Error + ProvideErrorMetadata + 'static,
    {
        let call = || async { Box::pin(request()).await.map_err(|error| Failure::of(&error, action)) };
        // The SDK's futures are large, and many of them are in one of ours.
        Box::pin(self.sender().send(action, repeat, call)).await
    }

    /// Every page of a list; `page` asks for the one after the token, and gives what is on it and the next token.
    pub(crate) async fn pages<T, F>(&self, page: impl Fn(Option<String>) -> F) -> Called<Vec<T>>
    where
        F: Future<Output = Called<(Vec<T>, Option<String>)>>,
    {
        let (mut all, mut token) = (Vec::new(), None);
        loop {
            let (found, next) = page(token).await?;
            all.extend(found);
            token = next.filter(|next| !next.is_empty());
            if token.is_none() {
                return Ok(all);
            }
        }
    }

    /// The object, made where `look` finds none, and shown.  Before it is made again after a reply that was lost, it is looked for:
    /// that request may have made it.
    pub(crate) async fn found_or_made<T, L, M>(
        &self,
        object: &str,
        look: impl Fn() -> L,
        make: impl Fn() -> M,
    ) -> Result<T>
    where
        L: Future<Output = Called<Option<T>>>,
        M: Future<Output = Called<T>>,
    {
        let mut attempts = 0;
        loop {
            if let Some(found) = look().await.about(object)? {
                return Ok(found);
            }
            attempts += 1;
            match make().await {
                // It is not shown everywhere at once.
                Ok(_) => return self.poll("it to be shown", &look).await.about(object),
                Err(failure) if failure.is_already_exists() && attempts < self.sender().attempts() => {
                    self.sender().pause(&failure, attempts).await;
                }
                Err(failure)
                    if failure.is_transient() && !failure.is_throttled() && attempts < self.sender().attempts() =>
                {
                    self.sender().pause(&failure, attempts).await;
                }
                Err(failure) => {
                    let attempts = failure.attempts.max(attempts);
                    return Err(Failure { attempts, ..failure }.into_create_error(object));
                }
            }
        }
    }

    /// Looks until there is something to see, with growing pauses, to the end of the time allowed.
    pub(crate) async fn poll<T, F>(&self, waiting_for: &str, look: impl Fn() -> F) -> Called<T>
    where
        F: Future<Output = Called<Option<T>>>,
    {
        let timeouts = self.settings().timeouts;
        let (started, mut pause) = (Instant::now(), timeouts.first_pause);
        loop {
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            if started.elapsed() >= timeouts.operation {
                return Err(Failure::new(Kind::Deadline(started.elapsed()), "", waiting_for));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(timeouts.longest_pause);
        }
    }

    /// Carries out a change as soon as nothing stands in its way any more that AWS itself clears away in time: interfaces
    /// of a deleted load balancer, or what was attached to a machine that is gone.
    pub(crate) async fn once_free<F>(&self, change: impl Fn() -> F) -> Called<()>
    where
        F: Future<Output = Called<()>>,
    {
        let timeouts = self.settings().timeouts;
        let (started, mut pause) = (Instant::now(), timeouts.first_pause);
        loop {
            match change().await {
                Err(failure) if failure.is_in_use() && started.elapsed() < timeouts.operation / 2 => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(timeouts.longest_pause);
                }
                changed => return changed,
            }
        }
    }
}
