//! Every rule of rules.md is held by a test that names it, every test of the engine names what it holds, and every place
//! that rules.md names exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Tests by the rules that they name, and those that name none.
#[derive(Default)]
struct Tests {
    by_rule: BTreeMap<String, BTreeSet<String>>,
    without_a_rule: Vec<String>,
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

impl Tests {
    /// Reads `/// Rules: one, another` above a `#[test]`; a list may go on in the next line.
    fn read(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap();
        let mut rules: Vec<String> = Vec::new();
        let mut listing = false;
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let list = match (line.strip_prefix("/// Rules: "), line.strip_prefix("/// ")) {
                (Some(list), _) => Some(list),
                (None, more) if listing => more,
                _ => None,
            };
            if let Some(list) = list {
                rules.extend(
                    list.split(',')
                        .map(|rule| rule.trim().to_owned())
                        .filter(|rule| !rule.is_empty()),
                );
                listing = true;
                continue;
            }
            listing = false;
            if line == "#[test]" {
                is_test = true;
            } else if let Some(function) = line.strip_prefix("fn ") {
                let name = format!(
                    "{} in {}",
                    function.split('(').next().unwrap_or_default(),
                    path.display()
                );
                assert!(rules.is_empty() || is_test, "{name} names rules and is no test");
                if is_test && rules.is_empty() {
                    self.without_a_rule.push(name.clone());
                }
                for rule in rules.drain(..) {
                    self.by_rule.entry(rule).or_default().insert(name.clone());
                }
                is_test = false;
            }
        }
    }
}

/// The rules of the register, each with its places.
fn register(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root.join("rules.md")).unwrap();
    let mut rules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let rule = line.split('`').next().unwrap_or_default();
        let places = line.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let places = places.split(", ").map(str::to_owned);
        rules.entry(rule.to_owned()).or_default().extend(places);
    }
    rules
}

/// Tests of helpers, which hold no rule about order.
const NO_RULES: [&str; 1] = ["every_rule_is_named_by_a_test_and_every_named_rule_exists"];

#[test]
fn every_rule_is_named_by_a_test_and_every_named_rule_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Tests::default();
    for engine in ["src/cluster", "src/node_group"] {
        for path in sources(&root.join(engine)) {
            tests.read(&path);
        }
    }
    let register = register(root);
    let listed: BTreeSet<&String> = register.keys().collect();
    let held: BTreeSet<&String> = tests.by_rule.keys().collect();
    let without_a_test: Vec<_> = listed.difference(&held).collect();
    let not_listed: Vec<_> = held.difference(&listed).collect();
    assert!(without_a_test.is_empty(), "no test holds {without_a_test:?}");
    assert!(not_listed.is_empty(), "rules.md does not list {not_listed:?}");
    tests
        .without_a_rule
        .retain(|test| !NO_RULES.iter().any(|name| test.starts_with(name)) && !test.contains("name.rs"));
    assert!(
        tests.without_a_rule.is_empty(),
        "these name no rule: {:#?}",
        tests.without_a_rule
    );
    for (rule, places) in register {
        for place in places {
            assert!(
                root.join("src").join(&place).is_file(),
                "{rule} is kept in {place}, which is not there"
            );
        }
    }
}
