//! A listening socket of the host that stands for one port of one address of the region.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long to wait before trying again to bind a port that somebody still holds, or to accept when the
/// process is out of descriptors.
const RETRY: Duration = Duration::from_millis(25);

/// The task that owns the socket; dropping this closes the socket.
#[derive(Debug)]
pub(crate) struct Socket {
    task: AbortHandle,
    /// True once the socket is bound.
    pub(crate) bound: watch::Receiver<bool>,
}

impl Socket {
    /// Binds `address:port`, however long a former holder takes to let go of it, and passes every accepted
    /// connection on.
    pub(crate) fn open<F>(address: Ipv4Addr, port: u16, accepted: F) -> Self
    where
        F: Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
    {
        let (sender, bound) = watch::channel(false);
        let task = tokio::spawn(run(address, port, sender, accepted)).abort_handle();
        Self { task, bound }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<F>(address: Ipv4Addr, port: u16, bound: watch::Sender<bool>, accepted: F)
where
    F: Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
{
    let mut warned = false;
    let listener = retried(
        |error| {
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(%address, port, %error, "cannot listen yet; trying on");
            }
        },
        || TcpListener::bind((address, port)),
    )
    .await;
    bound.send_replace(true);
    loop {
        let (stream, peer) = retried(
            |error| tracing::warn!(%address, port, %error, "cannot accept"),
            || listener.accept(),
        )
        .await;
        accepted(stream, peer);
    }
}

async fn retried<T, F>(mut failed: impl FnMut(io::Error), mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => failed(error),
        }
        tokio::time::sleep(RETRY).await;
    }
}
