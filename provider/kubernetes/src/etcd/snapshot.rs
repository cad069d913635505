//! Snapshots: all data of a member, streamed to wherever the user wants it, checked on the way.
//!
//! A snapshot holds every Secret of the cluster in plain text. etcd ends it with the SHA-256 of what came before.

use multizone_etcd_api::SnapshotRequest;
use multizone_etcd_api::maintenance_client::MaintenanceClient;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::route::{Endpoint, Route};
use super::{Etcd, EtcdError};

/// The length of the digest at the end.
const DIGEST: usize = 32;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// How many bytes, the digest at the end included.
    pub bytes: u64,
    /// The digest of the data, hexadecimal: what `etcdctl snapshot restore` checks as well.
    pub sha256: String,
}

/// Checks a snapshot while it passes by: its last 32 bytes are the digest of all before them.
#[derive(Clone, Debug, Default)]
pub struct SnapshotVerifier {
    digest: Sha256,
    /// The last bytes so far, which may be the digest.
    tail: Vec<u8>,
    bytes: u64,
}

impl SnapshotVerifier {
    /// Takes the next part in.
    pub fn update(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.tail.extend_from_slice(part);
        let data = self.tail.len().saturating_sub(DIGEST);
        self.digest.update(&self.tail[..data]);
        self.tail.drain(..data);
    }

    /// Whether it was whole; the error says what is wrong.
    pub fn finish(self) -> Result<SnapshotFacts, String> {
        if self.bytes <= DIGEST as u64 {
            return Err(format!("it has only {} bytes", self.bytes));
        }
        let digest = self.digest.finalize();
        if digest[..] != self.tail[..] {
            return Err("its digest is not that of its data".to_owned());
        }
        Ok(SnapshotFacts {
            bytes: self.bytes,
            sha256: crate::pki::hex(&digest),
        })
    }
}

impl<R: Route> Etcd<R> {
    /// Streams a member's snapshot to a writer, which is flushed at the end. What was written before an error is of no
    /// use. Each part has the deadline of a request.
    pub async fn snapshot(
        &self,
        endpoint: &Endpoint,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<SnapshotFacts, EtcdError> {
        let action = "send a snapshot";
        let mut client = MaintenanceClient::new(self.channel(endpoint)?);
        let request = client.snapshot(SnapshotRequest {});
        let mut parts = self.answer(action, endpoint, request).await?;
        let mut verifier = SnapshotVerifier::default();
        loop {
            let part = async { parts.message().await.map(tonic::Response::new) };
            let Some(part) = self.answer(action, endpoint, part).await? else {
                break;
            };
            verifier.update(&part.blob);
            writer.write_all(&part.blob).await.map_err(EtcdError::Write)?;
        }
        writer.flush().await.map_err(EtcdError::Write)?;
        verifier.finish().map_err(|reason| EtcdError::Damaged {
            member: endpoint.name.clone(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{DIGEST, SnapshotVerifier};
    use sha2::{Digest as _, Sha256};

    fn verify(bytes: &[u8], part: usize) -> Result<u64, String> {
        let mut verifier = SnapshotVerifier::default();
        for part in bytes.chunks(part) {
            verifier.update(part);
        }
        verifier.finish().map(|facts| facts.bytes)
    }

    #[test]
    fn a_snapshot_is_whole_or_refused_however_it_is_cut() {
        let mut bytes = vec![7; 1024];
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        for part in [1, 31, 32, 33, 1000, 4096] {
            assert_eq!(verify(&bytes, part), Ok(1024 + DIGEST as u64), "in parts of {part}");
            verify(&bytes[..bytes.len() - 1], part).expect_err("a byte is missing");
        }
        bytes[5] = 8;
        verify(&bytes, 100).expect_err("a byte is another");
        verify(&[], 1).expect_err("nothing at all");
    }
}
