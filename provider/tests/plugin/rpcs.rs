//! Every RPC and every companion service answers.

use std::time::Duration;

use multizone_provider::protocol::wire::health::HealthCheckRequest;
use multizone_provider::protocol::wire::health::health_check_response::ServingStatus;
use multizone_provider::protocol::wire::health::health_client::HealthClient;
use multizone_provider::protocol::wire::plugin::ConnInfo;
use multizone_provider::protocol::wire::plugin::grpc_broker_client::GrpcBrokerClient;
use multizone_provider::protocol::wire::plugin::grpc_stdio_client::GrpcStdioClient;
use multizone_provider::protocol::wire::tfplugin6 as wire;
use tonic::Code;
use wire::diagnostic::Severity;

use crate::host::{Plugin, Start};
use crate::identity::TERRAFORM;

async fn plugin() -> Plugin {
    Start::by_terraform(&TERRAFORM).start().await
}

/// A null value of any type.
fn null() -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack: vec![0xc0],
        json: Vec::new(),
    }
}

/// An empty message that names something nobody serves.
macro_rules! nothing {
    ($request:ty) => {
        <$request>::from_name("multizone_nothing")
    };
}

trait FromName {
    fn from_name(name: &str) -> Self;
}

macro_rules! by_type_name {
    ($($request:ty),*) => {
        $(impl FromName for $request {
            fn from_name(name: &str) -> Self {
                Self { type_name: name.to_owned(), ..Default::default() }
            }
        })*
    };
}

by_type_name!(
    wire::validate_resource_config::Request,
    wire::upgrade_resource_state::Request,
    wire::read_resource::Request,
    wire::plan_resource_change::Request,
    wire::apply_resource_change::Request,
    wire::import_resource_state::Request,
    wire::validate_data_resource_config::Request,
    wire::read_data_source::Request,
    wire::validate_ephemeral_resource_config::Request,
    wire::open_ephemeral_resource::Request,
    wire::renew_ephemeral_resource::Request,
    wire::close_ephemeral_resource::Request
);

#[tokio::test]
async fn all_twenty_answer() {
    let plugin = plugin().await;
    let mut client = plugin.provider(&TERRAFORM).await;

    let metadata = client
        .get_metadata(wire::get_metadata::Request {})
        .await
        .unwrap()
        .into_inner();
    let capabilities = metadata.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional && capabilities.move_resource_state);
    let schema = client
        .get_provider_schema(wire::get_provider_schema::Request {})
        .await
        .unwrap()
        .into_inner();
    assert!(schema.provider.is_some());
    assert_eq!(schema.resource_schemas.len(), metadata.resources.len());
    assert_eq!(schema.data_source_schemas.len(), metadata.data_sources.len());
    assert_eq!(
        schema.ephemeral_resource_schemas.len(),
        metadata.ephemeral_resources.len()
    );
    let functions = client
        .get_functions(wire::get_functions::Request {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(functions.functions, schema.functions);

    // The provider block must be an object: null is refused, not a crash.
    let request = wire::validate_provider_config::Request { config: Some(null()) };
    let validated = client.validate_provider_config(request).await.unwrap().into_inner();
    assert!(!validated.diagnostics.is_empty());
    let request = wire::configure_provider::Request {
        config: Some(null()),
        ..Default::default()
    };
    let configured = client.configure_provider(request).await.unwrap().into_inner();
    assert!(!configured.diagnostics.is_empty());

    // What nobody serves is a diagnostic.
    macro_rules! refuses {
        ($($rpc:ident),*) => {
            $(
                let response = client.$rpc(nothing!(wire::$rpc::Request)).await.unwrap().into_inner();
                let errors = response.diagnostics.iter().filter(|said| said.severity() == Severity::Error);
                assert_eq!(errors.count(), 1, stringify!($rpc));
            )*
        };
    }
    refuses!(
        validate_resource_config,
        upgrade_resource_state,
        read_resource,
        plan_resource_change,
        apply_resource_change,
        import_resource_state,
        validate_data_resource_config,
        read_data_source,
        validate_ephemeral_resource_config,
        open_ephemeral_resource,
        renew_ephemeral_resource,
        close_ephemeral_resource
    );
    let moved = client
        .move_resource_state(wire::move_resource_state::Request::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(moved.diagnostics.len(), 1);
    let request = wire::call_function::Request {
        name: "nothing".into(),
        arguments: Vec::new(),
    };
    assert!(
        client
            .call_function(request)
            .await
            .unwrap()
            .into_inner()
            .error
            .is_some()
    );

    let stopped = client
        .stop_provider(wire::stop_provider::Request {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stopped.error, "");
    // A stop ends operations, not the process.
    client.get_metadata(wire::get_metadata::Request {}).await.unwrap();
}

#[tokio::test]
async fn large_messages_pass() {
    let plugin = plugin().await;
    let mut client = plugin.provider(&TERRAFORM).await;
    // A string of 16 MiB: msgpack's longest form.
    let length: u32 = 16 << 20;
    let mut msgpack = vec![0xdb];
    msgpack.extend(length.to_be_bytes());
    msgpack.resize(msgpack.len() + length as usize, b'x');
    let config = Some(wire::DynamicValue {
        msgpack,
        json: Vec::new(),
    });
    let request = wire::validate_provider_config::Request { config };
    let response = client.validate_provider_config(request).await.unwrap().into_inner();
    assert_eq!(response.diagnostics.len(), 1);
}

#[tokio::test]
async fn the_companions_answer() {
    let plugin = plugin().await;
    let channel = plugin.connect(TERRAFORM.client(plugin.certificate())).await.unwrap();

    let mut health = HealthClient::new(channel.clone());
    let status = health
        .check(HealthCheckRequest {
            service: "plugin".into(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.status(), ServingStatus::Serving);
    let unknown = health
        .check(HealthCheckRequest {
            service: "other".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health
        .watch(HealthCheckRequest {
            service: "plugin".into(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    // Both streams stay open, and silent.
    let mut stdio = GrpcStdioClient::new(channel.clone())
        .stream_stdio(())
        .await
        .unwrap()
        .into_inner();
    assert!(
        tokio::time::timeout(Duration::from_millis(50), stdio.message())
            .await
            .is_err()
    );
    let (to_broker, outgoing) = tokio::sync::mpsc::channel::<ConnInfo>(1);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut broker = GrpcBrokerClient::new(channel)
        .start_stream(outgoing)
        .await
        .unwrap()
        .into_inner();
    assert!(
        tokio::time::timeout(Duration::from_millis(50), broker.message())
            .await
            .is_err()
    );
    drop(to_broker);
    assert!(
        broker.message().await.unwrap().is_none(),
        "the broker ends when the host closes it"
    );
}
