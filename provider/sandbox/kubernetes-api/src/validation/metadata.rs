//! Names, labels, annotations, owners.

use serde_json::{Value, json};

use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

pub(super) fn check(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let name = object.name();
    let shown = json!(name);
    match (resource.group, resource.plural) {
        ("rbac.authorization.k8s.io", _) => {
            if name == "." || name == ".." || name.contains(['/', '%']) {
                causes.push(Cause::invalid(
                    "metadata.name",
                    &shown,
                    "may not be '.', '..' or contain '/' or '%'",
                ));
            }
        }
        ("", "namespaces" | "services") => {
            if !is_dns_label(name) {
                causes.push(Cause::invalid("metadata.name", &shown, LABEL));
            }
        }
        _ => {
            if !is_dns_subdomain(name) {
                causes.push(Cause::invalid("metadata.name", &shown, SUBDOMAIN));
            }
        }
    }
    labels(object.pointer("/metadata/labels"), "metadata.labels", causes);
    if let Some(annotations) = object.pointer("/metadata/annotations").and_then(Value::as_object) {
        let size: usize = annotations
            .iter()
            .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
            .sum();
        if size > 256 * 1024 {
            causes.push(Cause {
                reason: "FieldValueTooLong",
                field: "metadata.annotations".into(),
                message: "Too long: may not be more than 262144 bytes".into(),
            });
        }
        for key in annotations.keys().filter(|key| !is_qualified_name(&key.to_lowercase())) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), QUALIFIED));
        }
    }
    for (at, owner) in object.items("/metadata/ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.text(&format!("/{field}")).is_empty() {
                causes.push(Cause::required(
                    format!("metadata.ownerReferences[{at}].{field}"),
                    "must not be empty",
                ));
            }
        }
    }
    for finalizer in object.items("/metadata/finalizers").iter().filter_map(Value::as_str) {
        if !is_qualified_name(finalizer) {
            causes.push(Cause::invalid("metadata.finalizers", &json!(finalizer), QUALIFIED));
        }
    }
}

pub(super) fn labels(labels: Option<&Value>, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        if !is_qualified_name(key) {
            causes.push(Cause::invalid(field, &json!(key), QUALIFIED));
        }
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 {
            causes.push(Cause::invalid(field, value, "must be no more than 63 bytes"));
        } else if !is_label_value(text) {
            causes.push(Cause::invalid(field, value, VALUE));
        }
    }
}

pub(super) fn qualified_name(text: &str, field: String, causes: &mut Vec<Cause>) {
    if !is_qualified_name(text) {
        causes.push(Cause::invalid(field, &json!(text), QUALIFIED));
    }
}

pub(super) fn label_value(text: &str, field: String, causes: &mut Vec<Cause>) {
    if text.len() > 63 || !is_label_value(text) {
        causes.push(Cause::invalid(field, &json!(text), VALUE));
    }
}

pub(super) fn dns_label(text: &str, field: String, causes: &mut Vec<Cause>) {
    if !is_dns_label(text) {
        causes.push(Cause::invalid(field, &json!(text), LABEL));
    }
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| inner(byte) || byte == b'-')
        && bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
}

fn is_dns_subdomain(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|part| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let bytes = part.as_bytes();
            bytes.iter().all(|&byte| inner(byte) || byte == b'-')
                && bytes.first().copied().is_some_and(inner)
                && bytes.last().copied().is_some_and(inner)
        })
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_qualified_name(text: &str) -> bool {
    let name = match text.split_once('/') {
        Some((prefix, name)) if is_dns_subdomain(prefix) => name,
        Some(_) => return false,
        None => text,
    };
    name.len() <= 63 && is_word(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels() {
        assert!(is_dns_subdomain("pool-a.example"));
        assert!(!is_dns_subdomain("Pool"));
        assert!(!is_dns_subdomain("a..b"));
        assert!(is_dns_label("kube-system"));
        assert!(!is_dns_label("a.b"));
        assert!(is_qualified_name("topology.kubernetes.io/zone"));
        assert!(is_qualified_name("team"));
        assert!(!is_qualified_name("bad key"));
        assert!(!is_qualified_name("/x"));
        assert!(is_label_value("") && is_label_value("us-central1-a") && !is_label_value("-x"));
    }
}
