//! A small client of the Kubernetes API, over the region's network.
//!
//! Objects are plain JSON: the programs on a machine pass on what they read and must not drop fields that
//! they do not know.

mod connector;
mod names;

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

use crate::kubeconfig::Credentials;
use crate::machine::Machine;
use connector::Connector;

/// How long a real client waits for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The least wait at any pace: the host may be busy.
const LEAST_TIMEOUT: Duration = Duration::from_secs(10);
const JSON: &str = "application/json";

/// A client with one server and one identity.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client<Connector, Full<Bytes>>,
    server: String,
    token: Option<String>,
    timeout: Duration,
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The credentials cannot be used at all.
    #[error("the credentials for {server} are unusable: {reason}")]
    Credentials { server: String, reason: String },
    /// No answer.
    #[error("{server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// The server refused.
    #[error("{message}")]
    Refused {
        status: StatusCode,
        reason: String,
        message: String,
    },
    /// The answer makes no sense.
    #[error("{server} answers what is not JSON: {source}")]
    NotJson { server: String, source: serde_json::Error },
}

impl ApiError {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    pub(crate) fn already_exists(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == "AlreadyExists")
    }

    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::CONFLICT)
    }

    /// Whether asking again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Credentials { .. } => false,
            Self::Unreachable { .. } | Self::NotJson { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS || *status == StatusCode::CONFLICT
            }
        }
    }
}

/// The format of a patch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patch {
    /// Lists are merged by their keys.
    Strategic,
    /// RFC 7386.
    Merge,
}

impl Api {
    /// A client of `credentials.server` on `machine`.
    pub(crate) fn new(machine: &Machine, credentials: &Credentials) -> Result<Self, ApiError> {
        let server = credentials.server.trim_end_matches('/').to_owned();
        let connector = Connector::new(machine, credentials).map_err(|reason| ApiError::Credentials {
            server: server.clone(),
            reason,
        })?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(1)
            .build(connector);
        let timeout = machine.interval(REQUEST_TIMEOUT, LEAST_TIMEOUT);
        Ok(Self {
            client,
            server,
            token: credentials.token.clone(),
            timeout,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Method::GET, path, None, JSON).await
    }

    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Method::POST, path, Some(object), JSON).await
    }

    pub(crate) async fn replace(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Method::PUT, path, Some(object), JSON).await
    }

    pub(crate) async fn patch(&self, path: &str, kind: Patch, change: &Value) -> Result<Value, ApiError> {
        let content_type = match kind {
            Patch::Strategic => "application/strategic-merge-patch+json",
            Patch::Merge => "application/merge-patch+json",
        };
        self.call(Method::PATCH, path, Some(change), content_type).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, ApiError> {
        self.call(Method::DELETE, path, Some(options), JSON).await
    }

    /// Creates `object` in `collection`, or replaces the one there that has its name.
    pub(crate) async fn create_or_replace(&self, collection: &str, object: &Value) -> Result<(), ApiError> {
        match self.create(collection, object).await {
            Err(error) if error.already_exists() => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.replace(&format!("{collection}/{name}"), object).await.map(drop)
            }
            result => result.map(drop),
        }
    }

    /// The plain text of a health endpoint, if it answers 200.
    pub(crate) async fn healthy(&self, path: &str) -> bool {
        let answer = self.send(Method::GET, path, None, JSON).await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// The changes from `path`, which asks for a watch.
    pub(crate) async fn watch(&self, path: &str) -> Result<Watch, ApiError> {
        let answer = self.send(Method::GET, path, None, JSON).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        Ok(Watch {
            body: answer.into_body(),
            buffer: Vec::new(),
            server: self.server.clone(),
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content_type: &str,
    ) -> Result<Value, ApiError> {
        let answer = self.send(method, path, body, content_type).await?;
        if !answer.status().is_success() {
            return Err(self.refusal(answer).await);
        }
        let bytes = self.collect(answer).await?;
        serde_json::from_slice(&bytes).map_err(|source| ApiError::NotJson {
            server: self.server.clone(),
            source,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        content_type: &str,
    ) -> Result<http::Response<Incoming>, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(header::ACCEPT, JSON)
            .header(header::USER_AGENT, "kubelet");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| self.unreachable(&error))?;
        match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| self.unreachable(&innermost(&error))),
            Err(_) => Err(self.unreachable(&"no answer in time")),
        }
    }

    async fn collect(&self, answer: http::Response<Incoming>) -> Result<Bytes, ApiError> {
        match tokio::time::timeout(self.timeout, answer.into_body().collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.unreachable(&error)),
            Err(_) => Err(self.unreachable(&"the answer does not end")),
        }
    }

    async fn refusal(&self, answer: http::Response<Incoming>) -> ApiError {
        let status = answer.status();
        let body = match self.collect(answer).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |field: &str| object[field].as_str().map(str::to_owned);
        ApiError::Refused {
            status,
            reason: text("reason").unwrap_or_default(),
            message: text("message").unwrap_or_else(|| format!("the server answers {status}")),
        }
    }

    fn unreachable(&self, reason: &(impl ToString + ?Sized)) -> ApiError {
        ApiError::Unreachable {
            server: self.server.clone(),
            reason: reason.to_string(),
        }
    }
}

/// The error at the root: "connection refused" says more than "client error (Connect)".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A stream of changes.
pub(crate) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
    server: String,
}

impl Watch {
    /// The next event; none when the server ends the watch.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, ApiError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|source| ApiError::NotJson {
                        server: self.server.clone(),
                        source,
                    });
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => self
                    .buffer
                    .extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => {
                    return Err(ApiError::Unreachable {
                        server: self.server.clone(),
                        reason: error.to_string(),
                    });
                }
            }
        }
    }
}
