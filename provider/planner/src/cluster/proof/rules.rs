//! Every rule of rules.md is held by a test that names it, and every rule that a test names is in rules.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The rules that tests name: `/// Rules: one, another` above a `#[test]`.
fn named(directory: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named(&path, found);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut rules: Vec<String> = Vec::new();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if let Some(list) = line.strip_prefix("/// Rules: ") {
                rules = list.split(',').map(|rule| rule.trim().to_owned()).collect();
                marked = false;
            } else if line == "#[test]" {
                marked = true;
            } else if let Some(test) = line.strip_prefix("fn ") {
                let name = test.split('(').next().unwrap_or_default();
                assert!(
                    rules.is_empty() || marked,
                    "{name} in {} names rules and is no test",
                    path.display()
                );
                for rule in rules.drain(..) {
                    found.entry(rule).or_default().insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_rule_is_named_by_a_test_and_every_named_rule_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut held = BTreeMap::new();
    named(&root.join("src"), &mut held);
    let text = fs::read_to_string(root.join("rules.md")).unwrap();
    let listed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    let held: BTreeSet<String> = held.into_keys().collect();
    let without_a_test: Vec<&String> = listed.difference(&held).collect();
    let not_listed: Vec<&String> = held.difference(&listed).collect();
    assert!(without_a_test.is_empty(), "no test holds {without_a_test:?}");
    assert!(not_listed.is_empty(), "rules.md does not list {not_listed:?}");
}
