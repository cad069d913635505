//! The member's client address: TLS with client certificates, then gRPC.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use super::gate::{Connection, Gated, Life};
use super::led::Seat;
use super::routes::Routes;
use super::service::Service;
use crate::Tls;

/// Reads the certificates; the error is what the member says before it ends.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, String> {
    let said = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| said(path, &error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.trusted_ca)? {
        roots.add(certificate).map_err(|error| said(&tls.trusted_ca, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| said(&tls.trusted_ca, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.server_key).map_err(|error| said(&tls.server_key, &error))?;
    let chain = certificates(&tls.server_certificate)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| said(&tls.server_certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until the member is gone.
pub(super) async fn serve(seat: Seat, listener: TcpListener, acceptor: TlsAcceptor, life: watch::Receiver<Life>) {
    let (connections, incoming) = mpsc::channel::<std::io::Result<Connection>>(16);
    let routes = Routes::new(&Service { seat });
    let served = tonic::transport::Server::builder().serve_with_incoming(routes, ReceiverStream::new(incoming));
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::warn!(%error, "the stand-in for etcd does not serve any more");
            }
        }
        () = accept(listener, acceptor, life, connections) => {}
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    mut life: watch::Receiver<Life>,
    connections: mpsc::Sender<std::io::Result<Connection>>,
) {
    loop {
        // The kernel accepts for a paused process too, and nobody reads.
        if life.wait_for(|life| *life != Life::Paused).await.is_err() {
            return;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for example: others may be closed meanwhile.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection is slower than it could be");
        }
        let (gated, acceptor, connections) = (Gated::new(stream, life.clone()), acceptor.clone(), connections.clone());
        let mut gone = life.clone();
        tokio::spawn(async move {
            let accepted = tokio::select! {
                accepted = acceptor.accept(gated) => accepted,
                _ = gone.wait_for(|life| *life == Life::Gone) => return,
            };
            match accepted {
                // An error means that the member serves no more.
                Ok(stream) => drop(connections.send(Ok(Connection(stream))).await),
                Err(error) => tracing::debug!(%error, "etcd: rejected connection"),
            }
        });
    }
}
