//! Removes objects whose owners are gone.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions, FOREGROUND, ORPHAN, Part};
use crate::status::ApiError;
use crate::store::{Event, EventKind};

/// The garbage collector.
pub(super) struct Garbage;

#[async_trait::async_trait]
impl Controller for Garbage {
    fn name(&self) -> &'static str {
        "garbage collector"
    }

    fn cares(&self, event: &Event) -> bool {
        match event.kind {
            EventKind::Deleted => true,
            EventKind::Added => !event.object.items("/metadata/ownerReferences").is_empty(),
            EventKind::Modified => event.object.is_deleting(),
        }
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        for (key, object) in api.store.everything() {
            if waits_for(&object, ORPHAN) {
                api.orphan_dependents(&object).await?;
                release(api, &key.resource, &object, ORPHAN).await?;
            }
        }
        let everything = api.store.everything();
        let uids: HashSet<&str> = everything.iter().map(|(_, object)| object.uid()).collect();
        let leaving: HashSet<&str> = everything
            .iter()
            .filter(|(_, object)| waits_for(object, FOREGROUND))
            .map(|(_, object)| object.uid())
            .collect();
        let mut still_blocked: HashSet<&str> = HashSet::new();
        for (key, object) in &everything {
            let owners = object.items("/metadata/ownerReferences");
            if owners.is_empty() {
                continue;
            }
            let alive = owners
                .iter()
                .any(|one| uids.contains(one.text("/uid")) && !leaving.contains(one.text("/uid")));
            still_blocked.extend(owners.iter().map(|one| one.text("/uid")));
            if !alive && !object.is_deleting() {
                api.remove(&key.resource, object, DeleteOptions::default()).await?;
            }
        }
        for (key, object) in &everything {
            if waits_for(object, FOREGROUND) && !still_blocked.contains(object.uid()) {
                release(api, &key.resource, object, FOREGROUND).await?;
            }
        }
        Ok(None)
    }
}

fn waits_for(object: &Value, finalizer: &str) -> bool {
    object.is_deleting() && object.items("/metadata/finalizers").iter().any(|one| one == finalizer)
}

async fn release(api: &Api, id: &str, object: &Value, finalizer: &str) -> Result<(), ApiError> {
    let released = api
        .adjust(id, object.namespace(), object.name(), Part::Object, |object| {
            let rest: Vec<Value> = object
                .items("/metadata/finalizers")
                .iter()
                .filter(|one| *one != finalizer)
                .cloned()
                .collect();
            object.put(&["metadata", "finalizers"], json!(rest));
        })
        .await;
    match released {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
