//! A TCP connection that the network can abort.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// One end of a connection on the region's network. Dropping it closes the connection; when the network
/// takes the connection down, both ends read a reset.
#[derive(Debug)]
pub struct Stream {
    connection: Arc<Connection>,
}

/// The socket, shared between its user and the network, which only holds it weakly.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    cut: AtomicBool,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self {
            connection: Arc::new(Connection {
                socket,
                cut: AtomicBool::new(false),
            }),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The other end's address, as the network shows it.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.socket.peer_addr()
    }

    /// This end's address: for an accepted connection, the one the client asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection.socket.local_addr()
    }
}

impl Connection {
    /// Takes the connection down at once: the other end sees a reset, this end's reads and writes fail.
    pub(crate) fn abort(&self) {
        self.cut.store(true, Ordering::Release);
        // A zero linger makes the last close send a reset; dissolving the association sends it now.
        let _ = self.socket.set_zero_linger();
        if rustix::net::connect_unspec(&self.socket).is_err() {
            tracing::debug!("the kernel does not dissolve a TCP association; closing it instead");
        }
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the network took the connection down",
            ));
        }
        Ok(())
    }
}

/// Resets a connection that was accepted only because the listening socket cannot say no.
pub(crate) fn refuse(socket: TcpStream) {
    let _ = socket.set_zero_linger();
    drop(socket);
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            self.connection.check()?;
            ready!(self.connection.socket.poll_read_ready(context))?;
            match self.connection.socket.try_read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    if length == 0 {
                        self.connection.check()?;
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            self.connection.check()?;
            ready!(self.connection.socket.poll_write_ready(context))?;
            match self.connection.socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.connection.socket, rustix::net::Shutdown::Write) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
