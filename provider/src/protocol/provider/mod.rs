//! The provider's service: the 22 RPCs of tfplugin6 minor 9.
//!
//! Each RPC runs as an operation of the [`Lifecycle`]: to its end, whatever becomes of the connection, and with a panic
//! turned into a diagnostic. The answer to a failure never loses state: it carries what was there before.

mod block;
mod data_sources;
mod ephemeral;
mod functions;
mod identities;
mod metadata;
mod resources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use multizone_schema::{Diagnostic, Diagnostics};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::catalog::Catalog;
use super::codec;
use super::lifecycle::Lifecycle;
use super::wire::tfplugin6 as wire;
use super::wire::tfplugin6::provider_server::Provider;

/// Serves a catalog.
pub struct ProviderService<P: Send + Sync + 'static> {
    shared: Arc<Shared<P>>,
}

struct Shared<P: Send + Sync + 'static> {
    catalog: Catalog<P>,
    lifecycle: Lifecycle,
    configured: RwLock<Option<P>>,
    outlives_terraform: bool,
}

impl<P: Send + Sync + 'static> fmt::Debug for ProviderService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderService").finish_non_exhaustive()
    }
}

impl<P: Clone + Send + Sync + 'static> ProviderService<P> {
    /// A provider that is not configured yet.
    pub fn new(catalog: Catalog<P>, lifecycle: Lifecycle) -> Self {
        Self {
            shared: Arc::new(Shared {
                catalog,
                lifecycle,
                configured: RwLock::default(),
                outlives_terraform: false,
            }),
        }
    }

    /// For a process that serves several runs of Terraform: a stop ends with the run that asked for it.
    ///
    /// # Panics
    /// When the service has been cloned already.
    #[must_use]
    pub fn outliving_terraform(mut self) -> Self {
        Arc::get_mut(&mut self.shared)
            .expect("the service is still being built")
            .outlives_terraform = true;
        self
    }

    /// Runs `work` as an operation, and answers with `failed` where it has no answer of its own.
    async fn answer<R, F>(
        &self,
        rpc: &'static str,
        subject: &str,
        work: impl FnOnce(Arc<Shared<P>>) -> F,
        failed: impl FnOnce(Vec<wire::Diagnostic>) -> R,
    ) -> Result<Response<R>, Status>
    where
        R: Send + 'static,
        F: Future<Output = Result<R, Diagnostics>> + Send + 'static,
    {
        let span = tracing::info_span!("rpc", tf_rpc = rpc, tf_subject = subject);
        span.in_scope(|| tracing::debug!("asked"));
        let operation = work(self.shared.clone());
        let result = self.shared.lifecycle.run(operation.instrument(span.clone())).await;
        span.in_scope(|| tracing::debug!("answered"));
        let diagnostics = match result {
            Ok(Ok(response)) => return Ok(Response::new(response)),
            Ok(Err(diagnostics)) => diagnostics,
            Err(panicked) => {
                span.in_scope(|| tracing::error!(%panicked, "an operation panicked"));
                Diagnostic::error(
                    "The provider made an error of its own",
                    format!(
                        "While answering {rpc} for {subject}: {panicked}. What was there before is kept in state. \
                         Running Terraform again continues from what exists; please report this with the log \
                         (TF_LOG=debug)."
                    ),
                )
                .into()
            }
        };
        Ok(Response::new(failed(codec::diagnostics(diagnostics))))
    }
}

impl<P: Clone + Send + Sync + 'static> Shared<P> {
    /// What the provider's configuration turned into; `None` while it is not known.
    fn configured(&self) -> Option<P> {
        self.configured.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The error for a name that is not in the catalog.
fn not_served(kind: &str, name: &str) -> Diagnostics {
    Diagnostic::error(
        format!("No such {kind}"),
        format!("This version of the provider has no {kind} {name:?}. Upgrade the provider, or correct the name."),
    )
    .into()
}

#[tonic::async_trait]
impl<P: Clone + Send + Sync + 'static> Provider for ProviderService<P> {
    async fn get_metadata(
        &self,
        _request: Request<wire::get_metadata::Request>,
    ) -> Result<Response<wire::get_metadata::Response>, Status> {
        Ok(Response::new(metadata::metadata(&self.shared.catalog)))
    }

    async fn get_provider_schema(
        &self,
        _request: Request<wire::get_provider_schema::Request>,
    ) -> Result<Response<wire::get_provider_schema::Response>, Status> {
        Ok(Response::new(metadata::schemas(&self.shared.catalog)))
    }

    async fn get_functions(
        &self,
        _request: Request<wire::get_functions::Request>,
    ) -> Result<Response<wire::get_functions::Response>, Status> {
        let functions = metadata::functions(&self.shared.catalog);
        Ok(Response::new(wire::get_functions::Response {
            functions,
            diagnostics: Vec::new(),
        }))
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Result<Response<wire::validate_provider_config::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ValidateProviderConfig",
            "provider",
            move |shared| async move { block::validate(&shared, &request) },
            |diagnostics| wire::validate_provider_config::Response { diagnostics },
        )
        .await
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Result<Response<wire::configure_provider::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ConfigureProvider",
            "provider",
            move |shared| async move { block::configure(&shared, &request).await },
            |diagnostics| wire::configure_provider::Response { diagnostics },
        )
        .await
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Result<Response<wire::validate_resource_config::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ValidateResourceConfig",
            &request.type_name.clone(),
            move |shared| async move { resources::validate(&shared, &request) },
            |diagnostics| wire::validate_resource_config::Response { diagnostics },
        )
        .await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Result<Response<wire::upgrade_resource_state::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "UpgradeResourceState",
            &request.type_name.clone(),
            move |shared| async move { resources::upgrade(&shared, &request) },
            |diagnostics| wire::upgrade_resource_state::Response {
                upgraded_state: None,
                diagnostics,
            },
        )
        .await
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Result<Response<wire::read_resource::Response>, Status> {
        let request = request.into_inner();
        let (new_state, private) = (request.current_state.clone(), request.private.clone());
        let new_identity = request.current_identity.clone();
        self.answer(
            "ReadResource",
            &request.type_name.clone(),
            move |shared| async move { resources::read(&shared, request).await },
            |diagnostics| wire::read_resource::Response {
                new_state,
                diagnostics,
                private,
                deferred: None,
                new_identity,
            },
        )
        .await
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Result<Response<wire::plan_resource_change::Response>, Status> {
        let request = request.into_inner();
        let (planned_state, planned_private) = (request.prior_state.clone(), request.prior_private.clone());
        let planned_identity = request.prior_identity.clone();
        self.answer(
            "PlanResourceChange",
            &request.type_name.clone(),
            move |shared| async move { resources::plan(&shared, request).await },
            |diagnostics| wire::plan_resource_change::Response {
                planned_state,
                requires_replace: Vec::new(),
                planned_private,
                diagnostics,
                deferred: None,
                planned_identity,
            },
        )
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Result<Response<wire::apply_resource_change::Response>, Status> {
        let request = request.into_inner();
        let (new_state, private) = (request.prior_state.clone(), request.planned_private.clone());
        let new_identity = identities::of_existing(request.prior_state.as_ref(), request.planned_identity.as_ref());
        self.answer(
            "ApplyResourceChange",
            &request.type_name.clone(),
            move |shared| async move { resources::apply(&shared, request).await },
            |diagnostics| wire::apply_resource_change::Response {
                new_state,
                private,
                diagnostics,
                new_identity,
            },
        )
        .await
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Result<Response<wire::import_resource_state::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ImportResourceState",
            &request.type_name.clone(),
            move |shared| async move { resources::import(&shared, request).await },
            |diagnostics| wire::import_resource_state::Response {
                imported_resources: Vec::new(),
                diagnostics,
                deferred: None,
            },
        )
        .await
    }

    async fn get_resource_identity_schemas(
        &self,
        _request: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Result<Response<wire::get_resource_identity_schemas::Response>, Status> {
        Ok(Response::new(identities::schemas(&self.shared.catalog)))
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Result<Response<wire::upgrade_resource_identity::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "UpgradeResourceIdentity",
            &request.type_name.clone(),
            move |shared| async move { identities::upgrade(&shared, &request) },
            |diagnostics| wire::upgrade_resource_identity::Response {
                upgraded_identity: None,
                diagnostics,
            },
        )
        .await
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Result<Response<wire::move_resource_state::Response>, Status> {
        let diagnostics = codec::diagnostics(resources::cannot_move(&request.into_inner()));
        Ok(Response::new(wire::move_resource_state::Response {
            target_state: None,
            diagnostics,
            target_private: Vec::new(),
        }))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Result<Response<wire::validate_data_resource_config::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ValidateDataResourceConfig",
            &request.type_name.clone(),
            move |shared| async move { data_sources::validate(&shared, &request) },
            |diagnostics| wire::validate_data_resource_config::Response { diagnostics },
        )
        .await
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Result<Response<wire::read_data_source::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ReadDataSource",
            &request.type_name.clone(),
            move |shared| async move { data_sources::read(&shared, &request).await },
            |diagnostics| wire::read_data_source::Response {
                state: None,
                diagnostics,
                deferred: None,
            },
        )
        .await
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<wire::validate_ephemeral_resource_config::Request>,
    ) -> Result<Response<wire::validate_ephemeral_resource_config::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "ValidateEphemeralResourceConfig",
            &request.type_name.clone(),
            move |shared| async move { ephemeral::validate(&shared, &request) },
            |diagnostics| wire::validate_ephemeral_resource_config::Response { diagnostics },
        )
        .await
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<wire::open_ephemeral_resource::Request>,
    ) -> Result<Response<wire::open_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "OpenEphemeralResource",
            &request.type_name.clone(),
            move |shared| async move { ephemeral::open(&shared, &request).await },
            |diagnostics| wire::open_ephemeral_resource::Response {
                diagnostics,
                ..Default::default()
            },
        )
        .await
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<wire::renew_ephemeral_resource::Request>,
    ) -> Result<Response<wire::renew_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        let private = request.private.clone();
        self.answer(
            "RenewEphemeralResource",
            &request.type_name.clone(),
            move |shared| async move { ephemeral::renew(&shared, request).await },
            |diagnostics| wire::renew_ephemeral_resource::Response {
                diagnostics,
                renew_at: None,
                private,
            },
        )
        .await
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<wire::close_ephemeral_resource::Request>,
    ) -> Result<Response<wire::close_ephemeral_resource::Response>, Status> {
        let request = request.into_inner();
        self.answer(
            "CloseEphemeralResource",
            &request.type_name.clone(),
            move |shared| async move { ephemeral::close(&shared, request).await },
            |diagnostics| wire::close_ephemeral_resource::Response { diagnostics },
        )
        .await
    }

    async fn call_function(
        &self,
        request: Request<wire::call_function::Request>,
    ) -> Result<Response<wire::call_function::Response>, Status> {
        let request = request.into_inner();
        let name = request.name.clone();
        self.answer(
            "CallFunction",
            &name,
            move |shared| async move { Ok(functions::call(&shared.catalog, &request)) },
            |diagnostics| functions::failure(&diagnostics),
        )
        .await
    }

    async fn stop_provider(
        &self,
        _request: Request<wire::stop_provider::Request>,
    ) -> Result<Response<wire::stop_provider::Response>, Status> {
        tracing::info!("Terraform asks to stop: operations end at their next safe point");
        self.shared.lifecycle.request_stop();
        Ok(Response::new(wire::stop_provider::Response { error: String::new() }))
    }
}
