//! The schema of one served object.

use crate::attribute::{Attribute, object_type};
use crate::types::Type;

/// What Terraform is told about a resource, data source, ephemeral resource or the provider's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// The version of the state's shape; raise it and add an upgrade when the shape changes.
    pub version: i64,
    /// What the object is, in markdown.
    pub description: String,
    /// Its attributes in the order of declaration.
    pub attributes: Vec<Attribute>,
}

impl Schema {
    /// The type of the object.
    pub fn type_(&self) -> Type {
        object_type(&self.attributes)
    }

    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}
