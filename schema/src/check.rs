//! What is wrong with a schema, for a test over everything that is served.

use std::collections::BTreeSet;

use crate::attribute::{Attribute, AttributeKind, Mode};
use crate::codec::EncodeError;
use crate::schema::Schema;
use crate::value::Value;

/// Names that Terraform keeps for itself at the top level of a block.
pub const RESERVED_NAMES: [&str; 7] = [
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioner",
];

impl Schema {
    /// Everything that Terraform would refuse, misunderstand or leave unexplained: empty when all is well.
    pub fn check(&self) -> Vec<String> {
        let mut violations = Vec::new();
        if self.description.is_empty() {
            violations.push("the schema has no description".to_owned());
        }
        if self.version < 0 {
            violations.push(format!("the version {} is negative", self.version));
        }
        for attribute in &self.attributes {
            if RESERVED_NAMES.contains(&attribute.name.as_str()) {
                violations.push(format!("{}: Terraform keeps this name for itself", attribute.name));
            }
        }
        Check {
            violations: &mut violations,
            inside_set: false,
            inside_computed: false,
        }
        .object(&self.attributes, "");
        violations
    }
}

struct Check<'a> {
    violations: &'a mut Vec<String>,
    inside_set: bool,
    inside_computed: bool,
}

impl Check<'_> {
    fn object(&mut self, attributes: &[Attribute], prefix: &str) {
        let mut names = BTreeSet::new();
        for attribute in attributes {
            let path = format!("{prefix}{}", attribute.name);
            if !names.insert(&attribute.name) {
                self.violations.push(format!("{path}: the name occurs twice"));
            }
            self.attribute(attribute, &path);
            if let Some(inner) = attribute.kind.nested() {
                Check {
                    violations: self.violations,
                    inside_set: self.inside_set || matches!(attribute.kind, AttributeKind::Set(_)),
                    inside_computed: self.inside_computed || attribute.mode == Mode::Computed,
                }
                .object(inner, &format!("{path}."));
            }
        }
    }

    fn attribute(&mut self, attribute: &Attribute, path: &str) {
        let mut refuse = |what: &str| self.violations.push(format!("{path}: {what}"));
        let starts_well = attribute.name.starts_with(|first: char| first.is_ascii_lowercase());
        if !starts_well
            || !attribute
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            refuse("a name is a lowercase letter, then lowercase letters, digits and underscores");
        }
        if attribute.description.is_empty() {
            refuse("there is no description");
        }
        if attribute.kind.nested().is_some_and(<[Attribute]>::is_empty) {
            refuse("the nested object has no attributes");
        }
        let configured = attribute.mode != Mode::Computed;
        let computed = attribute.mode.is_computed();
        if let Some(default) = &attribute.default {
            if attribute.mode != Mode::OptionalComputed {
                refuse("an attribute with a default is optional and computed");
            }
            if let Some(problem) = bad_default(attribute, default) {
                refuse(&format!("the default does not fit: {problem}"));
            }
        }
        if attribute.write_only && (computed || attribute.requires_replace) {
            refuse("a write-only attribute is neither computed nor a reason for a new object");
        }
        if attribute.write_only && self.inside_set {
            refuse("a set cannot hold write-only values");
        }
        if attribute.keep_prior && !computed {
            refuse("only a computed attribute can keep its prior value");
        }
        if attribute.requires_replace && !configured {
            refuse("a computed attribute cannot be changed by the configuration");
        }
        let provider_may_choose = attribute.mode == Mode::OptionalComputed && attribute.default.is_none();
        if attribute.requires_replace && provider_may_choose && !attribute.keep_prior {
            refuse("every update would be a replacement: keep the prior value");
        }
        if attribute.requires_replace && self.inside_set {
            refuse("a change inside a set cannot be a reason for a new object: its elements have no address");
        }
        if !attribute.validators.is_empty() && !configured {
            refuse("a computed attribute is in no configuration, so that there is nothing to validate");
        }
        if self.inside_computed && attribute.mode != Mode::Computed {
            refuse("what is inside a computed attribute is computed too");
        }
    }
}

fn bad_default(attribute: &Attribute, default: &Value) -> Option<EncodeError> {
    default.to_state(&attribute.type_()).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn schema(attributes: Vec<Attribute>) -> Schema {
        Schema {
            version: 0,
            description: "A thing.".into(),
            attributes,
        }
    }

    fn named(name: &str, mode: Mode) -> Attribute {
        Attribute::plain(name, Type::String, mode, "What it is.")
    }

    #[test]
    fn a_good_schema_has_no_violations() {
        let inner = vec![named("zone", Mode::Required), named("count", Mode::Optional)];
        let nested = Attribute::new("replicas", AttributeKind::Map(inner), Mode::Required, "The replicas.");
        assert_eq!(
            schema(vec![named("id", Mode::Computed), nested]).check(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_violation_is_named() {
        let mut default = named("size", Mode::OptionalComputed);
        default.default = Some(Value::from(true));
        let mut replace = named("port", Mode::Required);
        replace.requires_replace = true;
        let set = Attribute::new("rules", AttributeKind::Set(vec![replace]), Mode::Required, "Rules.");
        let chain = Attribute::new(
            "chain",
            AttributeKind::List(vec![named("a", Mode::Optional)]),
            Mode::Computed,
            "",
        );
        let schema = schema(vec![
            named("count", Mode::Required),
            named("Name", Mode::Required),
            named("a", Mode::Required),
            named("a", Mode::Required),
            default,
            set,
            chain,
        ]);
        let violations = schema.check().join("\n");
        for expected in [
            "count: Terraform keeps this name",
            "Name: a name is a lowercase letter",
            "a: the name occurs twice",
            "size: the default does not fit: string is required, but the value is a bool",
            "rules.port: a change inside a set",
            "chain: there is no description",
            "chain.a: what is inside a computed attribute",
        ] {
            assert!(violations.contains(expected), "{expected} is not in\n{violations}");
        }
        assert_eq!(violations.lines().count(), 7, "{violations}");
    }
}
