//! The certs phase: everything under /etc/kubernetes/pki that is signed on the machine.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::say;
use crate::machine::Machine;

/// Where kubeadm keeps certificates.
pub(super) const DIRECTORY: &str = "/etc/kubernetes/pki";
/// How long kubeadm's leaf certificates live.
pub(super) const LEAF_LIFETIME: Duration = Duration::from_hours(365 * 24);
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);
/// Clocks of other machines may be behind.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error(transparent)]
    Disk(#[from] std::io::Error),
    #[error("failed to load {file}: {reason}")]
    Unusable { file: String, reason: String },
    #[error("failure while generating {what}: {source}")]
    Generate { what: String, source: rcgen::Error },
}

/// A certificate authority on the disk.
pub(super) struct Authority {
    pub(super) certificate_pem: String,
    key_pem: String,
}

/// What a certificate is for.
pub(super) struct Leaf<'a> {
    pub(super) common_name: &'a str,
    pub(super) organisation: Option<&'a str>,
    pub(super) names: &'a [String],
    pub(super) client: bool,
    pub(super) server: bool,
}

impl Authority {
    /// Loads `NAME.crt` and `NAME.key`, or makes them, as kubeadm does, if neither exists.
    pub(super) fn load_or_make(machine: &Machine, name: &str, common_name: &str) -> Result<Self, CertificateError> {
        let (certificate_file, key_file) = (format!("{DIRECTORY}/{name}.crt"), format!("{DIRECTORY}/{name}.key"));
        let disk = &machine.disk;
        let unusable = |file: &str, reason: &str| CertificateError::Unusable {
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        match (disk.text(&certificate_file)?, disk.text(&key_file)?) {
            (Some(certificate_pem), Some(key_pem)) => {
                say(machine, format!("[certs] Using existing {name} certificate authority"));
                let authority = Self {
                    certificate_pem,
                    key_pem,
                };
                authority
                    .issuer()
                    .map_err(|error| unusable(&certificate_file, &error.to_string()))?;
                Ok(authority)
            }
            (None, None) => {
                say(machine, format!("[certs] Generating \"{name}\" certificate and key"));
                let authority = Self::make(common_name)?;
                disk.write(&key_file, &authority.key_pem, 0o600)?;
                disk.write(&certificate_file, &authority.certificate_pem, 0o644)?;
                Ok(authority)
            }
            (Some(_), None) => Err(unusable(
                &key_file,
                "no such file, and the certificate is there without it",
            )),
            (None, Some(_)) => Err(unusable(
                &certificate_file,
                "no such file, and the key is there without it",
            )),
        }
    }

    fn make(common_name: &str) -> Result<Self, CertificateError> {
        let failed = |source| CertificateError::Generate {
            what: common_name.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = CertificateParams::new(Vec::new()).map_err(failed)?;
        parameters.distinguished_name.push(DnType::CommonName, common_name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        set_validity(&mut parameters, AUTHORITY_LIFETIME);
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        let key = KeyPair::from_pem(&self.key_pem)?;
        Issuer::from_ca_cert_pem(&self.certificate_pem, key)
    }

    /// Signs a certificate; returns it and its key, PEM.
    pub(super) fn sign(&self, leaf: &Leaf<'_>, lifetime: Duration) -> Result<(String, String), CertificateError> {
        let failed = |source| CertificateError::Generate {
            what: format!("the certificate of {}", leaf.common_name),
            source,
        };
        let issuer = self.issuer().map_err(failed)?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = CertificateParams::new(leaf.names.to_vec()).map_err(failed)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, leaf.common_name);
        if let Some(organisation) = leaf.organisation {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, DnValue::Utf8String(organisation.to_owned()));
        }
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        if leaf.server {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.client {
            parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        parameters.use_authority_key_identifier_extension = true;
        set_validity(&mut parameters, lifetime);
        let certificate = parameters.signed_by(&key, &issuer).map_err(failed)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Signs a certificate into `NAME.crt` and `NAME.key`, unless they exist.
    pub(super) fn sign_into(
        &self,
        machine: &Machine,
        name: &str,
        leaf: &Leaf<'_>,
        lifetime: Duration,
    ) -> Result<(), CertificateError> {
        let (certificate_file, key_file) = (format!("{DIRECTORY}/{name}.crt"), format!("{DIRECTORY}/{name}.key"));
        if machine.disk.exists(&certificate_file) && machine.disk.exists(&key_file) {
            say(
                machine,
                format!("[certs] Using existing {name} certificate and key on disk"),
            );
            return Ok(());
        }
        say(machine, format!("[certs] Generating \"{name}\" certificate and key"));
        if !leaf.names.is_empty() {
            say(
                machine,
                format!("[certs] {name} serving cert is signed for {}", leaf.names.join(", ")),
            );
        }
        let (certificate, key) = self.sign(leaf, lifetime)?;
        machine.disk.write(&key_file, key, 0o600)?;
        machine.disk.write(&certificate_file, certificate, 0o644)?;
        Ok(())
    }
}

/// The service-account key pair, made if it is not there.
pub(super) fn service_account_key(machine: &Machine) -> Result<(), CertificateError> {
    let (private, public) = (format!("{DIRECTORY}/sa.key"), format!("{DIRECTORY}/sa.pub"));
    match (machine.disk.exists(&private), machine.disk.exists(&public)) {
        (true, true) => {
            say(machine, "[certs] Using the existing \"sa\" key");
            return Ok(());
        }
        (false, false) => {}
        _ => {
            let reason = "the two files of the service-account key must be there together".to_owned();
            return Err(CertificateError::Unusable { file: private, reason });
        }
    }
    say(machine, "[certs] Generating \"sa\" key and public key");
    let key = KeyPair::generate().map_err(|source| CertificateError::Generate {
        what: "the service-account key".to_owned(),
        source,
    })?;
    machine.disk.write(&private, key.serialize_pem(), 0o600)?;
    machine.disk.write(&public, key.public_key_pem(), 0o644)?;
    Ok(())
}

/// The names and addresses of the API server's certificate, as kubeadm has them.
pub(super) fn api_server_names(
    node: &str,
    dns_domain: &str,
    service_address: IpAddr,
    advertise: Ipv4Addr,
    endpoint: &str,
    further: &[String],
) -> Vec<String> {
    let mut names = vec![
        node.to_owned(),
        "kubernetes".to_owned(),
        "kubernetes.default".to_owned(),
        "kubernetes.default.svc".to_owned(),
        format!("kubernetes.default.svc.{dns_domain}"),
        service_address.to_string(),
        advertise.to_string(),
        endpoint.to_owned(),
    ];
    names.extend_from_slice(further);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn set_validity(parameters: &mut CertificateParams, lifetime: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(u64::try_from(Timestamp::now().as_second()).unwrap_or_default());
    parameters.not_before = epoch + now.saturating_sub(TOLERANCE);
    parameters.not_after = epoch + now + lifetime;
}
