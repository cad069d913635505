#![allow(clippy::unwrap_used)]

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

#[test]
fn a_new_cluster_has_three_authorities_valid_for_ten_years() {
    let pki = ClusterPki::generate(now()).unwrap();
    for (authority, name) in [
        (&pki.ca, "kubernetes"),
        (&pki.front_proxy_ca, "front-proxy-ca"),
        (&pki.etcd_ca, "etcd-ca"),
    ] {
        let facts = CertificateFacts::read(&authority.certificate_pem).unwrap();
        assert_eq!(facts.common_name, name);
        assert!(facts.is_authority);
        assert!(facts.not_before < now(), "a machine whose clock is behind accepts it");
        assert_eq!(facts.not_after, now() + AUTHORITY_LIFETIME);
    }
    assert_ne!(pki.ca.key_pem, pki.etcd_ca.key_pem);
    assert!(pki.service_account.public_pem.starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(
        pki.service_account
            .private_pem
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
}

#[test]
fn rule_the_discovery_hash_is_sha256_over_the_public_key_info() {
    // Made with openssl: x509 -pubkey -noout | pkey -pubin -outform der | sha256.
    let authority = Authority {
        certificate_pem: include_str!("testdata/ca.crt").to_owned(),
        key_pem: String::new(),
    };
    assert_eq!(
        authority.certificate_hash().unwrap(),
        include_str!("testdata/ca.sha256").trim()
    );
}

#[test]
fn the_secret_is_a_map_of_file_names_and_reads_back() {
    let pki = ClusterPki::generate(now()).unwrap();
    let secret = pki.to_secret();
    let json: serde_json::Value = serde_json::from_slice(&secret).unwrap();
    assert_eq!(json["format"], 1);
    let mut names: Vec<_> = json["files"].as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "ca.crt",
            "ca.key",
            "etcd/ca.crt",
            "etcd/ca.key",
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
            "sa.key",
            "sa.pub"
        ]
    );
    assert_eq!(ClusterPki::from_secret(&secret).unwrap(), pki);
}

#[test]
fn a_secret_of_a_newer_format_or_with_mixed_up_keys_is_refused() {
    let mut pki = ClusterPki::generate(now()).unwrap();
    let error = ClusterPki::from_secret(br#"{"format":2,"other":true}"#).unwrap_err();
    assert!(matches!(error, PkiError::UnknownFormat { found: 2, .. }), "{error}");
    std::mem::swap(&mut pki.ca.key_pem, &mut pki.etcd_ca.key_pem);
    let error = ClusterPki::from_secret(&pki.to_secret()).unwrap_err().to_string();
    assert!(
        error.contains("ca.crt") && error.contains("another certificate"),
        "{error}"
    );
}

#[test]
fn an_error_about_a_secret_does_not_quote_it() {
    let error = ClusterPki::from_secret(br#"{"format":1,"files":"PRIVATE"}"#)
        .unwrap_err()
        .to_string();
    assert!(!error.contains("PRIVATE"), "{error}");
    let debug = format!("{:?}", ClusterPki::generate(now()).unwrap());
    assert!(!debug.contains("PRIVATE KEY"), "{debug}");
}

#[test]
fn credentials_say_who_and_until_when() {
    let pki = ClusterPki::generate(now()).unwrap();
    let operator = pki.operator_credential(now(), hour()).unwrap().facts().unwrap();
    assert_eq!(operator.common_name, "multizone:operator");
    assert_eq!(operator.organisations, [SYSTEM_MASTERS]);
    assert_eq!(operator.not_after, now() + hour());
    assert!(!operator.is_authority);
    let admin = pki.admin_credential(now(), hour()).unwrap().facts().unwrap();
    assert_eq!(
        admin.organisations,
        [CLUSTER_ADMINS],
        "revocable, unlike system:masters"
    );
    let etcd = pki.etcd_credential(now(), hour()).unwrap();
    assert_eq!(etcd.facts().unwrap().common_name, "multizone:operator");
    let nodes = pki.node_credential(now(), hour()).unwrap();
    let facts = nodes.client.facts().unwrap();
    assert_eq!(
        (facts.common_name.as_str(), facts.organisations.len()),
        (NODE_GROUPS_USER, 0)
    );
    assert_eq!(NodeCredential::from_secret(&nodes.to_secret()).unwrap(), nodes);
    assert_eq!(nodes.ca_certificate_hash().unwrap(), pki.ca_certificate_hash().unwrap());
}
