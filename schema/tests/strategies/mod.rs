//! Random types and values of them.

use std::collections::BTreeMap;

use multizone_schema::{Number, Type, Value};
use proptest::prelude::*;

/// Any type, a few levels deep.
pub(crate) fn type_() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::String),
        Just(Type::Number),
        Just(Type::Bool),
        Just(Type::Dynamic)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..4).prop_map(Type::Object),
        ]
    })
}

/// Any finite number.
pub(crate) fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", |value| Number::exact(value).filter(Number::is_finite)),
        "-?[1-9][0-9]{0,60}(\\.[0-9]{1,60})?(e-?[0-9]{1,2})?".prop_map(|text| text.parse().unwrap()),
    ]
}

/// A value of this type; `unknowns` says whether it may hold unknown values.
pub(crate) fn value(type_: &Type, unknowns: bool) -> BoxedStrategy<Value> {
    let known: BoxedStrategy<Value> = match type_ {
        Type::String => any::<String>().prop_map(Value::from).boxed(),
        Type::Number => number().prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Dynamic => prop_oneof![
            Just(Type::String),
            Just(Type::list(Type::Number)),
            Just(Type::map(Type::Dynamic))
        ]
        .prop_flat_map(move |type_| {
            // A dynamic value inside a dynamic one, but not without end.
            let inner = if matches!(type_, Type::Map(_)) {
                Just(Value::Map(BTreeMap::from([("null".to_owned(), Value::Null)]))).boxed()
            } else {
                value(&type_, unknowns)
            };
            inner.prop_map(move |inner| Value::Dynamic(type_.clone(), Box::new(inner)))
        })
        .boxed(),
        Type::List(element) => prop::collection::vec(value(element, unknowns), 0..5)
            .prop_map(Value::List)
            .boxed(),
        Type::Set(element) => prop::collection::vec(value(element, unknowns), 0..5)
            .prop_map(Value::set)
            .boxed(),
        Type::Map(element) => prop::collection::btree_map(any::<String>(), value(element, unknowns), 0..5)
            .prop_map(Value::Map)
            .boxed(),
        Type::Tuple(members) => members
            .iter()
            .map(|type_| value(type_, unknowns))
            .collect::<Vec<_>>()
            .prop_map(Value::Tuple)
            .boxed(),
        Type::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            let values: Vec<_> = members.values().map(|type_| value(type_, unknowns)).collect();
            values
                .prop_map(move |values| Value::Object(names.iter().cloned().zip(values).collect()))
                .boxed()
        }
    };
    let unknown = if unknowns { Value::Unknown } else { Value::Null };
    prop_oneof![8 => known, 1 => Just(Value::Null), 1 => Just(unknown)].boxed()
}

/// Any type and a value of it.
pub(crate) fn typed(unknowns: bool) -> impl Strategy<Value = (Type, Value)> {
    type_().prop_flat_map(move |type_| {
        let values = value(&type_, unknowns);
        (Just(type_), values)
    })
}
