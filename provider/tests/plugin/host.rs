//! A plugin host: starts the plugin, reads its line, connects.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper_util::rt::TokioIo;
use multizone_provider::protocol::handshake::{MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE};
use multizone_provider::protocol::wire::tfplugin6::provider_client::ProviderClient;
use rustix::process::{Pid, Signal, kill_process};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::{Channel, Endpoint};

use crate::identity::Identity;

/// Long enough for a loaded machine; nothing waits this long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// The provider's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_terraform-provider-multizone");

/// A running plugin. Killed when dropped.
pub(crate) struct Plugin {
    pub(crate) child: Child,
    pub(crate) line: String,
    pub(crate) output: BufReader<ChildStdout>,
    pub(crate) temporary: tempfile::TempDir,
}

/// How to start one.
pub(crate) struct Start {
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) temporary: tempfile::TempDir,
}

impl Start {
    /// As Terraform does.
    pub(crate) fn by_terraform(identity: &Identity) -> Self {
        Self::with(vec![
            (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE.to_owned()),
            ("PLUGIN_PROTOCOL_VERSIONS", "5,6".to_owned()),
            ("PLUGIN_CLIENT_CERT", identity.pem.to_owned()),
        ])
    }

    /// With these variables and none of Terraform's others.
    pub(crate) fn with(variables: Vec<(&'static str, String)>) -> Self {
        Self {
            variables,
            temporary: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        for name in ["TF_LOG", "TF_LOG_PROVIDER", "TF_REATTACH_PROVIDERS", MAGIC_COOKIE_KEY] {
            command.env_remove(name);
        }
        command
            .env("TMPDIR", self.temporary.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        command
    }

    /// Starts it and reads its line.
    pub(crate) async fn start(self) -> Plugin {
        let mut child = self.command().spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        tokio::time::timeout(DEADLINE, output.read_line(&mut line))
            .await
            .expect("the plugin says its line")
            .unwrap();
        Plugin {
            child,
            line,
            output,
            temporary: self.temporary,
        }
    }
}

impl Plugin {
    /// The fields of the line.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.line.trim_end_matches('\n').split('|').collect()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        PathBuf::from(self.fields()[3])
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(STANDARD_NO_PAD.decode(self.fields()[5]).unwrap())
    }

    /// A channel with this TLS; the handshake happens with the first request or here.
    pub(crate) async fn connect(&self, tls: rustls::ClientConfig) -> Result<Channel, tonic::transport::Error> {
        connect(&self.socket(), Some(tls)).await
    }

    /// The provider, for the client that the plugin expects.
    pub(crate) async fn provider(&self, identity: &Identity) -> ProviderClient<Channel> {
        let tls = identity.client(self.certificate());
        ProviderClient::new(self.connect(tls).await.unwrap()).max_decoding_message_size(256 << 20)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id().expect("the plugin runs")).unwrap();
        kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
    }

    /// Waits for the end; nothing but the line may have been on standard output.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("the plugin ends")
            .unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
        status
    }

    /// Ends it, and nothing of it is left.
    pub(crate) async fn ended_without_traces(mut self) {
        let socket = self.socket();
        assert!(self.ended().await.success());
        assert!(!socket.exists());
        assert!(!socket.parent().unwrap().exists());
    }
}

/// A channel over a Unix socket.
pub(crate) async fn connect(
    socket: &Path,
    tls: Option<rustls::ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let (socket, tls) = (socket.clone(), tls.clone());
        async move {
            let stream = UnixStream::connect(socket).await?;
            let Some(tls) = tls else {
                return Ok::<_, io::Error>(TokioIo::new(Either::Plain(stream)));
            };
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
            let stream = connector.connect("localhost".try_into().unwrap(), stream).await?;
            Ok(TokioIo::new(Either::Tls(Box::new(stream))))
        }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
}

pub(crate) use either::Either;

mod either {
    //! One of two streams.

    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio::net::UnixStream;
    use tokio_rustls::client::TlsStream;

    pub(crate) enum Either {
        Plain(UnixStream),
        Tls(Box<TlsStream<UnixStream>>),
    }

    impl AsyncRead for Either {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            match &mut *self {
                Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
                Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            }
        }
    }

    impl AsyncWrite for Either {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            match &mut *self {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
                Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            }
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match &mut *self {
                Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
                Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            }
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            match &mut *self {
                Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
                Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            }
        }
    }
}
