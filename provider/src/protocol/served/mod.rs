//! Typed objects behind traits that can be put in a list: conversion between values and models happens here, and the
//! rules that hold for every object (terraform's null, unknown and write-only rules).
//!
//! Whoever writes a [`Resource`](crate::resources::Resource) gets [`AnyResource`] for free, and so on. The schema is
//! passed in because building it anew for each of a thousand instances would be felt.

mod data_source;
mod ephemeral;
mod resource;
pub(in crate::protocol) mod write_only;

pub use data_source::AnyDataSource;
pub use ephemeral::{AnyEphemeral, AnyOpened};
pub use resource::{AnyResource, Applied, Change, Plan};

pub use crate::functions::Function as AnyFunction;

use multizone_schema::{Diagnostic, Diagnostics, Model, PlannedModel, PlannedOf, Schema, Value};

/// The schema's checks, then the object's own: those want a configuration that has the right shape.
pub(super) fn check_config<M: Model>(
    schema: &Schema,
    config: &Value,
    own: impl FnOnce(&PlannedOf<M>) -> Diagnostics,
) -> Diagnostics {
    let mut diagnostics = multizone_schema::validate::validate(schema, config);
    match PlannedOf::<M>::from_value(config) {
        Ok(config) => diagnostics.extend(own(&config)),
        // Said already, and better, if the schema's checks found it.
        Err(errors) if !diagnostics.has_errors() => diagnostics.extend(errors),
        Err(_) => {}
    }
    diagnostics
}

/// The error of an operation that needs the provider's configuration before it is known.
fn not_configured(operation: &str) -> Diagnostics {
    Diagnostic::error(
        "The provider's configuration is not known yet",
        format!(
            "Cannot {operation}: the provider block depends on values that are known only after apply. Nothing was \
             changed. Write those arguments as literals or variables, or apply what they depend on first (terraform \
             apply -target=...)."
        ),
    )
    .into()
}

/// A configuration with its defaults. What is computed, and not set, is unknown.
pub(super) fn with_defaults(schema: &Schema, config: &Value) -> Value {
    multizone_schema::plan::propose(schema, config, &Value::Null, config)
}
