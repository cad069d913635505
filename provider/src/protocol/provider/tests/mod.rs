//! The RPCs, on a small provider made for the purpose.

#![allow(clippy::unwrap_used)]

mod changes;
mod hostile;
mod identities;
mod misbehaving;
mod others;
mod world;

use multizone_schema::{Model as _, Type, Value};
use tonic::Request;

use self::world::{Block, Thing, World, catalog};
use super::ProviderService;
use crate::protocol::codec;
use crate::protocol::lifecycle::Lifecycle;
use crate::protocol::wire::tfplugin6 as wire;
use crate::protocol::wire::tfplugin6::provider_server::Provider as _;

/// A provider under test.
struct Served {
    service: ProviderService<World>,
    world: World,
    lifecycle: Lifecycle,
}

/// One that is not configured.
fn unconfigured() -> Served {
    let (world, lifecycle) = (World::default(), Lifecycle::new());
    Served {
        service: ProviderService::new(catalog(world.clone()), lifecycle.clone()),
        world,
        lifecycle,
    }
}

/// One that is.
async fn configured() -> Served {
    let served = unconfigured();
    served.configure(Value::from("here")).await;
    served
}

impl Served {
    async fn configure(&self, region: Value) -> Vec<wire::Diagnostic> {
        let config = codec::encode(&Value::object([("region", region)]), &Block::schema().type_()).unwrap();
        let request = wire::configure_provider::Request {
            config: Some(config),
            ..Default::default()
        };
        self.service
            .configure_provider(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics
    }

    async fn apply(&self, prior: Value, planned: Value, config: Value) -> Answer {
        let request = wire::apply_resource_change::Request {
            type_name: "test_thing".into(),
            prior_state: sent(&prior),
            planned_state: sent(&planned),
            config: sent(&config),
            planned_private: b"planned".to_vec(),
            ..Default::default()
        };
        let response = self
            .service
            .apply_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Answer {
            value: received(response.new_state.as_ref()),
            private: response.private,
            diagnostics: said(&response.diagnostics),
            requires_replace: Vec::new(),
        }
    }

    async fn plan(&self, prior: Value, config: Value) -> Answer {
        // What core proposes: the configuration over the prior state. The provider merges by itself.
        let request = wire::plan_resource_change::Request {
            type_name: "test_thing".into(),
            prior_state: sent(&prior),
            proposed_new_state: sent(&config),
            config: sent(&config),
            prior_private: b"prior".to_vec(),
            ..Default::default()
        };
        let response = self
            .service
            .plan_resource_change(Request::new(request))
            .await
            .unwrap()
            .into_inner();
        Answer {
            value: received(response.planned_state.as_ref()),
            private: response.planned_private,
            diagnostics: said(&response.diagnostics),
            requires_replace: response.requires_replace,
        }
    }
}

/// The answer to a plan or an apply.
#[derive(Debug)]
struct Answer {
    value: Value,
    private: Vec<u8>,
    diagnostics: Vec<String>,
    requires_replace: Vec<wire::AttributePath>,
}

fn thing_type() -> Type {
    Thing::schema().type_()
}

#[allow(clippy::unnecessary_wraps)] // Messages are optional in every request.
fn sent(value: &Value) -> Option<wire::DynamicValue> {
    Some(codec::encode(value, &thing_type()).unwrap())
}

fn received(value: Option<&wire::DynamicValue>) -> Value {
    codec::decode(value, &thing_type()).unwrap()
}

/// The summaries, with the severity's first letter.
fn said(diagnostics: &[wire::Diagnostic]) -> Vec<String> {
    let letter = |diagnostic: &wire::Diagnostic| {
        if diagnostic.severity() == wire::diagnostic::Severity::Error {
            'E'
        } else {
            'W'
        }
    };
    diagnostics
        .iter()
        .map(|diagnostic| format!("{}: {}", letter(diagnostic), diagnostic.summary))
        .collect()
}

/// A configuration of a thing.
fn config(name: &str) -> Value {
    Value::object([
        ("name", Value::from(name)),
        ("size", Value::Null),
        ("token", Value::from("s3cret")),
        ("id", Value::Null),
        ("revision", Value::Null),
    ])
}

/// A thing as state holds it.
fn state(name: &str, size: i64) -> Value {
    Thing {
        name: name.into(),
        size,
        token: None,
        id: format!("id-{name}"),
        revision: 1,
    }
    .to_value()
}

/// The same object with one attribute changed.
fn with(value: &Value, name: &str, attribute: impl Into<Value>) -> Value {
    let mut object = value.as_object().unwrap().clone();
    object.insert(name.into(), attribute.into());
    Value::Object(object)
}
