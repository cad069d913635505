//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::ObjectExt as _;
use crate::status::ApiError;

/// Which objects a list, a watch or a controller is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<&str, &str>) -> bool {
        let value = labels.get(self.key.as_str()).copied();
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Operator::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
            Operator::Exists => value.is_some(),
            Operator::Absent => value.is_none(),
        }
    }
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` as they come in a URL.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let mut selector = Self::default();
        for part in split_outside_parentheses(labels) {
            selector.labels.push(requirement(part)?);
        }
        for part in fields.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value, equal) = if let Some((key, value)) = part.split_once("!=") {
                (key, value, false)
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key, value, true)
            } else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{part}'; can't understand '{part}'"
                )));
            };
            selector.fields.push((key.to_owned(), value.to_owned(), equal));
        }
        Ok(selector)
    }

    /// A `LabelSelector` as specs have it; an empty one matches everything.
    pub(crate) fn of_spec(spec: &Value) -> Self {
        let mut labels: Vec<Requirement> = spec
            .entries("/matchLabels")
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::In(vec![value.to_owned()]),
            })
            .collect();
        labels.extend(spec.items("/matchExpressions").iter().filter_map(expression));
        Self {
            labels,
            fields: Vec::new(),
        }
    }

    /// The field selector's demand for this field, if it demands one value.
    pub(crate) fn wanted_field(&self, field: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(key, _, equal)| key == field && *equal)
            .map(|(_, value, _)| value.as_str())
    }

    pub(crate) fn matches_labels(&self, labels: &BTreeMap<&str, &str>) -> bool {
        self.labels.iter().all(|one| one.matches(labels))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.matches_labels(&object.labels())
            && self
                .fields
                .iter()
                .all(|(key, value, equal)| (field(object, key) == *value) == *equal)
    }

    /// Refuses fields that Kubernetes does not offer for selection on the resource.
    pub(crate) fn check_fields(&self, resource: &str) -> Result<(), ApiError> {
        for (key, ..) in &self.fields {
            let offered = matches!(key.as_str(), "metadata.name" | "metadata.namespace")
                || match resource {
                    "pods" => matches!(
                        key.as_str(),
                        "spec.nodeName"
                            | "spec.restartPolicy"
                            | "spec.schedulerName"
                            | "spec.serviceAccountName"
                            | "spec.hostNetwork"
                            | "status.phase"
                            | "status.podIP"
                            | "status.nominatedNodeName"
                    ),
                    "nodes" => key == "spec.unschedulable",
                    "secrets" => key == "type",
                    "namespaces" => key == "status.phase",
                    "certificatesigningrequests.certificates.k8s.io" => key == "spec.signerName",
                    "replicasets.apps" => key == "status.replicas",
                    "events" | "events.events.k8s.io" => {
                        key.starts_with("involvedObject.")
                            || key.starts_with("regarding.")
                            || matches!(key.as_str(), "reason" | "type" | "source" | "reportingComponent")
                    }
                    _ => false,
                };
            if !offered {
                return Err(ApiError::bad_request(format!("field label not supported: {key}")));
            }
        }
        Ok(())
    }
}

fn field(object: &Value, key: &str) -> String {
    if key == "source" {
        return object.text("/source/component").to_owned();
    }
    let pointer = format!("/{}", key.replace('.', "/"));
    match object.pointer(&pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        _ if key == "spec.unschedulable" || key == "spec.hostNetwork" => "false".to_owned(),
        _ => String::new(),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0i32, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn requirement(text: &str) -> Result<Requirement, ApiError> {
    let made = |key: &str, operator| Requirement {
        key: key.trim().to_owned(),
        operator,
    };
    let list = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|one| one.trim().to_owned()).collect())
    };
    let bad = || ApiError::bad_request(format!("unable to parse requirement: '{text}'"));
    if let Some(key) = text.strip_prefix('!') {
        return Ok(made(key, Operator::Absent));
    }
    if let Some((key, values)) = text.split_once(" notin ").or_else(|| text.split_once(" notin(")) {
        let values = if values.trim_start().starts_with('(') {
            values.to_owned()
        } else {
            format!("({values}")
        };
        return Ok(made(key, Operator::NotIn(list(&values).ok_or_else(bad)?)));
    }
    if let Some((key, values)) = text.split_once(" in ").or_else(|| text.split_once(" in(")) {
        let values = if values.trim_start().starts_with('(') {
            values.to_owned()
        } else {
            format!("({values}")
        };
        return Ok(made(key, Operator::In(list(&values).ok_or_else(bad)?)));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(made(key, Operator::NotIn(vec![value.trim().to_owned()])));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(made(key, Operator::In(vec![value.trim().to_owned()])));
    }
    if text.contains(char::is_whitespace) {
        Err(bad())
    } else {
        Ok(made(text, Operator::Exists))
    }
}

fn expression(expression: &Value) -> Option<Requirement> {
    let values = || {
        expression
            .items("/values")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let operator = match expression.text("/operator") {
        "In" => Operator::In(values()),
        "NotIn" => Operator::NotIn(values()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::Absent,
        _ => return None,
    };
    Some(Requirement {
        key: expression.text("/key").to_owned(),
        operator,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_match_like_kubectl_says() {
        let object = json!({"metadata": {"name": "n", "labels": {"zone": "a", "team": "web"}}});
        for (text, expected) in [
            ("", true),
            ("zone=a", true),
            ("zone==b", false),
            ("zone!=b", true),
            ("absent!=b", true),
            ("zone in (a, b),team", true),
            ("zone in (b)", false),
            ("zone notin (a)", false),
            ("absent notin (a)", true),
            ("!zone", false),
            ("!absent", true),
        ] {
            assert_eq!(Selector::parse(text, "").unwrap().matches(&object), expected, "{text}");
        }
        assert!(Selector::parse("a b", "").is_err());
    }

    #[test]
    fn field_selectors_look_into_the_object() {
        let pod = json!({"metadata": {"name": "n"}, "spec": {"nodeName": "x"}, "status": {"phase": "Running"}});
        for (text, expected) in [
            ("spec.nodeName=x", true),
            ("spec.nodeName=y", false),
            ("spec.nodeName!=", true),
            ("status.phase!=Succeeded,status.phase!=Failed", true),
            ("metadata.name=n", true),
        ] {
            assert_eq!(Selector::parse("", text).unwrap().matches(&pod), expected, "{text}");
        }
        assert!(
            Selector::parse("", "spec.color=red")
                .unwrap()
                .check_fields("pods")
                .is_err()
        );
    }
}
