//! Ephemeral resources: validate, open, renew, close.

use multizone_schema::Diagnostics;

use super::super::catalog::Entry;
use super::super::codec;
use super::super::self_check;
use super::super::served::AnyEphemeral;
use super::super::wire::tfplugin6 as wire;
use super::{Shared, not_served};

fn find<'a, P: Send + Sync>(shared: &'a Shared<P>, name: &str) -> Result<&'a Entry<dyn AnyEphemeral<P>>, Diagnostics> {
    shared
        .catalog
        .ephemeral_resources
        .get(name)
        .ok_or_else(|| not_served("ephemeral resource type", name))
}

pub(super) fn validate<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::validate_ephemeral_resource_config::Request,
) -> Result<wire::validate_ephemeral_resource_config::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let config = codec::decode(request.config.as_ref(), &entry.type_)?;
    let diagnostics = self_check::validate(&entry.schema, &config, entry.object.check(&entry.schema, &config));
    let diagnostics = codec::diagnostics(diagnostics);
    Ok(wire::validate_ephemeral_resource_config::Response { diagnostics })
}

pub(super) async fn open<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::open_ephemeral_resource::Request,
) -> Result<wire::open_ephemeral_resource::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let config = codec::decode(request.config.as_ref(), &entry.type_)?;
    let (provider, stop) = (shared.configured(), shared.lifecycle.stop());
    let opened = entry
        .object
        .open_any(&entry.schema, provider.as_ref(), config.clone(), &stop)
        .await?;
    let result = self_check::ephemeral(&entry.schema, &config, opened.result)?;
    Ok(wire::open_ephemeral_resource::Response {
        diagnostics: Vec::new(),
        renew_at: opened.renew_at.map(codec::timestamp),
        result: Some(codec::encode_state(&result, &entry.type_)?),
        private: Some(opened.private),
        deferred: None,
    })
}

pub(super) async fn renew<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::renew_ephemeral_resource::Request,
) -> Result<wire::renew_ephemeral_resource::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let private = request.private.unwrap_or_default();
    let renewed = entry.object.renew_any(shared.configured().as_ref(), private).await?;
    Ok(wire::renew_ephemeral_resource::Response {
        diagnostics: Vec::new(),
        renew_at: renewed.renew_at.map(codec::timestamp),
        private: Some(renewed.private),
    })
}

pub(super) async fn close<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::close_ephemeral_resource::Request,
) -> Result<wire::close_ephemeral_resource::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let private = request.private.unwrap_or_default();
    let warnings = entry.object.close_any(shared.configured().as_ref(), private).await?;
    Ok(wire::close_ephemeral_resource::Response {
        diagnostics: codec::diagnostics(warnings),
    })
}
