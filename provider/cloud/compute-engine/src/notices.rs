//! Notices: secrets without a content, each with what it says in an annotation.  Secret Manager changes and deletes one
//! only while its etag is the one that was read.

use multizone_cloud::{CloudError, ClusterName, Labels, Notice, Result, label};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    ComputeEngine,
    failure::{About as _, Failure},
    networks::unless_absent,
    ownership::labels_for,
    secret_manager::{encode, secret_object, string_at},
};

/// The annotation that has the text.
const TEXT: &str = "multizone-notice";

impl ComputeEngine {
    pub(crate) async fn notice_of(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>> {
        let object = secret_object(name);
        match self.read_secret(&self.secret_path(name)).await.about(&object)? {
            Some(found) if !self.is_secret_of(&found, cluster) => Err(CloudError::NotOurs { object }),
            Some(found) => Ok(Some(shown(&found))),
            None => Ok(None),
        }
    }

    pub(crate) async fn post(
        &self,
        cluster: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>> {
        let object = secret_object(name);
        let posted = match over {
            None => {
                let mut labels = labels_for(cluster, &Labels::new());
                labels.insert(label::REGION.to_owned(), self.settings().region.clone());
                let body = json!({
                    "replication": { "automatic": {} },
                    "labels": labels,
                    "annotations": { TEXT: text },
                });
                let path = format!("projects/{}/secrets?secretId={name}", self.settings().project);
                self.secret_call(Method::POST, &path, Some(&body), "secrets.create")
                    .await
            }
            Some(over) => {
                let body = json!({ "annotations": { TEXT: text }, "etag": over.version });
                let path = format!("{}?updateMask=annotations", self.secret_path(name));
                self.secret_call(Method::PATCH, &path, Some(&body), "secrets.patch")
                    .await
            }
        };
        match posted {
            Ok(found) => Ok(Some(shown(&found))),
            Err(failure) if is_late(&failure) => Ok(None),
            Err(failure) => Err(failure).about(&object),
        }
    }

    pub(crate) async fn take_down(&self, name: &str, notice: &Notice) -> Result<()> {
        let path = format!("{}?etag={}", self.secret_path(name), encode(&notice.version));
        let deleted = self.secret_call(Method::DELETE, &path, None, "secrets.delete").await;
        match deleted.map(drop).or_else(unless_absent) {
            Err(failure) if is_late(&failure) => Ok(()),
            deleted => deleted.about(&secret_object(name)),
        }
    }
}

fn shown(secret: &Value) -> Notice {
    Notice {
        text: string_at(secret, &["annotations", TEXT]).unwrap_or_default().to_owned(),
        version: string_at(secret, &["etag"]).unwrap_or_default().to_owned(),
    }
}

/// Whether somebody was faster: it exists already, is gone, or is another by now.
fn is_late(failure: &Failure) -> bool {
    failure.is_stale() || failure.is_not_found() || failure.is_precondition()
}
