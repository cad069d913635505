//! The secrets that an instance may read.

use std::net::SocketAddr;

use async_trait::async_trait;
use multizone_sandbox_guests::{Host, HostError};

use super::http;

/// The account's secrets, as its instances see them.
pub(super) struct Secrets {
    moto: SocketAddr,
}

impl Secrets {
    pub(super) fn of(moto: SocketAddr) -> Self {
        Self { moto }
    }
}

#[async_trait]
impl Host for Secrets {
    async fn access_secret(&self, machine: &str, secret: &str) -> Result<Vec<u8>, HostError> {
        let path = format!("/machines/secret?machine={machine}&name={secret}");
        let answer = http::ask(self.moto, "GET", &path, "").await;
        let (status, body) = answer.map_err(|error| HostError::Unavailable(format!("Secrets Manager: {error}")))?;
        let text = || String::from_utf8_lossy(&body).into_owned();
        match status {
            200 => Ok(body),
            403 => Err(HostError::PermissionDenied(text())),
            404 => Err(HostError::NotFound(text())),
            _ => Err(HostError::Unavailable(text())),
        }
    }
}
