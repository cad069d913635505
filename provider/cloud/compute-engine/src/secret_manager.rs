//! Secrets, in Secret Manager, by its REST API.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use google_cloud_auth::credentials::Credentials as GoogleCredentials;
use multizone_cloud::{CloudError, ClusterName, Result, SecretSpec, label};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    ComputeEngine, Settings,
    failure::{About as _, Failure},
    names::last_segment,
    networks::{present, unless_absent, unless_exists},
    ownership::{filter, labelled, labels_for},
    transport::caller,
};

/// What lets an identity read a secret's content and nothing else.
const READER_ROLE: &str = "roles/secretmanager.secretAccessor";

/// How often a policy is written when others write it at the same time.
const POLICY_ATTEMPTS: u32 = 5;

/// The connection to Secret Manager.
#[derive(Debug)]
pub(crate) struct SecretManager {
    http: reqwest::Client,
    url: String,
    credentials: GoogleCredentials,
}

impl SecretManager {
    pub(crate) fn new(http: reqwest::Client, settings: &Settings, credentials: GoogleCredentials) -> Self {
        Self {
            http,
            url: settings.secret_manager_url().to_owned(),
            credentials,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> std::result::Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{}/v1/{path}", self.url));
        request = request.headers(caller(&self.credentials).await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await?;
        let status = reply.status();
        let retry_after = reply
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(std::time::Duration::from_secs);
        let content = reply.bytes().await?;
        if !status.is_success() {
            return Err(Failure {
                retry_after,
                ..Failure::of_reply(status.as_u16(), &content)
            });
        }
        // The parser's error may quote the reply, which may be secret.
        serde_json::from_slice(&content).map_err(|_| Failure::unreadable("the reply is not JSON"))
    }
}

impl ComputeEngine {
    pub(crate) async fn latest_secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let object = secret_object(name);
        let path = format!("{}/versions/latest:access", self.secret_path(name));
        let reply = present(
            self.secret_call(Method::GET, &path, None, "secrets.versions.access")
                .await,
        )
        .about(&object)?;
        let Some(reply) = reply else { return Ok(None) };
        let content = reply
            .pointer("/payload/data")
            .and_then(Value::as_str)
            .and_then(|data| STANDARD.decode(data).ok())
            .ok_or_else(|| Failure::unreadable("the secret's content is not base64").into_error(&object))?;
        Ok(Some(content))
    }

    pub(crate) async fn ensure_stored(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        let object = secret_object(&spec.name);
        let path = self.secret_path(&spec.name);
        let mut found = self.read_secret(&path).await.about(&object)?;
        if found.is_none() {
            let mut labels = labels_for(&spec.cluster, &spec.labels);
            labels.insert(label::REGION.to_owned(), self.settings().region.clone());
            let body = json!({ "replication": { "automatic": {} }, "labels": labels });
            let create = format!("projects/{}/secrets?secretId={}", self.settings().project, spec.name);
            self.secret_call(Method::POST, &create, Some(&body), "secrets.create")
                .await
                .map(drop)
                .or_else(unless_exists)
                .making(&object)?;
            found = self.read_secret(&path).await.about(&object)?;
        }
        let Some(found) = found else {
            return Err(CloudError::NotFound { object });
        };
        if !self.is_secret_of(&found, &spec.cluster) {
            return Err(CloudError::NotOurs { object });
        }
        if let Some(content) = self.latest_secret(&spec.name).await? {
            return Ok(content);
        }
        self.add_version(spec).await?;
        self.latest_secret(&spec.name)
            .await?
            .ok_or(CloudError::NotFound { object })
    }

    pub(crate) async fn replace_stored(&self, spec: &SecretSpec) -> Result<()> {
        if self.ensure_stored(spec).await? == spec.content {
            return Ok(());
        }
        self.add_version(spec).await
    }

    /// Makes a content the latest one.  A lost reply may add the same content twice; the latest is the same then.
    async fn add_version(&self, spec: &SecretSpec) -> Result<()> {
        let path = format!("{}:addVersion", self.secret_path(&spec.name));
        let body = json!({ "payload": { "data": STANDARD.encode(&spec.content) } });
        self.secret_call(Method::POST, &path, Some(&body), "secrets.addVersion")
            .await
            .map(drop)
            .about(&secret_object(&spec.name))
    }

    pub(crate) async fn grant_reader(&self, name: &str, reader: &str) -> Result<()> {
        let object = secret_object(name);
        let path = self.secret_path(name);
        let member = format!("serviceAccount:{reader}");
        let mut attempt = 1;
        loop {
            let mut policy = self
                .secret_call(
                    Method::GET,
                    &format!("{path}:getIamPolicy"),
                    None,
                    "secrets.getIamPolicy",
                )
                .await
                .about(&object)?;
            if !add_reader(&mut policy, &member) {
                return Ok(());
            }
            let body = json!({ "policy": policy });
            let set = self
                .secret_call(
                    Method::POST,
                    &format!("{path}:setIamPolicy"),
                    Some(&body),
                    "secrets.setIamPolicy",
                )
                .await;
            match set {
                Err(failure) if failure.is_stale() && attempt < POLICY_ATTEMPTS => attempt += 1,
                set => return set.map(drop).about(&object),
            }
        }
    }

    pub(crate) async fn delete_stored(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = secret_object(name);
        let path = self.secret_path(name);
        match self.read_secret(&path).await.about(&object)? {
            None => return Ok(()),
            Some(found) if !self.is_secret_of(&found, cluster) => {
                return Err(CloudError::NotOurs { object });
            }
            Some(_) => {}
        }
        self.secret_call(Method::DELETE, &path, None, "secrets.delete")
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)
    }

    /// Names of the secrets of a cluster of this region.
    pub(crate) async fn secrets_of(&self, cluster: &ClusterName) -> std::result::Result<Vec<String>, Failure> {
        let (mut names, mut page) = (Vec::new(), None::<String>);
        loop {
            let mut query = format!("filter={}&pageSize=1000", encode(&filter(cluster)));
            if let Some(token) = &page {
                query = format!("{query}&pageToken={}", encode(token));
            }
            let path = format!("projects/{}/secrets?{query}", self.settings().project);
            let reply = self.secret_call(Method::GET, &path, None, "secrets.list").await?;
            for secret in reply.get("secrets").and_then(Value::as_array).into_iter().flatten() {
                if self.is_secret_of(secret, cluster) {
                    names.extend(string_at(secret, &["name"]).map(|name| last_segment(name).to_owned()));
                }
            }
            page = string_at(&reply, &["nextPageToken"])
                .filter(|token| !token.is_empty())
                .map(ToOwned::to_owned);
            if page.is_none() {
                names.sort();
                return Ok(names);
            }
        }
    }

    pub(crate) async fn read_secret(&self, path: &str) -> std::result::Result<Option<Value>, Failure> {
        present(self.secret_call(Method::GET, path, None, "secrets.get").await)
    }

    pub(crate) async fn secret_call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: &str,
    ) -> std::result::Result<Value, Failure> {
        let manager = self.secret_manager();
        self.sender()
            .send(what, || manager.call(method.clone(), path, body))
            .await
    }

    pub(crate) fn is_secret_of(&self, secret: &Value, cluster: &ClusterName) -> bool {
        let labels: std::collections::BTreeMap<String, String> = secret
            .get("labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default();
        labelled(&labels, cluster) && labels.get(label::REGION) == Some(&self.settings().region)
    }

    pub(crate) fn secret_path(&self, name: &str) -> String {
        format!("projects/{}/secrets/{name}", self.settings().project)
    }
}

pub(crate) fn secret_object(name: &str) -> String {
    format!("secret {name}")
}

/// Adds a member to the readers in a policy; false when it is one already.
fn add_reader(policy: &mut Value, member: &str) -> bool {
    if !policy.is_object() {
        *policy = json!({});
    }
    let bindings = &mut policy["bindings"];
    if !bindings.is_array() {
        *bindings = json!([]);
    }
    let Some(bindings) = bindings.as_array_mut() else {
        return false;
    };
    let readers = bindings
        .iter_mut()
        .find(|binding| binding["role"] == READER_ROLE && binding.get("condition").is_none())
        .and_then(|binding| binding.get_mut("members")?.as_array_mut());
    match readers {
        Some(members) if members.iter().any(|present| present == member) => false,
        Some(members) => {
            members.push(json!(member));
            true
        }
        None => {
            bindings.push(json!({ "role": READER_ROLE, "members": [member] }));
            true
        }
    }
}

pub(crate) fn string_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_str()
}

/// Percent-encodes a query value.
pub(crate) fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_added_once_and_others_stay() {
        let mut policy = json!({ "etag": "x", "bindings": [{ "role": "roles/owner", "members": ["user:a"] }] });
        assert!(add_reader(&mut policy, "serviceAccount:s"));
        assert!(!add_reader(&mut policy, "serviceAccount:s"));
        assert!(add_reader(&mut policy, "serviceAccount:t"));
        assert_eq!(policy["bindings"][0]["members"], json!(["user:a"]));
        assert_eq!(
            policy["bindings"][1]["members"],
            json!(["serviceAccount:s", "serviceAccount:t"])
        );
        assert_eq!(policy["etag"], "x");
    }

    #[test]
    fn a_conditional_grant_is_not_a_grant() {
        let binding = json!({ "role": READER_ROLE, "members": ["serviceAccount:s"], "condition": { "title": "t" } });
        let mut policy = json!({ "bindings": [binding] });
        assert!(add_reader(&mut policy, "serviceAccount:s"));
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("labels.a=b c"), "labels.a%3Db%20c");
    }
}
