//! Binds claims to volumes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Controller;
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::Event;
use crate::validation::bytes_of;

/// The binder of persistent volumes.
pub(super) struct Volumes;

const VOLUMES: &str = "persistentvolumes";
const CLAIMS: &str = "persistentvolumeclaims";

#[async_trait::async_trait]
impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "persistent volumes"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            VOLUMES | CLAIMS | "storageclasses.storage.k8s.io"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        for claim in api.store.all(CLAIMS) {
            settle_claim(api, &claim).await?;
        }
        for volume in api.store.all(VOLUMES) {
            settle_volume(api, &volume).await?;
        }
        Ok(None)
    }
}

async fn settle_claim(api: &Api, claim: &Value) -> Result<(), ApiError> {
    if claim.is_deleting() {
        return Ok(());
    }
    let name = claim.text("/spec/volumeName");
    if name.is_empty() {
        if waits_for_consumer(api, claim) {
            return Ok(());
        }
        return match candidates(api, claim).first() {
            Some(volume) => bind(api, claim, volume).await,
            None => Ok(()),
        };
    }
    let Some(volume) = api.store.get(VOLUMES, "", name) else {
        return phase(
            api,
            CLAIMS,
            claim,
            if claim.text("/status/phase") == "Bound" {
                "Lost"
            } else {
                "Pending"
            },
        )
        .await;
    };
    if is_for(&volume, claim) || volume.pointer("/spec/claimRef").is_none() {
        bind(api, claim, &volume).await?;
    }
    Ok(())
}

async fn settle_volume(api: &Api, volume: &Value) -> Result<(), ApiError> {
    let reference = volume.pointer("/spec/claimRef");
    let uid = volume.text("/spec/claimRef/uid");
    let wanted = if reference.is_none() || uid.is_empty() {
        "Available"
    } else {
        let (namespace, name) = (
            volume.text("/spec/claimRef/namespace"),
            volume.text("/spec/claimRef/name"),
        );
        let claim = api.store.get(CLAIMS, namespace, name);
        if claim.is_some_and(|claim| claim.uid() == uid) {
            "Bound"
        } else {
            "Released"
        }
    };
    if wanted == "Released" && volume.text("/spec/persistentVolumeReclaimPolicy") == "Delete" && !volume.is_deleting() {
        return api.remove(VOLUMES, volume, DeleteOptions::default()).await;
    }
    phase(api, VOLUMES, volume, wanted).await
}

async fn phase(api: &Api, resource: &str, object: &Value, wanted: &str) -> Result<(), ApiError> {
    if object.text("/status/phase") == wanted {
        return Ok(());
    }
    let wanted = wanted.to_owned();
    let changed = api
        .adjust(
            resource,
            object.namespace(),
            object.name(),
            Part::Status,
            move |object| {
                object.put(&["status", "phase"], json!(wanted));
            },
        )
        .await;
    match changed {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn is_for(volume: &Value, claim: &Value) -> bool {
    let reference = |field: &str| volume.text(&format!("/spec/claimRef/{field}"));
    reference("namespace") == claim.namespace()
        && reference("name") == claim.name()
        && (reference("uid").is_empty() || reference("uid") == claim.uid())
}

/// Whether the claim is bound only when a pod that uses it is scheduled.
pub(super) fn waits_for_consumer(api: &Api, claim: &Value) -> bool {
    let class = claim.text("/spec/storageClassName");
    let class = api.store.get("storageclasses.storage.k8s.io", "", class);
    class.is_some_and(|class| class.text("/volumeBindingMode") == "WaitForFirstConsumer")
}

/// Volumes that can satisfy the claim, the best first: reserved for it, then the smallest.
pub(super) fn candidates(api: &Api, claim: &Value) -> Vec<Arc<Value>> {
    let size = |object: &Value, pointer: &str| bytes_of(object.text(pointer)).unwrap_or(0.0);
    let wanted = size(claim, "/spec/resources/requests/storage");
    let selector = claim
        .pointer("/spec/selector")
        .map(crate::selectors::Selector::of_spec)
        .unwrap_or_default();
    let mut found: Vec<Arc<Value>> = api.store.all(VOLUMES);
    found.retain(|volume| {
        let free = volume.pointer("/spec/claimRef").is_none() || is_for(volume, claim);
        let modes = volume.items("/spec/accessModes");
        free && !volume.is_deleting()
            && volume.text("/spec/storageClassName") == claim.text("/spec/storageClassName")
            && volume.text("/spec/volumeMode") == claim.text("/spec/volumeMode")
            && claim.items("/spec/accessModes").iter().all(|mode| modes.contains(mode))
            && size(volume, "/spec/capacity/storage") >= wanted
            && selector.matches(volume)
    });
    found.sort_by(|a, b| {
        let key = |volume: &Value| {
            (
                volume.pointer("/spec/claimRef").is_none(),
                size(volume, "/spec/capacity/storage"),
            )
        };
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    found
}

/// Binds a claim and a volume to each other.
pub(super) async fn bind(api: &Api, claim: &Value, volume: &Value) -> Result<(), ApiError> {
    let reference = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace(), "name": claim.name(),
        "uid": claim.uid(),
    });
    if volume.text("/spec/claimRef/uid") != claim.uid() {
        api.adjust(VOLUMES, "", volume.name(), Part::Object, move |volume| {
            volume.put(&["spec", "claimRef"], reference.clone());
        })
        .await?;
    }
    phase(api, VOLUMES, volume, "Bound").await?;
    let name = volume.name().to_owned();
    api.adjust(CLAIMS, claim.namespace(), claim.name(), Part::Object, |claim| {
        claim.put(&["spec", "volumeName"], json!(name));
    })
    .await?;
    let (capacity, modes) = (
        volume.pointer("/spec/capacity").cloned(),
        volume.pointer("/spec/accessModes").cloned(),
    );
    api.adjust(CLAIMS, claim.namespace(), claim.name(), Part::Status, |claim| {
        claim.put(&["status", "phase"], json!("Bound"));
        claim.put(&["status", "capacity"], capacity.clone().unwrap_or_default());
        claim.put(&["status", "accessModes"], modes.clone().unwrap_or_default());
    })
    .await?;
    Ok(())
}
