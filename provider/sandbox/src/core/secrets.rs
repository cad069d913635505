//! Secrets: versions, and who may read them.

use super::error::Refusal;
use super::names::{check_labels, fingerprint};
use super::records::{Binding, Labels, Secret, SecretVersion, VersionState};
use super::transaction::Transaction;
use base64::Engine as _;
use std::collections::BTreeMap;

/// The role that lets its members read a secret's content.
pub const ACCESSOR: &str = "roles/secretmanager.secretAccessor";
/// The scope a machine's identity needs to use any service.
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Content is at most 64 KiB long.
const PAYLOAD_LIMIT: usize = 65536;

impl Transaction<'_> {
    /// Makes an empty secret.
    pub fn create_secret(
        &mut self,
        name: &str,
        labels: Labels,
        annotations: BTreeMap<String, String>,
        replication: serde_json::Value,
    ) -> Result<Secret, Refusal> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || name.len() > 255 || !name.bytes().all(good) {
            return Err(Refusal::bad_request(format!(
                "Secret ID [{name}] is invalid: 1 to 255 letters, digits, hyphens and underscores."
            )));
        }
        check_labels("secret.labels", &labels)?;
        if !replication.is_object() {
            return Err(Refusal::bad_request(
                "Secret.replication is required: automatic or user managed.",
            ));
        }
        if self.state.secrets.contains_key(name) {
            return Err(Refusal {
                status: 409,
                reason: "alreadyExists",
                message: format!("Secret [{}] already exists.", self.secret_path(name)),
            });
        }
        let secret = Secret {
            identity: self.new_identity(name, ""),
            labels,
            annotations,
            replication,
            versions: Vec::new(),
            policy: Vec::new(),
        };
        self.put(secret.clone());
        self.note("secrets.create", &self.secret_path(name), None, None);
        Ok(secret)
    }

    /// Changes labels and annotations (`None` keeps).
    pub fn patch_secret(
        &mut self,
        name: &str,
        labels: Option<Labels>,
        annotations: Option<BTreeMap<String, String>>,
        etag: Option<&str>,
    ) -> Result<Secret, Refusal> {
        let mut secret = self.secret(name)?;
        check_etag(etag, &secret_etag(&secret))?;
        if let Some(labels) = labels {
            check_labels("secret.labels", &labels)?;
            secret.labels = labels;
        }
        if let Some(annotations) = annotations {
            secret.annotations = annotations;
        }
        self.put(secret.clone());
        self.note("secrets.patch", &self.secret_path(name), None, None);
        Ok(secret)
    }

    /// Deletes a secret with its versions, at once and for good.
    pub fn delete_secret(&mut self, name: &str, etag: Option<&str>) -> Result<(), Refusal> {
        let secret = self.secret(name)?;
        check_etag(etag, &secret_etag(&secret))?;
        self.remove::<Secret>(name);
        self.note("secrets.delete", &self.secret_path(name), None, None);
        Ok(())
    }

    /// Adds content.  `checksum` is the CRC-32C of it, refused when it does not match.
    pub fn add_secret_version(
        &mut self,
        name: &str,
        payload: &[u8],
        checksum: Option<u32>,
    ) -> Result<SecretVersion, Refusal> {
        let mut secret = self.secret(name)?;
        if payload.len() > PAYLOAD_LIMIT {
            return Err(Refusal::bad_request(format!(
                "The secret payload is {} bytes; at most {PAYLOAD_LIMIT} are allowed.",
                payload.len()
            )));
        }
        if checksum.is_some_and(|given| given != crc32c(payload)) {
            return Err(Refusal::bad_request(
                "Payload.data_crc32c does not match the payload's data.",
            ));
        }
        let number = secret.versions.last().map_or(1, |version| version.number + 1);
        let version = SecretVersion {
            number,
            created: self.now,
            state: VersionState::Enabled,
            destroyed: None,
            payload: base64::engine::general_purpose::STANDARD.encode(payload),
            checksum,
        };
        secret.versions.push(version.clone());
        self.put(secret);
        self.note(
            "secrets.addVersion",
            &format!("{}/versions/{number}", self.secret_path(name)),
            None,
            None,
        );
        Ok(version)
    }

    /// Destroys a version's content.
    pub fn destroy_secret_version(&mut self, name: &str, version: &str) -> Result<SecretVersion, Refusal> {
        self.change_version(name, version, "secretVersions.destroy", VersionState::Destroyed)
    }

    /// Makes a version readable, or unreadable for now.
    pub fn enable_secret_version(&mut self, name: &str, version: &str, on: bool) -> Result<SecretVersion, Refusal> {
        let (verb, state) = if on {
            ("secretVersions.enable", VersionState::Enabled)
        } else {
            ("secretVersions.disable", VersionState::Disabled)
        };
        self.change_version(name, version, verb, state)
    }

    fn change_version(
        &mut self,
        name: &str,
        version: &str,
        verb: &str,
        state: VersionState,
    ) -> Result<SecretVersion, Refusal> {
        let mut secret = self.secret(name)?;
        let number = self.find_version(&secret, version)?.number;
        let path = format!("{}/versions/{number}", self.secret_path(name));
        let now = self.now;
        let Some(found) = secret.versions.iter_mut().find(|it| it.number == number) else {
            return Err(Refusal::not_found(&path));
        };
        if found.state == VersionState::Destroyed {
            return Err(Refusal::failed_precondition(format!(
                "Secret Version [{path}] is in DESTROYED state."
            )));
        }
        found.state = state;
        if state == VersionState::Destroyed {
            found.payload.clear();
            found.destroyed = Some(now);
        }
        let changed = found.clone();
        self.put(secret);
        self.note(verb, &path, None, None);
        Ok(changed)
    }

    /// Replaces the policy of a secret.
    pub fn set_secret_policy(
        &mut self,
        name: &str,
        policy: Vec<Binding>,
        etag: Option<&str>,
    ) -> Result<Secret, Refusal> {
        let mut secret = self.secret(name)?;
        check_etag(etag, &fingerprint(&secret.policy))?;
        for binding in &policy {
            if !binding.role.starts_with("roles/") {
                return Err(Refusal::bad_request(format!(
                    "Role ({}) does not exist in the resource's hierarchy.",
                    binding.role
                )));
            }
            for member in &binding.members {
                self.check_member(member)?;
            }
        }
        secret.policy = policy;
        self.put(secret.clone());
        self.note("secrets.setIamPolicy", &self.secret_path(name), None, None);
        Ok(secret)
    }

    fn check_member(&self, member: &str) -> Result<(), Refusal> {
        if let Some(email) = member.strip_prefix("serviceAccount:") {
            let exists =
                email == self.settings.default_service_account() || self.state.service_accounts.contains_key(email);
            return if exists {
                Ok(())
            } else {
                Err(Refusal::bad_request(format!("Service account {email} does not exist.")))
            };
        }
        let known = ["user:", "group:", "domain:"]
            .iter()
            .any(|kind| member.starts_with(kind));
        if known || ["allUsers", "allAuthenticatedUsers"].contains(&member) {
            return Ok(());
        }
        Err(Refusal::bad_request(format!(
            "Invalid member '{member}': serviceAccount:, user:, group: or domain: is missing."
        )))
    }

    /// The secret of this name.
    pub fn secret(&self, name: &str) -> Result<Secret, Refusal> {
        self.state.secrets.get(name).cloned().ok_or_else(|| Refusal {
            status: 404,
            reason: "notFound",
            message: format!("Secret [{}] not found.", self.secret_path(name)),
        })
    }

    /// The version called `version`: a number, or `latest`.
    pub fn find_version<'s>(&self, secret: &'s Secret, version: &str) -> Result<&'s SecretVersion, Refusal> {
        let found = match version {
            "latest" => secret.versions.last(),
            number => number
                .parse()
                .ok()
                .and_then(|number: u32| secret.versions.iter().find(|it| it.number == number)),
        };
        found.ok_or_else(|| Refusal {
            status: 404,
            reason: "notFound",
            message: format!(
                "Secret Version [{}/versions/{version}] not found or has no versions.",
                self.secret_path(&secret.identity.name)
            ),
        })
    }

    /// The content of a version, for the project's owner.
    pub fn access_secret_version(&self, name: &str, version: &str) -> Result<(u32, Vec<u8>), Refusal> {
        let secret = self.secret(name)?;
        let version = self.find_version(&secret, version)?;
        let path = format!("{}/versions/{}", self.secret_path(name), version.number);
        if version.state != VersionState::Enabled {
            let state = if version.state == VersionState::Disabled {
                "DISABLED"
            } else {
                "DESTROYED"
            };
            return Err(Refusal::failed_precondition(format!(
                "Secret Version [{path}] is in {state} state."
            )));
        }
        let payload = base64::engine::general_purpose::STANDARD
            .decode(&version.payload)
            .map_err(|error| Refusal::internal(format!("the stored payload of {path} is damaged: {error}")))?;
        Ok((version.number, payload))
    }

    /// The latest content of a secret, for the programs on the machine `key`, if its identity may read it.
    pub fn access_secret_from_machine(&mut self, key: &str, name: &str) -> Result<Vec<u8>, Refusal> {
        let instance = self
            .state
            .instances
            .get(key)
            .ok_or_else(|| Refusal::not_found(&self.settings.instance_path(key)))?;
        let Some(identity) = instance.service_account.clone() else {
            return Err(Refusal::forbidden(format!("the machine {key} has no service account")));
        };
        if !identity
            .scopes
            .iter()
            .any(|scope| scope == CLOUD_PLATFORM || scope == "cloud-platform")
        {
            return Err(Refusal::forbidden(
                "Request had insufficient authentication scopes: cloud-platform is missing.".to_owned(),
            ));
        }
        let alive = identity.email == self.settings.default_service_account()
            || self.state.service_accounts.contains_key(&identity.email);
        let secret = self.secret(name).ok();
        let member = format!("serviceAccount:{}", identity.email);
        let granted = secret.is_some_and(|secret| {
            secret
                .policy
                .iter()
                .any(|binding| binding.role == ACCESSOR && binding.members.contains(&member))
        });
        if !alive || !granted {
            return Err(Refusal::forbidden(format!(
                "Permission 'secretmanager.versions.access' denied for resource '{}/versions/latest' (or it may not exist).",
                self.secret_path(name)
            )));
        }
        let (number, payload) = self.access_secret_version(name, "latest")?;
        self.note(
            "secretVersions.access",
            &format!("{}/versions/{number}", self.secret_path(name)),
            None,
            None,
        );
        Ok(payload)
    }

    /// `projects/NUMBER/secrets/NAME`, as Secret Manager writes it.
    pub fn secret_path(&self, name: &str) -> String {
        format!("projects/{}/secrets/{name}", self.settings.project_number)
    }
}

/// The etag of a secret's settings.
pub fn secret_etag(secret: &Secret) -> String {
    fingerprint(&(&secret.labels, &secret.annotations))
}

fn check_etag(given: Option<&str>, current: &str) -> Result<(), Refusal> {
    match given {
        Some(given) if given != current => Err(Refusal {
            status: 409,
            reason: "aborted",
            message: "There were concurrent changes: the etag does not match. Read again and retry.".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// CRC-32C (Castagnoli), which Secret Manager guards payloads with.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn crc32c_of_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
