//! A small blocking HTTP client for the operator's API: the command line needs no more.

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the region may take to answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an endpoint of a sandbox.
    #[error("'{0}' is not the endpoint of a sandbox")]
    Endpoint(String),
    /// Nobody answers.
    #[error("the sandbox at {endpoint} does not answer: {source}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: std::io::Error,
    },
    /// The answer makes no sense.
    #[error("the sandbox at {endpoint} gave an answer that cannot be read: {what}")]
    Unreadable {
        /// The endpoint.
        endpoint: String,
        /// What is wrong with it.
        what: String,
    },
    /// The region refuses.
    #[error("{0}")]
    Refused(String),
}

/// A region's API.
pub struct Client {
    endpoint: String,
    address: SocketAddr,
}

impl Client {
    /// The region at `http://ADDRESS:PORT`.
    pub fn new(endpoint: &str) -> Result<Self, ClientError> {
        let address = endpoint.strip_prefix("http://").and_then(|it| it.parse().ok());
        let address = address.ok_or_else(|| ClientError::Endpoint(endpoint.to_owned()))?;
        Ok(Self {
            endpoint: endpoint.to_owned(),
            address,
        })
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.call("GET", path)
    }

    /// Asks for a change.
    pub fn post(&self, path: &str) -> Result<Value, ClientError> {
        self.call("POST", path)
    }

    fn call(&self, method: &str, path: &str) -> Result<Value, ClientError> {
        let answer = self.exchange(method, path).map_err(|source| ClientError::Unreachable {
            endpoint: self.endpoint.clone(),
            source,
        })?;
        let unreadable = |what: &str| ClientError::Unreadable {
            endpoint: self.endpoint.clone(),
            what: what.to_owned(),
        };
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| unreadable("it is not HTTP"))?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        let body: Value = serde_json::from_str(body).map_err(|error| unreadable(&error.to_string()))?;
        if status == "200" {
            return Ok(body);
        }
        let message = body.pointer("/error/message").and_then(Value::as_str);
        Err(ClientError::Refused(
            message.unwrap_or("it refuses without a reason").to_owned(),
        ))
    }

    fn exchange(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // HTTP/1.0 keeps the answer free of chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
