//! Reading a manifest: several YAML documents, lists unfolded, in the order in which a cluster takes them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AppliedObject, ApplyError};

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) body: Value,
}

impl Object {
    pub(super) fn name(&self) -> AppliedObject {
        AppliedObject {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Group and kind, as [`defined_kinds`] has them.
    pub(super) fn defined_kind(&self) -> (String, String) {
        let group = self.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        (group.to_owned(), self.kind.clone())
    }

    /// What other objects need comes first.
    fn rank(&self) -> u8 {
        match self.kind.as_str() {
            "Namespace" => 0,
            "CustomResourceDefinition" => 1,
            _ => 2,
        }
    }
}

pub(super) fn parse(manifest: &str) -> Result<Vec<Object>, ApplyError> {
    // As kubectl reads YAML: 0644 is octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(manifest, options).map_err(|error| ApplyError::NotYaml {
            reason: error.to_string(),
        })?;
    let mut objects = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        collect(document, index + 1, &mut objects)?;
    }
    objects.sort_by_key(Object::rank);
    Ok(objects)
}

fn collect(document: Value, number: usize, objects: &mut Vec<Object>) -> Result<(), ApplyError> {
    let refuse = |reason: &str| {
        Err(ApplyError::NotAnObject {
            document: number,
            reason: reason.to_owned(),
        })
    };
    let fields = match document {
        Value::Null => return Ok(()),
        Value::Object(fields) => fields,
        _ => return refuse("it is not a map"),
    };
    let text = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let Some(api_version) = text(fields.get("apiVersion")) else {
        return refuse("apiVersion is missing");
    };
    let Some(kind) = text(fields.get("kind")) else {
        return refuse("kind is missing");
    };
    if kind.ends_with("List") && fields.contains_key("items") {
        let Some(Value::Array(items)) = fields.get("items").cloned() else {
            return refuse("items is not a list");
        };
        return items.into_iter().try_for_each(|item| collect(item, number, objects));
    }
    let metadata = fields.get("metadata");
    let Some(name) = text(metadata.and_then(|metadata| metadata.get("name"))) else {
        return refuse(&format!("{kind} has no metadata.name"));
    };
    let namespace = text(metadata.and_then(|metadata| metadata.get("namespace")));
    objects.push(Object {
        api_version,
        kind,
        namespace,
        name,
        body: Value::Object(fields),
    });
    Ok(())
}

/// Group and kind of what the manifest's own `CustomResourceDefinitions` define.
pub(super) fn defined_kinds(objects: &[Object]) -> BTreeSet<(String, String)> {
    objects
        .iter()
        .filter(|object| object.kind == "CustomResourceDefinition")
        .filter_map(|object| {
            let spec = object.body.get("spec")?;
            let kind = spec.get("names")?.get("kind")?.as_str()?;
            Some((spec.get("group")?.as_str()?.to_owned(), kind.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
# A comment, and an empty document.
---
---
apiVersion: example.com/v1
kind: Pool
metadata: {name: pool}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: network}
data: {mode: \"0644\", answer: \"yes\"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.com}
spec: {group: example.com, names: {kind: Pool, plural: pools}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: network}}
- {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {defaultMode: 0644}}
";

    #[test]
    fn namespaces_and_definitions_come_first_and_the_rest_keeps_its_order() {
        let objects = parse(MANIFEST).unwrap();
        let names: Vec<_> = objects.iter().map(|object| object.name().to_string()).collect();
        assert_eq!(
            names,
            [
                "Namespace network",
                "CustomResourceDefinition pools.example.com",
                "Pool pool",
                "ConfigMap network/settings",
                "Service web"
            ]
        );
        assert!(defined_kinds(&objects).contains(&objects[2].defined_kind()));
    }

    #[test]
    fn yaml_is_read_as_kubectl_reads_it() {
        let objects = parse(MANIFEST).unwrap();
        assert_eq!(objects[3].body["data"]["mode"], "0644");
        assert_eq!(objects[3].body["data"]["answer"], "yes");
        assert_eq!(objects[4].body["spec"]["defaultMode"], 0o644);
    }

    #[test]
    fn what_is_no_object_is_named_by_its_document() {
        for (manifest, problem) in [
            (
                "- a\n",
                "document 1 of the manifest is not a Kubernetes object: it is not a map",
            ),
            ("kind: Pod\n", "apiVersion is missing"),
            ("apiVersion: v1\nkind: Pod\n---\napiVersion: v1\n", "document 1"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x}\n",
                "Pod has no metadata.name",
            ),
            ("a: [", "not YAML"),
        ] {
            let error = parse(manifest).unwrap_err().to_string();
            assert!(error.contains(problem), "{manifest:?}: {error}");
        }
    }
}
