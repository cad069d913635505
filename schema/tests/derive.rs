//! The derives, from a user's side.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::{AttributeKind, Diagnostics, Mode, Model, Nested, Path, Planned, PlannedModel, Type, Value};

fn short(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_str().is_some_and(|text| text.len() > 8) {
        diagnostics.error(path, "Too long", "Use 8 letters at most.");
    }
}

/// A replica of the control plane.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct Replica {
    /// Where it runs.
    #[attribute(required, requires_replace, validate = short)]
    pub zone: String,
    /// Its address.
    #[attribute(computed, keep_prior)]
    pub address: String,
}

/// How long to wait.
#[derive(Nested, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The port.
    #[attribute(required)]
    pub port: i64,
    /// The protocol.
    #[attribute(optional, default = "tcp")]
    pub protocol: String,
}

/// A thing with every kind of attribute.
///
/// And a second paragraph.
#[derive(Model, Clone, PartialEq)]
#[model(version = 3)]
pub struct Thing {
    /// Name of
    /// the thing.
    #[attribute(required, requires_replace, validate = short)]
    pub name: String,
    /// Size.
    #[attribute(optional, default = 5_000_000_000)]
    pub size: i64,
    /// Kind.
    #[attribute(optional, default = "plain")]
    pub r#type: String,
    /// Ratio.
    #[attribute(optional)]
    pub ratio: Option<f64>,
    /// Labels.
    #[attribute(optional)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Tags.
    #[attribute(optional, computed)]
    pub tags: BTreeSet<String>,
    /// Matrix.
    #[attribute(optional, default = Vec::new())]
    pub matrix: Vec<Vec<i64>>,
    /// Secret.
    #[attribute(optional, write_only, sensitive)]
    pub secret: Option<String>,
    /// Replicas.
    #[attribute(required, nested)]
    pub replicas: BTreeMap<String, Replica>,
    /// First.
    #[attribute(optional, nested, deprecated = "use replicas")]
    pub first: Option<Replica>,
    /// Chain.
    #[attribute(computed, nested)]
    pub chain: Vec<Replica>,
    /// Rules.
    #[attribute(optional, nested)]
    pub rules: Option<BTreeSet<Rule>>,
    /// Done.
    #[attribute(computed)]
    pub done: bool,
}

fn replica(zone: &str) -> Replica {
    Replica {
        zone: zone.into(),
        address: "10.0.0.1".into(),
    }
}

fn thing() -> Thing {
    Thing {
        name: "n".into(),
        size: 7,
        r#type: "plain".into(),
        ratio: Some(0.1),
        labels: Some(BTreeMap::from([("a".into(), "b".into())])),
        tags: BTreeSet::from(["x".into()]),
        matrix: vec![vec![1, 2], vec![]],
        secret: None,
        replicas: BTreeMap::from([("a".into(), replica("za")), ("b".into(), replica("zb"))]),
        first: Some(replica("zc")),
        chain: vec![replica("zd")],
        rules: Some(BTreeSet::from([Rule {
            port: 1,
            protocol: "tcp".into(),
        }])),
        done: true,
    }
}

#[test]
fn schema_says_what_the_struct_says() {
    let schema = Thing::schema();
    assert_eq!(schema.version, 3);
    assert_eq!(
        schema.description,
        "A thing with every kind of attribute.\n\nAnd a second paragraph."
    );
    let names: Vec<&str> = schema
        .attributes
        .iter()
        .map(|attribute| attribute.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "name", "size", "type", "ratio", "labels", "tags", "matrix", "secret", "replicas", "first", "chain",
            "rules", "done"
        ]
    );
    let name = schema.attribute("name").unwrap();
    assert_eq!(name.description, "Name of\nthe thing.");
    assert_eq!(
        (name.mode, name.requires_replace, name.validators.len()),
        (Mode::Required, true, 1)
    );
    let size = schema.attribute("size").unwrap();
    assert_eq!(
        (size.mode, size.default.clone()),
        (Mode::OptionalComputed, Some(Value::from(5_000_000_000)))
    );
    assert_eq!(
        schema.attribute("ratio").unwrap().kind,
        AttributeKind::Plain(Type::Number)
    );
    assert_eq!(
        schema.attribute("matrix").unwrap().type_(),
        Type::list(Type::list(Type::Number))
    );
    assert_eq!(schema.attribute("tags").unwrap().mode, Mode::OptionalComputed);
    let secret = schema.attribute("secret").unwrap();
    assert!(secret.write_only && secret.sensitive);
    assert!(matches!(&schema.attribute("replicas").unwrap().kind, AttributeKind::Map(inner) if inner.len() == 2));
    assert!(matches!(&schema.attribute("rules").unwrap().kind, AttributeKind::Set(inner) if inner.len() == 2));
    assert!(matches!(
        &schema.attribute("chain").unwrap().kind,
        AttributeKind::List(_)
    ));
    assert!(matches!(
        &schema.attribute("first").unwrap().kind,
        AttributeKind::Single(_)
    ));
    assert_eq!(
        schema.attribute("first").unwrap().deprecated.as_deref(),
        Some("use replicas")
    );
}

#[test]
fn a_model_survives_the_value() {
    assert_eq!(Thing::from_value(&thing().to_value()), Ok(thing()));
}

#[test]
fn a_model_survives_the_plan() {
    let planned = ThingPlanned::from(thing());
    assert_eq!(
        planned.replicas.known().unwrap()["a"].known().unwrap().zone,
        Planned::from("za")
    );
    assert_eq!(ThingPlanned::from_value(&planned.to_value()), Ok(planned.clone()));
    assert_eq!(planned.into_known(), Ok(thing()));
}

#[test]
fn unknowns_survive_the_planned_form_and_are_named_when_they_must_be_known() {
    let mut planned = ThingPlanned::from(thing());
    planned.name = Planned::Unknown;
    planned.tags = vec![Planned::Unknown, Planned::Unknown].into();
    planned.chain = Planned::Unknown;
    let replicas = planned.replicas.known_mut().unwrap();
    replicas.insert("c".into(), Planned::Unknown);
    replicas.get_mut("a").unwrap().known_mut().unwrap().address = Planned::Unknown;

    assert_eq!(ThingPlanned::from_value(&planned.to_value()), Ok(planned.clone()));
    let errors = planned.into_known().unwrap_err();
    let paths: Vec<String> = errors
        .iter()
        .map(|error| error.path.clone().unwrap().to_string())
        .collect();
    assert_eq!(
        paths,
        [
            "name",
            "tags",
            "tags",
            r#"replicas["a"].address"#,
            r#"replicas["c"]"#,
            "chain"
        ]
    );
}

#[test]
fn null_is_missing_where_a_value_is_needed() {
    let errors = ThingPlanned::default().into_known().unwrap_err();
    let paths: Vec<String> = errors
        .iter()
        .map(|error| error.path.clone().unwrap().to_string())
        .collect();
    assert_eq!(
        paths,
        ["name", "size", "type", "tags", "matrix", "replicas", "chain", "done"]
    );
    assert_eq!(errors.iter().next().unwrap().summary, "Missing value");
}

#[test]
fn a_wrong_kind_is_named_with_its_path() {
    let mut value = thing().to_value();
    let Value::Object(attributes) = &mut value else {
        unreachable!()
    };
    attributes.insert("labels".into(), Value::map([("k", Value::from(true))]));
    let errors = Thing::from_value(&value).unwrap_err();
    assert_eq!(errors.len(), 1);
    let error = errors.iter().next().unwrap();
    assert_eq!(error.path.clone().unwrap().to_string(), r#"labels["k"]"#);
    assert!(
        error.detail.contains("wants a string") && error.detail.contains("is a bool"),
        "{error}"
    );
}

#[test]
fn secrets_are_not_printed() {
    let mut secretive = thing();
    secretive.secret = Some("hunter2".into());
    let printed = format!("{secretive:?}");
    assert!(
        printed.contains("secret: Some((sensitive))") && printed.contains(r#"name: "n""#),
        "{printed}"
    );
    let mut planned = ThingPlanned::from(secretive);
    let printed = format!("{planned:?} {planned:#?}");
    assert!(
        printed.contains("secret: Known((sensitive))") && printed.contains("za"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    planned.secret = Planned::Unknown;
    assert!(format!("{planned:?}").contains("secret: Unknown"));
}
