//! Requests from somebody who means harm, to everything that this provider serves: each gets an answer, nothing panics,
//! and what does not fit is refused by an error that says so.

use std::collections::BTreeMap;

use multizone_schema::{Attribute, Mode, Number, Schema, Type, Value};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseError, TestRunner};
use prost::Message;
use tonic::Request;

use super::wire;
use crate::configuration::Configured;
use crate::protocol::catalog::Catalog;
use crate::protocol::codec;
use crate::protocol::lifecycle::Lifecycle;
use crate::protocol::provider::ProviderService;
use crate::protocol::wire::tfplugin6::provider_server::Provider as _;
use crate::resources::memory_cloud::MemoryCloud;

/// Texts that a configuration may hold, and those that nobody would write.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "main",
    "us-central1-a",
    "europe-west1",
    "n1-standard-2",
    "1.34.1",
    "1.34",
    "v1.34.1",
    "99999999999999999999.1.1",
    "10m",
    "-1h",
    "9999999999999999h",
    "10.0.0.0/16",
    "10.0.0.1/33",
    "::/0",
    "300.0.0.0/8",
    "pd-ssd",
    "key=value:NoSchedule",
    "../../etc/passwd",
    "sandbox/us-central1/main/a",
    "////",
    "---\nkind: [",
    "a: &a [*a, *a]",
    "\u{0}",
    "\u{202e}\u{1f9a0}",
    "ß\u{301}",
    "x.y/z",
    "${jndi:x}",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(TEXTS).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (1..2000_usize).prop_map(|length| "x".repeat(length)),
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        (-2..40_i64).prop_map(Number::from),
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("a number", Number::exact),
        prop::sample::select(vec!["1e4000", "-1e-4000", "0.1", "9223372036854775808"])
            .prop_map(|text| text.parse().unwrap()),
    ]
}

/// A value of this type, null and unknown ones included wherever they can be.
fn value(type_: &Type) -> BoxedStrategy<Value> {
    let known: BoxedStrategy<Value> = match type_ {
        Type::String => text().prop_map(Value::from).boxed(),
        Type::Number => number().prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Dynamic => text()
            .prop_map(|text| Value::Dynamic(Type::String, Box::new(Value::from(text))))
            .boxed(),
        Type::List(element) => prop::collection::vec(value(element), 0..4)
            .prop_map(Value::List)
            .boxed(),
        Type::Set(element) => prop::collection::vec(value(element), 0..4).prop_map(Value::set).boxed(),
        Type::Map(element) => prop::collection::btree_map(text(), value(element), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        Type::Tuple(members) => members
            .iter()
            .map(value)
            .collect::<Vec<_>>()
            .prop_map(Value::Tuple)
            .boxed(),
        Type::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            let values: Vec<_> = members.values().map(value).collect();
            values
                .prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
    };
    prop_oneof![10 => known, 1 => Just(Value::Null), 1 => Just(Value::Unknown)].boxed()
}

/// What one round asks with.
#[derive(Clone, Debug)]
struct Ask {
    name: String,
    prior: wire::DynamicValue,
    config: wire::DynamicValue,
    state: Vec<u8>,
    version: i64,
    private: Vec<u8>,
    text: String,
    /// The values are of the schema's type.
    fits: bool,
}

fn msgpack(msgpack: Vec<u8>) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack,
        json: Vec::new(),
    }
}

/// Bytes with a few of them changed.
fn damaged(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (bytes, prop::collection::vec(change, 1..6)).prop_map(|(mut bytes, changes)| {
        for (at, byte, kind) in changes {
            let length = bytes.len();
            match kind {
                0 => bytes.insert(at.index(length + 1), byte),
                _ if length == 0 => {}
                1 => bytes[at.index(length)] = byte,
                _ => drop(bytes.remove(at.index(length))),
            }
        }
        bytes
    })
}

/// A value for a schema: one that fits, or one that need not.
fn dynamic(type_: &Type, fits: bool) -> BoxedStrategy<wire::DynamicValue> {
    let type_ = type_.clone();
    let good = value(&type_).prop_map(move |value| value.to_msgpack(&type_).unwrap());
    if fits {
        return good.prop_map(msgpack).boxed();
    }
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        4 => damaged(good).prop_map(msgpack),
        1 => bytes().prop_map(msgpack),
        1 => bytes().prop_map(|json| wire::DynamicValue { msgpack: Vec::new(), json }),
        1 => text().prop_map(|text| wire::DynamicValue {
            msgpack: Vec::new(),
            json: Value::from(text).to_json(&Type::String).unwrap(),
        }),
    ]
    .boxed()
}

/// A stored state: what it was, damaged, or anything else.
fn stored(type_: &Type) -> BoxedStrategy<Vec<u8>> {
    let type_ = type_.clone();
    let good = value(&type_).prop_map(move |value| value.to_json(&type_).unwrap_or_else(|_| b"null".to_vec()));
    let good = good.boxed();
    prop_oneof![
        2 => good.clone(),
        3 => damaged(good),
        1 => prop::collection::vec(any::<u8>(), 0..100),
        1 => (1..5000_usize).prop_map(|depth| b"[".repeat(depth)),
        1 => (1..5000_usize).prop_map(|depth| br#"{"timeouts":"#.repeat(depth)),
    ]
    .boxed()
}

fn ask(schemas: &BTreeMap<String, Schema>) -> impl Strategy<Value = Ask> {
    let of_schema: Vec<_> = schemas
        .iter()
        .map(|(name, schema)| (name.clone(), schema.type_()))
        .collect();
    (prop::sample::select(of_schema), any::<bool>()).prop_flat_map(|((name, type_), fits)| {
        (
            Just(name),
            dynamic(&type_, fits),
            dynamic(&type_, fits),
            stored(&type_),
            prop_oneof![Just(0), -1..3_i64, any::<i64>()],
            prop::collection::vec(any::<u8>(), 0..40),
            text(),
        )
            .prop_map(move |(name, prior, config, state, version, private, text)| Ask {
                name,
                prior,
                config,
                state,
                version,
                private,
                text,
                fits,
            })
    })
}

/// The provider under attack.
struct Target {
    service: ProviderService<Configured>,
    runtime: tokio::runtime::Runtime,
}

impl Target {
    /// One that is not configured: only what is pure can be reached, and no cloud.
    fn new() -> Self {
        Self {
            service: ProviderService::new(Catalog::multizone(), Lifecycle::new()),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    /// One with an empty region.
    fn configured() -> Self {
        let target = Self::new();
        let (_, provider) = MemoryCloud::region();
        *target.service.shared.configured.write().unwrap() = Some(provider);
        target
    }

    fn catalog(&self) -> &Catalog<Configured> {
        &self.service.shared.catalog
    }

    /// The schemas of everything that is served.
    fn schemas(&self) -> BTreeMap<String, Schema> {
        let catalog = self.catalog();
        let resources = catalog.resources.iter().map(|(name, entry)| (name, &entry.schema));
        let sources = catalog.data_sources.iter().map(|(name, entry)| (name, &entry.schema));
        let ephemeral = catalog
            .ephemeral_resources
            .iter()
            .map(|(name, entry)| (name, &entry.schema));
        let all = resources.chain(sources).chain(ephemeral);
        all.map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect()
    }

    fn run<T: std::fmt::Debug>(
        &self,
        cases: u32,
        strategy: impl Strategy<Value = T>,
        test: impl Fn(&Self, T) -> Result<(), TestCaseError>,
    ) {
        let config = ProptestConfig {
            cases,
            // Whatever is found is added there, and tried first from then on.
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
                "src/protocol/provider/tests/hostile_regressions.txt",
            ))),
            ..ProptestConfig::default()
        };
        TestRunner::new(config)
            .run(&strategy, |input| test(self, input))
            .unwrap();
    }
}

/// Calls RPCs, and gives what each has to say.
macro_rules! call {
    ($target:expr, $($rpc:ident $request:expr),* $(,)?) => {
        vec![$({
            let response = $target.runtime.block_on($target.service.$rpc(Request::new($request)));
            (stringify!($rpc), response.unwrap().into_inner().diagnostics)
        }),*]
    };
}

/// A panic would have become this diagnostic.
fn survived(rpc: &str, said: &[wire::Diagnostic]) -> Result<(), TestCaseError> {
    for diagnostic in said {
        prop_assert_ne!(
            &diagnostic.summary,
            "The provider made an error of its own",
            "{}: {}",
            rpc,
            diagnostic.detail
        );
        prop_assert!(
            diagnostic.detail.len() < 20_000,
            "{}: {} letters",
            rpc,
            diagnostic.detail.len()
        );
    }
    Ok(())
}

fn is_misfit(diagnostic: &wire::Diagnostic) -> bool {
    diagnostic.summary == "Terraform sent a value that does not fit the schema"
}

fn everything(target: &Target, ask: &Ask) -> Vec<(&'static str, Vec<wire::Diagnostic>)> {
    let Ask {
        name,
        prior,
        config,
        private,
        ..
    } = ask.clone();
    let (type_name, prior, config) = (
        move || name.clone(),
        move || Some(prior.clone()),
        move || Some(config.clone()),
    );
    call!(target,
        validate_resource_config wire::validate_resource_config::Request { type_name: type_name(), config: config() },
        upgrade_resource_state wire::upgrade_resource_state::Request {
            type_name: type_name(),
            version: ask.version,
            raw_state: Some(wire::RawState { json: ask.state.clone(), ..Default::default() }),
        },
        read_resource wire::read_resource::Request {
            type_name: type_name(),
            current_state: config(),
            private: private.clone(),
            ..Default::default()
        },
        plan_resource_change wire::plan_resource_change::Request {
            type_name: type_name(),
            prior_state: prior(),
            proposed_new_state: config(),
            config: config(),
            prior_private: private.clone(),
            ..Default::default()
        },
        apply_resource_change wire::apply_resource_change::Request {
            type_name: type_name(),
            prior_state: prior(),
            planned_state: config(),
            config: config(),
            planned_private: private.clone(),
            ..Default::default()
        },
        import_resource_state wire::import_resource_state::Request {
            type_name: type_name(),
            id: ask.text.clone(),
            ..Default::default()
        },
        move_resource_state wire::move_resource_state::Request {
            target_type_name: type_name(),
            source_type_name: ask.text.clone(),
            source_state: Some(wire::RawState { json: ask.state.clone(), ..Default::default() }),
            ..Default::default()
        },
        upgrade_resource_identity wire::upgrade_resource_identity::Request {
            type_name: type_name(),
            version: ask.version,
            raw_identity: ask.state.clone(),
        },
        validate_data_resource_config wire::validate_data_resource_config::Request {
            type_name: type_name(),
            config: config(),
        },
        read_data_source wire::read_data_source::Request {
            type_name: type_name(),
            config: config(),
            ..Default::default()
        },
        validate_ephemeral_resource_config wire::validate_ephemeral_resource_config::Request {
            type_name: type_name(),
            config: config(),
        },
        open_ephemeral_resource wire::open_ephemeral_resource::Request {
            type_name: type_name(),
            config: config(),
            ..Default::default()
        },
        renew_ephemeral_resource wire::renew_ephemeral_resource::Request {
            type_name: type_name(),
            private: Some(private.clone()),
        },
        close_ephemeral_resource wire::close_ephemeral_resource::Request {
            type_name: type_name(),
            private: Some(private.clone()),
        },
        validate_provider_config wire::validate_provider_config::Request { config: config() },
    )
}

#[test]
fn values_of_every_kind_are_answered() {
    let target = Target::new();
    let schemas = target.schemas();
    target.run(300, ask(&schemas), |target, ask| {
        for (rpc, said) in everything(target, &ask) {
            survived(rpc, &said)?;
            let other_schema = rpc == "validate_provider_config";
            prop_assert!(
                !ask.fits || other_schema || !said.iter().any(is_misfit),
                "{}: {:?}",
                rpc,
                said
            );
            if rpc == "validate_resource_config" && target.catalog().resources.contains_key(ask.name.as_str()) {
                // What cannot be read is refused, and the error says what is wrong with it.
                let entry = &target.catalog().resources[ask.name.as_str()];
                let misfit = codec::decode(Some(&ask.config), &entry.type_).is_err();
                prop_assert_eq!(said.iter().any(is_misfit), misfit);
            }
        }
        Ok(())
    });
}

/// The configuration without what only the provider sets, if it can be read, and whether it is a valid one.
fn configuration(target: &Target, ask: &Ask) -> (wire::DynamicValue, bool) {
    let entry = &target.catalog().resources[ask.name.as_str()];
    let Ok(config) = codec::decode(Some(&ask.config), &entry.type_) else {
        return (ask.config.clone(), false);
    };
    let config = configured(&entry.schema.attributes, config);
    let refused = entry.object.check(&entry.schema, &config).has_errors();
    let complete = complete_in(&entry.schema.attributes, &config);
    let valid = config.as_object().is_some() && complete && !refused;
    (msgpack(config.to_msgpack(&entry.type_).unwrap()), valid)
}

/// Whether everything is there that has to be.
fn complete_in(attributes: &[Attribute], config: &Value) -> bool {
    let Value::Object(object) = config else { return true };
    attributes.iter().all(|attribute| {
        let value = &object[&attribute.name];
        let inner = attribute.kind.nested().unwrap_or_default();
        let elements = value.as_elements().unwrap_or_default();
        let mut elements = elements
            .iter()
            .chain(value.as_map().into_iter().flat_map(BTreeMap::values));
        !(attribute.mode.is_required() && value.is_null())
            && complete_in(inner, value)
            && elements.all(|element| complete_in(inner, element))
    })
}

/// The object with nothing in place of what only the provider sets.
fn configured(attributes: &[Attribute], config: Value) -> Value {
    let Value::Object(mut object) = config else {
        return config;
    };
    for attribute in attributes {
        let value = object.get_mut(&attribute.name).unwrap();
        let given = std::mem::replace(value, Value::Null);
        if attribute.mode == Mode::Computed {
            continue;
        }
        let inner = attribute.kind.nested().unwrap_or_default();
        *value = match given {
            Value::List(elements) => {
                Value::List(elements.into_iter().map(|element| configured(inner, element)).collect())
            }
            Value::Set(elements) => Value::set(elements.into_iter().map(|element| configured(inner, element))),
            Value::Map(elements) => Value::Map(
                elements
                    .into_iter()
                    .map(|(key, element)| (key, configured(inner, element)))
                    .collect(),
            ),
            other => configured(inner, other),
        };
    }
    Value::Object(object)
}

#[test]
fn plans_and_imports_in_a_region_are_answered() {
    let target = Target::configured();
    let resources: BTreeMap<String, Schema> = target
        .catalog()
        .resources
        .iter()
        .map(|(name, entry)| ((*name).to_owned(), entry.schema.clone()))
        .collect();
    target.run(400, (ask(&resources), 0..3), |target, (ask, kind)| {
        let null = || msgpack(vec![0xc0]);
        let (config, valid) = configuration(target, &ask);
        let ask = Ask { config, ..ask };
        // A create, a destroy, an update.
        let (prior, config) = match kind {
            0 => (null(), ask.config.clone()),
            1 => (ask.prior.clone(), null()),
            _ => (ask.prior.clone(), ask.config.clone()),
        };
        let plan = wire::plan_resource_change::Request {
            type_name: ask.name.clone(),
            prior_state: Some(prior),
            proposed_new_state: Some(config.clone()),
            config: Some(config),
            prior_private: ask.private.clone(),
            ..Default::default()
        };
        let import = wire::import_resource_state::Request {
            type_name: ask.name.clone(),
            id: ask.text.clone(),
            ..Default::default()
        };
        for (rpc, said) in call!(target, plan_resource_change plan, import_resource_state import) {
            survived(rpc, &said)?;
            // What Terraform could ask is answered by its rules.
            let broken = said
                .iter()
                .find(|said| said.summary == "The provider broke a rule of Terraform");
            prop_assert!(!valid || broken.is_none(), "{}: {:?}", rpc, broken);
        }
        Ok(())
    });
}

#[test]
fn provider_blocks_of_every_kind_are_answered() {
    let target = Target::new();
    let type_ = target.catalog().provider.type_.clone();
    let block = any::<bool>().prop_flat_map({
        let type_ = type_.clone();
        move |fits| dynamic(&type_, fits)
    });
    target.run(300, block, |target, config| {
        let request = wire::validate_provider_config::Request {
            config: Some(config.clone()),
        };
        for (rpc, said) in call!(target, validate_provider_config request) {
            survived(rpc, &said)?;
        }
        // A good one would start a sandbox, or look for a cloud.
        let readable = codec::decode(Some(&config), &type_);
        if readable.is_err() {
            let request = wire::configure_provider::Request {
                config: Some(config),
                ..Default::default()
            };
            for (rpc, said) in call!(target, configure_provider request) {
                survived(rpc, &said)?;
                prop_assert!(said.iter().any(is_misfit));
            }
        }
        Ok(())
    });
}

#[test]
fn arguments_of_every_kind_are_answered() {
    let target = Target::new();
    let parameters: Vec<(String, Vec<Type>)> = target
        .catalog()
        .functions
        .iter()
        .map(|(name, entry)| {
            let types = entry
                .definition
                .parameters
                .iter()
                .map(|parameter| parameter.r#type.clone());
            ((*name).to_owned(), types.collect())
        })
        .collect();
    let call =
        (prop::sample::select(parameters), any::<bool>(), 0..3_usize).prop_flat_map(|((name, types), fits, extra)| {
            let types = types.into_iter().chain(std::iter::repeat_n(Type::String, extra));
            let arguments: Vec<_> = types.map(|type_| dynamic(&type_, fits)).collect();
            (Just(name), arguments)
        });
    target.run(400, call, |target, (name, arguments)| {
        let request = wire::call_function::Request { name, arguments };
        let response = target
            .runtime
            .block_on(target.service.call_function(Request::new(request)));
        let response = response.unwrap().into_inner();
        prop_assert_ne!(response.result.is_some(), response.error.is_some());
        let error = response.error.map(|error| error.text).unwrap_or_default();
        prop_assert!(!error.contains("an error of its own"), "{}", error);
        Ok(())
    });
}

/// Damages each request on the wire, and sends what can still be read.
macro_rules! damaged_requests {
    ($($rpc:ident),* $(,)?) => {
        #[test]
        fn damaged_messages_are_answered() {
            let target = Target::new();
            let schemas = target.schemas();
            let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
            target.run(200, (ask(&schemas), damage), |target, (ask, damage)| {
                $({
                    let mut bytes = complete::$rpc(&ask).encode_to_vec();
                    for (at, byte) in &damage {
                        let at = at.index(bytes.len());
                        bytes[at] = *byte;
                    }
                    if let Ok(request) = wire::$rpc::Request::decode(bytes.as_slice()) {
                        for (rpc, said) in call!(target, $rpc request) {
                            survived(rpc, &said)?;
                        }
                    }
                })*
                Ok(())
            });
        }
    };
}

damaged_requests!(
    validate_resource_config,
    upgrade_resource_state,
    read_resource,
    plan_resource_change,
    apply_resource_change,
    import_resource_state,
    move_resource_state,
    read_data_source,
    open_ephemeral_resource,
);

mod complete {
    //! Requests with every field filled in.

    use super::{Ask, wire};

    pub(super) fn validate_resource_config(ask: &Ask) -> wire::validate_resource_config::Request {
        wire::validate_resource_config::Request {
            type_name: ask.name.clone(),
            config: Some(ask.config.clone()),
        }
    }

    pub(super) fn upgrade_resource_state(ask: &Ask) -> wire::upgrade_resource_state::Request {
        wire::upgrade_resource_state::Request {
            type_name: ask.name.clone(),
            version: ask.version,
            raw_state: Some(wire::RawState {
                json: ask.state.clone(),
                flatmap: std::iter::once((ask.text.clone(), ask.text.clone())).collect(),
            }),
        }
    }

    pub(super) fn read_resource(ask: &Ask) -> wire::read_resource::Request {
        wire::read_resource::Request {
            type_name: ask.name.clone(),
            current_state: Some(ask.prior.clone()),
            private: ask.private.clone(),
            provider_meta: Some(ask.config.clone()),
            ..Default::default()
        }
    }

    pub(super) fn plan_resource_change(ask: &Ask) -> wire::plan_resource_change::Request {
        wire::plan_resource_change::Request {
            type_name: ask.name.clone(),
            prior_state: Some(ask.prior.clone()),
            proposed_new_state: Some(ask.config.clone()),
            config: Some(ask.config.clone()),
            prior_private: ask.private.clone(),
            ..Default::default()
        }
    }

    pub(super) fn apply_resource_change(ask: &Ask) -> wire::apply_resource_change::Request {
        wire::apply_resource_change::Request {
            type_name: ask.name.clone(),
            prior_state: Some(ask.prior.clone()),
            planned_state: Some(ask.config.clone()),
            config: Some(ask.config.clone()),
            planned_private: ask.private.clone(),
            ..Default::default()
        }
    }

    pub(super) fn import_resource_state(ask: &Ask) -> wire::import_resource_state::Request {
        wire::import_resource_state::Request {
            type_name: ask.name.clone(),
            id: ask.text.clone(),
            ..Default::default()
        }
    }

    pub(super) fn move_resource_state(ask: &Ask) -> wire::move_resource_state::Request {
        wire::move_resource_state::Request {
            source_provider_address: ask.text.clone(),
            source_type_name: ask.text.clone(),
            source_schema_version: ask.version,
            source_state: Some(wire::RawState {
                json: ask.state.clone(),
                ..Default::default()
            }),
            target_type_name: ask.name.clone(),
            source_private: ask.private.clone(),
        }
    }

    pub(super) fn read_data_source(ask: &Ask) -> wire::read_data_source::Request {
        wire::read_data_source::Request {
            type_name: ask.name.clone(),
            config: Some(ask.config.clone()),
            ..Default::default()
        }
    }

    pub(super) fn open_ephemeral_resource(ask: &Ask) -> wire::open_ephemeral_resource::Request {
        wire::open_ephemeral_resource::Request {
            type_name: ask.name.clone(),
            config: Some(ask.config.clone()),
            ..Default::default()
        }
    }
}
