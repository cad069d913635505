//! How the process ends, and how not.

use multizone_provider::protocol::wire::plugin::Empty;
use multizone_provider::protocol::wire::plugin::grpc_controller_client::GrpcControllerClient;
use multizone_provider::protocol::wire::plugin::grpc_stdio_client::GrpcStdioClient;
use multizone_provider::protocol::wire::tfplugin6::{get_metadata, stop_provider};
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt as _;

use crate::host::{DEADLINE, Start, connect};
use crate::identity::TERRAFORM;

#[tokio::test]
async fn the_host_asks_for_the_shutdown() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let channel = plugin.connect(TERRAFORM.client(plugin.certificate())).await.unwrap();
    // An open stream, as every host has one, does not hold it up.
    let mut stdio = GrpcStdioClient::new(channel.clone())
        .stream_stdio(())
        .await
        .unwrap()
        .into_inner();
    GrpcControllerClient::new(channel.clone())
        .shutdown(Empty {})
        .await
        .unwrap();
    assert!(matches!(stdio.message().await, Ok(None) | Err(_)));
    plugin.ended_without_traces().await;
}

#[tokio::test]
async fn a_host_that_vanishes_leaves_no_orphan() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let mut client = plugin.provider(&TERRAFORM).await;
    client.get_metadata(get_metadata::Request {}).await.unwrap();
    drop(client);
    plugin.ended_without_traces().await;
}

#[tokio::test]
async fn an_interrupt_is_terraforms_to_handle() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let mut client = plugin.provider(&TERRAFORM).await;
    for _ in 0..3 {
        plugin.signal(Signal::INT);
        client.get_metadata(get_metadata::Request {}).await.unwrap();
    }
    client.stop_provider(stop_provider::Request {}).await.unwrap();
    client.get_metadata(get_metadata::Request {}).await.unwrap();
    drop(client);
    plugin.ended_without_traces().await;
}

#[tokio::test]
async fn it_can_be_terminated() {
    for signal in [Signal::TERM, Signal::HUP] {
        let plugin = Start::by_terraform(&TERRAFORM).start().await;
        let _client = plugin.provider(&TERRAFORM).await;
        plugin.signal(signal);
        plugin.ended_without_traces().await;
    }
}

#[tokio::test]
async fn by_hand_it_serves_until_interrupted() {
    let start = Start::with(Vec::new());
    let mut child = start.command().arg("--debug").spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let variable = tokio::time::timeout(DEADLINE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the variable is printed");
            if let Some((_, value)) = line.split_once("TF_REATTACH_PROVIDERS=") {
                return value.trim_matches('\'').to_owned();
            }
        }
    });
    let variable: serde_json::Value = serde_json::from_str(&variable.await.unwrap()).unwrap();
    let server = &variable["registry.terraform.io/multizone/multizone"];
    let socket = std::path::PathBuf::from(server["Addr"]["String"].as_str().unwrap());
    // Hosts come and go.
    for _ in 0..2 {
        let channel = connect(&socket, None).await.unwrap();
        let mut client = multizone_provider::protocol::wire::tfplugin6::provider_client::ProviderClient::new(channel);
        client.get_metadata(get_metadata::Request {}).await.unwrap();
    }
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(process, Signal::INT).unwrap();
    assert!(
        tokio::time::timeout(DEADLINE, child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    assert!(!socket.exists());
}
