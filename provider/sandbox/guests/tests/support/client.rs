//! A client of the Kubernetes API on the host: no part of the sandbox.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: String,
}

impl Client {
    pub fn new(server: &str, ca: &str, client: Option<(String, String)>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()])
            .timeout(std::time::Duration::from_secs(20));
        if let Some((certificate, key)) = client {
            builder = builder.identity(reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
        }
        Self {
            http: builder.build().unwrap(),
            server: server.to_owned(),
        }
    }

    /// The object, if the server answers with one.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(format!("{}{path}", self.server)).send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    pub async fn create(&self, path: &str, object: &Value) -> Value {
        let request = self
            .http
            .post(format!("{}{path}", self.server))
            .body(object.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// Creates an object, if the server takes it.
    pub async fn try_create(&self, path: &str, object: &Value) -> Option<()> {
        let request = self
            .http
            .post(format!("{}{path}", self.server))
            .body(object.to_string());
        let answer = request.header("content-type", "application/json").send().await.ok()?;
        answer.status().is_success().then_some(())
    }

    pub async fn delete(&self, path: &str) {
        let answer = self.http.delete(format!("{}{path}", self.server)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Whether the server is ready, seen from the host.
    pub async fn ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.server)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Makes a bootstrap token, valid or expired.
    pub async fn token(&self, valid: bool) -> String {
        let letters = |length: usize| -> String {
            (0..length)
                .map(|_| char::from(b'a' + rand::random_range(0..26)))
                .collect()
        };
        let (id, secret) = (letters(6), letters(16));
        let hours = if valid { 1 } else { -1 };
        let expiration = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        let data = json!({
            "token-id": STANDARD.encode(&id),
            "token-secret": STANDARD.encode(&secret),
            "expiration": STANDARD.encode(expiration.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            "usage-bootstrap-authentication": STANDARD.encode("true"),
            "usage-bootstrap-signing": STANDARD.encode("true"),
            "auth-extra-groups": STANDARD.encode("system:bootstrappers:kubeadm:default-node-token"),
        });
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "data": data,
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        });
        self.create("/api/v1/namespaces/kube-system/secrets", &object).await;
        format!("{id}.{secret}")
    }
}
