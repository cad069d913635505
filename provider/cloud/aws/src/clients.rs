//! The SDK's clients, over one HTTP client whose TLS is rustls on ring.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use crate::{Credentials, Settings};

/// The SDK's clients.  They do not retry: [`crate::requests`] does, and counts.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) ec2: aws_sdk_ec2::Client,
    pub(crate) balancing: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) secrets: aws_sdk_secretsmanager::Client,
    pub(crate) identities: aws_sdk_iam::Client,
}

impl Clients {
    /// Clients for what the settings say.  Nothing is sent, unless a role is to be assumed or a profile asks for it.
    pub(crate) async fn connect(settings: &Settings) -> Self {
        let config = sdk_config(settings).await;
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            identities: aws_sdk_iam::Client::new(&config),
        }
    }
}

async fn sdk_config(settings: &Settings) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(settings.timeouts.request)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(settings.region.clone()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    match &settings.credentials {
        Credentials::Keys { id, secret } => {
            let keys = aws_credential_types::Credentials::new(id, secret, None, None, "multizone");
            loader.credentials_provider(keys).load().await
        }
        Credentials::Chain { profile, assume_role } => {
            if let Some(profile) = profile {
                loader = loader.profile_name(profile);
            }
            let config = loader.load().await;
            match assume_role {
                None => config,
                Some(role) => {
                    let assumed = aws_config::sts::AssumeRoleProvider::builder(role)
                        .session_name("multizone")
                        .configure(&config)
                        .build()
                        .await;
                    let assumed = SharedCredentialsProvider::new(assumed);
                    config.into_builder().credentials_provider(assumed).build()
                }
            }
        }
    }
}
