//! A cluster's etcd, as the provider sees and repairs it: by etcd's own v3 API, each member asked for itself.
//!
//! kubeadm adds and promotes members; the provider looks, moves leadership away from a member that is to go, removes
//! members by ID, and takes snapshots before it changes anything (domain-rules.md, "etcd"). How a member is reached is
//! the [`Route`]'s business: through the API server to the pod, or directly. Every request has a deadline of its own:
//! etcd lets a change of the membership wait for ever when nobody leads.

mod error;
mod members;
mod route;
mod snapshot;

use std::future::Future;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Response, Status};

pub use error::EtcdError;
pub use members::{Alarm, AlarmKind, EtcdView, Member, MemberStatus};
/// What the provider shows to members, and the authority it checks theirs against.
pub use multizone_etcd_api::Credentials;
/// What [`EtcdError`] carries.
pub use multizone_etcd_api::{ChannelError, Refusal};
pub use route::{Dialling, Direct, Duplex, Endpoint, PortForward, Route, Stream};
pub use snapshot::{SnapshotFacts, SnapshotVerifier};

/// Where etcd's clients connect, kubeadm's choice.
pub const CLIENT_PORT: u16 = 2379;

/// How long one request may take. etcd itself gives up after seven seconds without a quorum.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster's etcd.
#[derive(Clone, Debug)]
pub struct Etcd<R> {
    route: R,
    credentials: Credentials,
    endpoints: Vec<Endpoint>,
    patience: Duration,
}

impl<R: Route> Etcd<R> {
    /// etcd at these endpoints, one for each member that may be reached. Nothing is connected yet.
    pub fn new(route: R, credentials: Credentials, endpoints: Vec<Endpoint>) -> Self {
        Self {
            route,
            credentials,
            endpoints,
            patience: PATIENCE,
        }
    }

    /// The same with another deadline for each request.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A channel to one member, connected by its first request.
    fn channel(&self, endpoint: &Endpoint) -> Result<Channel, EtcdError> {
        let (route, to) = (self.route.clone(), endpoint.clone());
        let dial = move || {
            let (route, to) = (route.clone(), to.clone());
            async move { route.dial(&to).await }
        };
        Ok(multizone_etcd_api::channel_over(
            &endpoint.host,
            Some(&self.credentials),
            dial,
        )?)
    }

    /// Waits for an answer until the deadline.
    async fn answer<T>(
        &self,
        action: &str,
        endpoint: &Endpoint,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, EtcdError> {
        match tokio::time::timeout(self.patience, request).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(EtcdError::of_status(action, endpoint, &status)),
            Err(_) => Err(EtcdError::NoAnswer {
                action: action.to_owned(),
                member: endpoint.name.clone(),
                seconds: self.patience.as_secs(),
            }),
        }
    }

    /// Asks one member after the other until one can say; refusals are answers.
    async fn by_anyone<T, F: Future<Output = Result<T, EtcdError>>>(
        &self,
        mut ask: impl FnMut(Endpoint) -> F,
    ) -> Result<T, EtcdError> {
        let mut failed = EtcdError::NoEndpoint;
        for endpoint in &self.endpoints {
            match ask(endpoint.clone()).await {
                // What a member that answers says about the quorum tells more than that another does not answer.
                Err(error) if error.is_of_one_member() => {
                    if error.weight() >= failed.weight() {
                        failed = error;
                    }
                }
                answer => return answer,
            }
        }
        Err(failed)
    }
}
