//! One certificate: signing it and reading what is in it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use x509_parser::pem::Pem;

use super::{Authority, CLOCK_TOLERANCE, PkiError};

/// A certificate with its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCredential {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS #8 PEM.
    pub key_pem: String,
}

impl fmt::Debug for ClientCredential {
    /// Leaves the key out: debug output ends up in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientCredential")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl ClientCredential {
    /// What the certificate says.
    pub fn facts(&self) -> Result<CertificateFacts, PkiError> {
        CertificateFacts::read(&self.certificate_pem)
    }
}

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's common name: the user, for a client certificate.
    pub common_name: String,
    /// The subject's organisations: the groups, for a client certificate.
    pub organisations: Vec<String>,
    /// Valid from here.
    pub not_before: Timestamp,
    /// Valid until here.
    pub not_after: Timestamp,
    /// Whether it may sign other certificates.
    pub is_authority: bool,
}

impl CertificateFacts {
    /// Reads the first certificate of a PEM text.
    pub fn read(certificate_pem: &str) -> Result<Self, PkiError> {
        Self::of_der(&parse_pem(certificate_pem)?.contents)
    }

    /// Reads a certificate in DER.
    pub fn of_der(certificate: &[u8]) -> Result<Self, PkiError> {
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate).map_err(|error| unusable(&error))?;
        let subject = certificate.subject();
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().unwrap_or_default().to_owned();
        let moment = |seconds: i64| Timestamp::from_second(seconds).map_err(|error| unusable(&error));
        Ok(Self {
            common_name: subject.iter_common_name().next().map(text).unwrap_or_default(),
            organisations: subject.iter_organization().map(text).collect(),
            not_before: moment(certificate.validity().not_before.timestamp())?,
            not_after: moment(certificate.validity().not_after.timestamp())?,
            is_authority: certificate.is_ca(),
        })
    }
}

/// What a leaf certificate is for.
pub(super) enum Leaf<'a> {
    /// A user, in a group if any.
    Client { user: &'a str, group: Option<&'a str> },
    /// A server under these names and addresses.
    Server { common_name: &'a str, names: &'a [String] },
}

pub(super) fn sign(
    authority: &Authority,
    leaf: &Leaf<'_>,
    now: Timestamp,
    lifetime: Duration,
) -> Result<ClientCredential, PkiError> {
    let (common_name, group, names, usage): (_, _, &[String], _) = match *leaf {
        Leaf::Client { user, group } => (user, group, &[], ExtendedKeyUsagePurpose::ClientAuth),
        Leaf::Server { common_name, names } => (common_name, None, names, ExtendedKeyUsagePurpose::ServerAuth),
    };
    let failed = |source| PkiError::Generate {
        what: format!("a certificate for {common_name}"),
        source,
    };
    let issuer = authority.issuer()?;
    let key = KeyPair::generate().map_err(failed)?;
    let mut parameters = CertificateParams::new(names.to_vec()).map_err(failed)?;
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(group) = group {
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, DnValue::Utf8String(group.to_owned()));
    }
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![usage];
    parameters.use_authority_key_identifier_extension = true;
    set_validity(&mut parameters, now, lifetime);
    let certificate = parameters.signed_by(&key, &issuer).map_err(failed)?;
    Ok(ClientCredential {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

pub(super) fn set_validity(parameters: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    parameters.not_before = epoch + now.saturating_sub(CLOCK_TOLERANCE);
    parameters.not_after = epoch + now + lifetime;
}

/// The certificate's `SubjectPublicKeyInfo`, DER.
pub(super) fn public_key_info(certificate_pem: &str) -> Result<Vec<u8>, PkiError> {
    let pem = parse_pem(certificate_pem)?;
    let certificate = pem.parse_x509().map_err(|error| unusable(&error))?;
    Ok(certificate.public_key().raw.to_vec())
}

fn parse_pem(certificate_pem: &str) -> Result<Pem, PkiError> {
    match Pem::iter_from_buffer(certificate_pem.as_bytes()).next() {
        Some(Ok(pem)) => Ok(pem),
        Some(Err(error)) => Err(unusable(&error)),
        None => Err(unusable(&"it holds no PEM block")),
    }
}

fn unusable(reason: &impl ToString) -> PkiError {
    PkiError::Unusable {
        what: "the certificate".to_owned(),
        reason: reason.to_string(),
    }
}
