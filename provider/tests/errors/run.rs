//! Runs of Terraform on a region in memory, for what they say.

use std::sync::Arc;

use multizone_cloud::ClusterName;
use multizone_provider::{
    protocol::served::{AnyResource, Change},
    stop::Stop,
};
use multizone_schema::{Diagnostics, Schema, Value};
use serde_json::Value as Json;

use crate::{
    configuration::{Configured, Destroy},
    memory_cloud::MemoryCloud,
    terraform::{Saved, State, nothing, proposed, served, value},
};

/// A region, and Terraform's state of it.
pub(crate) struct Run {
    pub(crate) cloud: Arc<MemoryCloud>,
    pub(crate) provider: Configured,
    pub(crate) state: State,
    /// Requested: Terraform was told to stop.
    pub(crate) stop: Stop,
}

/// What a configuration that is refused before anything is asked says.
pub(crate) fn check(type_name: &str, config: &Json) -> Diagnostics {
    let (resource, schema) = served(type_name);
    resource.check(&schema, &value(&schema, config))
}

impl Run {
    pub(crate) fn new() -> Self {
        let (cloud, provider) = MemoryCloud::region();
        Self {
            cloud,
            provider,
            state: State::new(),
            stop: Stop::new(),
        }
    }

    /// A region with these objects.
    pub(crate) async fn with(objects: &[(&str, &Json)]) -> Self {
        let mut run = Self::new();
        for (type_name, config) in objects {
            let said = run.apply(type_name, Some(config)).await;
            assert!(!said.has_errors(), "{said}");
            run.read(type_name).await;
        }
        run
    }

    /// What the plan says of a configuration, or of a destroy.
    pub(crate) async fn plan(&mut self, type_name: &str, config: Option<&Json>) -> Diagnostics {
        self.plan_change(type_name, config).await.1
    }

    /// The same where one attribute of the configuration is not known yet.
    pub(crate) async fn plan_without(&self, type_name: &str, config: &Json, unknown: &str) -> Diagnostics {
        let (resource, schema) = served(type_name);
        let written = value(&schema, config);
        let config = Value::object(schema.attributes.iter().map(|attribute| {
            let known = written.attribute(&attribute.name).cloned().unwrap_or(Value::Null);
            let value = if attribute.name == unknown {
                Value::Unknown
            } else {
                known
            };
            (attribute.name.clone(), value)
        }));
        let change = Change {
            prior: Value::Null,
            new: proposed(&schema, &config, &Value::Null),
            config,
            private: Vec::new(),
        };
        let plan = resource.plan_change(&schema, Some(&self.provider), change).await;
        plan.diagnostics
    }

    /// What planning and applying say.
    pub(crate) async fn apply(&mut self, type_name: &str, config: Option<&Json>) -> Diagnostics {
        let (change, mut said) = self.plan_change(type_name, config).await;
        if said.has_errors() {
            return said;
        }
        let (resource, schema) = served(type_name);
        let applied = resource
            .apply_change(&schema, Some(&self.provider), change, &self.stop)
            .await;
        said.extend(applied.diagnostics);
        if applied.state.is_null() {
            self.state.remove(type_name);
        } else {
            let saved = Saved::of(applied.state, applied.private);
            self.state.insert(type_name.to_owned(), saved);
        }
        said
    }

    /// What a refresh by a new process says; nothing when it succeeds.
    pub(crate) async fn read(&mut self, type_name: &str) -> Diagnostics {
        self.provider.forget(&ClusterName::new("demo")).await;
        let (resource, schema) = served(type_name);
        let saved = self.state.get(type_name).cloned().unwrap_or_else(nothing);
        let read = resource
            .read_object(&schema, Some(&self.provider), saved.value, saved.private, &self.stop)
            .await;
        match read {
            Ok((value, _)) if value.is_null() => {
                self.state.remove(type_name);
                Diagnostics::new()
            }
            Ok((value, private)) => {
                self.state.insert(type_name.to_owned(), Saved::of(value, private));
                Diagnostics::new()
            }
            Err(said) => said,
        }
    }

    /// What an import says that is refused.
    pub(crate) async fn import(&self, type_name: &str, id: &str) -> Diagnostics {
        let (resource, schema) = served(type_name);
        // By a process of its own, which has not met what went wrong before.
        let provider = Configured::new(self.cloud.clone(), Destroy::default());
        let imported = resource.import_object(&schema, Some(&provider), id).await;
        imported.map_or_else(|said| said, |found| panic!("{id} is {found:?}"))
    }

    /// Puts an object into the state, with private data, as an earlier run would have.
    pub(crate) fn put(&mut self, type_name: &str, written: &Json, private: &Json) {
        let (_, schema) = served(type_name);
        let saved = Saved::of(value(&schema, written), private.to_string().into_bytes());
        self.state.insert(type_name.to_owned(), saved);
    }

    /// Changes one attribute of what is in the state.
    pub(crate) fn amend(&mut self, type_name: &str, name: &str, written: &Json) {
        let (_, schema) = served(type_name);
        let amended = value(&schema, &serde_json::json!({ name: written }));
        let saved = self.state.get_mut(type_name).unwrap();
        saved.value = Value::object(schema.attributes.iter().map(|attribute| {
            let from = if attribute.name == name { &amended } else { &saved.value };
            (
                attribute.name.clone(),
                from.attribute(&attribute.name).cloned().unwrap(),
            )
        }));
    }

    async fn plan_change(&self, type_name: &str, config: Option<&Json>) -> (Change, Diagnostics) {
        let (resource, schema): (Box<dyn AnyResource>, Schema) = served(type_name);
        let prior = self.state.get(type_name).cloned().unwrap_or_else(nothing);
        let config = config.map_or(Value::Null, |config| value(&schema, config));
        let new = if config.is_null() {
            Value::Null
        } else {
            proposed(&schema, &config, &prior.value)
        };
        let change = Change {
            prior: prior.value,
            new,
            config,
            private: prior.private,
        };
        let plan = resource
            .plan_change(&schema, Some(&self.provider), change.clone())
            .await;
        let planned = Change {
            new: plan.planned,
            private: plan.private,
            ..change
        };
        (planned, plan.diagnostics)
    }
}
