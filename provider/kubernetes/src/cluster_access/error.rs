//! What can go wrong between the provider and a cluster's API.

use std::error::Error;

/// A request that did not succeed, or a wait that ended without its result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No answer: no connection, or it broke.
    #[error("the Kubernetes API at {url} does not answer (to {action}): {reason}")]
    Unreachable {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What failed on the way.
        reason: String,
    },
    /// The server's certificate is not the cluster's.
    #[error("the server at {url} does not prove that it is this cluster's API server (to {action}): {reason}")]
    Untrusted {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What is wrong with its certificate, or what it has against the client's.
        reason: String,
    },
    /// The server does not know the client (401).
    #[error("the Kubernetes API at {url} does not accept the client certificate (to {action}): {message}")]
    Unauthorised {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What the server said.
        message: String,
    },
    /// The client may not do this (403).
    #[error("the Kubernetes API at {url} does not let the provider {action}: {message}")]
    Forbidden {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What the server said.
        message: String,
    },
    /// The object does not exist (404).
    #[error("the Kubernetes API at {url} cannot {action}: {message}")]
    NotFound {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What the server said.
        message: String,
    },
    /// Somebody else was faster, or owns the field (409).
    #[error("the Kubernetes API at {url} reports a conflict (to {action}): {message}")]
    Conflict {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What the server said.
        message: String,
    },
    /// Any other refusal.
    #[error("the Kubernetes API at {url} refused to {action} (HTTP status {code}): {message}")]
    Refused {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// The HTTP status.
        code: u16,
        /// What the server said.
        message: String,
    },
    /// An answer that this provider does not understand.
    #[error("the Kubernetes API at {url} gave an answer that makes no sense (to {action}): {reason}")]
    Unexpected {
        /// Which server.
        url: String,
        /// What was to be done.
        action: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address or certificate from which no connection can be made.
    #[error("cannot talk to the Kubernetes API at {url}: {what} is not usable: {reason}")]
    Unusable {
        /// Which server.
        url: String,
        /// What is not usable.
        what: String,
        /// Why.
        reason: String,
    },
    /// The deadline passed.
    #[error("the time allowed passed while waiting for {what} at {url}: {last}")]
    TimedOut {
        /// Which server.
        url: String,
        /// What was waited for.
        what: String,
        /// How it stood last.
        last: String,
    },
    /// The caller gave up.
    #[error("stopped while waiting for {what}: {last}")]
    Stopped {
        /// What was waited for.
        what: String,
        /// How it stood last.
        last: String,
    },
}

impl AccessError {
    pub(super) fn new(url: &str, action: String, error: &kube::Error) -> Self {
        let url = url.to_owned();
        match error {
            kube::Error::Api(status) => {
                let message = if status.message.is_empty() {
                    status.reason.clone()
                } else {
                    status.message.clone()
                };
                match status.code {
                    401 => Self::Unauthorised { url, action, message },
                    403 => Self::Forbidden { url, action, message },
                    404 => Self::NotFound { url, action, message },
                    409 => Self::Conflict { url, action, message },
                    code => Self::Refused {
                        url,
                        action,
                        code,
                        message,
                    },
                }
            }
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) | kube::Error::BuildRequest(_) => Self::Unexpected {
                url,
                action,
                reason: chain(error),
            },
            _ if is_about_certificates(error) => Self::Untrusted {
                url,
                action,
                reason: root(error),
            },
            _ => Self::Unreachable {
                url,
                action,
                reason: root(error),
            },
        }
    }

    /// What the user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            _ if self.is_passing() => {
                "Apply again once the API serves; an apply of the control plane starts a master that is halted."
            }
            Self::Untrusted { .. } | Self::Unexpected { .. } => {
                "See whether something else answers at this address, or the cluster's certificates were replaced. Put that \
                 right, then apply again."
            }
            Self::Unauthorised { .. } => {
                "See whether the cluster's certificate authority was replaced, or a master's clock is wrong. Put that right, \
                 then apply again."
            }
            Self::Forbidden { .. } => {
                "See which rule or admission plugin of the cluster forbids it. Put that right, then apply again."
            }
            Self::NotFound { .. } | Self::Conflict { .. } => {
                "Somebody else has deleted or changed it meanwhile. Apply again: what is left to do is found out anew."
            }
            Self::Unusable { .. } => "Restore the last version of the cluster's secrets, then apply again.",
            Self::TimedOut { .. } => {
                "If it only needs longer, apply again, with a longer timeout in timeouts if need be."
            }
            Self::Stopped { .. } => "Apply again to continue.",
            Self::Unreachable { .. } | Self::Refused { .. } => "Correct what the API server names, then apply again.",
        }
    }

    /// Whether the same request may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }
}

/// The error with its causes, each once.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What is at the bottom: "connection refused" says more than the layers that pass it on.
fn root(error: &dyn Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// Whether a TLS peer's certificate is at the bottom of the error.
fn is_about_certificates(error: &(dyn Error + 'static)) -> bool {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return matches!(
            tls,
            rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
        );
    }
    // An I/O error holds the TLS error inside, not behind `source`.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match inner {
        Some(inner) => is_about_certificates(inner),
        None => error.source().is_some_and(is_about_certificates),
    }
}
