//! What is served.

use std::collections::HashMap;

use super::super::catalog::{Catalog, Entry};
use super::super::codec;
use super::super::wire::tfplugin6 as wire;
use wire::get_metadata::{DataSourceMetadata, EphemeralMetadata, FunctionMetadata, ResourceMetadata};

/// Destroys are planned, the schema may be kept, and a move from a foreign type gets a clear answer.
fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
    }
}

pub(super) fn metadata<P: Send + Sync>(catalog: &Catalog<P>) -> wire::get_metadata::Response {
    let name = |name: &&str| (*name).to_owned();
    wire::get_metadata::Response {
        server_capabilities: Some(capabilities()),
        diagnostics: Vec::new(),
        data_sources: catalog
            .data_sources
            .keys()
            .map(|key| DataSourceMetadata { type_name: name(key) })
            .collect(),
        resources: catalog
            .resources
            .keys()
            .map(|key| ResourceMetadata { type_name: name(key) })
            .collect(),
        functions: catalog
            .functions
            .keys()
            .map(|key| FunctionMetadata { name: name(key) })
            .collect(),
        ephemeral_resources: catalog
            .ephemeral_resources
            .keys()
            .map(|key| EphemeralMetadata { type_name: name(key) })
            .collect(),
    }
}

pub(super) fn schemas<P: Send + Sync>(catalog: &Catalog<P>) -> wire::get_provider_schema::Response {
    wire::get_provider_schema::Response {
        provider: Some(codec::schema(&catalog.provider.schema)),
        resource_schemas: catalog.resources.iter().map(named).collect(),
        data_source_schemas: catalog.data_sources.iter().map(named).collect(),
        functions: functions(catalog),
        ephemeral_resource_schemas: catalog.ephemeral_resources.iter().map(named).collect(),
        diagnostics: Vec::new(),
        provider_meta: None,
        server_capabilities: Some(capabilities()),
    }
}

pub(super) fn functions<P: Send + Sync>(catalog: &Catalog<P>) -> HashMap<String, wire::Function> {
    catalog
        .functions
        .iter()
        .map(|(name, entry)| ((*name).to_owned(), codec::function(&entry.definition)))
        .collect()
}

fn named<T: ?Sized>((name, entry): (&&str, &Entry<T>)) -> (String, wire::Schema) {
    ((*name).to_owned(), codec::schema(&entry.schema))
}
