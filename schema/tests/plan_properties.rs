//! What every plan must be for Terraform to accept it, over random schemas, configurations and states.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::plan::{propose, requires_replace};
use multizone_schema::{Attribute, AttributeKind, Mode, Schema, Type, Value};
use proptest::prelude::*;

type Object = BTreeMap<String, Value>;

/// A plain attribute of any mode.
fn plain(name: &'static str) -> impl Strategy<Value = Attribute> {
    let mode = prop_oneof![
        Just(Mode::Required),
        Just(Mode::Optional),
        Just(Mode::Computed),
        Just(Mode::OptionalComputed),
    ];
    (mode, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(move |(mode, default, keep, write_only)| {
        let mut attribute = Attribute::plain(name, Type::String, mode, "What it is.");
        attribute.default = (default && mode == Mode::OptionalComputed).then(|| Value::from("default"));
        attribute.keep_prior = keep && mode.is_computed();
        attribute.write_only = write_only && mode == Mode::Optional;
        attribute.requires_replace = mode == Mode::Required;
        attribute
    })
}

/// An object of two or three plain attributes; the first is required, so that set elements differ.
fn members() -> impl Strategy<Value = Vec<Attribute>> {
    (plain("b"), plain("c")).prop_map(|(b, c)| {
        let mut key = Attribute::plain("a", Type::String, Mode::Required, "Which one.");
        key.requires_replace = false;
        vec![key, b, c]
    })
}

fn nested(name: &'static str) -> impl Strategy<Value = Attribute> {
    let mode = prop_oneof![Just(Mode::Required), Just(Mode::Optional), Just(Mode::OptionalComputed)];
    (members(), mode, 0..4).prop_map(move |(mut inner, mode, kind)| {
        let kind = match kind {
            0 => AttributeKind::Single(inner),
            1 => AttributeKind::List(inner),
            2 => AttributeKind::Map(inner),
            _ => {
                for attribute in &mut inner {
                    attribute.write_only = false;
                    attribute.requires_replace = false;
                    // Two elements may differ only in that one spells the default out: no longer two elements.
                    attribute.default = None;
                }
                AttributeKind::Set(inner)
            }
        };
        Attribute::new(name, kind, mode, "What it is.")
    })
}

fn schema() -> impl Strategy<Value = Schema> {
    (plain("p"), plain("q"), nested("x"), nested("y")).prop_map(|(p, q, x, y)| Schema {
        version: 0,
        description: "A thing.".into(),
        attributes: vec![p, q, x, y],
    })
}

/// A configuration; unknown values only where `unknowns` says so.
fn config(attributes: &[Attribute], unknowns: bool) -> BoxedStrategy<Value> {
    let values: Vec<_> = attributes
        .iter()
        .map(|attribute| configured(attribute, unknowns))
        .collect();
    let names: Vec<String> = attributes.iter().map(|attribute| attribute.name.clone()).collect();
    values
        .prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect()))
        .boxed()
}

fn configured(attribute: &Attribute, unknowns: bool) -> BoxedStrategy<Value> {
    let object = |inner: &[Attribute]| config(inner, unknowns);
    let value = match &attribute.kind {
        AttributeKind::Plain(_) => "[a-c]".prop_map(Value::from).boxed(),
        AttributeKind::Single(inner) => object(inner),
        AttributeKind::List(inner) => prop::collection::vec(object(inner), 0..4).prop_map(Value::List).boxed(),
        AttributeKind::Map(inner) => prop::collection::btree_map("[k-m]", object(inner), 0..4)
            .prop_map(Value::Map)
            .boxed(),
        AttributeKind::Set(inner) => prop::collection::vec(object(inner), 0..4).prop_map(distinct).boxed(),
    };
    let unknown = if unknowns {
        value.clone().prop_map(|_| Value::Unknown).boxed()
    } else {
        value.clone()
    };
    match attribute.mode {
        Mode::Computed => Just(Value::Null).boxed(),
        Mode::Required => prop_oneof![6 => value, 1 => unknown].boxed(),
        Mode::Optional | Mode::OptionalComputed => {
            prop_oneof![4 => value, 1 => unknown, 3 => Just(Value::Null)].boxed()
        }
    }
}

/// A set whose elements differ in their first attribute.
fn distinct(elements: Vec<Value>) -> Value {
    let mut seen = BTreeSet::new();
    Value::set(
        elements
            .into_iter()
            .filter(|element| seen.insert(element.attribute("a").cloned())),
    )
}

/// What apply makes of a plan: every unknown value becomes one that was never there before.
fn apply(attributes: &[Attribute], planned: &Value, count: &mut usize) -> Value {
    let Value::Object(planned) = planned else {
        return planned.clone();
    };
    Value::Object(
        attributes
            .iter()
            .map(|attribute| {
                (
                    attribute.name.clone(),
                    applied(attribute, &planned[&attribute.name], count),
                )
            })
            .collect(),
    )
}

fn applied(attribute: &Attribute, planned: &Value, count: &mut usize) -> Value {
    match (&attribute.kind, planned) {
        (AttributeKind::Plain(_), Value::Unknown) => {
            *count += 1;
            Value::from(format!("made-{count}"))
        }
        (AttributeKind::Single(_), Value::Unknown) => Value::Null,
        (AttributeKind::List(_), Value::Unknown) => Value::List(Vec::new()),
        (AttributeKind::Map(_), Value::Unknown) => Value::Map(BTreeMap::new()),
        (AttributeKind::Set(_), Value::Unknown) => Value::Set(Vec::new()),
        (AttributeKind::Single(inner), object) => apply(inner, object, count),
        (AttributeKind::List(inner), Value::List(elements)) => {
            Value::List(elements.iter().map(|element| apply(inner, element, count)).collect())
        }
        (AttributeKind::Map(inner), Value::Map(elements)) => Value::Map(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), apply(inner, element, count)))
                .collect(),
        ),
        (AttributeKind::Set(inner), Value::Set(elements)) => {
            Value::set(elements.iter().map(|element| apply(inner, element, count)))
        }
        (_, value) => value.clone(),
    }
}

/// Terraform's own checks of a planned object against its configuration and prior state.
fn assert_valid(attributes: &[Attribute], config: &Object, planned: &Object, prior: Option<&Object>) {
    for attribute in attributes {
        let (config, planned) = (&config[&attribute.name], &planned[&attribute.name]);
        let prior = prior.map_or(&Value::Null, |prior| &prior[&attribute.name]);
        let place = &attribute.name;
        if attribute.write_only {
            assert_eq!(planned, &Value::Null, "{place}: write-only");
        } else if config.is_null() {
            assert!(
                planned.is_null() || attribute.mode.is_computed(),
                "{place}: {planned:?} out of nothing"
            );
        } else {
            match (&attribute.kind, config, planned) {
                (AttributeKind::Single(inner), Value::Object(config), Value::Object(planned)) => {
                    assert_valid(inner, config, planned, prior.as_object());
                }
                (AttributeKind::List(inner), Value::List(config), Value::List(planned)) => {
                    assert_eq!(config.len(), planned.len(), "{place}");
                    let prior = prior.as_elements().unwrap_or_default();
                    for (index, (config, planned)) in config.iter().zip(planned).enumerate() {
                        let prior = prior.get(index).and_then(Value::as_object);
                        assert_valid(inner, config.as_object().unwrap(), planned.as_object().unwrap(), prior);
                    }
                }
                (AttributeKind::Map(inner), Value::Map(config), Value::Map(planned)) => {
                    assert_eq!(config.len(), planned.len(), "{place}");
                    for (key, config) in config {
                        let prior = prior
                            .as_map()
                            .and_then(|prior| prior.get(key))
                            .and_then(Value::as_object);
                        assert_valid(
                            inner,
                            config.as_object().unwrap(),
                            planned[key].as_object().unwrap(),
                            prior,
                        );
                    }
                }
                (AttributeKind::Set(_), Value::Set(config), Value::Set(planned)) => {
                    assert_eq!(config.len(), planned.len(), "{place}");
                }
                _ => assert_eq!(config, planned, "{place}"),
            }
        }
    }
}

/// A value with unknowns in it and the same with all of them known may follow each other as plans.
fn assert_narrows(first: &Value, second: &Value) {
    match (first, second) {
        (Value::Unknown, _) => {}
        (Value::Object(first), Value::Object(second)) | (Value::Map(first), Value::Map(second)) => {
            assert!(first.keys().eq(second.keys()));
            first
                .iter()
                .zip(second)
                .for_each(|((_, first), (_, second))| assert_narrows(first, second));
        }
        (Value::List(first), Value::List(second)) => {
            assert_eq!(first.len(), second.len());
            first
                .iter()
                .zip(second)
                .for_each(|(first, second)| assert_narrows(first, second));
        }
        (Value::Set(first), Value::Set(second)) => assert_eq!(first.len(), second.len()),
        (first, second) => assert_eq!(first, second),
    }
}

/// A schema, a configuration to start from and one to go to.
fn scenario(unknowns: bool) -> impl Strategy<Value = (Schema, Value, Value)> {
    schema().prop_flat_map(move |schema| {
        let (before, after) = (config(&schema.attributes, false), config(&schema.attributes, unknowns));
        (Just(schema), before, after)
    })
}

/// The state that a configuration leads to.
fn reach(schema: &Schema, config: &Value, prior: &Value, count: &mut usize) -> Value {
    apply(&schema.attributes, &propose(schema, config, prior, config), count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_valid_for_terraform((schema, before, after) in scenario(true)) {
        prop_assert_eq!(schema.check(), Vec::<String>::new());
        let created = propose(&schema, &before, &Value::Null, &before);
        assert_valid(&schema.attributes, before.as_object().unwrap(), created.as_object().unwrap(), None);
        let state = reach(&schema, &before, &Value::Null, &mut 0);
        prop_assert!(state.to_state(&schema.type_()).is_ok());
        let updated = propose(&schema, &after, &state, &after);
        assert_valid(&schema.attributes, after.as_object().unwrap(), updated.as_object().unwrap(), state.as_object());
        prop_assert!(updated.to_msgpack(&schema.type_()).is_ok());
    }

    #[test]
    fn the_plan_after_an_apply_is_empty((schema, before, after) in scenario(false)) {
        let mut count = 0;
        let state = reach(&schema, &before, &Value::Null, &mut count);
        prop_assert_eq!(&propose(&schema, &before, &state, &before), &state);
        let state = reach(&schema, &after, &state, &mut count);
        prop_assert_eq!(&propose(&schema, &after, &state, &after), &state);
        prop_assert!(requires_replace(&schema, &state, &state).is_empty());
    }

    #[test]
    fn what_was_planned_holds_when_the_configuration_becomes_known((schema, before, after) in scenario(true)) {
        let state = reach(&schema, &before, &Value::Null, &mut 0);
        let first = propose(&schema, &after, &state, &after);
        let known = apply(&schema.attributes, &after, &mut 100);
        // Values that are known only at apply are what was announced as unknown, and nothing else moves.
        prop_assume!(first != state);
        let second = propose(&schema, &known, &state, &known);
        assert_narrows(&first, &second);
    }
}
