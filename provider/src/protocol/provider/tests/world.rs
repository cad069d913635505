//! A small provider to serve in tests: things that live in a map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use multizone_schema::upgrade::{Upgrade, UpgradeError};
use multizone_schema::{
    Diagnostic, Diagnostics, Model, Number, Planned, PlannedModel as _, PlannedOf, Schema, Type, Value,
};
use serde_json::Value as Json;

use crate::data_sources::DataSource;
use crate::ephemeral::{EphemeralResource, Opened, Renewed};
use crate::functions::{Function, FunctionDefinition, FunctionError, Parameter};
use crate::protocol::catalog::{AnyProvider, Catalog};
use crate::resources::identity::{Identity, MalformedId};
use crate::resources::{Created, Failed, PlanRequest, Planning, Resource, Updated};
use crate::stop::Stop;

/// Things, each with the token it was made with.
type Made = BTreeMap<String, (Thing, Option<String>)>;

/// What the test provider's configuration turns into.
#[derive(Clone, Default)]
pub(super) struct World {
    /// Things by ID.
    pub(super) things: Arc<Mutex<Made>>,
    /// Notified when a slow operation has begun.
    pub(super) slow: Arc<tokio::sync::Notify>,
}

/// The provider.
#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// Where.
    #[attribute(optional)]
    pub(super) region: Option<String>,
}

/// A thing.
#[derive(Model, Clone, PartialEq)]
#[model(version = 1)]
pub(super) struct Thing {
    /// Name; what it says decides what goes wrong.
    #[attribute(required, requires_replace)]
    pub(super) name: String,
    /// Size.
    #[attribute(optional, default = 3)]
    pub(super) size: i64,
    /// Token.
    #[attribute(optional, write_only)]
    pub(super) token: Option<String>,
    /// ID.
    #[attribute(computed, keep_prior)]
    pub(super) id: String,
    /// Revision.
    #[attribute(computed)]
    pub(super) revision: i64,
}

/// What names a thing.
#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct ThingIdentity {
    /// Name.
    #[attribute(required)]
    pub(super) name: String,
}

impl Identity for ThingIdentity {
    fn from_id(id: &str) -> Result<Self, MalformedId> {
        let name = id.trim_start_matches("id-").to_owned();
        Ok(Self { name })
    }

    fn id(&self) -> String {
        format!("id-{}", self.name)
    }
}

/// The resource `test_thing`.
struct Things;

fn failed(what: &str) -> Diagnostics {
    Diagnostic::error(format!("Cannot {what}"), "The test says so.").into()
}

fn rename(mut state: Json) -> Result<Json, UpgradeError> {
    let object = state
        .as_object_mut()
        .ok_or_else(|| UpgradeError("not an object".into()))?;
    let title = object.remove("title").ok_or_else(|| UpgradeError("no title".into()))?;
    object.insert("name".into(), title);
    Ok(state)
}

#[async_trait]
impl Resource<World> for Things {
    type Model = Thing;
    type Identity = ThingIdentity;

    fn type_name(&self) -> &'static str {
        "test_thing"
    }

    fn upgraders(&self) -> &'static [Upgrade] {
        &[rename]
    }

    fn validate(&self, config: &PlannedOf<Thing>) -> Diagnostics {
        match (config.name.known().map(String::as_str), config.size.known()) {
            (Some("small"), Some(size)) if *size > 1 => Diagnostic::error("Too large", "Small is 1.").at("size").into(),
            _ => Diagnostics::new(),
        }
    }

    async fn plan(&self, _world: &World, request: PlanRequest<'_, Thing>) -> Planning<Thing> {
        let shrinks = request
            .prior
            .is_some_and(|prior| request.planned.size.known().is_some_and(|size| *size < prior.size));
        let mut planning = Planning::of(request);
        if shrinks {
            planning.requires_replace.push("size".into());
            planning
                .diagnostics
                .push(Diagnostic::warning("Shrinking", "The thing is replaced."));
        }
        planning
    }

    async fn plan_destroy(&self, _world: &World, prior: &Thing, _private: &[u8]) -> Diagnostics {
        if prior.name == "protected" {
            failed("destroy")
        } else {
            Diagnostics::new()
        }
    }

    async fn read(
        &self,
        world: &World,
        state: Thing,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Option<(Thing, Vec<u8>)>, Diagnostics> {
        Ok(world
            .things
            .lock()
            .unwrap()
            .get(&state.id)
            .map(|(thing, _)| (thing.clone(), private)))
    }

    async fn create(
        &self,
        world: &World,
        mut planned: PlannedOf<Thing>,
        stop: &Stop,
    ) -> Result<Created<Thing>, Diagnostics> {
        let name = planned.name.known().unwrap().clone();
        match name.as_str() {
            "panic" => panic!("the test panics"),
            "fail" => return Err(failed("create")),
            "larger" => planned.size = Planned::Known(100),
            "slow" => {
                world.slow.notify_one();
                stop.wait().await;
                return Err(failed("finish"));
            }
            _ => {}
        }
        let id = format!("id-{name}");
        let thing = Thing {
            size: planned.size.into_known().unwrap(),
            token: None,
            id: id.clone(),
            revision: 1,
            name,
        };
        world
            .things
            .lock()
            .unwrap()
            .insert(id, (thing.clone(), planned.token.into_known()));
        Ok(Created {
            private: b"made".to_vec(),
            ..Created::new(thing)
        })
    }

    async fn update(
        &self,
        world: &World,
        prior: Thing,
        planned: PlannedOf<Thing>,
        private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Updated<Thing>, Failed<Thing>> {
        assert_ne!(prior.name, "panic", "the test panics");
        let reached = Thing {
            size: planned.size.into_known().unwrap(),
            revision: prior.revision + 1,
            ..prior
        };
        if reached.name == "fail" {
            let state = Thing {
                size: reached.size - 1,
                ..reached
            };
            return Err(Failed {
                state,
                private: b"half".to_vec(),
                diagnostics: failed("update"),
            });
        }
        world
            .things
            .lock()
            .unwrap()
            .insert(reached.id.clone(), (reached.clone(), planned.token.into_known()));
        Ok(Updated::new(reached, private))
    }

    async fn delete(
        &self,
        world: &World,
        prior: Thing,
        _private: Vec<u8>,
        _stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics> {
        if prior.name == "fail" {
            return Err(failed("delete"));
        }
        world.things.lock().unwrap().remove(&prior.id);
        Ok(Diagnostics::new())
    }

    async fn import(&self, world: &World, id: &str) -> Result<Thing, Diagnostics> {
        let found = world.things.lock().unwrap().get(id).map(|(thing, _)| thing.clone());
        found.ok_or_else(|| failed("import"))
    }
}

/// What there is.
#[derive(Model, Clone, Debug, PartialEq)]
pub(super) struct Count {
    /// Smallest size.
    #[attribute(optional, default = 0)]
    pub(super) smallest: i64,
    /// How many.
    #[attribute(computed)]
    pub(super) found: i64,
}

/// The data source `test_count`.
struct Counts;

#[async_trait]
impl DataSource<World> for Counts {
    type Model = Count;

    fn type_name(&self) -> &'static str {
        "test_count"
    }

    async fn read(&self, world: &World, config: PlannedOf<Count>, _stop: &Stop) -> Result<Count, Diagnostics> {
        let smallest = config.smallest.into_known().unwrap();
        let things = world.things.lock().unwrap();
        let found = things.values().filter(|(thing, _)| thing.size >= smallest).count();
        Ok(Count {
            smallest,
            found: i64::try_from(found).unwrap(),
        })
    }
}

/// A ticket.
#[derive(Model, Clone, PartialEq)]
pub(super) struct Ticket {
    /// For whom.
    #[attribute(required)]
    pub(super) holder: String,
    /// The ticket.
    #[attribute(computed, sensitive)]
    pub(super) ticket: String,
}

/// The ephemeral resource `test_ticket`.
struct Tickets;

#[async_trait]
impl EphemeralResource<World> for Tickets {
    type Model = Ticket;

    fn type_name(&self) -> &'static str {
        "test_ticket"
    }

    async fn open(
        &self,
        _world: &World,
        config: PlannedOf<Ticket>,
        _stop: &Stop,
    ) -> Result<Opened<Ticket>, Diagnostics> {
        let holder = config.holder.into_known().unwrap();
        let result = Ticket {
            ticket: format!("for {holder}"),
            holder,
        };
        Ok(Opened {
            result,
            renew_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
            private: b"p".to_vec(),
        })
    }

    async fn renew(&self, _world: &World, mut private: Vec<u8>) -> Result<Renewed, Diagnostics> {
        private.push(b'r');
        Ok(Renewed {
            renew_at: None,
            private,
        })
    }
}

/// The function `sum`.
struct Sum;

impl Function for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn definition(&self) -> FunctionDefinition {
        let parameter = |name: &str| Parameter {
            name: name.into(),
            r#type: Type::Number,
            description: "A number.".into(),
            allow_null: false,
            allow_unknown: false,
        };
        FunctionDefinition {
            summary: "Adds.".into(),
            description: "Adds numbers.".into(),
            parameters: vec![parameter("first")],
            variadic: Some(parameter("others")),
            returns: Type::Number,
        }
    }

    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError> {
        let mut sum = 0;
        for (position, argument) in (0..).zip(&arguments) {
            sum += argument
                .as_i64()
                .ok_or_else(|| FunctionError::at(position, "Not a whole number."))?;
        }
        Ok(Value::Number(Number::from(sum)))
    }
}

/// The provider block: a known region is configured.
struct TestProvider(World);

#[async_trait]
impl AnyProvider<World> for TestProvider {
    fn schema(&self) -> Schema {
        Block::schema()
    }

    fn check(&self, config: &Value) -> Diagnostics {
        match PlannedOf::<Block>::from_value(config).unwrap().region {
            Planned::Null => failed("be nowhere"),
            _ => Diagnostics::new(),
        }
    }

    async fn configure(&self, config: &Value, _terraform_version: &str) -> (Option<World>, Diagnostics) {
        let known = PlannedOf::<Block>::from_value(config).unwrap().region.known().is_some();
        (known.then(|| self.0.clone()), Diagnostics::new())
    }
}

/// The provider block, for other catalogs.
pub(super) fn provider(world: World) -> Box<dyn AnyProvider<World>> {
    Box::new(TestProvider(world))
}

/// Everything above.
pub(super) fn catalog(world: World) -> Catalog<World> {
    Catalog::new(provider(world))
        .with_resources(vec![Box::new(Things)])
        .with_data_sources(vec![Box::new(Counts)])
        .with_ephemeral_resources(vec![Box::new(Tickets)])
        .with_functions(vec![Box::new(Sum)])
}
