//! Further arguments of control-plane components, and those that would break the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::duration;
use crate::version::KubernetesVersion;

/// How long an API server that is told to stop goes on serving, so that balancers and clients notice `/readyz` first.
pub const SHUTDOWN_DELAY: Duration = Duration::from_secs(10);

/// What the kubelet grants a static pod between the order to stop and the kill.
pub const STATIC_POD_GRACE_PERIOD: Duration = Duration::from_secs(30);

/// The API server's argument for [`SHUTDOWN_DELAY`].
const SHUTDOWN_DELAY_ARGUMENT: &str = "shutdown-delay-duration";

/// A component that kubeadm runs as a static pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// All of them, as `ClusterConfiguration` has them.
    pub const ALL: [Self; 4] = [Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Etcd];

    /// The field of `ClusterConfiguration`.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::ApiServer => "apiServer",
            Self::ControllerManager => "controllerManager",
            Self::Scheduler => "scheduler",
            Self::Etcd => "etcd",
        }
    }

    /// Arguments that follow from other settings, or that lead to the cluster's keys.
    fn given(self) -> &'static [&'static str] {
        match self {
            Self::ApiServer => &[
                "advertise-address",
                "client-ca-file",
                "enable-bootstrap-token-auth",
                "etcd-cafile",
                "etcd-certfile",
                "etcd-keyfile",
                "etcd-servers",
                "kubelet-client-certificate",
                "kubelet-client-key",
                "proxy-client-cert-file",
                "proxy-client-key-file",
                "requestheader-client-ca-file",
                "secure-port",
                "service-account-key-file",
                "service-account-signing-key-file",
                "service-cluster-ip-range",
                "tls-cert-file",
                "tls-private-key-file",
            ],
            Self::ControllerManager => &[
                "authentication-kubeconfig",
                "authorization-kubeconfig",
                "client-ca-file",
                "cluster-cidr",
                "cluster-name",
                "cluster-signing-cert-file",
                "cluster-signing-key-file",
                "kubeconfig",
                "root-ca-file",
                "service-account-private-key-file",
                "service-cluster-ip-range",
            ],
            Self::Scheduler => &["authentication-kubeconfig", "authorization-kubeconfig", "kubeconfig"],
            Self::Etcd => &[
                "advertise-client-urls",
                "cert-file",
                "client-cert-auth",
                "data-dir",
                "force-new-cluster",
                "initial-advertise-peer-urls",
                "initial-cluster",
                "initial-cluster-state",
                "initial-cluster-token",
                "key-file",
                "listen-client-urls",
                "listen-peer-urls",
                "name",
                "peer-cert-file",
                "peer-client-cert-auth",
                "peer-key-file",
                "peer-trusted-ca-file",
                "trusted-ca-file",
            ],
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Etcd => "etcd",
        })
    }
}

/// The arguments of one component, by name without its leading dashes.  An argument that may be repeated has several
/// values.
pub type Arguments = BTreeMap<String, Vec<String>>;

/// An argument that this provider does not pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedArgument {
    /// Not the name of an argument.
    #[error(
        "{name:?} is no name of an argument: write it as {component} lists it, in lower-case letters, digits and hyphens, \
         without the leading dashes"
    )]
    Malformed {
        /// The component.
        component: Component,
        /// What was given.
        name: String,
    },
    /// An argument without a value.
    #[error("argument {name} has no value: give it one, such as \"true\", or leave it out")]
    NoValue {
        /// The argument.
        name: String,
    },
    /// Repeated before kubeadm could pass that on.
    #[error(
        "argument {name} is given {count} times, which kubeadm passes on from Kubernetes 1.31 only: join the values by \
         commas if {component} takes that, or give one"
    )]
    Repeated {
        /// The component.
        component: Component,
        /// The argument.
        name: String,
        /// How many values it has.
        count: usize,
    },
    /// `/readyz` would answer 401 to every load balancer.
    #[error(
        "anonymous-auth=false makes /readyz answer 401, so that every load balancer would take the API server for \
         unhealthy: leave it out"
    )]
    AnonymousProbes,
    /// Nodes, or everybody, would be refused.
    #[error(
        "authorization-mode {given:?} lacks {missing}, without which kubeadm's nodes and users have no rights: add it"
    )]
    LacksAuthorisation {
        /// What was given.
        given: String,
        /// The mode that is not in it.
        missing: &'static str,
    },
    /// Several masters would work against each other.
    #[error("leader-elect=false lets every master's {component} act at the same time: leave it out")]
    WithoutElection {
        /// The component.
        component: Component,
    },
    /// Not a duration.
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

/// Refuses an argument that would break the cluster; what depends on the version is [`check_repeated`]'s.
pub fn check_argument(component: Component, name: &str, values: &[String]) -> Result<(), RefusedArgument> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
        return Err(RefusedArgument::Malformed {
            component,
            name: name.to_owned(),
        });
    }
    if component.given().contains(&name) {
        return Err(RefusedArgument::Given { name: name.to_owned() });
    }
    let Some(last) = values.last() else {
        return Err(RefusedArgument::NoValue { name: name.to_owned() });
    };
    match (component, name) {
        (Component::ApiServer, "anonymous-auth") if is_false(last) => Err(RefusedArgument::AnonymousProbes),
        (Component::ApiServer, "authorization-mode") => {
            let has = |mode: &&str| !values.iter().any(|value| value.split(',').any(|given| given == *mode));
            match ["Node", "RBAC"].into_iter().find(has) {
                Some(missing) => Err(RefusedArgument::LacksAuthorisation {
                    given: values.join(","),
                    missing,
                }),
                None => Ok(()),
            }
        }
        (Component::ControllerManager | Component::Scheduler, "leader-elect") if is_false(last) => {
            Err(RefusedArgument::WithoutElection { component })
        }
        (Component::ApiServer, SHUTDOWN_DELAY_ARGUMENT) => match duration::parse(last) {
            None => Err(RefusedArgument::MalformedShutdownDelay { given: last.clone() }),
            Some(delay) if delay >= STATIC_POD_GRACE_PERIOD => {
                Err(RefusedArgument::ShutdownDelayTooLong { given: last.clone() })
            }
            Some(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Rule: `extraArgs` of `v1beta3` is a map, which holds an argument once.
pub fn check_repeated(
    component: Component,
    name: &str,
    values: &[String],
    version: KubernetesVersion,
) -> Result<(), RefusedArgument> {
    if values.len() > 1 && !super::uses_lists(version) {
        return Err(RefusedArgument::Repeated {
            component,
            name: name.to_owned(),
            count: values.len(),
        });
    }
    Ok(())
}

/// A component's arguments with this provider's own beneath.
pub(crate) fn with_defaults(component: Component, given: &Arguments) -> Arguments {
    let mut arguments = Arguments::new();
    if component == Component::ApiServer {
        let delay = format!("{}s", SHUTDOWN_DELAY.as_secs());
        arguments.insert(SHUTDOWN_DELAY_ARGUMENT.to_owned(), vec![delay]);
    }
    arguments.extend(given.clone());
    arguments
}

/// As Go's flags read it.
fn is_false(value: &str) -> bool {
    ["false", "False", "FALSE", "f", "F", "0"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(component: Component, name: &str, values: &[&str]) -> Result<(), String> {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        check_argument(component, name, &values).map_err(|error| error.to_string())
    }

    fn refused(component: Component, name: &str, values: &[&str]) -> String {
        checked(component, name, values).unwrap_err()
    }

    #[test]
    fn rule_anonymous_auth_false_is_refused() {
        assert!(refused(Component::ApiServer, "anonymous-auth", &["false"]).contains("/readyz answer 401"));
        assert_eq!(checked(Component::ApiServer, "anonymous-auth", &["true"]), Ok(()));
    }

    #[test]
    fn rule_shutdown_delay_fits_the_static_pods_grace_period() {
        assert!(SHUTDOWN_DELAY < STATIC_POD_GRACE_PERIOD);
        assert_eq!(checked(Component::ApiServer, SHUTDOWN_DELAY_ARGUMENT, &["20s"]), Ok(()));
        for (given, problem) in [
            ("30s", "does not fit"),
            ("1m", "does not fit"),
            ("soon", "not a duration"),
        ] {
            let said = refused(Component::ApiServer, SHUTDOWN_DELAY_ARGUMENT, &[given]);
            assert!(said.contains(problem), "{said}");
        }
    }

    #[test]
    fn what_follows_from_other_settings_cannot_be_chosen() {
        for (component, name) in [
            (Component::ApiServer, "advertise-address"),
            (Component::ApiServer, "etcd-servers"),
            (Component::ApiServer, "service-cluster-ip-range"),
            (Component::ControllerManager, "cluster-cidr"),
            (Component::Scheduler, "kubeconfig"),
            (Component::Etcd, "initial-cluster"),
            (Component::Etcd, "force-new-cluster"),
        ] {
            assert!(
                refused(component, name, &["x"]).contains("set by the provider"),
                "{name}"
            );
        }
        assert_eq!(checked(Component::Etcd, "quota-backend-bytes", &["4294967296"]), Ok(()));
    }

    #[test]
    fn what_would_break_several_masters_is_refused() {
        assert!(refused(Component::Scheduler, "leader-elect", &["false"]).contains("kube-scheduler"));
        assert_eq!(checked(Component::Scheduler, "leader-elect", &["true"]), Ok(()));
        assert!(refused(Component::ApiServer, "authorization-mode", &["RBAC"]).contains("lacks Node"));
        let modes = ["Node,RBAC,Webhook"];
        assert_eq!(checked(Component::ApiServer, "authorization-mode", &modes), Ok(()));
    }

    #[test]
    fn names_are_written_without_dashes_and_have_a_value() {
        for wrong in ["--v", "V", "audit_log", "", "-v"] {
            assert!(refused(Component::ApiServer, wrong, &["1"]).contains("without the leading dashes"));
        }
        assert!(refused(Component::ApiServer, "profiling", &[]).contains("has no value"));
    }

    #[test]
    fn rule_an_argument_is_repeated_from_v1beta4_on() {
        let values = ["a".to_owned(), "b".to_owned()];
        let check = |version: &str| {
            check_repeated(
                Component::ApiServer,
                "service-account-issuer",
                &values,
                version.parse().unwrap(),
            )
        };
        assert_eq!(check("1.31.0"), Ok(()));
        assert!(
            check("1.30.9")
                .unwrap_err()
                .to_string()
                .contains("from Kubernetes 1.31 only")
        );
    }
}
