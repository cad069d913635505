//! Resources: validate, upgrade, read, plan, apply, import, move. Each answer says what names the object.

use multizone_schema::{Diagnostic, Diagnostics};

use super::super::catalog::Entry;
use super::super::codec;
use super::super::self_check;
use super::super::served::{AnyResource, Change};
use super::super::wire::tfplugin6 as wire;
use super::{Shared, identities, not_served};

pub(super) fn find<'a, P: Send + Sync>(
    shared: &'a Shared<P>,
    name: &str,
) -> Result<&'a Entry<dyn AnyResource<P>>, Diagnostics> {
    shared
        .catalog
        .resources
        .get(name)
        .ok_or_else(|| not_served("resource type", name))
}

pub(super) fn validate<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::validate_resource_config::Request,
) -> Result<wire::validate_resource_config::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let config = codec::decode(request.config.as_ref(), &entry.type_)?;
    let diagnostics = self_check::validate(&entry.schema, &config, entry.object.check(&entry.schema, &config));
    let diagnostics = codec::diagnostics(diagnostics);
    Ok(wire::validate_resource_config::Response { diagnostics })
}

pub(super) fn upgrade<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: &wire::upgrade_resource_state::Request,
) -> Result<wire::upgrade_resource_state::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let state = request
        .raw_state
        .as_ref()
        .map(|state| state.json.as_slice())
        .unwrap_or_default();
    if state.is_empty() {
        return Err(Diagnostic::error(
            "The state is in a format that this provider cannot read",
            format!(
                "The state of {} is not JSON: it was written by Terraform 0.11 or earlier, which never worked with \
                 this provider. Remove it with terraform state rm, and import the object.",
                request.type_name
            ),
        )
        .into());
    }
    let value = entry.object.upgrade(&entry.schema, request.version, state)?;
    let value = self_check::upgrade(&entry.schema, value)?;
    Ok(wire::upgrade_resource_state::Response {
        upgraded_state: Some(codec::encode_state(&value, &entry.type_)?),
        diagnostics: Vec::new(),
    })
}

pub(super) async fn read<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::read_resource::Request,
) -> Result<wire::read_resource::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let state = codec::decode(request.current_state.as_ref(), &entry.type_)?;
    let (provider, stop) = (shared.configured(), shared.lifecycle.stop());
    let read = entry
        .object
        .read_object(&entry.schema, provider.as_ref(), state.clone(), request.private, &stop);
    let (found, private) = read.await?;
    let (before, after) = (entry.object.identity(&state), entry.object.identity(&found));
    self_check::same_object(before.as_ref(), after.as_ref())?;
    let state = self_check::read(&entry.schema, &state, found)?;
    Ok(wire::read_resource::Response {
        new_state: Some(codec::encode_state(&state, &entry.type_)?),
        diagnostics: Vec::new(),
        private,
        deferred: None,
        new_identity: identities::of(entry, &state)?,
    })
}

pub(super) async fn plan<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::plan_resource_change::Request,
) -> Result<wire::plan_resource_change::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let change = Change {
        prior: codec::decode(request.prior_state.as_ref(), &entry.type_)?,
        new: codec::decode(request.proposed_new_state.as_ref(), &entry.type_)?,
        config: codec::decode(request.config.as_ref(), &entry.type_)?,
        private: request.prior_private,
    };
    let provider = shared.configured();
    let plan = || {
        entry
            .object
            .plan_change(&entry.schema, provider.as_ref(), change.clone())
    };
    let mut answer = self_check::plan(&entry.schema, &change, plan().await);
    if !self_check::settles(&change, &answer) {
        answer = self_check::replan(&change, answer, &plan().await);
    }
    let plan = answer;
    Ok(wire::plan_resource_change::Response {
        planned_state: Some(codec::encode(&plan.planned, &entry.type_)?),
        requires_replace: plan.requires_replace.iter().map(codec::attribute_path).collect(),
        planned_private: plan.private,
        diagnostics: codec::diagnostics(plan.diagnostics),
        deferred: None,
        planned_identity: identities::of(entry, &plan.planned)?,
    })
}

pub(super) async fn apply<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::apply_resource_change::Request,
) -> Result<wire::apply_resource_change::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let change = Change {
        prior: codec::decode(request.prior_state.as_ref(), &entry.type_)?,
        new: codec::decode(request.planned_state.as_ref(), &entry.type_)?,
        config: codec::decode(request.config.as_ref(), &entry.type_)?,
        private: request.planned_private,
    };
    let (provider, stop) = (shared.configured(), shared.lifecycle.stop());
    let applied = entry
        .object
        .apply_change(&entry.schema, provider.as_ref(), change.clone(), &stop)
        .await;
    let applied = self_check::apply(&entry.schema, &change, applied);
    Ok(wire::apply_resource_change::Response {
        new_state: Some(codec::encode_state(&applied.state, &entry.type_)?),
        private: applied.private,
        diagnostics: codec::diagnostics(applied.diagnostics),
        new_identity: identities::of(entry, &applied.state)?,
    })
}

pub(super) async fn import<P: Clone + Send + Sync>(
    shared: &Shared<P>,
    request: wire::import_resource_state::Request,
) -> Result<wire::import_resource_state::Response, Diagnostics> {
    let entry = find(shared, &request.type_name)?;
    let id = identities::id_to_import(entry, &request)?;
    let state = entry
        .object
        .import_object(&entry.schema, shared.configured().as_ref(), &id)
        .await?;
    let state = self_check::import(&entry.schema, state)?;
    let imported = wire::import_resource_state::ImportedResource {
        state: Some(codec::encode_state(&state, &entry.type_)?),
        type_name: request.type_name,
        private: Vec::new(),
        identity: identities::of(entry, &state)?,
    };
    Ok(wire::import_resource_state::Response {
        imported_resources: vec![imported],
        diagnostics: Vec::new(),
        deferred: None,
    })
}

/// No resource type here was ever another one.
pub(super) fn cannot_move(request: &wire::move_resource_state::Request) -> Diagnostics {
    Diagnostic::error(
        "Cannot move between these resource types",
        format!(
            "{} cannot take over a {} of provider {}. Nothing was changed. Keep both in the configuration, or remove \
             the moved block, forget the old one (removed block) and import the new one.",
            request.target_type_name, request.source_type_name, request.source_provider_address
        ),
    )
    .into()
}
