//! One attribute of a schema.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostics;
use crate::path::Path;
use crate::types::Type;
use crate::value::Value;

/// Checks one configured value; called for values that are neither null nor unknown.
///
/// A collection that is known may still hold unknown elements.
pub type Validator = fn(value: &Value, path: &Path, diagnostics: &mut Diagnostics);

/// Who sets an attribute: the configuration, the provider, or either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The configuration must set it.
    Required,
    /// The configuration may set it; otherwise it is null.
    Optional,
    /// The provider sets it.
    Computed,
    /// The configuration may set it; otherwise the provider does.
    OptionalComputed,
}

impl Mode {
    /// Whether the provider may choose the value when the configuration does not.
    pub fn is_computed(self) -> bool {
        matches!(self, Self::Computed | Self::OptionalComputed)
    }

    /// Whether the configuration may leave it out or set it.
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Optional | Self::OptionalComputed)
    }

    /// Whether the configuration must set it.
    pub fn is_required(self) -> bool {
        matches!(self, Self::Required)
    }
}

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeKind {
    /// A value of this type.
    Plain(Type),
    /// One object with attributes of its own.
    Single(Vec<Attribute>),
    /// A list of such objects.
    List(Vec<Attribute>),
    /// A set of such objects.
    Set(Vec<Attribute>),
    /// Such objects by name.
    Map(Vec<Attribute>),
}

impl AttributeKind {
    /// The attributes of the nested object, if this is one.
    pub fn nested(&self) -> Option<&[Attribute]> {
        match self {
            Self::Plain(_) => None,
            Self::Single(attributes) | Self::List(attributes) | Self::Set(attributes) | Self::Map(attributes) => {
                Some(attributes)
            }
        }
    }

    /// The type of the values.
    pub fn type_(&self) -> Type {
        match self {
            Self::Plain(type_) => type_.clone(),
            Self::Single(attributes) => object_type(attributes),
            Self::List(attributes) => Type::list(object_type(attributes)),
            Self::Set(attributes) => Type::set(object_type(attributes)),
            Self::Map(attributes) => Type::map(object_type(attributes)),
        }
    }
}

/// The type of an object with these attributes.
pub fn object_type(attributes: &[Attribute]) -> Type {
    Type::Object(
        attributes
            .iter()
            .map(|attribute| (attribute.name.clone(), attribute.kind.type_()))
            .collect::<BTreeMap<_, _>>(),
    )
}

/// One attribute of a schema or of a nested object.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is an independent flag of Terraform's own schema.
pub struct Attribute {
    /// Its name in the configuration.
    pub name: String,
    /// What it holds.
    pub kind: AttributeKind,
    /// What it means, in markdown.
    pub description: String,
    /// Who sets it.
    pub mode: Mode,
    /// Whether Terraform hides the value.
    pub sensitive: bool,
    /// Whether the value goes to the provider and never into plan or state.
    pub write_only: bool,
    /// Why not to use it any more, and what to use instead.
    pub deprecated: Option<String>,
    /// The value when the configuration sets none.
    pub default: Option<Value>,
    /// Whether a change means a new object.
    pub requires_replace: bool,
    /// Whether a computed value stays what it was in an update.
    pub keep_prior: bool,
    /// Checks of the configured value.
    pub validators: Vec<Validator>,
}

impl PartialEq for Attribute {
    /// Equal when Terraform cannot tell them apart: validators do not count.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.description == other.description
            && self.mode == other.mode
            && self.sensitive == other.sensitive
            && self.write_only == other.write_only
            && self.deprecated == other.deprecated
            && self.default == other.default
            && self.requires_replace == other.requires_replace
            && self.keep_prior == other.keep_prior
    }
}

impl Attribute {
    /// An attribute with no flag set.
    pub fn new(name: impl Into<String>, kind: AttributeKind, mode: Mode, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            description: description.into(),
            mode,
            sensitive: false,
            write_only: false,
            deprecated: None,
            default: None,
            requires_replace: false,
            keep_prior: false,
            validators: Vec::new(),
        }
    }

    /// A plain attribute with no flag set.
    pub fn plain(name: impl Into<String>, type_: Type, mode: Mode, description: impl Into<String>) -> Self {
        Self::new(name, AttributeKind::Plain(type_), mode, description)
    }

    /// The type of its values.
    pub fn type_(&self) -> Type {
        self.kind.type_()
    }
}

/// The attributes of an object that only the provider sets: whatever they are elsewhere, here all are computed.
///
/// So one struct can be configured in one place and reported in another.
pub fn computed_only(attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes
        .into_iter()
        .map(|attribute| Attribute {
            kind: match attribute.kind {
                AttributeKind::Plain(type_) => AttributeKind::Plain(type_),
                AttributeKind::Single(inner) => AttributeKind::Single(computed_only(inner)),
                AttributeKind::List(inner) => AttributeKind::List(computed_only(inner)),
                AttributeKind::Set(inner) => AttributeKind::Set(computed_only(inner)),
                AttributeKind::Map(inner) => AttributeKind::Map(computed_only(inner)),
            },
            mode: Mode::Computed,
            write_only: false,
            default: None,
            requires_replace: false,
            keep_prior: false,
            validators: Vec::new(),
            ..attribute
        })
        .collect()
}
