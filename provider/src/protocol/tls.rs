//! Mutual TLS with exactly one peer.
//!
//! Terraform makes a self-signed P-521 certificate (marked as an authority) for each plugin process and passes it in
//! the environment; the plugin answers with one of its own. Neither chains to anything, so the check is: the client
//! presents the very certificate that was passed, and proves that it holds its key. Common verifiers refuse such a
//! certificate as an end entity, and ring does not know P-521; the curve comes from the crate `p521`.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, PrivatePkcs8KeyDer,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate of our own.
    #[error("cannot make the plugin's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The parts do not fit.
    #[error("cannot set up the plugin's TLS: {0}")]
    Configuration(#[from] rustls::Error),
}

/// A server's side of the connection to one client.
#[derive(Debug, Clone)]
pub struct PluginTls {
    /// For the acceptor.
    pub configuration: Arc<ServerConfig>,
    /// For the handshake line.
    pub certificate: CertificateDer<'static>,
}

impl PluginTls {
    /// TLS that lets in only the client with this certificate.
    pub fn for_client(client: CertificateDer<'static>) -> Result<Self, TlsError> {
        let (certificate, key) = own_certificate()?;
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let mut configuration = ServerConfig::builder_with_provider(ring)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(PinnedClient { certificate: client }))
            .with_single_cert(vec![certificate.clone()], key)?;
        configuration.alpn_protocols = vec![b"h2".to_vec()];
        configuration.send_tls13_tickets = 0;
        configuration.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            configuration: Arc::new(configuration),
            certificate,
        })
    }
}

/// Terraform trusts this certificate as a root, and checks it as the one of a server called `localhost`.
fn own_certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()])?;
    parameters.distinguished_name.push(DnType::CommonName, "localhost");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = parameters.self_signed(&key)?;
    Ok((
        certificate.der().clone(),
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
    ))
}

/// Lets in the holder of one certificate's key.
#[derive(Debug)]
struct PinnedClient {
    certificate: CertificateDer<'static>,
}

impl ClientCertVerifier for PinnedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.certificate.as_ref() {
            Ok(ClientCertVerified::assertion())
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
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &CLIENT_SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CLIENT_SIGNATURES.supported_schemes()
    }
}

/// How a client may sign: Terraform's keys are all P-521.
static CLIENT_SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[&EcdsaP521],
    mapping: &[(SignatureScheme::ECDSA_NISTP521_SHA512, &[&EcdsaP521])],
};

/// ECDSA with P-521 and SHA-512.
#[derive(Debug)]
struct EcdsaP521;

impl SignatureVerificationAlgorithm for EcdsaP521 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}
