//! The masters' identity: a role of the cluster's own, and the instance profile that gives it to machines.
//!
//! The role has no policies: what it may do is said by what it may read ([`multizone_cloud::Cloud::grant_secret`]).

use aws_sdk_iam::types::{InstanceProfile, Role, Tag};
use multizone_cloud::{CloudError, ClusterName, Labels, Result};
use serde_json::json;

use crate::{
    Aws,
    failure::{About as _, Failure, present, unless_absent, unless_exists},
    making::Called,
    names,
    tags::{Tags, is_of},
};

impl Aws {
    /// The name of the instance profile that masters have, made sure of.
    pub(crate) async fn ensure_identity(&self, cluster: &ClusterName) -> Result<String> {
        let name = names::identity(&self.settings().region, cluster);
        let object = format!("role {name}");
        let client = &self.clients().identities;
        let tags = to_tags(&self.tags(cluster, &name, &Labels::new()));
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "ec2.amazonaws.com" },
                "Action": "sts:AssumeRole",
            }],
        })
        .to_string();
        let look = || self.role(&name);
        let make = || async {
            let reply = self
                .call_once("iam:CreateRole", || {
                    client
                        .create_role()
                        .role_name(&name)
                        .description(format!("The masters of Multizone cluster {cluster}"))
                        .assume_role_policy_document(&trust)
                        .set_tags(Some(tags.clone()))
                        .send()
                })
                .await?;
            reply.role.ok_or_else(|| Failure::unreadable("the reply names no role"))
        };
        let role = self.found_or_made(&object, look, make).await?;
        if !is_of(&of_iam(role.tags()), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        let object = format!("instance profile {name}");
        let look = || self.profile(&name);
        let make = || async {
            let reply = self
                .call_once("iam:CreateInstanceProfile", || {
                    client
                        .create_instance_profile()
                        .instance_profile_name(&name)
                        .set_tags(Some(tags.clone()))
                        .send()
                })
                .await?;
            reply
                .instance_profile
                .ok_or_else(|| Failure::unreadable("the reply names no instance profile"))
        };
        let profile = self.found_or_made(&object, look, make).await?;
        if !is_of(&of_iam(profile.tags()), cluster) {
            return Err(CloudError::NotOurs { object });
        }
        if profile.roles().iter().all(|role| role.role_name() != name) {
            self.call("iam:AddRoleToInstanceProfile", || {
                client
                    .add_role_to_instance_profile()
                    .instance_profile_name(&name)
                    .role_name(&name)
                    .send()
            })
            .await
            .map(drop)
            .or_else(unless_exists)
            .about(&object)?;
        }
        Ok(name)
    }

    /// The ARN of the role that an instance profile gives, by the profile's name or ARN.
    pub(crate) async fn role_of(&self, profile: &str) -> Result<String> {
        let name = profile.rsplit('/').next().unwrap_or(profile);
        let object = format!("instance profile {name}");
        let found = self.profile(name).await.about(&object)?;
        let found = found.ok_or_else(|| CloudError::NotFound { object: object.clone() })?;
        let role = found.roles().first().map(|role| role.arn().to_owned());
        role.ok_or_else(|| CloudError::Refused {
            object,
            code: "no role".to_owned(),
            reason: "it gives machines no role, so they could not read the cluster's keys: add one to it".to_owned(),
        })
    }

    /// Deletes the cluster's own role and profile, if they were made.
    pub(crate) async fn delete_identity(&self, cluster: &ClusterName) -> Result<()> {
        let name = names::identity(&self.settings().region, cluster);
        let object = format!("instance profile {name}");
        let client = &self.clients().identities;
        if let Some(profile) = self.profile(&name).await.about(&object)? {
            if !is_of(&of_iam(profile.tags()), cluster) {
                return Err(CloudError::NotOurs { object });
            }
            for role in profile.roles() {
                let role = role.role_name();
                self.call("iam:RemoveRoleFromInstanceProfile", || {
                    client
                        .remove_role_from_instance_profile()
                        .instance_profile_name(&name)
                        .role_name(role)
                        .send()
                })
                .await
                .map(drop)
                .or_else(unless_absent)
                .about(&object)?;
            }
            self.call("iam:DeleteInstanceProfile", || {
                client.delete_instance_profile().instance_profile_name(&name).send()
            })
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)?;
        }
        let object = format!("role {name}");
        match self.role(&name).await.about(&object)? {
            None => return Ok(()),
            Some(role) if !is_of(&of_iam(role.tags()), cluster) => return Err(CloudError::NotOurs { object }),
            Some(_) => {}
        }
        self.call("iam:DeleteRole", || client.delete_role().role_name(&name).send())
            .await
            .map(drop)
            .or_else(unless_absent)
            .about(&object)
    }

    async fn role(&self, name: &str) -> Called<Option<Role>> {
        let client = &self.clients().identities;
        let found = self
            .call("iam:GetRole", || client.get_role().role_name(name).send())
            .await;
        Ok(present(found)?.and_then(|reply| reply.role))
    }

    async fn profile(&self, name: &str) -> Called<Option<InstanceProfile>> {
        let client = &self.clients().identities;
        let found = self
            .call("iam:GetInstanceProfile", || {
                client.get_instance_profile().instance_profile_name(name).send()
            })
            .await;
        Ok(present(found)?.and_then(|reply| reply.instance_profile))
    }
}

fn of_iam(tags: &[Tag]) -> Tags {
    tags.iter()
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect()
}

fn to_tags(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    // Both are given, which is all that can be missing.
    tags.iter().filter_map(|pair| tag(pair).ok()).collect()
}
