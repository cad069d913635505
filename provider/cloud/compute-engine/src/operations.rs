//! Operations: every change on Compute Engine is one, and is over only when it says so.

use std::{future::Future, time::Duration};

use google_cloud_compute_v1::model::{Operation, operation::Status};
use google_cloud_gax::{error::Error as GoogleError, options::RequestOptionsBuilder as _};
use tokio::time::Instant;

use crate::{
    ComputeEngine,
    failure::{Failure, Kind},
    names::last_segment,
};

/// How long the cloud holds a request to wait, at most, before it answers that the operation still runs.
const LONGEST_HOLD: Duration = Duration::from_mins(2);

/// How far a change is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The cloud has taken it on.
    Accepted,
    /// It is done.
    Done,
}

impl ComputeEngine {
    /// Makes a change and waits until it is done.  `request` is given the request ID, which is the same for every
    /// attempt, so that a lost reply cannot make the change twice.  Where an earlier operation on the object still runs,
    /// its end is awaited first.
    pub(crate) async fn change<F, R>(&self, what: &str, request: R) -> Result<(), Failure>
    where
        R: Fn(String) -> F,
        F: Future<Output = Result<Operation, GoogleError>>,
    {
        self.change_to(Until::Done, what, request).await
    }

    /// The same, to the moment that is given.
    pub(crate) async fn change_to<F, R>(&self, until: Until, what: &str, request: R) -> Result<(), Failure>
    where
        R: Fn(String) -> F,
        F: Future<Output = Result<Operation, GoogleError>>,
    {
        let timeouts = self.settings().timeouts;
        let started = Instant::now();
        loop {
            let token = self.sender().token();
            let sent = self.sender().send(what, || request(token.clone())).await;
            let failure = match sent {
                Ok(operation) if until == Until::Accepted => {
                    return Failure::of_operation(&operation).map_or(Ok(()), Err);
                }
                Ok(operation) => match self.finish(what, operation).await {
                    Err(failure) if failure.is_not_ready() => failure,
                    finished => return finished,
                },
                Err(failure) if failure.is_not_ready() => failure,
                Err(failure) => return Err(failure),
            };
            if started.elapsed() >= timeouts.operation {
                let waiting_for = format!("an earlier operation on it to end ({})", failure.message);
                return Err(Failure::new(Kind::Deadline(started.elapsed()), "", waiting_for));
            }
            tokio::time::sleep(timeouts.poll_interval).await;
        }
    }

    /// Waits until an operation is done.
    async fn finish(&self, what: &str, mut operation: Operation) -> Result<(), Failure> {
        let timeouts = self.settings().timeouts;
        let started = Instant::now();
        loop {
            if operation.status == Some(Status::Done) {
                return Failure::of_operation(&operation).map_or(Ok(()), Err);
            }
            let name = operation.name.clone().unwrap_or_default();
            if started.elapsed() >= timeouts.operation {
                let waiting_for = format!("operation {name} ({what}) to end");
                return Err(Failure::new(Kind::Deadline(started.elapsed()), "", waiting_for));
            }
            let asked = Instant::now();
            operation = match self.wait_for(&operation, &name).await {
                Ok(operation) => operation,
                // Forgotten by the cloud: the caller looks at the object itself.
                Err(failure) if failure.is_not_found() => return Ok(()),
                Err(failure) => return Err(failure),
            };
            // The cloud holds the request while the operation runs; where it does not, do not ask without a pause.
            if operation.status != Some(Status::Done) {
                tokio::time::sleep(timeouts.poll_interval.saturating_sub(asked.elapsed())).await;
            }
        }
    }

    async fn wait_for(&self, operation: &Operation, name: &str) -> Result<Operation, Failure> {
        let project = &self.settings().project;
        let hold = LONGEST_HOLD + self.settings().timeouts.request;
        if let Some(zone) = operation.zone.as_deref().map(last_segment) {
            let client = self.clients().zone_operations().await?;
            let request = || {
                let call = client.wait().set_project(project).set_zone(zone).set_operation(name);
                call.with_attempt_timeout(hold).send()
            };
            return self.sender().send("zoneOperations.wait", request).await;
        }
        if let Some(region) = operation.region.as_deref().map(last_segment) {
            let client = self.clients().region_operations().await?;
            let request = || {
                let call = client
                    .wait()
                    .set_project(project)
                    .set_region(region)
                    .set_operation(name);
                call.with_attempt_timeout(hold).send()
            };
            return self.sender().send("regionOperations.wait", request).await;
        }
        let client = self.clients().global_operations().await?;
        let request = || {
            let call = client.wait().set_project(project).set_operation(name);
            call.with_attempt_timeout(hold).send()
        };
        self.sender().send("globalOperations.wait", request).await
    }

    /// Looks until `look` gives something, up to the time that an operation may take.
    pub(crate) async fn poll<T, F, R>(&self, waiting_for: &str, look: R) -> Result<T, Failure>
    where
        R: Fn() -> F,
        F: Future<Output = Result<Option<T>, Failure>>,
    {
        let timeouts = self.settings().timeouts;
        let started = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if started.elapsed() >= timeouts.operation {
                return Err(Failure::new(Kind::Deadline(started.elapsed()), "", waiting_for));
            }
            tokio::time::sleep(timeouts.poll_interval).await;
        }
    }
}
