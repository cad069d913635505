//! Tables: what `kubectl get` prints, made by the server as Kubernetes does.

mod cluster;
mod workloads;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::time;

/// A column: its name, and whether it only shows with `-o wide`.
pub(crate) type Column = (&'static str, bool);

/// How one kind is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// What goes beside the cells of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludedObject {
    None,
    Metadata,
    Whole,
}

/// How a table is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) object: IncludedObject,
    pub(crate) now: Timestamp,
    pub(crate) definitions: bool,
}

impl Columns {
    pub(crate) fn of(resource: &Resource) -> Self {
        let found = cluster::columns(resource).or_else(|| workloads::columns(resource));
        let (columns, cells) = found.unwrap_or((GENERIC, generic));
        Self { columns, cells }
    }
}

/// A kind's columns and what fills them.
type Found = (&'static [Column], fn(&Value, Timestamp) -> Vec<Value>);

const GENERIC: &[Column] = &[("Name", false), ("Age", false)];

fn generic(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![json!(object.name()), created(object, now)]
}

/// The AGE cell.
fn created(object: &Value, now: Timestamp) -> Value {
    json!(time::age(object.text("/metadata/creationTimestamp"), now))
}

/// A text cell that shows `<none>` for nothing.
fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

/// Labels as `a=b,c=d`.
fn pairs(object: &Value, pointer: &str) -> Value {
    let pairs: Vec<String> = object
        .entries(pointer)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    or_none(&pairs.join(","))
}

/// A `Table` of objects.
pub(crate) fn render(columns: &Columns, objects: &[Arc<Value>], options: &Options, revision: &str) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": (columns.cells)(object, options.now)});
            match options.object {
                IncludedObject::None => {}
                IncludedObject::Metadata => row["object"] = crate::http::metadata_only(object),
                IncludedObject::Whole => row["object"] = (**object).clone(),
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = columns
        .columns
        .iter()
        .map(|(name, wide)| {
            json!({
                "name": name, "type": "string", "format": if *name == "Name" { "name" } else { "" },
                "description": "", "priority": i32::from(*wide),
            })
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision},
        "columnDefinitions": if options.definitions { Value::Array(definitions) } else { Value::Array(Vec::new()) },
        "rows": rows,
    })
}
