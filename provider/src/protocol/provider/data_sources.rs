//! Data sources: validate and read.

use multizone_schema::Diagnostics;

use super::super::catalog::Entry;
use super::super::codec;
use super::super::self_check;
use super::super::served::AnyDataSource;
use super::super::wire::tfplugin6 as wire;
use super::{Shared, not_served};

fn find<'a, P: Send + Sync>(shared: &'a Shared<P>, name: &str) -> Result<&'a Entry<dyn AnyDataSource<P>>, Diagnostics> {
    shared
        .catalog
        .data_sources
        .get(name)
        .ok_or_else(|| not_served("data source", name))
}

pub(super) fn validate<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::validate_data_resource_config::Request,
) -> Result<wire::validate_data_resource_config::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let config = codec::decode(request.config.as_ref(), &entry.type_)?;
    let diagnostics = self_check::validate(&entry.schema, &config, entry.object.check(&entry.schema, &config));
    let diagnostics = codec::diagnostics(diagnostics);
    Ok(wire::validate_data_resource_config::Response { diagnostics })
}

pub(super) async fn read<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::read_data_source::Request,
) -> Result<wire::read_data_source::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let provider = shared.configured();
    let may_defer = request
        .client_capabilities
        .is_some_and(|capabilities| capabilities.deferral_allowed);
    if provider.is_none() && may_defer {
        let reason = wire::deferred::Reason::ProviderConfigUnknown.into();
        return Ok(wire::read_data_source::Response {
            state: None,
            diagnostics: Vec::new(),
            deferred: Some(wire::Deferred { reason }),
        });
    }
    let config = codec::decode(request.config.as_ref(), &entry.type_)?;
    let stop = shared.lifecycle.stop();
    let state = entry
        .object
        .read_data(&entry.schema, provider.as_ref(), config, &stop)
        .await?;
    let state = self_check::data_source(&entry.schema, state)?;
    Ok(wire::read_data_source::Response {
        state: Some(codec::encode_state(&state, &entry.type_)?),
        diagnostics: Vec::new(),
        deferred: None,
    })
}
