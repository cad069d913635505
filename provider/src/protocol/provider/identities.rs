//! Identities: what names a resource's object besides its ID, and stays with it for good.
//!
//! Terraform asks for their schemas from 1.12 on. What an earlier one does not know it ignores.

use multizone_schema::{Diagnostic, Diagnostics, Value};

use super::super::catalog::{Catalog, Entry};
use super::super::codec;
use super::super::served::AnyResource;
use super::super::wire::tfplugin6 as wire;
use super::Shared;

pub(super) fn schemas<P: Send + Sync + 'static>(catalog: &Catalog<P>) -> wire::get_resource_identity_schemas::Response {
    let schema = |entry: &Entry<dyn AnyResource<P>>| codec::identity_schema(&entry.object.identity_schema());
    wire::get_resource_identity_schemas::Response {
        identity_schemas: catalog
            .resources
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), schema(entry)))
            .collect(),
        diagnostics: Vec::new(),
    }
}

/// Brings a stored identity to the present schema.
pub(super) fn upgrade<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::upgrade_resource_identity::Request,
) -> Result<wire::upgrade_resource_identity::Response, Diagnostics> {
    let entry = super::resources::find(shared, &request.type_name)?;
    let schema = entry.object.identity_schema();
    // No identity has had another schema yet.
    let identity = multizone_schema::upgrade::upgrade(&schema, request.version, &request.raw_identity, &[])?;
    Ok(wire::upgrade_resource_identity::Response {
        upgraded_identity: written(entry, &identity)?,
        diagnostics: Vec::new(),
    })
}

/// What names an object of a state or of a plan, where that is known.
pub(super) fn of<P: Send + Sync + 'static>(
    entry: &Entry<dyn AnyResource<P>>,
    object: &Value,
) -> Result<Option<wire::ResourceIdentityData>, Diagnostics> {
    let Some(identity) = entry.object.identity(object) else {
        return Ok(None);
    };
    written(entry, &identity)
}

/// The identity, unless there is no object: for answers to a failure.
pub(super) fn of_existing(
    object: Option<&wire::DynamicValue>,
    identity: Option<&wire::ResourceIdentityData>,
) -> Option<wire::ResourceIdentityData> {
    let object = object?;
    let null = matches!(
        (object.msgpack.as_slice(), object.json.as_slice()),
        ([0xc0] | [], b"null" | [])
    );
    identity.filter(|_| !null).cloned()
}

/// The ID to import: the one given, or the one of the identity given instead.
pub(super) fn id_to_import<P: Send + Sync + 'static>(
    entry: &Entry<dyn AnyResource<P>>,
    request: &wire::import_resource_state::Request,
) -> Result<String, Diagnostics> {
    let given = request
        .identity
        .as_ref()
        .and_then(|identity| identity.identity_data.as_ref());
    let type_ = entry.object.identity_schema().type_();
    match codec::decode(given, &type_)? {
        Value::Null => Ok(request.id.clone()),
        identity if identity.is_wholly_known() => entry.object.identity_to_id(&identity),
        _ => Err(Diagnostic::error(
            "The identity to import is not known yet",
            format!(
                "An attribute of the identity of the {} to import depends on what only apply will tell. Nothing was \
                 changed. Write it as a literal or a variable.",
                request.type_name
            ),
        )
        .into()),
    }
}

fn written<P: Send + Sync + 'static>(
    entry: &Entry<dyn AnyResource<P>>,
    identity: &Value,
) -> Result<Option<wire::ResourceIdentityData>, Diagnostics> {
    let identity_data = Some(codec::encode_state(identity, &entry.object.identity_schema().type_())?);
    Ok(Some(wire::ResourceIdentityData { identity_data }))
}
