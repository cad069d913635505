//! Deleting objects: grace, finalizers, preconditions, propagation.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, refusal};
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::status::ApiError;
use crate::store::{Key, StoreError};
use crate::time;

/// What happens to the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

/// Options of a delete.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) propagation: Propagation,
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// At once, without waiting for a kubelet.
    pub(crate) fn now() -> Self {
        Self {
            grace_seconds: Some(0),
            ..Self::default()
        }
    }
}

/// How far a delete went.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone.
    Gone(Arc<Value>),
    /// The object stays until its kubelet or its finalizers are done.
    Pending(Arc<Value>),
}

impl Api {
    pub(crate) async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        loop {
            let old = self.get(resource, namespace, name)?;
            check_preconditions(resource, &old, options)?;
            let new = mark(resource, &old, options);
            if options.dry_run {
                return Ok(Deleted::Pending(Arc::new(new)));
            }
            let key = Key::new(&resource.id(), namespace, name);
            let gone = is_finished(resource, &new);
            let outcome = if gone {
                self.store.delete(key, old.revision()).await
            } else if new == *old {
                return Ok(Deleted::Pending(old));
            } else {
                self.store.update(key, old.revision(), new).await
            };
            match outcome {
                Ok(object) if gone => return Ok(Deleted::Gone(object)),
                Ok(object) => return Ok(Deleted::Pending(object)),
                Err(StoreError::Changed) => {}
                Err(error) => return Err(refusal(resource, name, &error)),
            }
        }
    }

    /// Takes the owner out of everything it owns, so that it all stays.
    pub(crate) async fn orphan_dependents(&self, owner: &Value) -> Result<(), ApiError> {
        let uid = owner.uid().to_owned();
        for (key, object) in self.store.everything() {
            if !object
                .items("/metadata/ownerReferences")
                .iter()
                .any(|one| one.text("/uid") == uid)
            {
                continue;
            }
            let uid = uid.clone();
            self.adjust(
                &key.resource,
                &key.namespace,
                &key.name,
                super::Part::Object,
                move |object| {
                    let rest: Vec<Value> = object
                        .items("/metadata/ownerReferences")
                        .iter()
                        .filter(|one| one.text("/uid") != uid)
                        .cloned()
                        .collect();
                    object.put(&["metadata", "ownerReferences"], Value::Array(rest));
                },
            )
            .await?;
        }
        Ok(())
    }
}

fn check_preconditions(resource: &Resource, old: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let differs = |what: &str, wanted: &Option<String>, found: &str| match wanted {
        Some(wanted) if wanted != found => {
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been deleted and then recreated"
            );
            Err(ApiError::conflict(resource, old.name(), &why))
        }
        _ => Ok(()),
    };
    differs("UID", &options.uid, old.uid())?;
    differs(
        "ResourceVersion",
        &options.revision,
        old.text("/metadata/resourceVersion"),
    )
}

/// The object as it is while it waits for its end.
fn mark(resource: &Resource, old: &Value, options: &DeleteOptions) -> Value {
    let mut new = old.clone();
    let grace = if resource.is_core("pods") {
        pod_grace(old, options)
    } else {
        0
    };
    let already = old
        .number("/metadata/deletionGracePeriodSeconds")
        .filter(|_| old.is_deleting());
    if already.is_none_or(|already| grace < already) {
        let wait = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        new.put(
            &["metadata", "deletionTimestamp"],
            json!(time::seconds(Timestamp::now() + wait)),
        );
        new.put(&["metadata", "deletionGracePeriodSeconds"], json!(grace));
    }
    if resource.is_core("namespaces") {
        new.put(&["status", "phase"], json!("Terminating"));
    }
    let waits_for = match options.propagation {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    if let Some(finalizer) = waits_for.filter(|_| !old.is_deleting()) {
        let mut finalizers = old.items("/metadata/finalizers").to_vec();
        finalizers.push(json!(finalizer));
        new.put(&["metadata", "finalizers"], Value::Array(finalizers));
    }
    new
}

/// The finalizer that stands for "after everything it owns is gone".
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// The finalizer that stands for "after everything it owns is set free".
pub(crate) const ORPHAN: &str = "orphan";

/// Seconds that a pod's kubelet has; none when no kubelet runs it.
fn pod_grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let finished = matches!(pod.text("/status/phase"), "Succeeded" | "Failed");
    if pod.text("/spec/nodeName").is_empty() || finished {
        return 0;
    }
    options
        .grace_seconds
        .or_else(|| pod.number("/spec/terminationGracePeriodSeconds"))
        .unwrap_or(30)
        .max(0)
}

/// Whether an object that is to be deleted waits for nothing any more.
pub(crate) fn is_finished(resource: &Resource, object: &Value) -> bool {
    object.is_deleting()
        && object.items("/metadata/finalizers").is_empty()
        && object.number("/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (!resource.is_core("namespaces") || object.items("/spec/finalizers").is_empty())
}
