//! A place that clients reach over TLS, as an API server's.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use multizone_kubernetes::pki::ClusterPki;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Listens on loopback, with a certificate of the cluster's CA for this name that was made then and lives one hour.
pub(crate) async fn listen(pki: &ClusterPki, name: &str, made: Timestamp) -> (TcpListener, TlsAcceptor) {
    let names = [name.to_owned()];
    let credential = pki
        .ca
        .server_credential("kube-apiserver", &names, made, Duration::from_hours(1))
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(credential.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(credential.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)))
}
