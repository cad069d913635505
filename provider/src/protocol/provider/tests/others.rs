//! Everything that neither plans nor applies.

use multizone_schema::{Model as _, Type, Value};
use tonic::Request;

use super::world::{Count, Ticket};
use super::{config, configured, received, said, sent, state, unconfigured, wire, with};
use crate::protocol::codec;
use crate::protocol::wire::tfplugin6::provider_server::Provider as _;

/// The request of an RPC that asks for nothing in particular.
fn empty<T: Default>() -> Request<T> {
    Request::new(T::default())
}

#[tokio::test]
async fn the_schema_names_everything_that_is_served() {
    let served = unconfigured();
    let schema = served.service.get_provider_schema(empty()).await.unwrap().into_inner();
    let block = schema.resource_schemas["test_thing"].block.clone().unwrap();
    assert_eq!(schema.resource_schemas["test_thing"].version, 1);
    let names: Vec<_> = block
        .attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    assert_eq!(names, ["id", "name", "revision", "size", "token"]);
    assert!(block.attributes[4].write_only);
    assert!(schema.data_source_schemas.contains_key("test_count"));
    assert!(schema.ephemeral_resource_schemas.contains_key("test_ticket"));
    assert!(schema.functions["sum"].variadic_parameter.is_some());
    let capabilities = schema.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.get_provider_schema_optional && capabilities.move_resource_state);
    let metadata = served.service.get_metadata(empty()).await.unwrap().into_inner();
    assert_eq!(metadata.resources[0].type_name, "test_thing");
    assert_eq!(metadata.functions[0].name, "sum");
}

#[tokio::test]
async fn a_refusal_names_the_attribute() {
    let request = wire::validate_resource_config::Request {
        type_name: "test_thing".into(),
        config: sent(&with(&config("small"), "size", 2)),
    };
    let response = unconfigured()
        .service
        .validate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said(&response.diagnostics), ["E: Too large"]);
    assert_eq!(response.diagnostics[0].attribute.as_ref().unwrap().steps.len(), 1);
}

#[tokio::test]
async fn an_unknown_configuration_is_valid() {
    let request = wire::validate_resource_config::Request {
        type_name: "test_thing".into(),
        config: sent(&with(
            &with(&config("small"), "size", Value::Unknown),
            "name",
            Value::Unknown,
        )),
    };
    let response = unconfigured()
        .service
        .validate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(response.diagnostics.is_empty());
}

#[tokio::test]
async fn the_provider_block_is_checked() {
    let block = codec::encode(
        &Value::object([("region", Value::Null)]),
        &super::Block::schema().type_(),
    )
    .unwrap();
    let request = wire::validate_provider_config::Request { config: Some(block) };
    let response = unconfigured()
        .service
        .validate_provider_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said(&response.diagnostics), ["E: Cannot be nowhere"]);
}

async fn upgrade(version: i64, json: &str) -> (Value, Vec<String>) {
    let request = wire::upgrade_resource_state::Request {
        type_name: "test_thing".into(),
        version,
        raw_state: Some(wire::RawState {
            json: json.into(),
            ..Default::default()
        }),
    };
    let response = unconfigured()
        .service
        .upgrade_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    (received(response.upgraded_state.as_ref()), said(&response.diagnostics))
}

#[tokio::test]
async fn state_of_any_earlier_version_is_read() {
    let expected = (state("a", 3), Vec::new());
    assert_eq!(
        upgrade(1, r#"{"name":"a","size":3,"id":"id-a","revision":1,"token":null}"#).await,
        expected
    );
    assert_eq!(
        upgrade(0, r#"{"title":"a","size":3,"id":"id-a","revision":1,"gone":true}"#).await,
        expected
    );
    let (value, diagnostics) = upgrade(7, "{}").await;
    assert_eq!((value, diagnostics.len()), (Value::Null, 1));
    assert_eq!(
        upgrade(1, "").await.1,
        ["E: The state is in a format that this provider cannot read"]
    );
}

async fn read(served: &super::Served, value: Value) -> wire::read_resource::Response {
    let request = wire::read_resource::Request {
        type_name: "test_thing".into(),
        current_state: sent(&value),
        private: b"kept".to_vec(),
        ..Default::default()
    };
    served
        .service
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_read_finds_the_object_or_null() {
    let served = configured().await;
    served
        .apply(Value::Null, with(&state("a", 4), "id", Value::Unknown), config("a"))
        .await;
    let found = read(&served, state("a", 3)).await;
    assert_eq!(
        (received(found.new_state.as_ref()), found.private),
        (state("a", 4), b"kept".to_vec())
    );
    let gone = read(&served, state("b", 3)).await;
    assert_eq!(received(gone.new_state.as_ref()), Value::Null);
    assert!(gone.new_state.is_some());
}

#[tokio::test]
async fn an_unconfigured_read_keeps_what_is_known() {
    let response = read(&unconfigured(), state("a", 3)).await;
    assert_eq!(
        (received(response.new_state.as_ref()), response.private),
        (state("a", 3), b"kept".to_vec())
    );
}

#[tokio::test]
async fn an_import_finds_the_object_by_its_id() {
    let served = configured().await;
    served
        .apply(Value::Null, with(&state("a", 4), "id", Value::Unknown), config("a"))
        .await;
    let import = async |id: &str| {
        let request = wire::import_resource_state::Request {
            type_name: "test_thing".into(),
            id: id.into(),
            ..Default::default()
        };
        served
            .service
            .import_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let found = import("id-a").await;
    assert_eq!(received(found.imported_resources[0].state.as_ref()), state("a", 4));
    let missing = import("id-b").await;
    assert_eq!(
        (missing.imported_resources.len(), said(&missing.diagnostics)),
        (0, vec!["E: Cannot import".into()])
    );
}

#[tokio::test]
async fn a_move_is_refused_by_name() {
    let request = wire::move_resource_state::Request {
        source_provider_address: "registry.terraform.io/other/other".into(),
        source_type_name: "other_thing".into(),
        target_type_name: "test_thing".into(),
        ..Default::default()
    };
    let response = unconfigured()
        .service
        .move_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        said(&response.diagnostics),
        ["E: Cannot move between these resource types"]
    );
    assert!(response.diagnostics[0].detail.contains("other_thing"));
}

#[tokio::test]
async fn names_that_are_not_served_are_diagnostics() {
    let served = configured().await;
    let type_name = "test_nothing".to_owned();
    let request = wire::read_resource::Request {
        type_name: type_name.clone(),
        ..Default::default()
    };
    let response = served
        .service
        .read_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said(&response.diagnostics), ["E: No such resource type"]);
    let request = wire::read_data_source::Request {
        type_name: type_name.clone(),
        ..Default::default()
    };
    let response = served
        .service
        .read_data_source(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said(&response.diagnostics), ["E: No such data source"]);
    let request = wire::open_ephemeral_resource::Request {
        type_name,
        ..Default::default()
    };
    let response = served
        .service
        .open_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(said(&response.diagnostics), ["E: No such ephemeral resource type"]);
}

#[tokio::test]
async fn garbage_is_a_diagnostic() {
    let garbage = wire::DynamicValue {
        msgpack: vec![0xc1, 0xff],
        json: Vec::new(),
    };
    let request = wire::validate_resource_config::Request {
        type_name: "test_thing".into(),
        config: Some(garbage),
    };
    let response = unconfigured()
        .service
        .validate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        said(&response.diagnostics),
        ["E: Terraform sent a value that does not fit the schema"]
    );
}

async fn count(served: &super::Served, deferral_allowed: bool) -> wire::read_data_source::Response {
    let type_ = Count::schema().type_();
    let config = Value::object([("smallest", Value::Null), ("found", Value::Null)]);
    let request = wire::read_data_source::Request {
        type_name: "test_count".into(),
        config: Some(codec::encode(&config, &type_).unwrap()),
        client_capabilities: Some(wire::ClientCapabilities {
            deferral_allowed,
            write_only_attributes_allowed: true,
        }),
        provider_meta: None,
    };
    served
        .service
        .read_data_source(Request::new(request))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_data_source_is_read_with_its_defaults_or_deferred() {
    let response = count(&configured().await, false).await;
    let read = codec::decode(response.state.as_ref(), &Count::schema().type_()).unwrap();
    assert_eq!(read, Count { smallest: 0, found: 0 }.to_value());
    let deferred = count(&unconfigured(), true).await.deferred.unwrap();
    assert_eq!(deferred.reason(), wire::deferred::Reason::ProviderConfigUnknown);
    let refused = count(&unconfigured(), false).await;
    assert_eq!(
        said(&refused.diagnostics),
        ["E: The provider's configuration is not known yet"]
    );
}

#[tokio::test]
async fn an_ephemeral_resource_opens_renews_and_closes() {
    let served = configured().await;
    let type_ = Ticket::schema().type_();
    let config = Value::object([("holder", Value::from("me")), ("ticket", Value::Null)]);
    let config = Some(codec::encode(&config, &type_).unwrap());
    let type_name = "test_ticket".to_owned();
    let request = wire::open_ephemeral_resource::Request {
        type_name: type_name.clone(),
        config,
        client_capabilities: None,
    };
    let opened = served
        .service
        .open_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    let result = codec::decode(opened.result.as_ref(), &type_).unwrap();
    assert_eq!(
        result,
        Ticket {
            holder: "me".into(),
            ticket: "for me".into()
        }
        .to_value()
    );
    assert_eq!(opened.renew_at.unwrap().seconds, 1_795_262_400);
    let request = wire::renew_ephemeral_resource::Request {
        type_name: type_name.clone(),
        private: opened.private,
    };
    let renewed = served
        .service
        .renew_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (renewed.renew_at, renewed.private.as_deref()),
        (None, Some(b"pr".as_slice()))
    );
    let request = wire::close_ephemeral_resource::Request {
        type_name,
        private: renewed.private,
    };
    let closed = served
        .service
        .close_ephemeral_resource(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(closed.diagnostics.is_empty());
}

#[tokio::test]
async fn a_function_is_called_with_any_number_of_arguments() {
    let served = unconfigured();
    let call = async |arguments: &[Value]| {
        let arguments = arguments
            .iter()
            .map(|argument| codec::encode(argument, &Type::Number).unwrap())
            .collect();
        let request = wire::call_function::Request {
            name: "sum".into(),
            arguments,
        };
        served
            .service
            .call_function(Request::new(request))
            .await
            .unwrap()
            .into_inner()
    };
    let answer = call(&[Value::from(1), Value::from(2), Value::from(3)]).await;
    assert_eq!(codec::decode(answer.result.as_ref(), &Type::Number), Ok(Value::from(6)));
    let wrong = call(&[Value::from(1), Value::Null]).await.error.unwrap();
    assert_eq!(
        (wrong.text.as_str(), wrong.function_argument),
        ("Not a whole number.", Some(1))
    );
    assert!(call(&[]).await.error.is_some());
    let request = wire::call_function::Request {
        name: "product".into(),
        arguments: Vec::new(),
    };
    let unknown = served
        .service
        .call_function(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(unknown.error.unwrap().text.contains("product"));
    let functions = served.service.get_functions(empty()).await.unwrap().into_inner();
    assert_eq!(functions.functions["sum"].parameters.len(), 1);
}

#[tokio::test]
async fn a_stop_lasts_for_one_run_of_terraform_where_the_process_outlives_it() {
    let served = configured().await;
    let response = served.service.stop_provider(empty()).await.unwrap().into_inner();
    assert_eq!(response.error, "");
    served.configure(Value::from("here")).await;
    assert!(served.lifecycle.stop().requested());

    let lifecycle = crate::protocol::lifecycle::Lifecycle::new();
    let service = super::ProviderService::new(super::catalog(super::World::default()), lifecycle.clone());
    let service = service.outliving_terraform();
    service.stop_provider(empty()).await.unwrap();
    assert!(lifecycle.stop().requested());
    service
        .configure_provider(Request::new(wire::configure_provider::Request {
            config: Some(
                codec::encode(
                    &Value::object([("region", Value::Null)]),
                    &super::Block::schema().type_(),
                )
                .unwrap(),
            ),
            ..Default::default()
        }))
        .await
        .unwrap();
    assert!(!lifecycle.stop().requested());
}
