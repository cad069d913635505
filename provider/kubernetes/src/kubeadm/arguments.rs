//! Further arguments of control-plane components, and those that would break the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long an API server that is told to stop goes on serving, so that balancers and clients notice `/readyz` first.
pub const SHUTDOWN_DELAY: Duration = Duration::from_secs(10);

/// What the kubelet grants a static pod between the order to stop and the kill.
pub const STATIC_POD_GRACE_PERIOD: Duration = Duration::from_secs(30);

/// A component that kubeadm runs as a static pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// etcd on the control-plane machines.
    Etcd,
}

impl Component {
    /// The field of `ClusterConfiguration`.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::ApiServer => "apiServer",
            Self::ControllerManager => "controllerManager",
            Self::Scheduler => "scheduler",
            Self::Etcd => "etcd",
        }
    }
}

/// Arguments by component, each without its leading dashes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ComponentArguments(pub BTreeMap<Component, BTreeMap<String, String>>);

/// An argument that this provider does not pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedArgument {
    /// `/readyz` would answer 401 to every load balancer.
    #[error(
        "anonymous-auth=false makes /readyz answer 401, so that every load balancer would take the API server for \
         unhealthy: leave it out"
    )]
    AnonymousProbes,
    /// Not a duration in seconds or minutes.
    #[error("shutdown-delay-duration {given:?} is not a duration such as 10s")]
    MalformedShutdownDelay {
        /// What was given.
        given: String,
    },
    /// The kubelet would kill the API server before it has shut down.
    #[error(
        "shutdown-delay-duration {given} does not fit into the {grace} s that a static pod gets to stop: choose less \
         than {grace}s", grace = STATIC_POD_GRACE_PERIOD.as_secs()
    )]
    ShutdownDelayTooLong {
        /// What was given.
        given: String,
    },
    /// Set by kubeadm from other settings.
    #[error("argument {name} is set by the provider and cannot be chosen")]
    Given {
        /// The argument.
        name: String,
    },
}

/// Arguments that follow from the cluster's settings.
const GIVEN: [&str; 6] = [
    "advertise-address",
    "service-cluster-ip-range",
    "cluster-cidr",
    "client-ca-file",
    "service-account-key-file",
    "initial-cluster",
];

impl ComponentArguments {
    /// Refuses what would break the cluster.
    pub fn check(&self) -> Result<(), RefusedArgument> {
        for name in self.0.values().flat_map(BTreeMap::keys) {
            if GIVEN.contains(&name.as_str()) {
                return Err(RefusedArgument::Given { name: name.clone() });
            }
        }
        let Some(api_server) = self.0.get(&Component::ApiServer) else {
            return Ok(());
        };
        if api_server.get("anonymous-auth").is_some_and(|value| value == "false") {
            return Err(RefusedArgument::AnonymousProbes);
        }
        if let Some(given) = api_server.get("shutdown-delay-duration") {
            let Some(delay) = seconds(given) else {
                return Err(RefusedArgument::MalformedShutdownDelay { given: given.clone() });
            };
            if delay >= STATIC_POD_GRACE_PERIOD {
                return Err(RefusedArgument::ShutdownDelayTooLong { given: given.clone() });
            }
        }
        Ok(())
    }

    /// The component's arguments with this provider's own beneath.
    pub(super) fn with_defaults(&self, component: Component) -> BTreeMap<String, String> {
        let mut arguments = BTreeMap::new();
        if component == Component::ApiServer {
            arguments.insert(
                "shutdown-delay-duration".to_owned(),
                format!("{}s", SHUTDOWN_DELAY.as_secs()),
            );
        }
        arguments.extend(self.0.get(&component).cloned().unwrap_or_default());
        arguments
    }
}

/// A Go duration of whole seconds or minutes.
fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => return None,
    };
    number
        .parse::<u32>()
        .ok()
        .map(|number| Duration::from_secs(u64::from(number) * unit))
}
