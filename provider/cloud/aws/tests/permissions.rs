//! The policy in docs/guides/aws.md allows what is called, and nothing else.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

/// What AWS asks for beside the action that is called: to give a role to a machine, to make an object with its tags, and
/// to make an account's first load balancer.
const IMPLIED: [&str; 5] = [
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
    "iam:TagInstanceProfile",
    "iam:TagRole",
    "secretsmanager:TagResource",
];
/// Allowed by the identity's own policies, not by the role's that it assumes.
const ASSUME: &str = "sts:AssumeRole";

/// The texts of a source that are actions, as `ec2:RunInstances` is.
fn actions(source: &str) -> impl Iterator<Item = String> {
    source.split('"').filter_map(|text| {
        let (service, action) = text.split_once(':')?;
        let is_service = ["ec2", "elasticloadbalancing", "iam", "secretsmanager", "sts"].contains(&service);
        let is_action = action.starts_with(|first: char| first.is_ascii_uppercase())
            && action.chars().all(|letter| letter.is_ascii_alphanumeric());
        (is_service && is_action).then(|| text.to_owned())
    })
}

fn called(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(called(&path));
        } else {
            // What tests call is nobody's permission.
            let source = fs::read_to_string(&path).unwrap();
            found.extend(actions(source.split("#[cfg(test)]").next().unwrap_or_default()));
        }
    }
    found
}

#[test]
fn the_documented_policy_allows_what_is_called_and_nothing_else() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut needed = called(&here.join("src"));
    assert!(needed.len() > 60, "{needed:?}");
    needed.remove(ASSUME);
    needed.extend(IMPLIED.map(str::to_owned));
    let guide = fs::read_to_string(here.join("../../../docs/guides/aws.md")).unwrap();
    let policy = guide.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let allowed = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
    let allowed: BTreeSet<_> = allowed.map(|action| action.as_str().unwrap().to_owned()).collect();
    let missing: Vec<_> = needed.difference(&allowed).collect();
    let needless: Vec<_> = allowed.difference(&needed).collect();
    assert!(
        missing.is_empty() && needless.is_empty(),
        "missing: {missing:?}, needless: {needless:?}"
    );
}
