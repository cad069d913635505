//! Objects that an earlier manifest had and a later one has not.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use kube::api::{DeleteParams, DynamicObject, Preconditions};
use tokio::time::Instant;

use super::manifest::{self, Object};
use super::{AppliedObject, ApplyError, Kinds};
use crate::cluster_access::patience::Patience;
use crate::cluster_access::{AccessError, Cluster, FIELD_MANAGER, retry_pauses};

/// Kinds whose objects hold those of others: they stay.
const HOLDERS: [&str; 2] = ["Namespace", "CustomResourceDefinition"];

/// What a cluster loses when a manifest takes the place of an earlier one; nothing where one of them cannot be read.
/// Namespaces and `CustomResourceDefinitions` stay, since others' objects would go with them.
pub fn dropped_objects(before: &str, now: &str) -> Vec<AppliedObject> {
    dropped(before, now).iter().map(Object::name).collect()
}

/// The last one first: what was needed by others goes after them.
fn dropped(before: &str, now: &str) -> Vec<Object> {
    let (Ok(before), Ok(now)) = (manifest::parse(before), manifest::parse(now)) else {
        return Vec::new();
    };
    let kept: BTreeSet<_> = now.iter().map(identity).collect();
    let gone = |object: &Object| !kept.contains(&identity(object)) && !HOLDERS.contains(&object.kind.as_str());
    before.into_iter().rev().filter(gone).collect()
}

/// Group, kind, namespace and name: another version of a group is the same object, and `default` is what none means.
fn identity(object: &Object) -> (String, String, String, String) {
    let (group, kind) = object.defined_kind();
    let namespace = object.namespace.clone().unwrap_or_else(|| "default".to_owned());
    (group, kind, namespace, object.name.clone())
}

impl Cluster {
    /// Deletes what [`dropped_objects`] names, as far as this provider has applied it.  What is gone already is fine, and
    /// what somebody else has made in its place stays.
    pub async fn delete_dropped(
        &self,
        before: &str,
        now: &str,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ApplyError> {
        let mut patience = Patience::new(deadline, stop);
        let mut kinds = BTreeMap::new();
        for object in dropped(before, now) {
            let what = format!("{} to be deleted", object.name());
            let not_deleted = |source: AccessError| ApplyError::NotDeleted {
                object: object.name(),
                source: Box::new(source),
            };
            let (mut last, pauses) = ("it was not tried".to_owned(), retry_pauses());
            loop {
                match patience.within(self.delete_applied(&object, &mut kinds)).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) if error.is_passing() => last = error.to_string(),
                    Ok(Err(error)) => return Err(not_deleted(error)),
                    Err(interrupted) => return Err(not_deleted(self.interrupted(interrupted, &what, &last))),
                }
                if let Err(interrupted) = patience.pause(pauses.next()).await {
                    return Err(not_deleted(self.interrupted(interrupted, &what, &last)));
                }
            }
        }
        Ok(())
    }

    async fn delete_applied(&self, object: &Object, kinds: &mut Kinds) -> Result<(), AccessError> {
        let (api, name) = match self.find(object, kinds).await {
            Ok(found) => found,
            Err(ApplyError::Access { source, .. }) => return Err(*source),
            // Its kind is gone, and its objects with it.
            Err(_) => return Ok(()),
        };
        let failed = |error: &kube::Error| self.error(format!("delete {name}"), error);
        let found = api.get_opt(&object.name).await.map_err(|error| failed(&error))?;
        let Some(found) = found.filter(applied_by_us) else {
            return Ok(());
        };
        let parameters = DeleteParams {
            // Not another one that takes its name at this moment.
            preconditions: Some(Preconditions {
                uid: found.metadata.uid,
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match api.delete(&object.name, &parameters).await {
            Ok(_) => {
                tracing::info!(object = %name, "deleted: the manifest no longer has it");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

fn applied_by_us(object: &DynamicObject) -> bool {
    let managers = object.metadata.managed_fields.iter().flatten();
    managers
        .into_iter()
        .any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(objects: &[&str]) -> String {
        let document = |object: &&str| {
            let parts: Vec<_> = object.split(' ').collect();
            format!(
                "apiVersion: {}\nkind: {}\nmetadata: {{ namespace: {}, name: {} }}\n",
                parts[0], parts[1], parts[2], parts[3]
            )
        };
        objects.iter().map(document).collect::<Vec<_>>().join("---\n")
    }

    #[test]
    fn what_the_later_manifest_no_longer_has_is_dropped_and_what_holds_others_stays() {
        let before = manifest(&[
            "v1 Namespace null net",
            "apiextensions.k8s.io/v1 CustomResourceDefinition null pools.net",
            "v1 ServiceAccount net agent",
            "v1 ConfigMap net settings",
            "apps/v1beta2 DaemonSet net agent",
            "v1 ConfigMap null common",
        ]);
        let now = manifest(&["apps/v1 DaemonSet net agent", "v1 ConfigMap default common"]);
        let dropped: Vec<_> = dropped_objects(&before, &now).iter().map(ToString::to_string).collect();
        assert_eq!(dropped, ["ConfigMap net/settings", "ServiceAccount net/agent"]);
        assert!(dropped_objects(&now, &before).is_empty());
        assert!(dropped_objects(&before, "[").is_empty(), "it is refused elsewhere");
    }
}
