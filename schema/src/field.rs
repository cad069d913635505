//! The Rust types that a model's fields can have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::number::Number;
use crate::path::PathStep;
use crate::planned::Planned;
use crate::types::Type;
use crate::value::Value;

/// A Rust type that stands for a wholly known value, and the planned form of the same value.
///
/// Implemented here for plain types and by the derives for models. Paths in the errors start at the value itself; the
/// caller adds its own step with [`Diagnostics::inside`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of an attribute",
    note = "attributes are String, bool, i64, f64, Number, or Option, Vec, BTreeSet, BTreeMap<String, _> of these, or structs with #[derive(Nested)]"
)]
pub trait Field: Sized + Clone + Send + Sync + 'static {
    /// What a known value of this type is in a plan, where whatever it holds may still be null or unknown.
    type Known: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The value this stands for.
    fn encode(&self) -> Value;
    /// Reads a value that must be known.
    fn decode(value: &Value) -> Result<Self, Diagnostics>;
    /// The value a planned one stands for.
    fn encode_known(known: &Self::Known) -> Value;
    /// Reads a value that is neither null nor unknown, but may hold such values.
    fn decode_known(value: &Value) -> Result<Self::Known, Diagnostics>;
    /// The same value in a plan.
    fn into_planned(self) -> Planned<Self::Known>;
    /// The planned value, which must be known by now.
    fn from_planned(planned: Planned<Self::Known>) -> Result<Self, Diagnostics>;
}

/// A field whose type is a plain Terraform type, not a nested object.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plain attribute type",
    note = "a struct with #[derive(Nested)] needs #[attribute(…, nested)]",
    note = "the elements of a collection cannot be null, so that they are no Option"
)]
pub trait PlainField: Field {
    /// The Terraform type.
    fn type_() -> Type;
}

/// The value of a planned field.
pub fn encode_planned<T: Field>(planned: &Planned<T::Known>) -> Value {
    match planned {
        Planned::Null => Value::Null,
        Planned::Unknown => Value::Unknown,
        Planned::Known(known) => T::encode_known(known),
    }
}

/// Reads a planned field.
pub fn decode_planned<T: Field>(value: &Value) -> Result<Planned<T::Known>, Diagnostics> {
    match value.peeled() {
        Value::Null => Ok(Planned::Null),
        Value::Unknown => Ok(Planned::Unknown),
        known => T::decode_known(known).map(Planned::Known),
    }
}

/// The error for a value of another kind than the field wants.
pub(crate) fn mismatch(wanted: &str, value: &Value) -> Diagnostics {
    match value {
        Value::Null => missing(),
        Value::Unknown => unknown(),
        other => Diagnostic::error(
            "Unexpected kind of value",
            format!(
                "The attribute wants {wanted}, but the value is {}. This is an error in the provider.",
                other.kind()
            ),
        )
        .into(),
    }
}

/// The error for a number that a 64-bit integer cannot hold: of all mismatches, this one comes from the configuration.
fn not_whole(number: &Number) -> Diagnostics {
    let shown: String = number.to_string().chars().take(40).collect();
    Diagnostic::error(
        "Not a whole number",
        format!("The value is {shown}, but must be a whole number between -2^63 and 2^63-1."),
    )
    .into()
}

/// The error for a null where a value is needed.
pub(crate) fn missing() -> Diagnostics {
    Diagnostic::error(
        "Missing value",
        "The attribute has no value where one is needed. If the configuration sets it, this is an error in the \
         provider or the state was changed by hand.",
    )
    .into()
}

/// The error for an unknown value where it must be known.
pub(crate) fn unknown() -> Diagnostics {
    Diagnostic::error(
        "Value not known yet",
        "The attribute's value is known only after apply, but is needed now. This is an error in the provider.",
    )
    .into()
}

/// Unwraps a planned value that must be known and set.
pub(crate) fn require<K>(planned: Planned<K>) -> Result<K, Diagnostics> {
    match planned {
        Planned::Known(known) => Ok(known),
        Planned::Null => Err(missing()),
        Planned::Unknown => Err(unknown()),
    }
}

/// Converts each element, gathering the errors of all of them.
fn each<A, B, C: FromIterator<B>>(
    elements: impl IntoIterator<Item = (Option<PathStep>, A)>,
    mut convert: impl FnMut(A) -> Result<B, Diagnostics>,
) -> Result<C, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let converted = elements
        .into_iter()
        .filter_map(|(step, element)| match (convert(element), step) {
            (Ok(converted), _) => Some(converted),
            (Err(errors), None) => {
                diagnostics.extend(errors);
                None
            }
            (Err(errors), Some(step)) => {
                diagnostics.extend(errors.inside(&step));
                None
            }
        })
        .collect();
    diagnostics.into_result(converted)
}

fn indexed<T>(elements: impl IntoIterator<Item = T>) -> impl Iterator<Item = (Option<PathStep>, T)> {
    elements
        .into_iter()
        .zip(0_i64..)
        .map(|(element, index)| (Some(PathStep::Index(index)), element))
}

fn keyed<T>(elements: impl IntoIterator<Item = (String, T)>) -> impl Iterator<Item = (Option<PathStep>, (String, T))> {
    elements
        .into_iter()
        .map(|(key, element)| (Some(PathStep::Key(key.clone())), (key, element)))
}

macro_rules! scalar {
    ($type:ty, $terraform:expr, $wanted:literal, |$this:ident| $encode:expr, |$value:ident| $decode:expr) => {
        impl Field for $type {
            type Known = $type;
            fn encode(&self) -> Value {
                let $this = self;
                $encode
            }
            fn decode($value: &Value) -> Result<Self, Diagnostics> {
                $decode.ok_or_else(|| mismatch($wanted, $value.peeled()))
            }
            fn encode_known(known: &Self) -> Value {
                known.encode()
            }
            fn decode_known(value: &Value) -> Result<Self, Diagnostics> {
                Self::decode(value)
            }
            fn into_planned(self) -> Planned<Self> {
                Planned::Known(self)
            }
            fn from_planned(planned: Planned<Self>) -> Result<Self, Diagnostics> {
                require(planned)
            }
        }
        impl PlainField for $type {
            fn type_() -> Type {
                $terraform
            }
        }
    };
}

scalar!(
    String,
    Type::String,
    "a string",
    |this| Value::String(this.clone()),
    |value| value.as_str().map(str::to_owned)
);
scalar!(bool, Type::Bool, "a bool", |this| Value::Bool(*this), |value| value
    .as_bool());
scalar!(
    i64,
    Type::Number,
    "a whole number",
    |this| Value::from(*this),
    |value| match value.as_number() {
        Some(number) => Some(number.as_i64().ok_or_else(|| not_whole(number))).transpose()?,
        None => None,
    }
);
scalar!(
    Number,
    Type::Number,
    "a number",
    |this| Value::Number(this.clone()),
    |value| value.as_number().cloned()
);
// A NaN has no value in Terraform; as a null it is refused wherever a number is needed.
scalar!(
    f64,
    Type::Number,
    "a number",
    |this| Number::from_f64(*this).map_or(Value::Null, Value::Number),
    |value| value.as_number().map(Number::as_f64)
);

impl<T: Field> Field for Option<T> {
    type Known = T::Known;
    fn encode(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::encode)
    }
    fn decode(value: &Value) -> Result<Self, Diagnostics> {
        if value.is_null() {
            Ok(None)
        } else {
            T::decode(value).map(Some)
        }
    }
    fn encode_known(known: &Self::Known) -> Value {
        T::encode_known(known)
    }
    fn decode_known(value: &Value) -> Result<Self::Known, Diagnostics> {
        T::decode_known(value)
    }
    fn into_planned(self) -> Planned<Self::Known> {
        self.map_or(Planned::Null, T::into_planned)
    }
    fn from_planned(planned: Planned<Self::Known>) -> Result<Self, Diagnostics> {
        if planned.is_null() {
            Ok(None)
        } else {
            T::from_planned(planned).map(Some)
        }
    }
}

impl<T: Field> Field for Vec<T> {
    type Known = Vec<Planned<T::Known>>;
    fn encode(&self) -> Value {
        Value::List(self.iter().map(T::encode).collect())
    }
    fn decode(value: &Value) -> Result<Self, Diagnostics> {
        match value.peeled() {
            Value::List(elements) => each(indexed(elements), T::decode),
            other => Err(mismatch("a list", other)),
        }
    }
    fn encode_known(known: &Self::Known) -> Value {
        Value::List(known.iter().map(encode_planned::<T>).collect())
    }
    fn decode_known(value: &Value) -> Result<Self::Known, Diagnostics> {
        match value.peeled() {
            Value::List(elements) => each(indexed(elements), decode_planned::<T>),
            other => Err(mismatch("a list", other)),
        }
    }
    fn into_planned(self) -> Planned<Self::Known> {
        Planned::Known(self.into_iter().map(T::into_planned).collect())
    }
    fn from_planned(planned: Planned<Self::Known>) -> Result<Self, Diagnostics> {
        each(indexed(require(planned)?), T::from_planned)
    }
}

impl<T: PlainField> PlainField for Vec<T> {
    fn type_() -> Type {
        Type::list(T::type_())
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    /// Not a set: several elements may be unknown, and stay several.
    type Known = Vec<Planned<T::Known>>;
    fn encode(&self) -> Value {
        Value::set(self.iter().map(T::encode))
    }
    fn decode(value: &Value) -> Result<Self, Diagnostics> {
        match value.peeled() {
            Value::Set(elements) => each(elements.iter().map(|element| (None, element)), T::decode),
            other => Err(mismatch("a set", other)),
        }
    }
    fn encode_known(known: &Self::Known) -> Value {
        Value::set(known.iter().map(encode_planned::<T>))
    }
    fn decode_known(value: &Value) -> Result<Self::Known, Diagnostics> {
        match value.peeled() {
            Value::Set(elements) => each(elements.iter().map(|element| (None, element)), decode_planned::<T>),
            other => Err(mismatch("a set", other)),
        }
    }
    fn into_planned(self) -> Planned<Self::Known> {
        Planned::Known(self.into_iter().map(T::into_planned).collect())
    }
    fn from_planned(planned: Planned<Self::Known>) -> Result<Self, Diagnostics> {
        each(
            require(planned)?.into_iter().map(|element| (None, element)),
            T::from_planned,
        )
    }
}

impl<T: PlainField + Ord> PlainField for BTreeSet<T> {
    fn type_() -> Type {
        Type::set(T::type_())
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    type Known = BTreeMap<String, Planned<T::Known>>;
    fn encode(&self) -> Value {
        Value::Map(
            self.iter()
                .map(|(key, element)| (key.clone(), element.encode()))
                .collect(),
        )
    }
    fn decode(value: &Value) -> Result<Self, Diagnostics> {
        match value.peeled() {
            Value::Map(elements) => each(
                keyed(elements.iter().map(|(key, element)| (key.clone(), element))),
                |(key, element)| Ok((key, T::decode(element)?)),
            ),
            other => Err(mismatch("a map", other)),
        }
    }
    fn encode_known(known: &Self::Known) -> Value {
        Value::Map(
            known
                .iter()
                .map(|(key, element)| (key.clone(), encode_planned::<T>(element)))
                .collect(),
        )
    }
    fn decode_known(value: &Value) -> Result<Self::Known, Diagnostics> {
        match value.peeled() {
            Value::Map(elements) => each(
                keyed(elements.iter().map(|(key, element)| (key.clone(), element))),
                |(key, element)| Ok((key, decode_planned::<T>(element)?)),
            ),
            other => Err(mismatch("a map", other)),
        }
    }
    fn into_planned(self) -> Planned<Self::Known> {
        Planned::Known(
            self.into_iter()
                .map(|(key, element)| (key, element.into_planned()))
                .collect(),
        )
    }
    fn from_planned(planned: Planned<Self::Known>) -> Result<Self, Diagnostics> {
        each(keyed(require(planned)?), |(key, element)| {
            Ok((key, T::from_planned(element)?))
        })
    }
}

impl<T: PlainField> PlainField for BTreeMap<String, T> {
    fn type_() -> Type {
        Type::map(T::type_())
    }
}
