//! Google's clients, one for each kind of object, over one transport.

use std::sync::Arc;

use google_cloud_auth::credentials::{self, Credentials as GoogleCredentials};
use google_cloud_compute_v1::client;
use multizone_cloud::CloudError;

use crate::{
    Credentials,
    failure::{Failure, chain},
    transport::Transport,
};

macro_rules! clients {
    ($($field:ident: $client:ident,)*) => {
        /// Google's clients.  They do not retry: [`crate::requests`] does, and counts.
        #[derive(Debug)]
        pub(crate) struct Clients {
            transport: Arc<Transport>,
        }

        #[allow(clippy::unused_async)]
        impl Clients {
            pub(crate) fn new(transport: Transport) -> Self {
                Self { transport: Arc::new(transport) }
            }

            /// What they go over.
            pub(crate) fn transport(&self) -> &Transport {
                &self.transport
            }

            $(pub(crate) async fn $field(&self) -> Result<client::$client, Failure> {
                Ok(client::$client::from_stub::<Transport>(self.transport.clone()))
            })*
        }
    };
}

clients! {
    addresses: Addresses,
    disks: Disks,
    firewalls: Firewalls,
    forwarding_rules: ForwardingRules,
    global_operations: GlobalOperations,
    instance_groups: InstanceGroups,
    instances: Instances,
    machine_types: MachineTypes,
    networks: Networks,
    projects: Projects,
    region_backend_services: RegionBackendServices,
    region_health_checks: RegionHealthChecks,
    region_operations: RegionOperations,
    snapshots: Snapshots,
    subnetworks: Subnetworks,
    zone_operations: ZoneOperations,
    zones: Zones,
}

/// Google's credentials for what the settings say.
pub(crate) fn credentials(wanted: &Credentials) -> Result<GoogleCredentials, CloudError> {
    let unusable = |reason: String| CloudError::Credentials {
        object: "the API of Compute Engine".to_owned(),
        reason,
    };
    let built = match wanted {
        Credentials::Anonymous => return Ok(credentials::anonymous::Builder::new().build()),
        Credentials::ApplicationDefault => credentials::Builder::default().build(),
        Credentials::Json(text) => {
            // The parser's error may quote the content, which is secret: only its place is told.
            let document: serde_json::Value = serde_json::from_str(text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                unusable(format!(
                    "the credentials given are not JSON (line {line}, column {column})"
                ))
            })?;
            match document.get("type").and_then(serde_json::Value::as_str) {
                Some("service_account") => credentials::service_account::Builder::new(document).build(),
                Some("authorized_user") => credentials::user_account::Builder::new(document).build(),
                Some("external_account") => credentials::external_account::Builder::new(document).build(),
                Some("impersonated_service_account") => credentials::impersonated::Builder::new(document).build(),
                other => {
                    let kind = other.map_or("no type".to_owned(), |kind| format!("type {kind:?}"));
                    return Err(unusable(format!(
                        "the credentials given are of {kind}, but service_account, authorized_user, external_account or \
                         impersonated_service_account is needed"
                    )));
                }
            }
        }
    };
    built.map_err(|error| unusable(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_be_read_are_refused_without_quoting_them() {
        for (content, told) in [
            ("{\"private_key\": abc}", "not JSON (line 1, column 17)"),
            ("{\"type\":\"x\",\"private_key\":\"abc\"}", "of type \"x\""),
        ] {
            let error = credentials(&Credentials::Json(content.into())).unwrap_err();
            assert!(
                matches!(error, CloudError::Credentials { ref reason, .. } if reason.contains(told)),
                "{error}"
            );
            assert!(!error.to_string().contains("abc"));
        }
    }
}
