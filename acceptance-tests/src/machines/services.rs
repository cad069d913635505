//! What an instance asks AWS for: the secrets that it may read, and to be stopped.

use std::net::SocketAddr;

use async_trait::async_trait;
use multizone_sandbox_guests::{Host, HostError};

use super::http::ask;

/// The account as its instances see it.
pub(super) struct Services {
    moto: SocketAddr,
}

impl Services {
    pub(super) fn of(moto: SocketAddr) -> Self {
        Self { moto }
    }
}

#[async_trait]
impl Host for Services {
    async fn access_secret(&self, machine: &str, secret: &str) -> Result<Vec<u8>, HostError> {
        let path = format!("/machines/secret?machine={machine}&name={secret}");
        let answer = ask(self.moto, "GET", &path, "").await;
        let (status, body) = answer.map_err(|error| HostError::Unavailable(format!("Secrets Manager ({error})")))?;
        let text = || String::from_utf8_lossy(&body).into_owned();
        match status {
            200 => Ok(body),
            403 => Err(HostError::PermissionDenied(text())),
            404 => Err(HostError::NotFound(text())),
            _ => Err(HostError::Unavailable(text())),
        }
    }

    async fn power_off(&self, machine: &str) -> Result<(), HostError> {
        let path = format!("/machines/power-off?machine={machine}");
        match ask(self.moto, "POST", &path, "").await {
            Ok((204, _)) => Ok(()),
            Ok(_) | Err(_) => Err(HostError::Unavailable("EC2".to_owned())),
        }
    }
}
