//! A cluster's API, asked through its endpoint with a new connection for each request, as somebody outside does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use multizone_provider::{configuration::Configured, registry, stop::Stop};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::terraform::value;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The same of a busy computer: a minute is what an API server gives a request.
const ANSWER_AT_LAST: Duration = Duration::from_secs(65);
/// How long the API may be without an answer where it is to have one soon.
const PATIENCE: Duration = Duration::from_mins(1);

/// The API of a cluster, with all rights.
#[derive(Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
    answer: Duration,
}

impl Api {
    /// The same, waited for until an API server itself would give a request up.
    pub(crate) fn patient(self) -> Self {
        Self {
            answer: ANSWER_AT_LAST,
            ..self
        }
    }

    /// The API of the cluster `demo`.
    pub(crate) async fn of(provider: &Configured) -> Self {
        let kubeconfig = registry::ephemeral_resources()
            .into_iter()
            .find(|one| one.name() == "multizone_kubeconfig")
            .unwrap();
        let schema = kubeconfig.schema();
        let config = value(
            &schema,
            &json!({ "control_plane": "us-central1/demo", "lifetime": "1h" }),
        );
        let stop = Stop::new();
        let opened = kubeconfig.open_any(&schema, Some(provider), config, &stop).await;
        let opened = opened.unwrap().result;
        let text = |name: &str| opened.attribute(name).unwrap().as_str().unwrap().to_owned();
        let mut roots = RootCertStore::empty();
        let authority = text("cluster_ca_certificate");
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let certificate = CertificateDer::from_pem_slice(text("client_certificate").as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(text("client_key").as_bytes()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)
            .unwrap();
        let address: SocketAddr = text("host").strip_prefix("https://").unwrap().parse().unwrap();
        Self {
            address,
            name: ServerName::IpAddress(address.ip().into()),
            tls: TlsConnector::from(Arc::new(tls)),
            answer: ANSWER,
        }
    }

    /// A request; the error is what keeps it from being answered, or an answer that is no success.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = timeout(self.answer, self.exchange(method, path, body)).await;
        let answer = answer
            .map_err(|_| format!("no answer within {:?}", self.answer))?
            .map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
        let status = head.lines().next().unwrap_or_default();
        if !status.contains(" 20") {
            return Err(format!("{status}: {body}"));
        }
        serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))
    }

    async fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<String> {
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = self.tls.connect(self.name.clone(), stream).await?;
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        // HTTP/1.0 keeps the answer free of chunks and ends with the connection.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Keeps a record of that name.
    pub(crate) async fn write(&self, name: &str) -> Result<(), String> {
        let record = json!({ "metadata": { "name": name } });
        let written = self
            .request("POST", "/api/v1/namespaces/default/configmaps", &record)
            .await;
        written.map(drop)
    }

    /// Whether there is a record of that name.
    pub(crate) async fn read(&self, name: &str) -> Result<(), String> {
        let path = format!("/api/v1/namespaces/default/configmaps/{name}");
        self.request("GET", &path, &Value::Null).await.map(drop)
    }

    /// The names of all records.
    pub(crate) async fn records(&self) -> Result<Vec<String>, String> {
        let list = self
            .request("GET", "/api/v1/namespaces/default/configmaps", &Value::Null)
            .await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let name = |item: &Value| Some(item["metadata"]["name"].as_str()?.to_owned());
        Ok(items.iter().filter_map(name).collect())
    }

    /// Asserts that a record can be kept, at the latest when everybody knows of what has happened.
    pub(crate) async fn accepts_writes(&self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.write(name).await {
            // An answer that was lost on its way.
            if error.contains("AlreadyExists") {
                return;
            }
            assert!(Instant::now() < deadline, "{name}: no write is accepted: {error}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}
