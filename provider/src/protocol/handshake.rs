//! What Terraform tells a plugin through its environment, and the line the plugin answers with.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The variable that marks a process as started by Terraform.
pub const MAGIC_COOKIE_KEY: &str = "TF_PLUGIN_MAGIC_COOKIE";
/// Its value. Not a secret: it tells people who start the program by hand from Terraform.
pub const MAGIC_COOKIE_VALUE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
/// The protocol between plugin and host, and the major version of the provider protocol.
const CORE_PROTOCOL: u32 = 1;
/// The major version of the provider protocol that is served.
pub const PROVIDER_PROTOCOL: u32 = 6;

/// What the environment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The only client to let in; `None` when TLS is turned off.
    pub client_certificate: Option<CertificateDer<'static>>,
    /// Where sockets are to be made, if the host says so.
    pub socket_directory: Option<PathBuf>,
    /// Whether the answer needs the field that says whether connections are shared.
    pub multiplexing: bool,
}

/// Why Terraform's environment cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not started by Terraform.
    #[error("{MAGIC_COOKIE_KEY} is not what Terraform sets")]
    NotTerraform,
    /// The host speaks none of our versions.
    #[error(
        "Terraform offers the provider protocol versions {offered}; this provider speaks version {PROVIDER_PROTOCOL}: use Terraform 1.11 or later"
    )]
    Version {
        /// As found in the environment.
        offered: String,
    },
    /// The certificate is unusable: going on would mean to let anybody in.
    #[error("PLUGIN_CLIENT_CERT does not hold a certificate: {0}")]
    ClientCertificate(String),
}

impl Invitation {
    /// Reads the environment through `variable`.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HandshakeError> {
        if variable(MAGIC_COOKIE_KEY).as_deref() != Some(MAGIC_COOKIE_VALUE) {
            return Err(HandshakeError::NotTerraform);
        }
        if let Some(offered) = variable("PLUGIN_PROTOCOL_VERSIONS")
            && !offered
                .split(',')
                .any(|version| version.trim().parse() == Ok(PROVIDER_PROTOCOL))
        {
            return Err(HandshakeError::Version { offered });
        }
        let client_certificate = variable("PLUGIN_CLIENT_CERT")
            .filter(|pem| !pem.is_empty())
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
            .transpose()
            .map_err(|error| HandshakeError::ClientCertificate(error.to_string()))?;
        Ok(Self {
            client_certificate,
            socket_directory: variable("PLUGIN_UNIX_SOCKET_DIR")
                .filter(|directory| !directory.is_empty())
                .map(PathBuf::from),
            multiplexing: variable("PLUGIN_MULTIPLEX_GRPC").is_some_and(|value| !value.is_empty()),
        })
    }

    /// The line that goes to standard output, its newline included. Nothing may come before it.
    pub fn answer(&self, socket: &Path, server_certificate: Option<&CertificateDer<'_>>) -> String {
        let certificate = server_certificate
            .map(|der| STANDARD_NO_PAD.encode(der))
            .unwrap_or_default();
        let sharing = if self.multiplexing { "|false" } else { "" };
        format!(
            "{CORE_PROTOCOL}|{PROVIDER_PROTOCOL}|unix|{}|grpc|{certificate}{sharing}\n",
            socket.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn without_the_cookie_it_is_not_terraform() {
        assert_eq!(Invitation::read(environment(&[])), Err(HandshakeError::NotTerraform));
        let wrong = environment(&[(MAGIC_COOKIE_KEY, "d602")]);
        assert_eq!(Invitation::read(wrong), Err(HandshakeError::NotTerraform));
    }

    #[test]
    fn a_host_without_version_6_is_told_so() {
        let old = environment(&[
            (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE),
            ("PLUGIN_PROTOCOL_VERSIONS", "4,5"),
        ]);
        assert_eq!(
            Invitation::read(old),
            Err(HandshakeError::Version { offered: "4,5".into() })
        );
        let new = environment(&[
            (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE),
            ("PLUGIN_PROTOCOL_VERSIONS", "5,6"),
        ]);
        assert!(Invitation::read(new).is_ok());
    }

    #[test]
    fn an_unreadable_client_certificate_is_fatal() {
        let garbage = environment(&[
            (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE),
            ("PLUGIN_CLIENT_CERT", "garbage"),
        ]);
        assert!(matches!(
            Invitation::read(garbage),
            Err(HandshakeError::ClientCertificate(_))
        ));
    }

    #[test]
    fn the_answer_has_six_fields_and_a_seventh_on_demand() {
        let mut invitation = Invitation {
            client_certificate: None,
            socket_directory: None,
            multiplexing: false,
        };
        let certificate = CertificateDer::from(vec![0xff, 0xee]);
        let socket = Path::new("/tmp/x/plugin.sock");
        assert_eq!(
            invitation.answer(socket, Some(&certificate)),
            "1|6|unix|/tmp/x/plugin.sock|grpc|/+4\n"
        );
        assert_eq!(invitation.answer(socket, None), "1|6|unix|/tmp/x/plugin.sock|grpc|\n");
        invitation.multiplexing = true;
        assert_eq!(
            invitation.answer(socket, None),
            "1|6|unix|/tmp/x/plugin.sock|grpc||false\n"
        );
    }
}
