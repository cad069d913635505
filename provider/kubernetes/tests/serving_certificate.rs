//! The certificate with which an API server serves, against servers that serve with one.
#![allow(clippy::unwrap_used)]

mod tls;

use std::time::Duration;

use jiff::Timestamp;
use multizone_kubernetes::{
    cluster_access::{AccessError, ClusterAddress, serving_certificate},
    pki::ClusterPki,
};
use tokio::net::TcpListener;

const HOUR: Duration = Duration::from_hours(1);

/// Serves with a certificate made at this time, and says where.
async fn server(pki: &ClusterPki, made: Timestamp) -> ClusterAddress {
    let (listener, acceptor) = tls::listen(pki, "api.example.com", made).await;
    let address = ClusterAddress {
        url: format!("https://{}", listener.local_addr().unwrap()),
        ca_certificate_pem: pki.ca.certificate_pem.clone(),
        server_name: Some("api.example.com".to_owned()),
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn a_certificate_says_until_when_it_is_valid() {
    let now = Timestamp::now();
    let pki = ClusterPki::generate(now).unwrap();
    let facts = serving_certificate(&server(&pki, now).await).await.unwrap();
    assert_eq!(facts.not_after.as_second(), (now + HOUR).as_second());
    assert_eq!(facts.common_name, "kube-apiserver");
}

#[tokio::test]
async fn one_that_has_expired_is_read_all_the_same() {
    let now = Timestamp::now();
    let pki = ClusterPki::generate(now).unwrap();
    // As long ago as the authority, which is as young as the test, allows for.
    let made = now - HOUR - HOUR;
    let facts = serving_certificate(&server(&pki, made).await).await.unwrap();
    assert_eq!(facts.not_after.as_second(), (made + HOUR).as_second());
}

#[tokio::test]
async fn one_of_another_cluster_is_refused() {
    let now = Timestamp::now();
    let (pki, other) = (ClusterPki::generate(now).unwrap(), ClusterPki::generate(now).unwrap());
    let address = ClusterAddress {
        ca_certificate_pem: other.ca.certificate_pem.clone(),
        ..server(&pki, now).await
    };
    let error = serving_certificate(&address).await.unwrap_err();
    assert!(matches!(error, AccessError::Untrusted { .. }), "{error}");
}

#[tokio::test]
async fn nobody_is_said_to_be_nobody() {
    let pki = ClusterPki::generate(Timestamp::now()).unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = ClusterAddress {
        url: format!("https://{unused}"),
        ca_certificate_pem: pki.ca.certificate_pem.clone(),
        server_name: None,
    };
    let error = serving_certificate(&address).await.unwrap_err();
    assert!(matches!(error, AccessError::Unreachable { .. }), "{error}");
}
