//! Running by hand, with Terraform told where: for debuggers and tests.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::catalog::Catalog;
use super::handshake::PROVIDER_PROTOCOL;
use super::lifecycle::Lifecycle;
use super::plugin::PluginError;
use super::provider::ProviderService;
use super::server;
use super::socket::SocketDirectory;

/// The address under which configurations ask for this provider.
pub const PROVIDER_ADDRESS: &str = "registry.terraform.io/multizone/multizone";

/// Serves without TLS, in a private directory, any number of Terraform runs, until interrupted.
///
/// Prints the variable that makes Terraform connect here instead of starting a process of its own.
pub async fn run<P: Clone + Send + Sync + 'static>(catalog: Catalog<P>, temporary: PathBuf) -> Result<(), PluginError> {
    let lifecycle = Lifecycle::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let directory = SocketDirectory::create(&temporary, std::process::id())?;
    let listener = UnixListener::bind(directory.socket())?;
    announce(directory.socket())?;
    tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            lifecycle.request_stop();
            lifecycle.idle().await;
            lifecycle.close();
        }
    });
    let provider = ProviderService::new(catalog, lifecycle.clone()).outliving_terraform();
    server::serve(listener, None, provider, lifecycle).await?;
    Ok(())
}

fn announce(socket: &Path) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "Serving until interrupted. In another terminal:\n")?;
    writeln!(
        output,
        "\texport TF_REATTACH_PROVIDERS='{}'\n",
        reattach(socket, std::process::id())
    )?;
    output.flush()
}

/// The value of `TF_REATTACH_PROVIDERS`.
pub fn reattach(socket: &Path, process: u32) -> String {
    let server = json!({
        "Protocol": "grpc",
        "ProtocolVersion": PROVIDER_PROTOCOL,
        "Pid": process,
        // The process is not Terraform's to kill.
        "Test": true,
        "Addr": { "Network": "unix", "String": socket.to_string_lossy() },
    });
    json!({ PROVIDER_ADDRESS: server }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reattach_variable_is_what_terraform_reads() {
        let value: serde_json::Value = serde_json::from_str(&reattach(Path::new("/tmp/a.sock"), 42)).unwrap();
        let server = &value[PROVIDER_ADDRESS];
        assert_eq!(server["Protocol"], "grpc");
        assert_eq!(server["ProtocolVersion"], 6);
        assert_eq!(server["Pid"], 42);
        assert_eq!(server["Test"], true);
        assert_eq!(server["Addr"], json!({"Network": "unix", "String": "/tmp/a.sock"}));
    }
}
