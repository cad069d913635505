//! This server's record among the API servers of its cluster: there while it runs, gone when it has stopped.
//!
//! The record hangs on a lease of etcd's.  A server that stops takes it away at once; one that is killed leaves it
//! until the lease has expired, and for that long the endpoints of the Service `kubernetes` lead there in vain.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::controllers::{record_of, withdraw};
use crate::objects::Api;
use crate::store::{Etcd, EtcdError, Key, LeaseId, SERVERS};
use crate::time;

/// How long the record of a killed server stays, as with kube-apiserver.
const LIFE: Duration = Duration::from_secs(15);

/// What no pace shortens that below: etcd's leases are not shorter, and a busy host is no dead server.
const SHORTEST_LIFE: Duration = Duration::from_secs(3);

/// How long a stopping server tries to take its record away.
const FAREWELL: Duration = Duration::from_secs(3);

/// Keeps this server's record until `leaving`, then takes it away.
pub(crate) async fn keep(api: Api, etcd: Etcd, leaving: CancellationToken) {
    let life = time::paced(LIFE, api.settings.pace).max(SHORTEST_LIFE);
    let mut lease = None;
    loop {
        let kept = tokio::select! {
            kept = renew(&api, &etcd, life, lease) => kept,
            () = leaving.cancelled() => break,
        };
        match kept {
            Ok(renewed) => lease = Some(renewed),
            Err(error) => tracing::debug!(%error, "this server's record was not renewed"),
        }
        tokio::select! {
            () = tokio::time::sleep(life / 3) => {}
            () = leaving.cancelled() => break,
        }
    }
    match tokio::time::timeout(FAREWELL, leave(&api, &etcd, lease)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::debug!(why, "this server's record stays until it expires"),
        Err(_) => tracing::debug!("this server's record stays until it expires: etcd does not answer"),
    }
}

/// Keeps the lease alive, or takes a new one and puts the record on it.
async fn renew(api: &Api, etcd: &Etcd, life: Duration, lease: Option<LeaseId>) -> Result<LeaseId, EtcdError> {
    if let Some(lease) = lease
        && etcd.keep_alive(lease).await?
    {
        return Ok(lease);
    }
    let lease = etcd.grant(life).await?;
    let (ip, record) = record_of(api);
    etcd.put_leased(&Key::new(SERVERS, "", &ip), &record, lease).await?;
    Ok(lease)
}

async fn leave(api: &Api, etcd: &Etcd, lease: Option<LeaseId>) -> Result<(), String> {
    let Some(lease) = lease else { return Ok(()) };
    etcd.revoke(lease).await.map_err(|error| error.to_string())?;
    let (ip, _) = record_of(api);
    withdraw(api, &ip).await.map_err(|error| error.to_string())
}
