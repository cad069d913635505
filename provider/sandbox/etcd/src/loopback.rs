//! Addresses for members that have no machine of a sandbox region: those that tests start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::IntoRawFd as _;

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 that the kernel chose. A socket that does not listen keeps it until this process ends: nobody is given
/// it but who asks for its number, and whoever does can listen there, as often as it likes.
///
/// # Errors
/// When there is no port left.
pub fn kept_address() -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = socket.local_addr()?;
    let _ = socket.into_raw_fd();
    Ok(address)
}
