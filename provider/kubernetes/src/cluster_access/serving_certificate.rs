//! The certificate with which an API server serves: leaf certificates of kubeadm live one year, and all of a master's are
//! made at the same moment (domain-rules.md, kubeadm).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{AccessError, ClusterAddress};
use crate::pki::CertificateFacts;

const ACTION: &str = "read its certificate";

/// What the certificate says with which the server at this address serves.
///
/// It is the cluster's own, or this fails; one that has expired, or is not valid yet, is read all the same.
pub async fn serving_certificate(address: &ClusterAddress) -> Result<CertificateFacts, AccessError> {
    let unusable = |what: &str, reason: &dyn ToString| AccessError::Unusable {
        url: address.url.clone(),
        what: what.to_owned(),
        reason: reason.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let presented = Arc::new(Presented::of(&address.ca_certificate_pem, &provider).map_err(|reason| {
        let what = "the cluster's certificate authority";
        unusable(what, &reason)
    })?);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", &error))?
        .dangerous()
        .with_custom_certificate_verifier(presented.clone())
        .with_no_client_auth();
    let url: http::Uri = address
        .url
        .parse()
        .map_err(|error: http::uri::InvalidUri| unusable("the address", &error))?;
    let host = url.host().unwrap_or_default();
    let name = address.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(|error| unusable("the server's name", &error))?;
    let unreachable = |error: std::io::Error| AccessError::Unreachable {
        url: address.url.clone(),
        action: ACTION.to_owned(),
        reason: error.to_string(),
    };
    let stream = TcpStream::connect((host, url.port_u16().unwrap_or(443)))
        .await
        .map_err(unreachable)?;
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    match (handshake, presented.taken()) {
        (Ok(_), Some(certificate)) => {
            CertificateFacts::of_der(&certificate).map_err(|error| unusable("the server's certificate", &error))
        }
        (Err(error), None) => Err(unreachable(error)),
        (Err(error), Some(_)) => Err(AccessError::Untrusted {
            url: address.url.clone(),
            action: ACTION.to_owned(),
            reason: error.to_string(),
        }),
        (Ok(_), None) => Err(unreachable(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Verifies as usual, but for the time, and keeps what it was shown.
struct Presented {
    inner: Arc<WebPkiServerVerifier>,
    certificate: Mutex<Option<Vec<u8>>>,
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").finish_non_exhaustive()
    }
}

impl Presented {
    fn of(authority_pem: &str, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            inner,
            certificate: Mutex::default(),
        })
    }

    fn taken(&self) -> Option<Vec<u8>> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ServerCertVerifier for Presented {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let mut certificate = self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        *certificate = Some(end_entity.to_vec());
        drop(certificate);
        let facts = CertificateFacts::of_der(end_entity);
        let facts = facts.map_err(|_| TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let end = u64::try_from(facts.not_after.as_second()).unwrap_or_default();
        let while_valid = UnixTime::since_unix_epoch(Duration::from_secs(end));
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, while_valid)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
