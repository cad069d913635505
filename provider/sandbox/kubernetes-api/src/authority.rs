//! The cluster's certificate authority, as far as the API server signs with it.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};

/// Signs client certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A signing request, read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) has_alternative_names: bool,
}

impl Authority {
    pub(crate) fn new(certificate_pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pem(key_pem)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(certificate_pem, key)?,
        })
    }

    /// Signs a request for a client certificate that is valid for a year; answers PEM.
    pub(crate) fn sign(&self, request_pem: &str, now: jiff::Timestamp) -> Result<String, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = request.params.distinguished_name.clone();
        let day = |at: jiff::Timestamp| {
            let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(
                i32::from(date.year()),
                u8::try_from(date.month()).unwrap_or(1),
                u8::try_from(date.day()).unwrap_or(1),
            )
        };
        params.not_before = day(now);
        params.not_after = day(now + jiff::SignedDuration::from_hours(24 * 366));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(rand::random::<u64>() >> 1));
        request.params = params;
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// Reads a PEM signing request and checks its own signature.
pub(crate) fn read_request(request_pem: &str) -> Option<Request> {
    use x509_parser::prelude::{FromDer as _, ParsedExtension, X509CertificationRequest};
    let (_, pem) = x509_parser::pem::parse_x509_pem(request_pem.as_bytes()).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    // rcgen checks the signature when it reads the request.
    CertificateSigningRequestParams::from_pem(request_pem).ok()?;
    let subject = &request.certification_request_info.subject;
    let has_alternative_names = request
        .requested_extensions()
        .is_some_and(|mut all| all.any(|one| matches!(one, ParsedExtension::SubjectAlternativeName(_))));
    Some(Request {
        common_name: subject.iter_common_name().next()?.as_str().ok()?.to_owned(),
        organizations: subject
            .iter_organization()
            .filter_map(|one| one.as_str().ok().map(str::to_owned))
            .collect(),
        has_alternative_names,
    })
}
