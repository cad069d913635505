//! Secrets, in Secrets Manager.

use aws_sdk_secretsmanager::{operation::describe_secret::DescribeSecretOutput, primitives::Blob, types::Tag};
use multizone_cloud::{CloudError, ClusterName, Result, SecretSpec, label};
use serde_json::{Value, json};

use crate::{
    Aws,
    failure::{About as _, Failure, present, unless_absent, unless_exists},
    making::Called,
    requests::fresh_token,
    tags::{Tags, is_of},
};

/// The statement of a secret's policy that lets machines read it.
const READERS: &str = "MultizoneReaders";

impl Aws {
    pub(crate) async fn latest_secret(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let object = secret_object(name);
        let client = &self.clients().secrets;
        let found = self
            .call("secretsmanager:GetSecretValue", || {
                client.get_secret_value().secret_id(name).send()
            })
            .await;
        let found = match found {
            Err(failure) if is_scheduled(&failure) => None,
            found => present(found).about(&object)?,
        };
        let Some(found) = found else { return Ok(None) };
        let content = found.secret_binary.map(Blob::into_inner);
        Ok(Some(content.unwrap_or_else(|| {
            found.secret_string.unwrap_or_default().into_bytes()
        })))
    }

    pub(crate) async fn ensure_stored(&self, spec: &SecretSpec) -> Result<Vec<u8>> {
        let object = secret_object(&spec.name);
        let mut labels = spec.labels.clone();
        labels.insert(label::REGION.to_owned(), self.settings().region.clone());
        let tags = to_tags(&self.tags(&spec.cluster, &spec.name, &labels));
        let client = &self.clients().secrets;
        let token = fresh_token();
        let look = || self.described(&spec.name);
        let make = || async {
            let made = self
                .call("secretsmanager:CreateSecret", || {
                    client
                        .create_secret()
                        .name(&spec.name)
                        .client_request_token(&token)
                        .secret_binary(Blob::new(spec.content.clone()))
                        .set_tags(Some(tags.clone()))
                        .send()
                })
                .await;
            match made {
                // One of that name was deleted a moment ago.
                Err(failure) if is_scheduled(&failure) => Err(Failure {
                    code: "PriorRequestNotComplete".to_owned(),
                    ..failure
                }),
                made => made,
            }?;
            self.described(&spec.name)
                .await?
                .ok_or_else(|| Failure::unreadable("the secret that was made is not shown"))
        };
        let found = self
            .poll("an earlier secret of that name to be gone", || async {
                match self.found_or_made(&object, look, make).await {
                    Ok(found) => Ok(Some(Ok(found))),
                    Err(CloudError::Unavailable { ref reason, .. }) if reason.contains("PriorRequestNotComplete") => {
                        Ok(None)
                    }
                    Err(error) => Ok(Some(Err(error))),
                }
            })
            .await
            .about(&object)??;
        if !is_of(&tags_of(&found), &spec.cluster) {
            return Err(CloudError::NotOurs { object });
        }
        if let Some(content) = self.latest_secret(&spec.name).await? {
            return Ok(content);
        }
        // It was made without a content.
        self.put(spec).await?;
        self.latest_secret(&spec.name)
            .await?
            .ok_or(CloudError::NotFound { object })
    }

    pub(crate) async fn replace_stored(&self, spec: &SecretSpec) -> Result<()> {
        if self.ensure_stored(spec).await? == spec.content {
            return Ok(());
        }
        self.put(spec).await
    }

    async fn put(&self, spec: &SecretSpec) -> Result<()> {
        let client = &self.clients().secrets;
        let token = fresh_token();
        self.call("secretsmanager:PutSecretValue", || {
            client
                .put_secret_value()
                .secret_id(&spec.name)
                .client_request_token(&token)
                .secret_binary(Blob::new(spec.content.clone()))
                .send()
        })
        .await
        .map(drop)
        .or_else(unless_exists)
        .about(&secret_object(&spec.name))
    }

    /// Lets the role of an instance profile read a secret, by the secret's own policy.
    pub(crate) async fn grant_reader(&self, name: &str, profile: &str) -> Result<()> {
        let object = secret_object(name);
        let role = self.role_of(profile).await?;
        let client = &self.clients().secrets;
        let policy = self
            .call("secretsmanager:GetResourcePolicy", || {
                client.get_resource_policy().secret_id(name).send()
            })
            .await
            .about(&object)?;
        let mut policy: Value = policy
            .resource_policy
            .and_then(|policy| serde_json::from_str(&policy).ok())
            .unwrap_or_else(|| json!({ "Version": "2012-10-17", "Statement": [] }));
        if !add_reader(&mut policy, &role) {
            return Ok(());
        }
        let policy = policy.to_string();
        self.poll("the masters' role to be known", || async {
            let put = self
                .call("secretsmanager:PutResourcePolicy", || {
                    client
                        .put_resource_policy()
                        .secret_id(name)
                        .resource_policy(&policy)
                        .send()
                })
                .await;
            match put {
                // A role that was made a moment ago is no principal yet.
                Err(failure) if failure.is(&["MalformedPolicyDocumentException"]) => Ok(None),
                put => put.map(|_| Some(())),
            }
        })
        .await
        .about(&object)
    }

    /// Deletes a secret for good: its name can be used again at once.
    pub(crate) async fn delete_stored(&self, cluster: &ClusterName, name: &str) -> Result<()> {
        let object = secret_object(name);
        match self.described(name).await.about(&object)? {
            None => return Ok(()),
            Some(found) if !is_of(&tags_of(&found), cluster) => {
                return Err(CloudError::NotOurs { object });
            }
            Some(_) => {}
        }
        self.delete_secret_now(name).await.about(&object)
    }

    pub(crate) async fn delete_secret_now(&self, name: &str) -> Called<()> {
        let client = &self.clients().secrets;
        self.call("secretsmanager:DeleteSecret", || {
            client
                .delete_secret()
                .secret_id(name)
                .force_delete_without_recovery(true)
                .send()
        })
        .await
        .map(drop)
        .or_else(unless_absent)
    }

    /// A secret, unless it is deleted or about to be.
    pub(crate) async fn described(&self, name: &str) -> Called<Option<DescribeSecretOutput>> {
        let client = &self.clients().secrets;
        let found = self
            .call("secretsmanager:DescribeSecret", || {
                client.describe_secret().secret_id(name).send()
            })
            .await;
        Ok(present(found)?.filter(|found| found.deleted_date.is_none()))
    }

    /// Names of the secrets of a cluster that there are.  A list of secrets is minutes behind, and each of these names is
    /// asked for.
    pub(crate) async fn secrets_of(&self, cluster: &ClusterName) -> Called<Vec<String>> {
        let names = (self.settings().secret_names)(&self.settings().region, cluster);
        let found = futures::future::try_join_all(names.iter().map(|name| self.described(name))).await?;
        let own =
            |found: &Option<DescribeSecretOutput>| found.as_ref().is_some_and(|found| is_of(&tags_of(found), cluster));
        let mut own: Vec<String> = names
            .iter()
            .zip(&found)
            .filter(|(_, found)| own(found))
            .map(|(name, _)| name.clone())
            .collect();
        own.sort();
        Ok(own)
    }
}

/// Whether a secret of that name is on its way out.
pub(crate) fn is_scheduled(failure: &Failure) -> bool {
    failure.is(&["InvalidRequestException"]) && failure.message.contains("delet")
}

pub(crate) fn tags_of(secret: &DescribeSecretOutput) -> Tags {
    secret
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())))
        .collect()
}

pub(crate) fn to_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect()
}

pub(crate) fn secret_object(name: &str) -> String {
    format!("secret {name}")
}

/// Adds a role to the readers in a policy; false when it is one already.
fn add_reader(policy: &mut Value, role: &str) -> bool {
    if !policy.is_object() {
        *policy = json!({ "Version": "2012-10-17" });
    }
    let statements = &mut policy["Statement"];
    if statements.is_object() {
        *statements = json!([statements.clone()]);
    }
    if !statements.is_array() {
        *statements = json!([]);
    }
    let Some(statements) = statements.as_array_mut() else {
        return false;
    };
    let own = statements.iter_mut().find(|statement| statement["Sid"] == READERS);
    let Some(own) = own else {
        statements.push(json!({
            "Sid": READERS,
            "Effect": "Allow",
            "Principal": { "AWS": [role] },
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
        }));
        return true;
    };
    let readers = &mut own["Principal"]["AWS"];
    if let Value::String(only) = readers {
        *readers = json!([only]);
    }
    match readers.as_array_mut() {
        Some(readers) if readers.iter().any(|reader| reader == role) => false,
        Some(readers) => {
            readers.push(json!(role));
            true
        }
        None => {
            *readers = json!([role]);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_added_once_and_others_stay() {
        let mut policy = json!({ "Version": "2012-10-17", "Statement": { "Sid": "theirs", "Effect": "Deny" } });
        assert!(add_reader(&mut policy, "arn:a"));
        assert!(!add_reader(&mut policy, "arn:a"));
        policy["Statement"][1]["Principal"]["AWS"] = json!("arn:a");
        assert!(add_reader(&mut policy, "arn:b"));
        assert_eq!(policy["Statement"][0]["Sid"], "theirs");
        assert_eq!(policy["Statement"][1]["Principal"]["AWS"], json!(["arn:a", "arn:b"]));
        assert_eq!(policy["Statement"][1]["Action"], "secretsmanager:GetSecretValue");
    }
}
