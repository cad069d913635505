//! What Terraform's core does with one resource: refresh, plan, apply, keep the state.

use std::{collections::BTreeMap, sync::Arc};

use multizone_provider::{
    configuration::Configured,
    protocol::served::{AnyResource, Change, Plan},
    registry,
    stop::Stop,
};
use multizone_schema::{Diagnostics, Schema, Value};

use crate::faults::{Faults, Moment, SAVE};

/// An object as state holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saved {
    pub(crate) value: Value,
    pub(crate) private: Vec<u8>,
    /// Whether the next apply replaces it.
    pub(crate) tainted: bool,
}

impl Saved {
    /// An object that Terraform has no reason to replace.
    pub(crate) fn of(value: Value, private: Vec<u8>) -> Self {
        Self {
            value,
            private,
            tainted: false,
        }
    }
}

/// Terraform's state: objects by the name of their type; a test has one of each.
pub(crate) type State = BTreeMap<String, Saved>;

/// One run of Terraform with one process of the provider.
pub(crate) struct Terraform<'a> {
    pub(crate) provider: Configured,
    pub(crate) state: &'a mut State,
    pub(crate) faults: Arc<Faults>,
}

impl Terraform<'_> {
    /// `terraform apply` for one object: as configured, or destroyed when it is not.
    pub(crate) async fn apply(
        &mut self,
        type_name: &str,
        config: Option<&serde_json::Value>,
    ) -> Result<(), Diagnostics> {
        let (resource, schema) = served(type_name);
        let prior = self.refresh(type_name, &*resource, &schema).await?;
        let Some(config) = config.map(|config| value(&schema, config)) else {
            return self.change(type_name, &*resource, &schema, prior, Value::Null).await;
        };
        let first = if prior.tainted { &nothing() } else { &prior };
        let plan = self.plan(&*resource, &schema, first, &config).await?;
        if !prior.tainted && plan.requires_replace.is_empty() {
            if plan.planned == prior.value {
                return Ok(());
            }
            return self.change(type_name, &*resource, &schema, prior, config).await;
        }
        self.change(type_name, &*resource, &schema, prior, Value::Null).await?;
        self.change(type_name, &*resource, &schema, nothing(), config).await
    }

    /// The attributes that the next plan would change; none for an empty plan.
    pub(crate) async fn pending(
        &mut self,
        type_name: &str,
        config: Option<&serde_json::Value>,
    ) -> Result<Vec<String>, Diagnostics> {
        let (resource, schema) = served(type_name);
        let prior = self.refresh(type_name, &*resource, &schema).await?;
        let Some(config) = config.map(|config| value(&schema, config)) else {
            return Ok(if prior.value.is_null() {
                Vec::new()
            } else {
                vec!["destroy".to_owned()]
            });
        };
        if prior.value.is_null() {
            return Ok(vec!["create".to_owned()]);
        }
        if prior.tainted {
            return Ok(vec!["replace".to_owned()]);
        }
        let plan = self.plan(&*resource, &schema, &prior, &config).await?;
        let differs = |name: &&String| plan.planned.attribute(name) != prior.value.attribute(name);
        let names = schema.attributes.iter().map(|attribute| &attribute.name);
        Ok(names.filter(differs).cloned().collect())
    }

    /// What the next plan says beyond its steps.
    pub(crate) async fn foreseen(
        &mut self,
        type_name: &str,
        config: Option<&serde_json::Value>,
    ) -> Result<Diagnostics, Diagnostics> {
        let (resource, schema) = served(type_name);
        let prior = self.refresh(type_name, &*resource, &schema).await?;
        let config = config.map_or(Value::Null, |config| value(&schema, config));
        Ok(self.plan(&*resource, &schema, &prior, &config).await?.diagnostics)
    }

    async fn refresh(
        &mut self,
        type_name: &str,
        resource: &dyn AnyResource,
        schema: &Schema,
    ) -> Result<Saved, Diagnostics> {
        let Some(saved) = self.state.get(type_name).cloned() else {
            return Ok(nothing());
        };
        let tainted = saved.tainted;
        let (value, private) = resource
            .read_object(schema, Some(&self.provider), saved.value, saved.private, &Stop::new())
            .await?;
        let read = Saved {
            tainted,
            ..Saved::of(value, private)
        };
        self.save(type_name, read);
        Ok(self.state.get(type_name).cloned().unwrap_or_else(nothing))
    }

    async fn plan(
        &self,
        resource: &dyn AnyResource,
        schema: &Schema,
        prior: &Saved,
        config: &Value,
    ) -> Result<Plan, Diagnostics> {
        let plan = resource
            .plan_change(
                schema,
                Some(&self.provider),
                Change {
                    prior: prior.value.clone(),
                    new: if config.is_null() {
                        Value::Null
                    } else {
                        proposed(schema, config, &prior.value)
                    },
                    config: config.clone(),
                    private: prior.private.clone(),
                },
            )
            .await;
        if plan.diagnostics.has_errors() {
            return Err(plan.diagnostics);
        }
        // A plan that changes nothing shows the steps of the last one.
        let steps = rollout(&plan.planned);
        if steps != rollout(&prior.value) {
            self.faults.plan(steps);
        }
        Ok(plan)
    }

    /// Plans once more, as apply does, and applies.
    async fn change(
        &mut self,
        type_name: &str,
        resource: &dyn AnyResource,
        schema: &Schema,
        prior: Saved,
        config: Value,
    ) -> Result<(), Diagnostics> {
        if prior.value.is_null() && config.is_null() {
            return Ok(());
        }
        let plan = self.plan(resource, schema, &prior, &config).await?;
        let (creates, destroys, tainted) = (prior.value.is_null(), config.is_null(), prior.tainted);
        let change = Change {
            prior: prior.value,
            new: plan.planned,
            config,
            private: plan.private,
        };
        let applied = resource
            .apply_change(schema, Some(&self.provider), change, &Stop::new())
            .await;
        if let Some(Moment::KilledBefore) = self.faults.call(SAVE) {
            self.faults.kill();
            std::future::pending::<()>().await;
        }
        let failed = applied.diagnostics.has_errors();
        assert!(
            !(creates && failed) || applied.state.is_null(),
            "core would taint what a create returns that failed, and the next apply would destroy it"
        );
        let saved = Saved {
            // What could not be destroyed stays tainted.
            tainted: tainted && destroys && failed,
            ..Saved::of(applied.state, applied.private)
        };
        self.save(type_name, saved);
        if failed { Err(applied.diagnostics) } else { Ok(()) }
    }

    fn save(&mut self, type_name: &str, saved: Saved) {
        if saved.value.is_null() {
            self.state.remove(type_name);
        } else {
            assert!(saved.value.is_wholly_known(), "state holds no unknown");
            self.state.insert(type_name.to_owned(), saved);
        }
    }
}

/// The steps that a plan of a control plane shows, without numbers and durations.
fn rollout(planned: &Value) -> Vec<String> {
    let text = |line: &Value| {
        let (_, line) = line.as_str()?.split_once(". ")?;
        let end = line.rfind('~').unwrap_or(line.len());
        Some(in_one_line(&line[..end]))
    };
    let lines = planned.attribute("rollout").and_then(Value::as_elements);
    lines.into_iter().flatten().filter_map(text).collect()
}

/// A text that may have several lines.
pub(crate) fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn nothing() -> Saved {
    Saved::of(Value::Null, Vec::new())
}

pub(crate) fn served(type_name: &str) -> (Box<dyn AnyResource>, Schema) {
    let resource = registry::resources()
        .into_iter()
        .find(|resource| resource.name() == type_name)
        .unwrap();
    let schema = resource.schema();
    (resource, schema)
}

/// A configuration: what is not written is null.
pub(crate) fn value(schema: &Schema, written: &serde_json::Value) -> Value {
    let mut all = serde_json::Map::new();
    for attribute in &schema.attributes {
        let value = written.get(&attribute.name).cloned().unwrap_or_default();
        all.insert(attribute.name.clone(), value);
    }
    let json = serde_json::to_vec(&all).unwrap();
    Value::from_json(&json, &schema.type_()).unwrap()
}

/// The proposal that core makes: what is configured, and otherwise what was computed before.
pub(crate) fn proposed(schema: &Schema, config: &Value, prior: &Value) -> Value {
    Value::object(schema.attributes.iter().map(|attribute| {
        let configured = config.attribute(&attribute.name).cloned().unwrap_or(Value::Null);
        let before = prior.attribute(&attribute.name).cloned().unwrap_or(Value::Null);
        let value = if configured.is_null() && attribute.mode.is_computed() {
            before
        } else {
            configured
        };
        (attribute.name.clone(), value)
    }))
}
