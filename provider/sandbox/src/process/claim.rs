//! A region's own block of loopback addresses, claimed by a listener that lives as long as the process.

use crate::core::Block;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

/// Port of the claim; which one does not matter as long as all sandboxes agree.
const CLAIM_PORT: u16 = 7424;

/// Why no block could be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The block the region has always had is taken.
    #[error(
        "the region's addresses {range} are used by another process (its listener holds {holder}): find it with `ss -ltnp | grep {holder}` and stop it"
    )]
    Taken {
        /// The block.
        range: ipnet::Ipv4Net,
        /// Address of the listener.
        holder: SocketAddr,
    },
    /// Every block is taken, or the system has no such addresses.
    #[error("no block of loopback addresses 127.N.0.0/16 is free: {0}")]
    None(std::io::Error),
}

fn listen(block: Block) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((block.claim_address(), CLAIM_PORT)))
}

/// Claims the block the region had before, waiting a moment for an earlier process of it to end.
pub(super) fn claim_again(block: Block, patience: Duration) -> Result<TcpListener, ClaimError> {
    let deadline = Instant::now() + patience;
    loop {
        match listen(block) {
            Ok(listener) => return Ok(listener),
            Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => {
                let holder = SocketAddr::from((block.claim_address(), CLAIM_PORT));
                return Err(ClaimError::Taken {
                    range: block.range(),
                    holder,
                });
            }
        }
    }
}

/// Claims a free block: the first from the one that the directory's name leads to.
pub fn claim_any(directory: &Path) -> Result<(Block, TcpListener), ClaimError> {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for offset in 0..254_u16 {
        let number = (u16::from(digest[0]) + offset) % 254 + 1;
        let Some(block) = u8::try_from(number).ok().and_then(Block::new) else {
            continue;
        };
        match listen(block) {
            Ok(listener) => return Ok((block, listener)),
            Err(error) => last = error,
        }
    }
    Err(ClaimError::None(last))
}
