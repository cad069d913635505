//! Certificates of a host, and a TLS client that presents one.

use std::fmt;
use std::sync::Arc;

use p521::ecdsa::signature::Signer as _;
use p521::pkcs8::DecodePrivateKey as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureAlgorithm, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) pem: &'static str,
    key: &'static str,
}

/// The host that starts the plugin.
pub(crate) const TERRAFORM: Identity = Identity {
    pem: include_str!("certificates/terraform.pem"),
    key: include_str!("certificates/terraform-key.pem"),
};

/// Somebody else on the same machine, with a certificate of the same kind.
pub(crate) const STRANGER: Identity = Identity {
    pem: include_str!("certificates/stranger.pem"),
    key: include_str!("certificates/stranger-key.pem"),
};

/// The client's certificate without its key: what everybody could present who has seen it.
pub(crate) const IMPOSTOR: Identity = Identity {
    pem: TERRAFORM.pem,
    key: STRANGER.key,
};

impl Identity {
    /// A client that presents this certificate to the server with that one.
    pub(crate) fn client(&self, server: CertificateDer<'static>) -> ClientConfig {
        let secret = p521::SecretKey::from_pkcs8_pem(self.key).unwrap();
        let key = P521Key(Arc::new(
            p521::ecdsa::SigningKey::from_bytes(&secret.to_bytes()).unwrap(),
        ));
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let certified = CertifiedKey::new(vec![certificate], Arc::new(key));
        finish(
            builder(server, &rustls::version::TLS13)
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified))),
        )
    }
}

/// A client without a certificate, with this version of TLS.
pub(crate) fn nobody(server: CertificateDer<'static>, version: &'static SupportedProtocolVersion) -> ClientConfig {
    finish(builder(server, version).with_no_client_auth())
}

fn builder(
    server: CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(ring.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedServer {
            certificate: server,
            ring,
        }))
}

fn finish(mut client: ClientConfig) -> ClientConfig {
    client.alpn_protocols = vec![b"h2".to_vec()];
    client
}

/// A P-521 key for rustls, whose ring does not know the curve.
#[derive(Clone)]
struct P521Key(Arc<p521::ecdsa::SigningKey>);

impl fmt::Debug for P521Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P521Key")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP521_SHA512)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: p521::ecdsa::Signature = self.0.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// Trusts the certificate of the handshake line.
#[derive(Debug)]
struct PinnedServer {
    certificate: CertificateDer<'static>,
    ring: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("the server took TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.ring.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.ring.signature_verification_algorithms.supported_schemes()
    }
}
