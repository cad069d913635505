//! The plan algorithm, a test for each rule.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use multizone_schema::plan::{propose, requires_replace};
use multizone_schema::{Field, Model, Nested, Planned, PlannedModel, Value};

/// A machine.
#[derive(Nested, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// Where.
    #[attribute(required, requires_replace)]
    pub zone: String,
    /// What.
    #[attribute(optional, default = "small")]
    pub size: String,
    /// Its address, for life.
    #[attribute(computed, keep_prior)]
    pub address: String,
    /// Its state now.
    #[attribute(computed)]
    pub health: String,
}

/// A port.
#[derive(Nested, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The port.
    #[attribute(required)]
    pub port: i64,
    /// The protocol.
    #[attribute(optional, default = "tcp")]
    pub protocol: String,
    /// Priority.
    #[attribute(optional, computed, keep_prior)]
    pub priority: i64,
    /// ID.
    #[attribute(computed, keep_prior)]
    pub id: String,
}

/// A group of machines.
#[derive(Model, Clone, PartialEq)]
pub struct Group {
    /// Name.
    #[attribute(required, requires_replace)]
    pub name: String,
    /// Free text.
    #[attribute(optional)]
    pub note: Option<String>,
    /// Kind.
    #[attribute(optional, default = "plain")]
    pub kind: String,
    /// Chosen by the provider if not set.
    #[attribute(optional, computed)]
    pub range: String,
    /// The same, but it stays.
    #[attribute(optional, computed, keep_prior)]
    pub block: String,
    /// ID.
    #[attribute(computed, keep_prior)]
    pub id: String,
    /// Changes with everything.
    #[attribute(computed)]
    pub generation: i64,
    /// Token.
    #[attribute(optional, write_only)]
    pub token: Option<String>,
    /// The one in front.
    #[attribute(optional, nested)]
    pub front: Option<Machine>,
    /// By name.
    #[attribute(optional, nested)]
    pub machines: Option<BTreeMap<String, Machine>>,
    /// In order.
    #[attribute(optional, nested)]
    pub queue: Option<Vec<Machine>>,
    /// Without order.
    #[attribute(optional, nested)]
    pub rules: Option<BTreeSet<Rule>>,
    /// What the provider sees.
    #[attribute(computed, nested)]
    pub seen: Vec<Machine>,
}

fn machine(zone: &str, address: &str) -> Machine {
    Machine {
        zone: zone.into(),
        size: "small".into(),
        address: address.into(),
        health: "ok".into(),
    }
}

fn machine_config(zone: &str) -> MachinePlanned {
    MachinePlanned {
        zone: zone.into(),
        ..MachinePlanned::default()
    }
}

fn rule(port: i64, protocol: &str, priority: i64) -> Rule {
    Rule {
        port,
        protocol: protocol.into(),
        priority,
        id: format!("rule-{port}-{protocol}"),
    }
}

fn rule_config(port: i64) -> RulePlanned {
    RulePlanned {
        port: port.into(),
        ..RulePlanned::default()
    }
}

/// A state without nested objects, and the configuration it came from.
fn prior() -> Group {
    Group {
        name: "g".into(),
        note: None,
        kind: "plain".into(),
        range: "10.0.0.0/8".into(),
        block: "b1".into(),
        id: "id1".into(),
        generation: 4,
        token: None,
        front: None,
        machines: None,
        queue: None,
        rules: None,
        seen: vec![machine("za", "10.0.0.9")],
    }
}

fn config() -> GroupPlanned {
    GroupPlanned {
        name: "g".into(),
        ..GroupPlanned::default()
    }
}

fn plan(config: &GroupPlanned, prior: Option<&Group>) -> GroupPlanned {
    GroupPlanned::from_value(&plan_value(config, prior)).unwrap()
}

fn plan_value(config: &GroupPlanned, prior: Option<&Group>) -> Value {
    let config = config.to_value();
    propose(
        &Group::schema(),
        &config,
        &prior.map_or(Value::Null, Model::to_value),
        &config,
    )
}

fn replaces(config: &GroupPlanned, prior: &Group) -> Vec<String> {
    let planned = plan_value(config, Some(prior));
    requires_replace(&Group::schema(), &prior.to_value(), &planned)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn schema_is_sound() {
    assert_eq!(Group::schema().check(), Vec::<String>::new());
}

#[test]
fn nothing_changes_when_nothing_changed() {
    assert_eq!(plan(&config(), Some(&prior())), GroupPlanned::from(prior()));
}

#[test]
fn on_create_what_is_left_out_is_default_unknown_or_null() {
    let planned = plan(&config(), None);
    assert_eq!(planned.kind, Planned::from("plain"));
    assert_eq!(planned.range, Planned::Unknown);
    assert_eq!(planned.block, Planned::Unknown);
    assert_eq!(planned.id, Planned::Unknown);
    assert_eq!(planned.generation, Planned::Unknown);
    assert_eq!(planned.seen, Planned::Unknown);
    assert_eq!(planned.note, Planned::Null);
    assert_eq!(planned.machines, Planned::Null);
}

#[test]
fn a_destroy_plan_stays_null() {
    let planned = propose(&Group::schema(), &Value::Null, &prior().to_value(), &Value::Null);
    assert_eq!(planned, Value::Null);
    assert!(requires_replace(&Group::schema(), &prior().to_value(), &planned).is_empty());
}

#[test]
fn what_the_configuration_sets_is_planned_as_it_is() {
    let mut config = config();
    config.kind = "fancy".into();
    config.range = "192.168.0.0/16".into();
    config.note = Planned::Unknown;
    let planned = plan(&config, Some(&prior()));
    assert_eq!(
        (planned.kind, planned.range, planned.note),
        (config.kind, config.range, Planned::Unknown)
    );
}

#[test]
fn a_value_that_is_not_configured_any_more_goes_back_to_its_default() {
    let prior = Group {
        kind: "fancy".into(),
        ..prior()
    };
    let planned = plan(&config(), Some(&prior));
    assert_eq!(planned.kind, Planned::from("plain"));
    assert_eq!(planned.generation, Planned::Unknown, "it is a change");
}

#[test]
fn an_optional_value_that_is_not_configured_any_more_is_null() {
    let prior = Group {
        note: Some("old".into()),
        ..prior()
    };
    assert_eq!(plan(&config(), Some(&prior)).note, Planned::Null);
}

#[test]
fn write_only_values_are_never_planned() {
    let mut config = config();
    config.token = "secret".into();
    assert_eq!(plan(&config, None).token, Planned::Null);
    assert_eq!(
        plan(&config, Some(&prior())),
        GroupPlanned::from(prior()),
        "and they are no change"
    );
}

#[test]
fn a_change_makes_computed_values_unknown_except_those_that_stay() {
    let mut config = config();
    config.note = "new".into();
    let planned = plan(&config, Some(&prior()));
    assert_eq!(planned.generation, Planned::Unknown);
    assert_eq!(planned.range, Planned::Unknown);
    assert_eq!(planned.seen, Planned::Unknown);
    assert_eq!(planned.id, Planned::from("id1"));
    assert_eq!(planned.block, Planned::from("b1"));
    assert_eq!(planned.kind, Planned::from("plain"), "a default is no unknown");
}

#[test]
fn map_elements_keep_their_values_by_key() {
    let machines = BTreeMap::from([("b".to_owned(), machine("zb", "10.0.0.2"))]);
    let prior = Group {
        machines: Some(machines),
        ..prior()
    };
    let mut config = config();
    config.machines = BTreeMap::from([
        ("a".to_owned(), machine_config("za").into()),
        ("b".to_owned(), machine_config("zb").into()),
        ("c".to_owned(), Planned::Unknown),
    ])
    .into();
    let planned = plan(&config, Some(&prior)).machines.into_known().unwrap();
    let machine = |key: &str| planned[key].known().unwrap().clone();
    assert_eq!(
        machine("a").address,
        Planned::Unknown,
        "a new element has no prior value"
    );
    assert_eq!(machine("a").size, Planned::from("small"));
    assert_eq!(machine("b").address, Planned::from("10.0.0.2"));
    assert_eq!(machine("b").health, Planned::Unknown);
    assert_eq!(planned["c"], Planned::Unknown, "an unknown element stays unknown");
}

#[test]
fn list_elements_keep_their_values_only_where_they_have_not_moved() {
    let queue = vec![machine("za", "10.0.0.1"), machine("zb", "10.0.0.2")];
    let prior = Group {
        queue: Some(queue),
        ..prior()
    };
    let mut config = config();
    let zones = ["za", "zx", "zb"];
    config.queue = zones
        .iter()
        .map(|zone| machine_config(zone).into())
        .collect::<Vec<_>>()
        .into();
    let planned = plan(&config, Some(&prior)).queue.into_known().unwrap();
    let addresses: Vec<_> = planned
        .iter()
        .map(|machine| machine.known().unwrap().address.clone())
        .collect();
    assert_eq!(
        addresses,
        [Planned::from("10.0.0.1"), Planned::Unknown, Planned::Unknown]
    );
}

#[test]
fn a_single_object_keeps_its_values() {
    let prior = Group {
        front: Some(machine("za", "10.0.0.1")),
        ..prior()
    };
    let mut config = config();
    config.front = machine_config("zb").into();
    let front = plan(&config, Some(&prior)).front.into_known().unwrap();
    assert_eq!(
        (front.zone, front.address),
        (Planned::from("zb"), Planned::from("10.0.0.1"))
    );
    assert_eq!(front.health, Planned::Unknown);

    config.front = Planned::Null;
    assert_eq!(plan(&config, Some(&prior)).front, Planned::Null);
}

#[test]
fn set_elements_are_matched_by_what_is_configured_and_get_defaults() {
    let rules = BTreeSet::from([rule(80, "tcp", 7), rule(53, "udp", 8)]);
    let prior = Group {
        rules: Some(rules),
        ..prior()
    };
    let mut config = config();
    let udp = RulePlanned {
        protocol: "udp".into(),
        priority: 8.into(),
        ..rule_config(53)
    };
    config.rules = vec![rule_config(80).into(), udp.clone().into()].into();
    assert_eq!(
        plan_value(&config, Some(&prior)),
        prior.to_value(),
        "the same rules in another order"
    );

    config.rules = vec![rule_config(443).into(), udp.into(), rule_config(80).into()].into();
    let planned = plan(&config, Some(&prior)).rules.into_known().unwrap();
    let mut ids: Vec<_> = planned
        .iter()
        .map(|rule| rule.known().unwrap())
        .map(|rule| (rule.port, rule.protocol.clone(), rule.id.clone(), rule.priority))
        .collect();
    ids.sort();
    assert_eq!(
        ids,
        [
            (53.into(), "udp".into(), "rule-53-udp".into(), 8.into()),
            (80.into(), "tcp".into(), "rule-80-tcp".into(), 7.into()),
            (443.into(), "tcp".into(), Planned::Unknown, Planned::Unknown),
        ]
    );
}

#[test]
fn large_sets_are_planned_quickly() {
    // Comparing each element with each would take minutes.
    let rules: BTreeSet<Rule> = (0..20_000).map(|port| rule(port, "tcp", 1)).collect();
    let prior = Group {
        rules: Some(rules.clone()),
        ..prior()
    };
    let mut config = config();
    config.rules = rules
        .iter()
        .map(|rule| rule_config(rule.port).into())
        .collect::<Vec<_>>()
        .into();
    assert!(plan_value(&config, Some(&prior)) == prior.to_value());
}

#[test]
fn a_replacing_change_is_named() {
    let mut config = config();
    config.name = "other".into();
    assert_eq!(replaces(&config, &prior()), ["name"]);
    config.name = Planned::Unknown;
    assert_eq!(replaces(&config, &prior()), ["name"], "an unknown value may be another");
}

#[test]
fn replacing_changes_inside_elements_that_stay_are_named_sorted() {
    let machines = BTreeMap::from([
        ("b".to_owned(), machine("zb", "1")),
        ("a".to_owned(), machine("za", "2")),
    ]);
    let queue = vec![machine("za", "3")];
    let prior = Group {
        machines: Some(machines),
        queue: Some(queue),
        front: Some(machine("za", "4")),
        ..prior()
    };
    let mut config = config();
    config.front = machine_config("zx").into();
    config.queue = vec![machine_config("zx").into()].into();
    config.machines = BTreeMap::from(
        [("b", "zx"), ("a", "zx"), ("c", "zx")].map(|(key, zone)| (key.to_owned(), machine_config(zone).into())),
    )
    .into();
    let expected = [
        "front.zone",
        r#"machines["a"].zone"#,
        r#"machines["b"].zone"#,
        "queue[0].zone",
    ];
    assert_eq!(replaces(&config, &prior), expected);
}

#[test]
fn coming_and_going_elements_replace_nothing() {
    let prior = Group {
        machines: Some(BTreeMap::from([("a".to_owned(), machine("za", "1"))])),
        ..prior()
    };
    let mut config = config();
    config.machines = BTreeMap::from([("b".to_owned(), machine_config("zb").into())]).into();
    assert_eq!(replaces(&config, &prior), Vec::<String>::new());
}

#[test]
fn creation_replaces_nothing() {
    let planned = plan_value(&config(), None);
    assert!(requires_replace(&Group::schema(), &Value::Null, &planned).is_empty());
}

#[test]
fn the_plan_made_again_from_itself_is_the_same() {
    let mut config = config();
    config.note = "new".into();
    config.machines = BTreeMap::from([("a".to_owned(), machine_config("za").into())]).into();
    let first = plan_value(&config, Some(&prior()));
    let again = propose(&Group::schema(), &config.to_value(), &prior().to_value(), &first);
    assert_eq!(first, again);
    assert_eq!(Group::decode_known(&first).unwrap().note, Planned::from("new"));
}
