//! Everything a provider serves, by name, with its schemas at hand.

use std::collections::BTreeMap;

use async_trait::async_trait;
use multizone_schema::{Diagnostics, Model, PlannedModel, Schema, Type, Value};

use super::served::{self, AnyDataSource, AnyEphemeral, AnyFunction, AnyResource};
use crate::configuration::{self, Configured, ProviderConfiguration};
use crate::functions::FunctionDefinition;
use crate::registry;

/// What a provider serves. `P` is what its configuration turns into.
pub struct Catalog<P: Send + Sync + 'static = Configured> {
    /// The provider block.
    pub provider: Entry<dyn AnyProvider<P>>,
    /// Resources by type name.
    pub resources: BTreeMap<&'static str, Entry<dyn AnyResource<P>>>,
    /// Data sources by type name.
    pub data_sources: BTreeMap<&'static str, Entry<dyn AnyDataSource<P>>>,
    /// Ephemeral resources by type name.
    pub ephemeral_resources: BTreeMap<&'static str, Entry<dyn AnyEphemeral<P>>>,
    /// Functions by name.
    pub functions: BTreeMap<&'static str, FunctionEntry>,
}

/// A served object and its schema.
pub struct Entry<T: ?Sized> {
    /// The object.
    pub object: Box<T>,
    /// Its schema.
    pub schema: Schema,
    /// The type of its values.
    pub type_: Type,
}

/// A function and its definition.
pub struct FunctionEntry {
    /// The function.
    pub function: Box<dyn AnyFunction>,
    /// Its definition.
    pub definition: FunctionDefinition,
}

/// The provider block.
#[async_trait]
pub trait AnyProvider<P>: Send + Sync {
    /// Its schema.
    fn schema(&self) -> Schema;

    /// Checks that need more than one attribute. Tolerates unknown values.
    fn check(&self, config: &Value) -> Diagnostics;

    /// Gets everything ready. `None` without an error: the configuration is not known yet.
    async fn configure(&self, config: &Value, terraform_version: &str) -> (Option<P>, Diagnostics);
}

impl<T: ?Sized> Entry<T> {
    fn new(object: Box<T>, schema: Schema) -> Self {
        let type_ = schema.type_();
        Self { object, schema, type_ }
    }
}

impl<P: Send + Sync + 'static> Catalog<P> {
    /// A provider that serves nothing yet.
    pub fn new(provider: Box<dyn AnyProvider<P>>) -> Self {
        let schema = provider.schema();
        Self {
            provider: Entry::new(provider, schema),
            resources: BTreeMap::new(),
            data_sources: BTreeMap::new(),
            ephemeral_resources: BTreeMap::new(),
            functions: BTreeMap::new(),
        }
    }

    /// Serves these resources as well.
    #[must_use]
    pub fn with_resources(mut self, resources: Vec<Box<dyn AnyResource<P>>>) -> Self {
        self.resources.extend(resources.into_iter().map(|resource| {
            let schema = resource.schema();
            (resource.name(), Entry::new(resource, schema))
        }));
        self
    }

    /// Serves these data sources as well.
    #[must_use]
    pub fn with_data_sources(mut self, data_sources: Vec<Box<dyn AnyDataSource<P>>>) -> Self {
        self.data_sources.extend(data_sources.into_iter().map(|source| {
            let schema = source.schema();
            (source.name(), Entry::new(source, schema))
        }));
        self
    }

    /// Serves these ephemeral resources as well.
    #[must_use]
    pub fn with_ephemeral_resources(mut self, ephemeral_resources: Vec<Box<dyn AnyEphemeral<P>>>) -> Self {
        self.ephemeral_resources
            .extend(ephemeral_resources.into_iter().map(|ephemeral| {
                let schema = ephemeral.schema();
                (ephemeral.name(), Entry::new(ephemeral, schema))
            }));
        self
    }

    /// Serves these functions as well.
    #[must_use]
    pub fn with_functions(mut self, functions: Vec<Box<dyn AnyFunction>>) -> Self {
        self.functions.extend(functions.into_iter().map(|function| {
            let definition = function.definition();
            (function.name(), FunctionEntry { function, definition })
        }));
        self
    }
}

impl Catalog<Configured> {
    /// What this provider serves.
    pub fn multizone() -> Self {
        Self::new(Box::new(Multizone))
            .with_resources(registry::resources())
            .with_data_sources(registry::data_sources())
            .with_ephemeral_resources(registry::ephemeral_resources())
            .with_functions(registry::functions())
    }
}

/// The block `provider "multizone"`.
struct Multizone;

#[async_trait]
impl AnyProvider<Configured> for Multizone {
    fn schema(&self) -> Schema {
        ProviderConfiguration::schema()
    }

    fn check(&self, config: &Value) -> Diagnostics {
        served::check_config::<ProviderConfiguration>(&self.schema(), config, configuration::validate)
    }

    async fn configure(&self, config: &Value, terraform_version: &str) -> (Option<Configured>, Diagnostics) {
        match PlannedModel::from_value(&served::with_defaults(&self.schema(), config)) {
            Ok(config) => configuration::configure(config, terraform_version).await,
            Err(diagnostics) => (None, diagnostics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_served_has_a_schema_that_terraform_accepts() {
        let catalog = Catalog::multizone();
        let schemas = std::iter::once(("provider", &catalog.provider.schema))
            .chain(catalog.resources.iter().map(|(name, entry)| (*name, &entry.schema)))
            .chain(catalog.data_sources.iter().map(|(name, entry)| (*name, &entry.schema)))
            .chain(
                catalog
                    .ephemeral_resources
                    .iter()
                    .map(|(name, entry)| (*name, &entry.schema)),
            );
        let violations: Vec<(&str, Vec<String>)> = schemas
            .map(|(name, schema)| (name, schema.check()))
            .filter(|(_, violations)| !violations.is_empty())
            .collect();
        assert_eq!(violations, []);
    }
}
