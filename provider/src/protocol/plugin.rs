//! Running as Terraform's plugin.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::catalog::Catalog;
use super::handshake::Invitation;
use super::lifecycle::Lifecycle;
use super::provider::ProviderService;
use super::server;
use super::socket::SocketDirectory;
use super::tls::{PluginTls, TlsError};

/// How long Terraform may take to its first connection.
const FIRST_CONNECTION: Duration = Duration::from_mins(1);
/// How long to wait for another connection after the last one closed.
const RECONNECTION: Duration = Duration::from_secs(2);
/// After a signal to end and the end of the operations: how long Terraform may take to fetch the answers.
const AFTER_SIGNAL: Duration = Duration::from_secs(2);

/// Why the plugin could not serve.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The certificate or the configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket, the signals or standard output.
    #[error("cannot start serving: {0}")]
    Start(#[from] io::Error),
    /// The server gave up.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Serves Terraform until it is done with us, or gone.
///
/// `temporary` is the directory for temporary files, used unless the invitation names another.
pub async fn run<P: Clone + Send + Sync + 'static>(
    invitation: Invitation,
    catalog: Catalog<P>,
    temporary: PathBuf,
) -> Result<(), PluginError> {
    let lifecycle = Lifecycle::new();
    // Before the handshake: Terraform may be interrupted as soon as it has read the line.
    handle_signals(&lifecycle)?;
    let tls = invitation
        .client_certificate
        .clone()
        .map(PluginTls::for_client)
        .transpose()?;
    let directory = SocketDirectory::create(
        invitation.socket_directory.as_ref().unwrap_or(&temporary),
        std::process::id(),
    )?;
    let listener = UnixListener::bind(directory.socket())?;
    announce(&invitation.answer(directory.socket(), tls.as_ref().map(|tls| &tls.certificate)))?;
    leave_when_deserted(&lifecycle);
    // The host kills a plugin that takes long to end; the socket is to be gone by then.
    let removing = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move {
            lifecycle.closing().await;
            drop(directory);
        }
    });
    let provider = ProviderService::new(catalog, lifecycle.clone());
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.configuration));
    let served = server::serve(listener, acceptor, provider, lifecycle.clone()).await;
    lifecycle.close();
    // Only a panic in there could fail it.
    let _ = removing.await;
    tracing::debug!("leaving");
    Ok(served?)
}

/// The one line that standard output is for.
fn announce(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

/// A terminal sends its interrupt to Terraform and to us alike. Terraform answers it by asking us to stop, so the
/// signal itself is ignored: by a handler, because an ignored signal would be inherited by the processes we start.
///
/// Termination and hang-up mean the same for us, but there may be no Terraform left to say so: stop, let it fetch
/// the answers, and leave.
fn handle_signals(lifecycle: &Lifecycle) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while interrupt.recv().await.is_some() {
            tracing::debug!("ignored an interrupt: Terraform will say what to do");
        }
    });
    let lifecycle = lifecycle.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
        tracing::info!("asked to terminate: stopping at the next safe point");
        lifecycle.request_stop();
        lifecycle.idle().await;
        tokio::time::sleep(AFTER_SIGNAL).await;
        lifecycle.close();
    });
    Ok(())
}

fn leave_when_deserted(lifecycle: &Lifecycle) {
    let lifecycle = lifecycle.clone();
    tokio::spawn(async move {
        lifecycle.deserted(FIRST_CONNECTION, RECONNECTION).await;
        tracing::info!("Terraform is gone: stopping at the next safe point");
        lifecycle.request_stop();
        lifecycle.close();
    });
}
