//! One probe: connect, and where the check says so, ask for a path and look for the status 200.

use crate::core::balancers::records::{Probe, Protocol};
use crate::core::balancers::targets::Probed;
use multizone_sandbox_data_plane::{HEALTH_CHECK_SOURCE, Network, Pace};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

/// A machine that is reached may take this long to answer at any speed: long enough for a busy host.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(2);
/// The status line of an answer is shorter than this.
const STATUS_LINE: usize = 256;

/// Makes probes.
pub struct Prober {
    network: Network,
    pace: Pace,
    tls: TlsConnector,
}

impl Prober {
    /// Probes go through this network; how long they wait follows `pace`.
    ///
    /// # Panics
    /// Never: what is asked of TLS here is always there.
    pub fn new(network: Network, pace: Pace) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusting = Trusting(Arc::clone(&provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions of TLS")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusting))
            .with_no_client_auth();
        Self {
            network,
            pace,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Asks a target once.
    pub(super) async fn probe(&self, target: &Probed) -> io::Result<()> {
        let patience = Duration::from_secs(u64::from(target.check.timeout_sec));
        self.ask(HEALTH_CHECK_SOURCE, &target.instance, &target.check.probe, patience)
            .await
    }

    /// Asks a machine once, from this address; `patience` is in the region's time.
    pub async fn ask(&self, from: Ipv4Addr, machine: &str, probe: &Probe, patience: Duration) -> io::Result<()> {
        let patience = self.pace.scaled(patience);
        let stream = self.network.probe_from(from, machine, probe.port, patience).await?;
        let host = if probe.host.is_empty() {
            stream.peer_addr()?.to_string()
        } else {
            probe.host.clone()
        };
        let answer = async {
            match probe.protocol {
                Protocol::Tcp => Ok(()),
                Protocol::Http => get(stream, probe, &host).await,
                Protocol::Https => {
                    // An address is not announced in the handshake; the certificate is not looked at.
                    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
                    get(self.tls.connect(name, stream).await?, probe, &host).await
                }
            }
        };
        tokio::time::timeout(patience.max(SHORTEST_PATIENCE), answer)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn get<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, probe: &Probe, host: &str) -> io::Result<()> {
    let path = &probe.request_path;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: GoogleHC/1.0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < STATUS_LINE {
        let mut part = [0; STATUS_LINE];
        match stream.read(&mut part).await? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let mut words = line.split_whitespace();
    match (words.next(), words.next()) {
        (Some(version), Some("200")) if version.starts_with("HTTP/") => Ok(()),
        (_, status) => Err(io::Error::other(format!(
            "GET {path} answered {}",
            status.unwrap_or("nothing")
        ))),
    }
}

/// Health checks take any certificate, as Compute Engine's do.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
