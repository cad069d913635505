//! The validation runner.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::validate::validate;
use multizone_schema::{Diagnostics, Model, Nested, Path, Planned, PlannedModel, Value};

fn short(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_str().is_none_or(|text| text.len() > 3) {
        diagnostics.error(path, "Too long", format!("{value:?}"));
    }
}

fn few(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_map().is_some_and(|elements| elements.len() > 2) {
        diagnostics.warning(path, "Many", "");
    }
}

/// A part.
#[derive(Nested, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its name.
    #[attribute(required, validate = short)]
    pub name: String,
}

/// A whole.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Whole {
    /// Its name.
    #[attribute(optional, validate = short)]
    pub name: Option<String>,
    /// One.
    #[attribute(optional, nested)]
    pub one: Option<Part>,
    /// In order.
    #[attribute(optional, nested)]
    pub list: Option<Vec<Part>>,
    /// By name.
    #[attribute(optional, nested, validate = few)]
    pub map: Option<BTreeMap<String, Part>>,
    /// Without order.
    #[attribute(optional, nested)]
    pub set: Option<BTreeSet<Part>>,
    /// Lists by name.
    #[attribute(optional)]
    pub lists: Option<BTreeMap<String, Vec<String>>>,
    /// How many.
    #[attribute(optional)]
    pub size: Option<i64>,
}

fn part(name: &str) -> Planned<PartPlanned> {
    PartPlanned { name: name.into() }.into()
}

fn paths(config: &WholePlanned) -> Vec<String> {
    let diagnostics = validate(&Whole::schema(), &config.to_value());
    diagnostics
        .into_iter()
        .map(|diagnostic| diagnostic.path.unwrap().to_string())
        .collect()
}

#[test]
fn null_and_unknown_values_are_not_judged() {
    let unknown = WholePlanned {
        name: Planned::Unknown,
        list: vec![Planned::Unknown, PartPlanned { name: Planned::Unknown }.into()].into(),
        map: Planned::Unknown,
        ..WholePlanned::default()
    };
    assert_eq!(paths(&unknown), Vec::<String>::new());
    assert_eq!(paths(&WholePlanned::default()), Vec::<String>::new());
}

#[test]
fn every_known_value_is_judged_with_its_path() {
    let config = WholePlanned {
        name: "long name".into(),
        one: part("long"),
        list: vec![part("ok"), part("long")].into(),
        map: BTreeMap::from([("a", "long"), ("b", "b"), ("c", "c")].map(|(key, name)| (key.to_owned(), part(name))))
            .into(),
        set: vec![part("longer"), part("ok")].into(),
        ..WholePlanned::default()
    };
    assert_eq!(
        paths(&config),
        [
            "name",
            "one.name",
            "list[1].name",
            "map",
            r#"map["a"].name"#,
            "set.name"
        ]
    );
}

#[test]
fn null_elements_are_refused_before_they_reach_a_model() {
    let config = WholePlanned {
        list: vec![Planned::Null, part("ok")].into(),
        map: BTreeMap::from([("a".to_owned(), Planned::Null)]).into(),
        set: vec![Planned::Null].into(),
        lists: BTreeMap::from([("k".to_owned(), vec!["x".into(), Planned::Null].into())]).into(),
        ..WholePlanned::default()
    };
    assert_eq!(paths(&config), ["list[0]", r#"map["a"]"#, "set", r#"lists["k"][1]"#]);
}

#[test]
fn a_fraction_is_no_whole_number() {
    let mut value = WholePlanned::default().to_value();
    let Value::Object(attributes) = &mut value else {
        unreachable!()
    };
    attributes.insert("size".into(), Value::Number("1.5".parse().unwrap()));
    let error = WholePlanned::from_value(&value)
        .unwrap_err()
        .into_iter()
        .next()
        .unwrap();
    assert_eq!(
        (error.path, error.summary.as_str()),
        (Some("size".into()), "Not a whole number")
    );
    assert!(error.detail.contains("The value is 1.5"), "{}", error.detail);
}
