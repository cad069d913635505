//! Asking running operations to stop.

use tokio_util::sync::CancellationToken;

/// Tells an operation that Terraform wants it to stop at its next safe point.
///
/// Terraform sends `StopProvider` when the user interrupts it, and then waits for the operations under way to return.
/// An operation that sees the request finishes the step it is in, leaves the rest for the next `terraform apply`, and
/// returns the state it has reached. Clones share the request; it is never taken back.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
}

impl Stop {
    /// A stop that nobody has requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests the stop; every clone sees it.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether the stop has been requested.
    pub fn requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Completes once the stop has been requested. Safe to use in `tokio::select!`.
    pub async fn wait(&self) {
        self.token.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Stop;

    #[tokio::test]
    async fn a_request_reaches_every_clone() {
        let stop = Stop::new();
        let clone = stop.clone();
        assert!(!clone.requested());
        let waiting = tokio::spawn(async move { clone.wait().await });
        stop.request();
        waiting.await.unwrap();
        assert!(stop.requested());
    }
}
