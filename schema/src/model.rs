//! Objects as plain structs.

use std::collections::BTreeMap;
use std::fmt;

use crate::attribute::Attribute;
use crate::diagnostic::Diagnostics;
use crate::field::{self, Field};
use crate::path::PathStep;
use crate::planned::Planned;
use crate::schema::Schema;
use crate::value::Value;

/// The whole of one served object (resource, data source, provider configuration) as a struct with plain fields: what
/// state holds. It has no place for an unknown value; its [`Model::Planned`] form has.
///
/// Made by [`derive(Model)`](derive@crate::Model).
pub trait Model: Field<Known = <Self as Model>::Planned> {
    /// The same object where any value may be null or unknown: a configuration or a plan.
    type Planned: PlannedModel<Model = Self>;

    /// What Terraform is told about the object.
    fn schema() -> Schema;

    /// The object as a value.
    fn to_value(&self) -> Value {
        self.encode()
    }

    /// Reads the object from a value; every error names its attribute.
    fn from_value(value: &Value) -> Result<Self, Diagnostics> {
        Self::decode(value)
    }
}

/// An object inside another, as a struct with plain fields. Made by [`derive(Nested)`](derive@crate::Nested).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a nested object",
    note = "#[attribute(…, nested)] is for structs with #[derive(Nested)], and for Option, Vec, BTreeSet, BTreeMap<String, _> of one"
)]
pub trait Nested: Field {
    /// Whether anything in it is write-only: then it cannot be in a set.
    const WRITE_ONLY: bool;
    /// Whether a change of anything in it means a new object: then it cannot be in a set.
    const REQUIRES_REPLACE: bool;

    /// Its attributes.
    fn attributes() -> Vec<Attribute>;
}

/// The planned form of a [`Model`] or [`Nested`] object.
pub trait PlannedModel: Clone + fmt::Debug + PartialEq + Send + Sync + 'static + From<Self::Model> {
    /// The object this is the plan of.
    type Model: Field<Known = Self>;

    /// The object as a value, unknowns included.
    fn to_value(&self) -> Value {
        Self::Model::encode_known(self)
    }

    /// Reads a configuration, proposal or plan that is itself neither null nor unknown.
    fn from_value(value: &Value) -> Result<Self, Diagnostics> {
        Self::Model::decode_known(value)
    }

    /// The object, when by now everything in it is known; otherwise one error for each attribute that is not.
    fn into_known(self) -> Result<Self::Model, Diagnostics> {
        Self::Model::from_planned(Planned::Known(self))
    }
}

/// The planned form of a model.
pub type PlannedOf<M> = <M as Model>::Planned;

/// What the derives' output calls; not for use by hand.
#[doc(hidden)]
pub mod derived {
    use super::{BTreeMap, Diagnostics, Field, PathStep, Planned, Value, field};

    pub use super::field::{decode_planned, encode_planned};

    static NULL: Value = Value::Null;

    pub fn object(value: &Value) -> Result<&BTreeMap<String, Value>, Diagnostics> {
        value
            .as_object()
            .ok_or_else(|| field::mismatch("an object", value.peeled()))
    }

    pub fn require<K>(planned: Planned<K>) -> Result<K, Diagnostics> {
        field::require(planned)
    }

    /// Unwraps the field's result, or keeps its errors with the field's name.
    pub fn keep<T>(name: &str, result: Result<T, Diagnostics>, diagnostics: &mut Diagnostics) -> Option<T> {
        result
            .map_err(|errors| diagnostics.extend(errors.inside(&PathStep::Attribute(name.to_owned()))))
            .ok()
    }

    pub fn attribute<'a>(object: &'a BTreeMap<String, Value>, name: &str) -> &'a Value {
        object.get(name).unwrap_or(&NULL)
    }

    pub fn decode<T: Field>(object: &BTreeMap<String, Value>, name: &str, diagnostics: &mut Diagnostics) -> Option<T> {
        keep(name, T::decode(attribute(object, name)), diagnostics)
    }

    pub fn decode_known<T: Field>(
        object: &BTreeMap<String, Value>,
        name: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<Planned<T::Known>> {
        keep(name, decode_planned::<T>(attribute(object, name)), diagnostics)
    }
}
