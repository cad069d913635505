//! The provider block.

use std::sync::PoisonError;

use multizone_schema::Diagnostics;

use super::super::codec;
use super::super::self_check;
use super::super::wire::tfplugin6 as wire;
use super::Shared;

pub(super) fn validate<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::validate_provider_config::Request,
) -> Result<wire::validate_provider_config::Response, Diagnostics> {
    let provider = &shared.catalog.provider;
    let config = codec::decode(request.config.as_ref(), &provider.type_)?;
    let diagnostics = self_check::validate(&provider.schema, &config, provider.object.check(&config));
    let diagnostics = codec::diagnostics(diagnostics);
    Ok(wire::validate_provider_config::Response { diagnostics })
}

pub(super) async fn configure<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::configure_provider::Request,
) -> Result<wire::configure_provider::Response, Diagnostics> {
    if shared.outlives_terraform {
        shared.lifecycle.renew_stop();
    }
    let provider = &shared.catalog.provider;
    let config = codec::decode(request.config.as_ref(), &provider.type_)?;
    let (configured, diagnostics) = provider.object.configure(&config, &request.terraform_version).await;
    *shared.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
    Ok(wire::configure_provider::Response {
        diagnostics: codec::diagnostics(diagnostics),
    })
}
