//! Accepting connections: TLS handshakes run side by side, and every connection is counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::lifecycle::{Guard, Lifecycle};

/// How long a client may take for its side of the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long to wait after the system refused to accept, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One connection, ready for HTTP/2.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    _counted: Guard,
}

#[derive(Debug)]
enum Transport {
    Plain(UnixStream),
    Tls(Box<TlsStream<UnixStream>>),
}

/// Accepts until the stream is dropped. Without `tls` anybody who can reach the socket is let in.
pub fn accept(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    lifecycle: Lifecycle,
) -> ReceiverStream<io::Result<Connection>> {
    let (connections, accepted) = mpsc::channel(16);
    let tls = Arc::new(tls);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                () = connections.closed() => return,
                stream = listener.accept() => stream,
            };
            match stream {
                Ok((stream, _)) => {
                    let (tls, lifecycle, connections) = (tls.clone(), lifecycle.clone(), connections.clone());
                    tokio::spawn(async move {
                        match secure(stream, tls.as_ref().as_ref()).await {
                            Ok(transport) => {
                                let connection = Connection {
                                    transport,
                                    _counted: lifecycle.connected(),
                                };
                                // Fails when the serving has ended meanwhile: the connection closes.
                                let _ = connections.send(Ok(connection)).await;
                            }
                            Err(error) => tracing::warn!(%error, "refused a connection"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(accepted)
}

async fn secure(stream: UnixStream, tls: Option<&TlsAcceptor>) -> io::Result<Transport> {
    let Some(tls) = tls else {
        return Ok(Transport::Plain(stream));
    };
    let stream = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await??;
    Ok(Transport::Tls(Box::new(stream)))
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl Connection {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Send + Unpin)> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream),
            Transport::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream),
            Transport::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reader().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(cx)
    }
}
