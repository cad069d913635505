//! Connections that stand still while their member is paused, and break when it is gone.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// How a member is doing, as its connections feel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    Paused,
    Gone,
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A connection to a member.
pub(super) struct Gated {
    stream: TcpStream,
    life: watch::Receiver<Life>,
    /// One for reading and one for writing: each wakes its own task.
    waits: [Option<Waiting>; 2],
    /// Wakes the reader when the member is gone; a server always reads.
    gone: Waiting,
}

impl Gated {
    pub(super) fn new(stream: TcpStream, life: watch::Receiver<Life>) -> Self {
        let mut gone = life.clone();
        Self {
            stream,
            life,
            waits: [None, None],
            gone: Box::pin(async move {
                // An error means the same.
                let _ = gone.wait_for(|life| *life == Life::Gone).await;
            }),
        }
    }

    /// Ready when bytes may pass.
    fn poll_open(&mut self, side: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let life = *self.life.borrow();
            match life {
                Life::Running => return Poll::Ready(Ok(())),
                Life::Gone => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Life::Paused => {
                    let mut changed = self.life.clone();
                    let wait = self.waits[side].get_or_insert_with(|| {
                        Box::pin(async move {
                            // An error means that the member is gone, which the next look finds out.
                            let _ = changed.wait_for(|life| *life != Life::Paused).await;
                        })
                    });
                    ready!(wait.as_mut().poll(context));
                    self.waits[side] = None;
                }
            }
        }
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(0, context))?;
        if self.gone.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(1, context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(1, context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection after its TLS handshake.
pub(super) struct Connection(pub(super) TlsStream<Gated>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
