//! What names an object, in every answer that has one.

use multizone_schema::{Model as _, Value};
use tonic::Request;

use super::world::ThingIdentity;
use super::*;

fn named(name: &str) -> wire::ResourceIdentityData {
    let identity = ThingIdentity { name: name.into() };
    let identity_data = codec::encode(&identity.to_value(), &ThingIdentity::schema().type_()).unwrap();
    wire::ResourceIdentityData {
        identity_data: Some(identity_data),
    }
}

fn name(identity: Option<&wire::ResourceIdentityData>) -> Option<String> {
    let identity = codec::decode(identity?.identity_data.as_ref(), &ThingIdentity::schema().type_()).unwrap();
    Some(ThingIdentity::from_value(&identity).unwrap().name)
}

async fn import(served: &Served, id: &str, identity: Option<&str>) -> wire::import_resource_state::Response {
    let request = wire::import_resource_state::Request {
        type_name: "test_thing".into(),
        id: id.into(),
        identity: identity.map(named),
        ..Default::default()
    };
    served
        .service
        .import_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn their_schemas_are_those_of_the_typed_models() {
    let response = unconfigured()
        .service
        .get_resource_identity_schemas(Request::new(wire::get_resource_identity_schemas::Request {}))
        .await
        .unwrap()
        .into_inner();
    let schema = &response.identity_schemas["test_thing"];
    let [attribute] = &schema.identity_attributes[..] else {
        panic!("{schema:?}");
    };
    assert_eq!(
        (attribute.name.as_str(), attribute.r#type.as_slice()),
        ("name", br#""string""#.as_slice())
    );
    assert!(attribute.required_for_import && !attribute.optional_for_import);
    assert_eq!((schema.version, attribute.description.as_str()), (0, "Name."));
}

#[tokio::test]
async fn an_import_by_identity_finds_what_an_import_by_id_finds() {
    let served = configured().await;
    served
        .apply(Value::Null, with(&state("a", 4), "id", Value::Unknown), config("a"))
        .await;
    let by_id = import(&served, "id-a", None).await;
    let by_identity = import(&served, "", Some("a")).await;
    assert_eq!(by_id, by_identity);
    let [found] = &by_identity.imported_resources[..] else {
        panic!("{by_identity:?}");
    };
    assert_eq!(name(found.identity.as_ref()).as_deref(), Some("a"));
    assert_eq!(received(found.state.as_ref()), state("a", 4));
}

#[tokio::test]
async fn an_identity_that_is_no_id_is_refused() {
    // In an ID the name would lose its prefix, and name another thing.
    let refused = import(&configured().await, "", Some("id-a")).await;
    assert_eq!(said(&refused.diagnostics), ["E: No object can have this identity"]);
    assert!(refused.diagnostics[0].detail.contains("id-id-a"));
}

#[tokio::test]
async fn plan_apply_and_read_say_it() {
    let served = configured().await;
    let plan = async |prior: Value| {
        let request = wire::plan_resource_change::Request {
            type_name: "test_thing".into(),
            prior_state: sent(&prior),
            proposed_new_state: sent(&config("a")),
            config: sent(&config("a")),
            ..Default::default()
        };
        let response = served.service.plan_resource_change(Request::new(request)).await;
        name(response.unwrap().into_inner().planned_identity.as_ref())
    };
    assert_eq!(plan(Value::Null).await, None, "the ID is not known yet");
    assert_eq!(plan(state("a", 3)).await.as_deref(), Some("a"));

    let apply = async |named: &str| {
        let request = wire::apply_resource_change::Request {
            type_name: "test_thing".into(),
            prior_state: sent(&Value::Null),
            planned_state: sent(&with(&state(named, 3), "id", Value::Unknown)),
            config: sent(&config(named)),
            planned_identity: Some(super::identities::named(named)),
            ..Default::default()
        };
        let response = served.service.apply_resource_change(Request::new(request)).await;
        name(response.unwrap().into_inner().new_identity.as_ref())
    };
    assert_eq!(apply("a").await.as_deref(), Some("a"));
    assert_eq!(apply("fail").await, None, "nothing was made");
    assert_eq!(apply("panic").await, None, "nothing was made");

    let read = async |of: Value| {
        let request = wire::read_resource::Request {
            type_name: "test_thing".into(),
            current_state: sent(&of),
            current_identity: None,
            ..Default::default()
        };
        let response = served.service.read_resource(Request::new(request)).await;
        name(response.unwrap().into_inner().new_identity.as_ref())
    };
    assert_eq!(read(state("a", 3)).await.as_deref(), Some("a"));
    assert_eq!(read(state("gone", 3)).await, None);
}

#[tokio::test]
async fn a_stored_one_is_read_again() {
    let upgrade = async |version, raw: &[u8]| {
        let request = wire::upgrade_resource_identity::Request {
            type_name: "test_thing".into(),
            version,
            raw_identity: raw.to_vec(),
        };
        let response = unconfigured()
            .service
            .upgrade_resource_identity(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        (name(response.upgraded_identity.as_ref()), said(&response.diagnostics))
    };
    assert_eq!(upgrade(0, br#"{"name":"a"}"#).await, (Some("a".into()), vec![]));
    let (identity, said) = upgrade(1, br#"{"name":"a"}"#).await;
    assert_eq!((identity, said.len()), (None, 1), "written by a newer provider");
    let (identity, said) = upgrade(0, b"{").await;
    assert_eq!((identity, said.len()), (None, 1), "not JSON");
}
