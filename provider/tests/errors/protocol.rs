//! Errors of the protocol: what Terraform sends and gets.

use async_trait::async_trait;
use multizone_provider::{
    functions::FunctionError,
    protocol::{
        catalog::Catalog,
        codec,
        handshake::{Invitation, MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE},
        lifecycle::Lifecycle,
        provider::ProviderService,
        self_check::{self, Unknowns},
        served::{AnyDataSource, Applied, Change, Plan},
        wire::tfplugin6::{self as wire, provider_server::Provider as _},
    },
    stop::Stop,
};
use multizone_schema::{
    Attribute, AttributeKind, Diagnostic, Diagnostics, Mode, Path, PathStep, Schema, Severity, Type, Value,
};
use serde_json::json;
use tonic::Request;

use crate::{
    configuration::Configured,
    read,
    rendering::rendered_call,
    terraform::{served, value},
};

const DISK: &str = "multizone_disk";

/// The provider, not configured.
fn service() -> ProviderService<Configured> {
    ProviderService::new(Catalog::multizone(), Lifecycle::new())
}

/// What Terraform got, as what it was made from.
fn got(diagnostics: Vec<wire::Diagnostic>) -> Diagnostics {
    let each = diagnostics.into_iter().map(|one| {
        let told = match one.severity() {
            wire::diagnostic::Severity::Warning => Diagnostic::warning(one.summary, one.detail),
            _ => Diagnostic::error(one.summary, one.detail),
        };
        let steps = one.attribute.map(|path| path.steps).unwrap_or_default();
        let path: Path = steps.into_iter().filter_map(|step| step.selector).map(step).collect();
        told.at(path)
    });
    each.collect()
}

fn step(selector: wire::attribute_path::step::Selector) -> PathStep {
    use wire::attribute_path::step::Selector;
    match selector {
        Selector::AttributeName(name) => PathStep::Attribute(name),
        Selector::ElementKeyString(key) => PathStep::Key(key),
        Selector::ElementKeyInt(index) => PathStep::Index(index),
    }
}

/// Asks the provider, and takes the diagnostics of the answer.
macro_rules! told {
    ($rpc:ident, $request:expr) => {
        got(service()
            .$rpc(Request::new($request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics)
    };
}

#[tokio::test]
async fn what_is_not_served() {
    let request = wire::validate_resource_config::Request {
        type_name: "multizone_disc".to_owned(),
        ..Default::default()
    };
    read!("no_such_resource", told!(validate_resource_config, request));
    let request = wire::validate_data_resource_config::Request {
        type_name: "multizone_zone".to_owned(),
        ..Default::default()
    };
    read!("no_such_data_source", told!(validate_data_resource_config, request));
    let request = wire::validate_ephemeral_resource_config::Request {
        type_name: "multizone_config".to_owned(),
        ..Default::default()
    };
    read!("no_such_ephemeral", told!(validate_ephemeral_resource_config, request));
    let request = wire::move_resource_state::Request {
        source_provider_address: "registry.terraform.io/hashicorp/google".to_owned(),
        source_type_name: "google_compute_disk".to_owned(),
        target_type_name: DISK.to_owned(),
        ..Default::default()
    };
    read!("moved", told!(move_resource_state, request));
}

fn raw(state: &str) -> wire::RawState {
    wire::RawState {
        json: state.as_bytes().to_vec(),
        ..Default::default()
    }
}

#[tokio::test]
async fn state_that_cannot_be_read() {
    let upgrade = |version: i64, state: &str| wire::upgrade_resource_state::Request {
        type_name: DISK.to_owned(),
        version,
        raw_state: Some(raw(state)),
    };
    read!("state_of_old", told!(upgrade_resource_state, upgrade(0, "")));
    let newer = upgrade(7, "{}");
    read!("state_of_a_newer_version", told!(upgrade_resource_state, newer));
    let damaged = upgrade(0, "{\"name\": [");
    read!("state_damaged", told!(upgrade_resource_state, damaged));
    let odd = upgrade(0, "{\"name\": {\"a\": 1}}");
    read!("state_of_another_shape", told!(upgrade_resource_state, odd));
}

#[tokio::test]
async fn values_that_do_not_fit() {
    let request = wire::validate_resource_config::Request {
        type_name: DISK.to_owned(),
        config: Some(wire::DynamicValue {
            msgpack: vec![0xc3],
            json: Vec::new(),
        }),
    };
    read!("sent_and_does_not_fit", told!(validate_resource_config, request));
    let made = codec::encode_state(&Value::object([("size", Value::from("big"))]), &schema().type_());
    read!("made_and_does_not_fit", made.unwrap_err());
}

/// An identity of a disk with these attributes.
fn identity(written: impl Fn(&str) -> Value) -> wire::ResourceIdentityData {
    let schema = served(DISK).0.identity_schema();
    let names = schema.attributes.iter().map(|attribute| &attribute.name);
    let identity = Value::object(names.map(|name| (name.clone(), written(name))));
    wire::ResourceIdentityData {
        identity_data: Some(codec::encode(&identity, &schema.type_()).unwrap()),
    }
}

#[tokio::test]
async fn imports() {
    let import = |identity: Option<wire::ResourceIdentityData>| wire::import_resource_state::Request {
        type_name: DISK.to_owned(),
        id: "us-central1/demo/data".to_owned(),
        identity,
        ..Default::default()
    };
    read!("import_not_configured", told!(import_resource_state, import(None)));
    let unknown = import(Some(identity(|_| Value::Unknown)));
    read!("import_of_the_unknown", told!(import_resource_state, unknown));
    let slashes = import(Some(identity(|name| Value::from(format!("a/{name}")))));
    read!("import_of_no_identity", told!(import_resource_state, slashes));
}

#[tokio::test]
async fn a_provider_that_is_not_configured() {
    let schema = served(DISK).1;
    let config = value(&schema, &json!({ "name": "data" }));
    let sent = |value: &Value| Some(codec::encode(value, &schema.type_()).unwrap());
    let request = wire::apply_resource_change::Request {
        type_name: DISK.to_owned(),
        prior_state: sent(&Value::Null),
        planned_state: sent(&config),
        config: sent(&config),
        ..Default::default()
    };
    read!("apply_not_configured", told!(apply_resource_change, request));
    let request = wire::read_data_source::Request {
        type_name: "multizone_zones".to_owned(),
        ..Default::default()
    };
    read!("read_not_configured", told!(read_data_source, request));
    let request = wire::open_ephemeral_resource::Request {
        type_name: "multizone_kubeconfig".to_owned(),
        ..Default::default()
    };
    read!("open_not_configured", told!(open_ephemeral_resource, request));
    let request = wire::renew_ephemeral_resource::Request {
        type_name: "multizone_kubeconfig".to_owned(),
        ..Default::default()
    };
    read!("renew_not_configured", told!(renew_ephemeral_resource, request));
    let request = wire::close_ephemeral_resource::Request {
        type_name: "multizone_kubeconfig".to_owned(),
        ..Default::default()
    };
    read!("close_not_configured", told!(close_ephemeral_resource, request));
}

async fn call(name: &str, arguments: &[Value], type_: &Type) -> String {
    let arguments = arguments.iter().map(|value| codec::encode(value, type_).unwrap());
    let request = wire::call_function::Request {
        name: name.to_owned(),
        arguments: arguments.collect(),
    };
    let response = service().call_function(Request::new(request)).await.unwrap();
    let error = response.into_inner().error.unwrap();
    let told = FunctionError {
        text: error.text,
        argument: error.function_argument,
    };
    rendered_call(name, &told)
}

#[tokio::test]
async fn calls() {
    let none = call("quorum", &[], &Type::Number).await;
    insta::assert_snapshot!("no_such_function", none);
    let few = call("quorum_size", &[], &Type::Number).await;
    insta::assert_snapshot!("call_with_too_few_arguments", few);
    let many = [Value::from(3), Value::from(5)];
    let many = call("quorum_size", &many, &Type::Number).await;
    insta::assert_snapshot!("call_with_too_many_arguments", many);
    let wrong = call("quorum_size", &[Value::from(true)], &Type::Bool).await;
    insta::assert_snapshot!("call_with_a_wrong_argument", wrong);
}

/// A data source with an error in it.
struct Broken;

#[async_trait]
impl AnyDataSource for Broken {
    fn name(&self) -> &'static str {
        "multizone_broken"
    }

    fn schema(&self) -> Schema {
        Schema::default()
    }

    fn check(&self, _schema: &Schema, _config: &Value) -> Diagnostics {
        panic!("index out of bounds: the len is 3 but the index is 3")
    }

    async fn read_data(
        &self,
        _schema: &Schema,
        _provider: Option<&Configured>,
        _config: Value,
        _stop: &Stop,
    ) -> Result<Value, Diagnostics> {
        Ok(Value::Null)
    }
}

#[tokio::test]
async fn a_panic() {
    let catalog = Catalog::multizone().with_data_sources(vec![Box::new(Broken)]);
    let service = ProviderService::new(catalog, Lifecycle::new());
    let request = wire::validate_data_resource_config::Request {
        type_name: "multizone_broken".to_owned(),
        ..Default::default()
    };
    let response = service.validate_data_resource_config(Request::new(request)).await;
    read!("panic", got(response.unwrap().into_inner().diagnostics));
}

/// Something with attributes of every kind that rules are about.
fn schema() -> Schema {
    let plain = |name: &str, type_, mode| Attribute::plain(name, type_, mode, "What it is.");
    let mut secret = plain("secret", Type::String, Mode::Optional);
    secret.write_only = true;
    let rule = vec![plain("port", Type::Number, Mode::Required)];
    Schema {
        version: 0,
        description: "A thing.".to_owned(),
        attributes: vec![
            plain("name", Type::String, Mode::Required),
            plain("size", Type::Number, Mode::Optional),
            plain("tags", Type::list(Type::String), Mode::OptionalComputed),
            secret,
            Attribute::new("rules", AttributeKind::List(rule), Mode::Optional, "Rules."),
        ],
    }
}

/// A thing with one attribute of it changed.
fn thing(name: &str, changed: impl Into<Value>) -> Value {
    let written = json!({ "name": "a", "size": 5, "tags": ["b"] });
    let mut object = value(&schema(), &written).as_object().unwrap().clone();
    object.insert(name.to_owned(), changed.into());
    Value::Object(object)
}

fn good() -> Value {
    thing("name", "a")
}

fn change(prior: Value, new: Value) -> Change {
    Change {
        config: new.clone(),
        prior,
        new,
        private: Vec::new(),
    }
}

/// What becomes of a plan that breaks a rule.
fn planned(asked: &Change, planned: Value, requires_replace: Vec<Path>) -> Diagnostics {
    let plan = Plan {
        planned,
        requires_replace,
        private: Vec::new(),
        diagnostics: Diagnostics::new(),
    };
    self_check::plan(&schema(), asked, plan).diagnostics
}

fn applied(asked: &Change, state: Value) -> Diagnostics {
    let applied = Applied {
        state,
        private: Vec::new(),
        diagnostics: Diagnostics::new(),
    };
    self_check::apply(&schema(), asked, applied).diagnostics
}

#[test]
fn answers_of_the_wrong_shape() {
    let shape = |found: Value| self_check::import(&schema(), found).unwrap_err();
    read!("answer_of_another_type", shape(thing("size", "big")));
    read!("answer_with_more", shape(thing("colour", "red")));
    let mut less = good().as_object().unwrap().clone();
    less.remove("size");
    read!("answer_with_less", shape(Value::Object(less)));
    read!("answer_with_a_secret", shape(thing("secret", "x")));
    read!("answer_unknown", shape(thing("size", Value::Unknown)));
    read!("answer_without_object", shape(Value::Null));
    assert!(self_check::shape(&schema(), &good(), Unknowns::Refused).is_empty());
    let (one, other) = (Value::from("a"), Value::from("b"));
    let another = self_check::same_object(Some(&one), Some(&other));
    read!("read_of_another_object", another.unwrap_err());
    let appeared = self_check::read(&schema(), &Value::Null, good());
    read!("read_of_what_was_not_there", appeared.unwrap_err());
}

#[test]
fn plans_that_break_a_rule() {
    let create = change(Value::Null, good());
    read!("plan_not_as_configured", planned(&create, thing("name", "z"), vec![]));
    let bare = change(Value::Null, thing("size", Value::Null));
    read!("plan_not_computed", planned(&bare, good(), vec![]));
    let port = Value::object([("port", Value::from(80))]);
    let one = change(Value::Null, thing("rules", Value::List(vec![port.clone()])));
    let two = thing("rules", Value::List(vec![port.clone(), port]));
    read!("plan_of_another_count", planned(&one, two, vec![]));
    let nowhere = vec![Path::root().attribute("colour")];
    read!("plan_replaces_nothing", planned(&create, good(), nowhere));
    let plan = |planned: Value| Plan {
        planned,
        requires_replace: Vec::new(),
        private: Vec::new(),
        diagnostics: Diagnostics::new(),
    };
    let again = plan(thing("tags", Value::List(vec![Value::from("c")])));
    let unsteady = self_check::replan(&create, plan(good()), &again);
    read!("plan_unsteady", unsteady.diagnostics);
}

#[test]
fn changes_that_break_a_rule() {
    let create = change(Value::Null, good());
    read!("applied_nothing", applied(&create, Value::Null));
    read!("applied_and_mended", applied(&create, thing("size", 6)));
    read!("applied_with_a_secret", applied(&create, thing("secret", "x")));
    let two = |first: &str, second: Value| thing("tags", Value::List(vec![Value::from(first), second]));
    let half = change(Value::Null, two("b", Value::Unknown));
    read!("applied_otherwise", applied(&half, good()));
    let destroy = change(good(), Value::Null);
    read!("destroyed_and_there", applied(&destroy, good()));
}

#[test]
fn validations_that_break_a_rule() {
    let config = thing("size", Value::Unknown);
    let early = Diagnostic::error("Too small", "The size is 1 at least.").at(Path::root().attribute("size"));
    let early = self_check::validate(&schema(), &config, early.into());
    assert!(early.iter().all(|one| one.severity == Severity::Warning));
    read!("validated_too_early", early);
}

#[test]
fn the_handshake() {
    let with = |name: &'static str, content: &'static str| {
        let invited = Invitation::read(move |variable| match variable {
            variable if variable == name => Some(content.to_owned()),
            MAGIC_COOKIE_KEY => Some(MAGIC_COOKIE_VALUE.to_owned()),
            _ => None,
        });
        invited.unwrap_err().to_string()
    };
    insta::assert_snapshot!("not_terraform", with(MAGIC_COOKIE_KEY, ""));
    insta::assert_snapshot!("terraform_is_too_old", with("PLUGIN_PROTOCOL_VERSIONS", "4,5"));
    insta::assert_snapshot!("terraform_without_certificate", with("PLUGIN_CLIENT_CERT", "nonsense"));
}
