//! What the user can set.

use std::{fmt, net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use multizone_cloud::Retries;

/// How to reach one region of one project.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What users call this cloud: `Compute Engine`, unless it is something else that speaks its API.
    pub name: String,
    /// Project ID.
    pub project: String,
    /// Region, for example `us-central1`.
    pub region: String,
    /// Base URL of the Compute Engine API; `None` is Google's own.
    pub endpoint: Option<String>,
    /// Base URL of Secret Manager; `None` is `endpoint` where that is given and Google's own otherwise.
    pub secret_manager_endpoint: Option<String>,
    /// Who calls.
    pub credentials: Credentials,
    /// Range of a cluster's subnet where the cluster names none; `None` is 10.0.0.0/20.
    pub default_network_cidr: Option<Ipv4Net>,
    /// Image of machines that name none; `None` is Google's family of Ubuntu 24.04 LTS.
    pub default_image: Option<String>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
}

impl Settings {
    /// Settings for Google's own endpoints with the application's default credentials.
    pub fn new(project: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            name: "Compute Engine".to_owned(),
            project: project.into(),
            region: region.into(),
            endpoint: None,
            secret_manager_endpoint: None,
            credentials: Credentials::ApplicationDefault,
            default_network_cidr: None,
            default_image: None,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
        }
    }

    pub(crate) fn network_cidr(&self) -> Ipv4Net {
        self.default_network_cidr
            .unwrap_or_else(|| Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 20))
    }

    pub(crate) fn image(&self) -> &str {
        self.default_image
            .as_deref()
            .unwrap_or("projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64")
    }

    pub(crate) fn secret_manager_url(&self) -> &str {
        self.secret_manager_endpoint
            .as_deref()
            .or(self.endpoint.as_deref())
            .unwrap_or("https://secretmanager.googleapis.com")
            .trim_end_matches('/')
    }
}

/// Who calls.  `Debug` shows the kind only.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// The application's default credentials: the environment, gcloud's login, or the metadata server.
    #[default]
    ApplicationDefault,
    /// None: for the sandbox region.
    Anonymous,
    /// The content of a credentials file: a service account's key, a user's login, or a workload identity's configuration.
    Json(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApplicationDefault => "ApplicationDefault",
            Self::Anonymous => "Anonymous",
            Self::Json(_) => "Json",
        })
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the reply to one request.
    pub request: Duration,
    /// For an operation, or for an object to become usable.
    pub operation: Duration,
    /// Between two looks at something that the cloud cannot be asked to wait for.
    pub poll_interval: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(30),
            operation: Duration::from_mins(10),
            poll_interval: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_manager_follows_the_endpoint_unless_it_has_its_own() {
        let mut settings = Settings::new("p", "us-central1");
        assert_eq!(settings.secret_manager_url(), "https://secretmanager.googleapis.com");
        settings.endpoint = Some("http://127.9.0.1:80/".into());
        assert_eq!(settings.secret_manager_url(), "http://127.9.0.1:80");
        settings.secret_manager_endpoint = Some("http://127.9.0.2".into());
        assert_eq!(settings.secret_manager_url(), "http://127.9.0.2");
    }

    #[test]
    fn a_key_is_not_printed() {
        let settings = Settings {
            credentials: Credentials::Json("{\"private_key\":\"x\"}".into()),
            ..Settings::new("p", "r")
        };
        assert!(!format!("{settings:?}").contains("private_key"));
    }
}
