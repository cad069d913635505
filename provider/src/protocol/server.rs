//! Serving one socket from the first connection to the end.

use std::time::Duration;

use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;
use tonic::transport::Server;

use super::connections;
use super::lifecycle::Lifecycle;
use super::provider::ProviderService;
use super::routes::Routes;

/// How much of a message the client may send ahead. Terraform sends whole states, over a local socket.
const WINDOW: u32 = 4 << 20;
/// How long open requests may still be answered once the serving ends.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long running operations may take to their next safe point once nobody waits for them.
const LAST_OPERATIONS: Duration = Duration::from_mins(1);

/// Serves until the lifecycle closes, and then until what is under way is answered.
pub async fn serve<P: Clone + Send + Sync + 'static>(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    provider: ProviderService<P>,
    lifecycle: Lifecycle,
) -> Result<(), tonic::transport::Error> {
    let connections = connections::accept(listener, tls, lifecycle.clone());
    let routes = Routes::new(provider, lifecycle.clone());
    let serving = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .serve_with_incoming_shutdown(routes, connections, {
            let lifecycle = lifecycle.clone();
            async move { lifecycle.closing().await }
        });
    let overdue = async {
        lifecycle.closing().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        result = serving => result?,
        () = overdue => tracing::warn!("a client kept its connection open after the end; leaving"),
    }
    if tokio::time::timeout(LAST_OPERATIONS, lifecycle.idle()).await.is_err() {
        tracing::error!("an operation did not stop; the next apply continues where it was");
    }
    Ok(())
}
