//! Who gets in.

use multizone_provider::protocol::wire::tfplugin6::get_metadata;
use multizone_provider::protocol::wire::tfplugin6::provider_client::ProviderClient;

use crate::host::{Plugin, Start, connect};
use crate::identity::{IMPOSTOR, STRANGER, TERRAFORM, nobody};

/// Whether a client with this TLS gets an answer. In TLS 1.3 a client learns only afterwards that it was refused.
async fn answered(plugin: &Plugin, tls: Option<rustls::ClientConfig>) -> bool {
    match connect(&plugin.socket(), tls).await {
        Ok(channel) => ProviderClient::new(channel)
            .get_metadata(get_metadata::Request {})
            .await
            .is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn terraform_gets_in_and_nobody_else_does() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let server = plugin.certificate();
    assert!(answered(&plugin, Some(TERRAFORM.client(server.clone()))).await);
    assert!(!answered(&plugin, None).await, "a client without TLS got in");
    let without = nobody(server.clone(), &rustls::version::TLS13);
    assert!(
        !answered(&plugin, Some(without)).await,
        "a client without a certificate got in"
    );
    assert!(
        !answered(&plugin, Some(STRANGER.client(server.clone()))).await,
        "another certificate got in"
    );
    assert!(
        !answered(&plugin, Some(IMPOSTOR.client(server.clone()))).await,
        "a certificate without its key got in"
    );
    let old = nobody(server.clone(), &rustls::version::TLS12);
    assert!(!answered(&plugin, Some(old)).await, "TLS 1.2 got in");
    // None of that disturbs the one who may.
    assert!(answered(&plugin, Some(TERRAFORM.client(server))).await);
}
