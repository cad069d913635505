//! Notices: what processes tell each other, by comparing and swapping.
//!
//! Secrets Manager has one thing that changes only from what it was: a version's stage is moved by naming the version
//! that loses it, and is refused when another one has it.  So whoever changes a notice moves the current stage to another
//! version, and then writes the text, with that version before it, into the secret's description: a text that names
//! another version than the current one is that of somebody who was interrupted, and says nothing.
//!
//! Versions are few in a secret's life (a hundred in a day), and a lock is renewed often: a ring of [`RING`] of them is
//! made and used in turn.  A description is compared right before the move, so that a full round of the ring would have to
//! pass between two requests for a change to be missed.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::operation::describe_secret::DescribeSecretOutput;
use multizone_cloud::{CloudError, ClusterName, Labels, Notice, Result, label};

use crate::{
    Aws,
    failure::{About as _, Failure},
    making::Called,
    requests::{fresh_token, token},
    secrets::{is_scheduled, secret_object, tags_of, to_tags},
    tags::is_of,
};

/// How many versions a notice goes through.
const RING: usize = 4;
/// The stage of the version whose turn it is.
const CURRENT: &str = "AWSCURRENT";
/// How the stages begin that keep the ring's versions.
const SLOT: &str = "multizone-slot-";

impl Aws {
    pub(crate) async fn notice_of(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>> {
        let object = secret_object(name);
        match self.described(name).await.about(&object)? {
            None => Ok(None),
            Some(found) if !is_of(&tags_of(&found), cluster) => Err(CloudError::NotOurs { object }),
            Some(found) => Ok(Some(shown(&found))),
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
        match over {
            None => self.put_up(cluster, name, text).await.making(&object),
            Some(over) => {
                let Some(version) = self.claim(name, over).await.about(&object)? else {
                    return Ok(None);
                };
                self.write(name, &version, text).await.about(&object)
            }
        }
    }

    /// Takes the notice down, once nobody else can have changed it any more.
    pub(crate) async fn take_down(&self, name: &str, notice: &Notice) -> Result<()> {
        let object = secret_object(name);
        if self.claim(name, notice).await.about(&object)?.is_some() {
            self.delete_secret_now(name).await.about(&object)?;
        }
        Ok(())
    }

    async fn put_up(&self, cluster: &ClusterName, name: &str, text: &str) -> Called<Option<Notice>> {
        let client = &self.clients().secrets;
        let version = fresh_token();
        let labels = Labels::from([(label::REGION.to_owned(), self.settings().region.clone())]);
        let tags = to_tags(&self.tags(cluster, name, &labels));
        let description = described(&version, text);
        let made = self
            .call("secretsmanager:CreateSecret", || {
                client
                    .create_secret()
                    .name(name)
                    .description(&description)
                    .client_request_token(&version)
                    .secret_string("-")
                    .set_tags(Some(tags.clone()))
                    .send()
            })
            .await;
        match made {
            Ok(_) => Ok(Some(Notice {
                version: versioned(&version, &description),
                text: text.to_owned(),
            })),
            Err(failure) if failure.is_already_exists() || is_scheduled(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Moves the current stage on, which only one can do from the notice that was read; gives the version that has it now.
    async fn claim(&self, name: &str, over: &Notice) -> Called<Option<String>> {
        let Some(found) = self.described(name).await? else {
            return Ok(None);
        };
        if shown(&found) != *over {
            return Ok(None);
        }
        let Some(current) = current(&found) else {
            return Ok(None);
        };
        let next = self.next_version(name, &found, &current).await?;
        let client = &self.clients().secrets;
        let moved = self
            .call("secretsmanager:UpdateSecretVersionStage", || {
                client
                    .update_secret_version_stage()
                    .secret_id(name)
                    .version_stage(CURRENT)
                    .move_to_version_id(&next)
                    .remove_from_version_id(&current)
                    .send()
            })
            .await;
        match moved {
            Ok(_) => Ok(Some(next)),
            Err(failure) if is_late(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The ring's version after the current one, made where the ring is not complete yet.
    async fn next_version(&self, name: &str, found: &DescribeSecretOutput, current: &str) -> Called<String> {
        let slots = slots(found);
        let here = slots
            .iter()
            .find(|(_, version)| *version == current)
            .map(|(slot, _)| *slot);
        let next = here.map_or(0, |here| (here + 1) % RING);
        if let Some(version) = slots.get(&next).filter(|version| *version != current) {
            return Ok(version.clone());
        }
        let client = &self.clients().secrets;
        // The same for everybody who finds the slot empty.
        let version = token(&[name, current, &next.to_string()]);
        self.call("secretsmanager:PutSecretValue", || {
            client
                .put_secret_value()
                .secret_id(name)
                .client_request_token(&version)
                .secret_string("-")
                .version_stages(format!("{SLOT}{next}"))
                .send()
        })
        .await?;
        Ok(version)
    }

    async fn write(&self, name: &str, version: &str, text: &str) -> Called<Option<Notice>> {
        let client = &self.clients().secrets;
        let description = described(version, text);
        let written = self
            .call("secretsmanager:UpdateSecret", || {
                client.update_secret().secret_id(name).description(&description).send()
            })
            .await;
        match written {
            Ok(_) => Ok(Some(Notice {
                version: versioned(version, &description),
                text: text.to_owned(),
            })),
            Err(failure) if is_late(&failure) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// The description of a notice with this text, of this version.
fn described(version: &str, text: &str) -> String {
    format!("{version} {text}")
}

fn versioned(version: &str, description: &str) -> String {
    format!("{version}/{}", token(&[description]))
}

/// The version whose turn it is.
fn current(secret: &DescribeSecretOutput) -> Option<String> {
    let versions = secret.version_ids_to_stages.as_ref()?;
    let mut versions = versions.iter();
    versions.find_map(|(version, stages)| stages.iter().any(|stage| stage == CURRENT).then(|| version.clone()))
}

/// The ring's versions.
fn slots(secret: &DescribeSecretOutput) -> BTreeMap<usize, String> {
    let versions = secret.version_ids_to_stages.iter().flatten();
    let slot = |stage: &String| stage.strip_prefix(SLOT)?.parse().ok();
    versions
        .filter_map(|(version, stages)| Some((stages.iter().find_map(slot)?, version.clone())))
        .collect()
}

fn shown(secret: &DescribeSecretOutput) -> Notice {
    let version = current(secret).unwrap_or_default();
    let description = secret.description().unwrap_or_default();
    let text = description
        .strip_prefix(&version)
        .and_then(|text| text.strip_prefix(' '));
    Notice {
        text: text.unwrap_or_default().to_owned(),
        version: versioned(&version, description),
    }
}

/// Whether somebody was faster: it has another version by now, or is gone.
fn is_late(failure: &Failure) -> bool {
    failure.is_not_found() || failure.is(&["InvalidParameterException", "InvalidRequestException"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(description: &str, versions: &[(&str, &[&str])]) -> DescribeSecretOutput {
        let stages = |(version, stages): &(&str, &[&str])| {
            ((*version).to_owned(), stages.iter().map(ToString::to_string).collect())
        };
        DescribeSecretOutput::builder()
            .description(description)
            .set_version_ids_to_stages(Some(versions.iter().map(stages).collect()))
            .build()
    }

    #[test]
    fn a_text_counts_only_with_the_version_that_it_was_written_for() {
        let first = secret("v1 hello", &[("v1", &[CURRENT])]);
        assert_eq!(shown(&first).text, "hello");
        let interrupted = secret("v1 hello", &[("v1", &[]), ("v2", &[CURRENT, "multizone-slot-0"])]);
        assert_eq!(shown(&interrupted).text, "");
        assert_ne!(shown(&interrupted).version, shown(&first).version);
        assert_eq!(slots(&interrupted), BTreeMap::from([(0, "v2".to_owned())]));
    }
}
