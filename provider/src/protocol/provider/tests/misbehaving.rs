//! A resource, a data source and an ephemeral resource that answer whatever they are told to, so that every rule of
//! Terraform can be broken on purpose.

use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use multizone_schema::{Attribute, AttributeKind, Diagnostic, Diagnostics, Mode, Path, Schema, Type, Value};
use tonic::Request;

use super::world::{World, provider};
use super::{said, wire};
use crate::ephemeral::Renewed;
use crate::protocol::catalog::Catalog;
use crate::protocol::codec;
use crate::protocol::lifecycle::Lifecycle;
use crate::protocol::provider::ProviderService;
use crate::protocol::served::{AnyDataSource, AnyEphemeral, AnyOpened, AnyResource, Applied, Change, Plan};
use crate::protocol::wire::tfplugin6::provider_server::Provider as _;
use crate::stop::Stop;

/// What is answered, in every phase alike.
#[derive(Clone, Default)]
struct Script {
    /// The object.
    answer: Option<Value>,
    /// The object of the second plan, where it is another one.
    again: Option<Value>,
    requires_replace: Vec<Path>,
    diagnostics: Diagnostics,
}

/// Follows its script.
struct Liar {
    script: Script,
    asked: Mutex<usize>,
}

impl Liar {
    fn new(script: &Script) -> Self {
        Self {
            script: script.clone(),
            asked: Mutex::default(),
        }
    }

    fn answer(&self) -> Value {
        self.script.answer.clone().unwrap_or(Value::Null)
    }
}

pub(super) fn schema() -> Schema {
    let plain = |name: &str, type_, mode| Attribute::plain(name, type_, mode, "What it is.");
    let rule = vec![
        plain("port", Type::Number, Mode::Required),
        plain("note", Type::String, Mode::Computed),
    ];
    let mut secret = plain("secret", Type::String, Mode::Optional);
    secret.write_only = true;
    Schema {
        version: 0,
        description: "A thing.".into(),
        attributes: vec![
            plain("name", Type::String, Mode::Required),
            plain("size", Type::Number, Mode::Optional),
            plain("tags", Type::list(Type::String), Mode::OptionalComputed),
            plain("id", Type::String, Mode::Computed),
            secret,
            Attribute::new("first", AttributeKind::Single(rule.clone()), Mode::Optional, "First."),
            Attribute::new("rules", AttributeKind::List(rule.clone()), Mode::Optional, "Rules."),
            Attribute::new("zones", AttributeKind::Map(rule.clone()), Mode::Optional, "Zones."),
            Attribute::new("pool", AttributeKind::Set(rule), Mode::Optional, "Pool."),
        ],
    }
}

#[async_trait]
impl AnyResource<World> for Liar {
    fn name(&self) -> &'static str {
        "test_liar"
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn check(&self, _schema: &Schema, _config: &Value) -> Diagnostics {
        self.script.diagnostics.clone()
    }

    fn upgrade(&self, _schema: &Schema, _version: i64, _state: &[u8]) -> Result<Value, Diagnostics> {
        Ok(self.answer())
    }

    async fn plan_change(&self, _schema: &Schema, _provider: Option<&World>, _change: Change) -> Plan {
        let first = std::mem::replace(&mut *self.asked.lock().unwrap(), 1) == 0;
        let planned = self
            .script
            .again
            .clone()
            .filter(|_| !first)
            .unwrap_or_else(|| self.answer());
        Plan {
            planned,
            requires_replace: self.script.requires_replace.clone(),
            private: b"new".to_vec(),
            diagnostics: self.script.diagnostics.clone(),
        }
    }

    async fn read_object(
        &self,
        _schema: &Schema,
        _provider: Option<&World>,
        _state: Value,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<(Value, Vec<u8>), Diagnostics> {
        Ok((self.answer(), private))
    }

    async fn apply_change(
        &self,
        _schema: &Schema,
        _provider: Option<&World>,
        _change: Change,
        _stop: &Stop,
    ) -> Applied {
        Applied {
            state: self.answer(),
            private: b"new".to_vec(),
            diagnostics: self.script.diagnostics.clone(),
        }
    }

    fn identity_schema(&self) -> Schema {
        Schema::default()
    }

    fn identity(&self, _object: &Value) -> Option<Value> {
        None
    }

    fn identity_to_id(&self, _identity: &Value) -> Result<String, Diagnostics> {
        Ok(String::new())
    }

    async fn import_object(
        &self,
        _schema: &Schema,
        _provider: Option<&World>,
        _id: &str,
    ) -> Result<Value, Diagnostics> {
        Ok(self.answer())
    }
}

#[async_trait]
impl AnyDataSource<World> for Liar {
    fn name(&self) -> &'static str {
        "test_liar"
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn check(&self, _schema: &Schema, _config: &Value) -> Diagnostics {
        self.script.diagnostics.clone()
    }

    async fn read_data(
        &self,
        _schema: &Schema,
        _provider: Option<&World>,
        _config: Value,
        _stop: &Stop,
    ) -> Result<Value, Diagnostics> {
        Ok(self.answer())
    }
}

#[async_trait]
impl AnyEphemeral<World> for Liar {
    fn name(&self) -> &'static str {
        "test_liar"
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn check(&self, _schema: &Schema, _config: &Value) -> Diagnostics {
        self.script.diagnostics.clone()
    }

    async fn open_any(
        &self,
        _schema: &Schema,
        _provider: Option<&World>,
        _config: Value,
        _stop: &Stop,
    ) -> Result<AnyOpened, Diagnostics> {
        Ok(AnyOpened {
            result: self.answer(),
            renew_at: None::<Timestamp>,
            private: Vec::new(),
        })
    }

    async fn renew_any(&self, _provider: Option<&World>, private: Vec<u8>) -> Result<Renewed, Diagnostics> {
        Ok(Renewed {
            renew_at: None,
            private,
        })
    }

    async fn close_any(&self, _provider: Option<&World>, _private: Vec<u8>) -> Result<Diagnostics, Diagnostics> {
        Ok(Diagnostics::new())
    }
}

impl Script {
    fn service(&self) -> ProviderService<World> {
        let catalog = Catalog::new(provider(World::default()))
            .with_resources(vec![Box::new(Liar::new(self))])
            .with_data_sources(vec![Box::new(Liar::new(self))])
            .with_ephemeral_resources(vec![Box::new(Liar::new(self))]);
        ProviderService::new(catalog, Lifecycle::new())
    }

    async fn plan(&self, prior: &Value, config: &Value) -> Told {
        let request = wire::plan_resource_change::Request {
            type_name: "test_liar".into(),
            prior_state: sent(prior),
            proposed_new_state: sent(config),
            config: sent(config),
            prior_private: b"old".to_vec(),
            ..Default::default()
        };
        let response = self
            .service()
            .plan_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(
            response.planned_state.as_ref(),
            response.planned_private,
            response.diagnostics,
        )
    }

    async fn apply(&self, prior: &Value, planned: &Value) -> Told {
        let request = wire::apply_resource_change::Request {
            type_name: "test_liar".into(),
            prior_state: sent(prior),
            planned_state: sent(planned),
            config: sent(planned),
            planned_private: b"old".to_vec(),
            ..Default::default()
        };
        let response = self
            .service()
            .apply_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(response.new_state.as_ref(), response.private, response.diagnostics)
    }

    async fn read(&self, state: &Value) -> Told {
        let request = wire::read_resource::Request {
            type_name: "test_liar".into(),
            current_state: sent(state),
            private: b"old".to_vec(),
            ..Default::default()
        };
        let response = self
            .service()
            .read_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(response.new_state.as_ref(), response.private, response.diagnostics)
    }

    async fn import(&self) -> Told {
        let request = wire::import_resource_state::Request {
            type_name: "test_liar".into(),
            id: "x".into(),
            ..Default::default()
        };
        let response = self
            .service()
            .import_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        let state = response
            .imported_resources
            .first()
            .and_then(|imported| imported.state.as_ref());
        Told::new(state, Vec::new(), response.diagnostics)
    }

    async fn upgrade(&self) -> Told {
        let request = wire::upgrade_resource_state::Request {
            type_name: "test_liar".into(),
            version: 0,
            raw_state: Some(wire::RawState {
                json: b"{}".to_vec(),
                ..Default::default()
            }),
        };
        let response = self
            .service()
            .upgrade_resource_state(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(response.upgraded_state.as_ref(), Vec::new(), response.diagnostics)
    }

    async fn data_source(&self) -> Told {
        let request = wire::read_data_source::Request {
            type_name: "test_liar".into(),
            config: sent(&config()),
            ..Default::default()
        };
        let response = self
            .service()
            .read_data_source(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(response.state.as_ref(), Vec::new(), response.diagnostics)
    }

    async fn ephemeral(&self) -> Told {
        let request = wire::open_ephemeral_resource::Request {
            type_name: "test_liar".into(),
            config: sent(&config()),
            ..Default::default()
        };
        let response = self
            .service()
            .open_ephemeral_resource(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Told::new(response.result.as_ref(), Vec::new(), response.diagnostics)
    }

    async fn validate(&self, config: &Value) -> Vec<wire::Diagnostic> {
        let request = wire::validate_resource_config::Request {
            type_name: "test_liar".into(),
            config: sent(config),
        };
        self.service()
            .validate_resource_config(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics
    }

    /// What every phase that must give an object back says to this one.
    async fn everywhere_else(&self) -> Vec<(&'static str, Told)> {
        vec![
            ("apply", self.apply(&Value::Null, &planned()).await),
            ("read", self.read(&state()).await),
            ("import", self.import().await),
            ("upgrade", self.upgrade().await),
            ("data source", self.data_source().await),
            ("ephemeral resource", self.ephemeral().await),
        ]
    }
}

/// An answer as Terraform gets it.
#[derive(Debug)]
struct Told {
    value: Value,
    private: Vec<u8>,
    diagnostics: Vec<wire::Diagnostic>,
}

impl Told {
    fn new(value: Option<&wire::DynamicValue>, private: Vec<u8>, diagnostics: Vec<wire::Diagnostic>) -> Self {
        Self {
            value: codec::decode(value, &schema().type_()).unwrap(),
            private,
            diagnostics,
        }
    }

    /// It is one error, about this attribute, for this reason.
    #[track_caller]
    fn refused(&self, attribute: &str, reason: &str) {
        assert_eq!(
            said(&self.diagnostics),
            ["E: The provider broke a rule of Terraform"],
            "{self:?}"
        );
        let told = &self.diagnostics[0];
        let place = format!("answer for {attribute} would be rejected");
        assert!(attribute.is_empty() || told.detail.contains(&place), "{}", told.detail);
        assert!(told.detail.contains(reason), "{}", told.detail);
        assert_eq!(attribute.is_empty(), told.attribute.is_none());
    }
}

#[allow(clippy::unnecessary_wraps)] // Messages are optional in every request.
fn sent(value: &Value) -> Option<wire::DynamicValue> {
    Some(codec::encode(value, &schema().type_()).unwrap())
}

fn rule(port: i64, note: impl Into<Value>) -> Value {
    Value::object([("port", Value::from(port)), ("note", note.into())])
}

fn object(note: &Value, id: impl Into<Value>) -> Value {
    let rule = |port| rule(port, note.clone());
    Value::object([
        ("name", Value::from("a")),
        ("size", Value::Null),
        ("tags", Value::Null),
        ("id", id.into()),
        ("secret", Value::Null),
        ("first", rule(1)),
        ("rules", Value::list([rule(1), rule(2)])),
        ("zones", Value::map([("x", rule(1)), ("y", rule(2))])),
        ("pool", Value::set([rule(1), rule(2)])),
    ])
}

fn config() -> Value {
    object(&Value::Null, Value::Null)
}

fn planned() -> Value {
    object(&Value::Unknown, Value::Unknown)
}

fn state() -> Value {
    object(&Value::from("n"), "id-a")
}

/// The object with another value for one attribute.
fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    super::with(object, name, value)
}

fn answers(answer: Value) -> Script {
    Script {
        answer: Some(answer),
        ..Script::default()
    }
}

#[tokio::test]
async fn what_keeps_the_rules_passes() {
    let told = answers(planned()).plan(&Value::Null, &config()).await;
    assert_eq!((told.value, told.diagnostics.len()), (planned(), 0));
    assert_eq!(told.private, b"new");
    let told = answers(state()).apply(&Value::Null, &planned()).await;
    assert_eq!((told.value, told.diagnostics.len()), (state(), 0));
    for (phase, told) in answers(state()).everywhere_else().await {
        assert_eq!(told.diagnostics, [], "{phase}");
    }
    let gone = answers(Value::Null).read(&state()).await;
    assert_eq!((gone.value, gone.diagnostics.len()), (Value::Null, 0));
    let destroyed = answers(Value::Null).plan(&state(), &Value::Null).await;
    assert_eq!((destroyed.value, destroyed.diagnostics.len()), (Value::Null, 0));
}

#[tokio::test]
async fn every_answer_has_the_shape_of_the_schema() {
    let mut short = state().as_object().unwrap().clone();
    short.remove("size");
    let broken = [
        (
            with(&state(), "size", "x"),
            "size",
            "wants number, but the answer holds a string",
        ),
        (with(&state(), "extra", "x"), "extra", "no such attribute"),
        (Value::Object(short), "size", "leaves the attribute out"),
        (with(&state(), "tags", Value::set([])), "tags", "the answer holds a set"),
        (
            with(&state(), "tags", Value::list([Value::from(true)])),
            "tags[0]",
            "wants string, but the answer holds a bool",
        ),
        (
            with(&state(), "rules", Value::list([rule(1, "n"), rule(2, true)])),
            "rules[1].note",
            "holds a bool",
        ),
        (
            with(&state(), "zones", Value::map([("x", Value::from("y"))])),
            r#"zones["x"]"#,
            "wants an object, but the answer holds a string",
        ),
    ];
    for (answer, attribute, reason) in broken {
        let script = answers(answer);
        script.plan(&Value::Null, &config()).await.refused(attribute, reason);
        for (_, told) in script.everywhere_else().await {
            told.refused(attribute, reason);
        }
    }
}

#[tokio::test]
async fn a_write_only_value_is_in_no_answer() {
    let script = answers(with(&state(), "secret", "hunter2"));
    script
        .plan(&Value::Null, &config())
        .await
        .refused("secret", "write-only");
    for (phase, told) in script.everywhere_else().await {
        if phase == "apply" {
            // The object is there: it is not to be lost over this.
            assert_eq!(told.value, state());
            assert_eq!(said(&told.diagnostics), ["W: Applied, but not as planned"]);
        } else {
            told.refused("secret", "write-only");
        }
        assert!(!format!("{told:?}").contains("hunter2"), "{phase}");
    }
}

#[tokio::test]
async fn unknown_values_are_for_plans() {
    let script = answers(with(
        &state(),
        "rules",
        Value::list([rule(1, "n"), rule(2, Value::Unknown)]),
    ));
    for (_, told) in script.everywhere_else().await {
        told.refused("rules[1].note", "is unknown, but must be known by now");
    }
    answers(Value::Unknown)
        .plan(&Value::Null, &config())
        .await
        .refused("", "an unknown value");
}

#[tokio::test]
async fn where_an_object_is_needed_null_is_none() {
    let script = answers(Value::Null);
    script
        .plan(&Value::Null, &config())
        .await
        .refused("", "no object in the answer");
    for (phase, told) in script.everywhere_else().await {
        if phase != "read" {
            told.refused("", "no object in the answer");
        }
    }
    // An update that loses its object keeps what was there.
    let told = script.apply(&state(), &with(&state(), "size", 2)).await;
    told.refused("", "no object in the answer");
    assert_eq!((told.value, told.private), (state(), b"old".to_vec()));
}

#[tokio::test]
async fn where_no_object_can_be_none_is_accepted() {
    let script = answers(state());
    let told = script.plan(&state(), &Value::Null).await;
    told.refused("", "an object in the answer where there can be none");
    assert_eq!((told.value, told.private), (state(), b"old".to_vec()));
    let told = script.apply(&state(), &Value::Null).await;
    told.refused("", "an object in the answer where there can be none");
    assert_eq!(told.value, state());
    script
        .read(&Value::Null)
        .await
        .refused("", "an object in the answer where there can be none");
}

#[tokio::test]
async fn what_is_configured_is_planned_or_what_was_there() {
    let neither = "neither the configured one nor the one that was there before";
    let broken = [
        ("name", Value::from("b"), "name", neither),
        ("name", Value::Unknown, "name", neither),
        ("name", Value::Null, "name", neither),
        ("first", rule(7, Value::Unknown), "first.port", neither),
        ("first", Value::Unknown, "first", neither),
        ("first", Value::Null, "first", neither),
        (
            "rules",
            Value::list([rule(1, "n"), rule(7, "n")]),
            "rules[1].port",
            neither,
        ),
        (
            "rules",
            Value::list([rule(1, "n"), Value::Unknown]),
            "rules[1]",
            neither,
        ),
        (
            "zones",
            Value::map([("x", rule(1, "n")), ("y", rule(7, "n"))]),
            r#"zones["y"].port"#,
            neither,
        ),
        (
            "zones",
            Value::map([("x", rule(1, "n")), ("z", rule(2, "n"))]),
            r#"zones["y"]"#,
            neither,
        ),
        (
            "rules",
            Value::list([rule(1, "n")]),
            "rules",
            "elements: 1 planned, 2 configured",
        ),
        (
            "zones",
            Value::map::<&str>([]),
            "zones",
            "elements: 0 planned, 2 configured",
        ),
        (
            "pool",
            Value::set([rule(1, "n")]),
            "pool",
            "elements: 1 planned, 2 configured",
        ),
        (
            "size",
            Value::from(3),
            "size",
            "none is configured and the attribute is not computed",
        ),
        (
            "size",
            Value::Unknown,
            "size",
            "none is configured and the attribute is not computed",
        ),
    ];
    for (name, value, attribute, reason) in broken {
        let script = answers(with(&planned(), name, value.clone()));
        let told = script.plan(&Value::Null, &config()).await;
        told.refused(attribute, reason);
        assert_eq!(told.value, Value::Null);
        if value.is_wholly_known() {
            answers(with(&state(), name, value))
                .ephemeral()
                .await
                .refused(attribute, reason);
        }
    }
    // What was there before may stay where the configuration only writes it in another way.
    let prior = with(&state(), "name", "A");
    let told = answers(prior.clone()).plan(&prior, &config()).await;
    assert_eq!((told.value, told.diagnostics.len()), (prior, 0));
}

#[tokio::test]
async fn paths_that_require_replacement_exist() {
    let script = |path: Path| Script {
        requires_replace: vec![path],
        ..answers(with(&state(), "size", 2))
    };
    let config = with(&config(), "size", 2);
    let nowhere = "neither in the plan nor in the state";
    script("sizes".into())
        .plan(&state(), &config)
        .await
        .refused("sizes", nowhere);
    let deep = Path::from("zones").key("z").attribute("port");
    script(deep)
        .plan(&state(), &config)
        .await
        .refused(r#"zones["z"].port"#, nowhere);
    script(Path::root()).plan(&state(), &config).await.refused("", nowhere);
    let told = script(Path::from("zones").key("x").attribute("port"))
        .plan(&state(), &config)
        .await;
    assert_eq!(told.diagnostics, []);
}

#[tokio::test]
async fn a_plan_made_twice_is_the_same() {
    let first = with(&planned(), "id", "made at 12:00");
    let script = Script {
        again: Some(with(&planned(), "id", "made at 12:01")),
        ..answers(first.clone())
    };
    let told = script.plan(&Value::Null, &config()).await;
    told.refused("id", "another one when the same change is planned once more");
    assert_eq!((told.value, told.private), (Value::Null, b"old".to_vec()));
    let script = Script {
        again: Some(planned()),
        ..answers(first)
    };
    script
        .plan(&Value::Null, &config())
        .await
        .refused("id", "planned once more");
    // What was unknown may become known.
    let script = Script {
        again: Some(state()),
        ..answers(planned())
    };
    assert_eq!(script.plan(&Value::Null, &config()).await.diagnostics, []);
}

#[tokio::test]
async fn a_refused_plan_need_not_be_right() {
    let script = Script {
        diagnostics: Diagnostic::error("No", "Not so.").into(),
        ..answers(with(&state(), "extra", "x"))
    };
    let told = script.plan(&state(), &with(&config(), "size", 2)).await;
    assert_eq!(
        (told.value, said(&told.diagnostics)),
        (state(), vec!["E: No".to_owned()])
    );
}

#[tokio::test]
async fn what_was_planned_comes_back() {
    let mended = [
        ("name", Value::from("b"), "name"),
        ("size", Value::from(3), "size"),
        ("tags", Value::list([Value::from("t")]), "tags"),
        (
            "zones",
            Value::map([("x", rule(7, "n")), ("y", rule(2, "n"))]),
            r#"zones["x"].port"#,
        ),
        ("rules", Value::list([rule(1, "n"), rule(7, "n")]), "rules[1].port"),
    ];
    for (name, value, attribute) in mended {
        let told = answers(with(&state(), name, value))
            .apply(&Value::Null, &planned())
            .await;
        assert_eq!(told.value, state());
        assert_eq!(said(&told.diagnostics), ["W: Applied, but not as planned"]);
        assert!(
            told.diagnostics[0].detail.contains(attribute),
            "{}",
            told.diagnostics[0].detail
        );
    }
    // Where elements are unknown, there is nothing to put back.
    let not_planned = "another one than was planned";
    for (name, value) in [
        ("rules", Value::list([rule(1, "n")])),
        ("zones", Value::map([("x", rule(1, "n"))])),
        ("first", Value::Null),
        ("pool", Value::set([rule(1, "n"), rule(2, "n"), rule(3, "n")])),
    ] {
        let script = answers(with(&state(), name, value.clone()));
        let told = script.apply(&Value::Null, &planned()).await;
        told.refused(name, not_planned);
        // With a state, the object would be destroyed by the next apply; without, that apply continues it.
        assert_eq!(told.value, Value::Null);
        let told = script.apply(&state(), &planned()).await;
        told.refused(name, not_planned);
        assert_eq!(told.value, with(&state(), name, value));
    }
}

#[tokio::test]
async fn a_failed_apply_keeps_the_state_it_reached() {
    let half = with(&state(), "name", "half");
    let script = Script {
        diagnostics: Diagnostic::error("No", "Not so.").into(),
        ..answers(half.clone())
    };
    let told = script.apply(&state(), &planned()).await;
    assert_eq!((told.value, said(&told.diagnostics)), (half, vec!["E: No".to_owned()]));
}

#[tokio::test]
async fn nothing_is_refused_before_it_is_known() {
    let script = |path: Path| Script {
        diagnostics: Diagnostic::error("Bad", "Choose another.").at(path).into(),
        ..Script::default()
    };
    let unknown = with(&config(), "zones", Value::Unknown);
    let early = script(Path::from("zones").key("x").attribute("port"))
        .validate(&unknown)
        .await;
    assert_eq!(said(&early), ["W: Bad"]);
    assert!(early[0].detail.contains("known only after apply"));
    assert_eq!(said(&script("zones".into()).validate(&config()).await), ["E: Bad"]);
}

#[tokio::test]
async fn a_diagnostic_points_at_what_exists() {
    let script = |path: Path| Script {
        diagnostics: Diagnostic::error("Bad", "Choose another.").at(path).into(),
        ..Script::default()
    };
    let told = script(Path::from("zones").key("x").attribute("prot"))
        .validate(&config())
        .await;
    assert_eq!(told[0].attribute.as_ref().unwrap().steps.len(), 2);
    assert_eq!(told[0].detail, r#"At zones["x"].prot: Choose another."#);
    let told = script("zoen".into()).validate(&config()).await;
    assert_eq!(
        (told[0].attribute.clone(), told[0].detail.as_str()),
        (None, "At zoen: Choose another.")
    );
}

#[tokio::test]
async fn a_move_answers_with_no_object() {
    let request = wire::move_resource_state::Request {
        target_type_name: "test_liar".into(),
        ..Default::default()
    };
    let response = answers(state())
        .service()
        .move_resource_state(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert!(response.target_state.is_none() && !response.diagnostics.is_empty());
}

#[test]
fn there_are_no_blocks_that_could_be_null() {
    let service = Script::default().service();
    let catalog = &service.shared.catalog;
    assert_eq!(
        codec::schema(&catalog.resources["test_liar"].schema)
            .block
            .unwrap()
            .block_types,
        []
    );
    assert_eq!(schema().check(), Vec::<String>::new());
}
