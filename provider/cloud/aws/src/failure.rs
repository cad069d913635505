//! What came back from AWS instead of a result, and what it means.

use std::{error::Error, time::Duration};

use aws_smithy_runtime_api::{client::result::SdkError, http::Response};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId as _;
use multizone_cloud::{CloudError, Outage};

/// Where a failure came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cloud answered with this status.
    Http(u16),
    /// No answer: no connection, a reset, a timeout.
    Transport,
    /// No credentials, or they could not be used.
    Credentials,
    /// An answer that is not what the API promises, or something that cannot be asked.
    Unreadable,
    /// What was asked for was begun, and came to nothing.
    Failed,
    /// Not done within the time allowed.
    Deadline(Duration),
}

/// One failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// The action that was called, as IAM names it, for example `ec2:RunInstances`.
    pub(crate) action: &'static str,
    /// AWS's code, for example `InsufficientInstanceCapacity`.
    pub(crate) code: String,
    /// AWS's message.
    pub(crate) message: String,
    /// The request's ID, for AWS's support.
    pub(crate) request_id: Option<String>,
    /// Attempts made.
    pub(crate) attempts: u32,
}

/// Codes of requests that came too fast, or while an earlier one on the object is still at work.
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "EC2ThrottledException",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "SlowDown",
];
/// Codes of a cloud that is not well.
const UNWELL: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "InternalServerError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ServiceFailure",
    "Unavailable",
    "RequestTimeout",
    "RequestTimeoutException",
];
/// Codes of what a zone has not got, or an account may not have more of, beside those that end in `LimitExceeded`.
const CAPACITY: &[&str] = &[
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",
    "InsufficientAddressCapacity",
    "InsufficientVolumeCapacity",
    "InsufficientFreeAddressesInSubnet",
    "MaxSpotInstanceCountExceeded",
    "LimitExceeded",
    "LimitExceededException",
    "TooManyLoadBalancers",
    "TooManyTargetGroups",
    "TooManyListeners",
    "TooManyTargets",
    "TooManyTags",
];
const FORBIDDEN: &[&str] = &[
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "Blocked",
    "OperationNotPermittedException",
];
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "OptInRequired",
    "InvalidAccessKeyId",
];
const IN_USE: &[&str] = &[
    "DependencyViolation",
    "VolumeInUse",
    "InvalidSnapshot.InUse",
    "ResourceInUse",
    "ResourceInUseException",
    "DeleteConflict",
    "OperationNotPermitted",
    "InvalidNetworkInterface.InUse",
];

impl Failure {
    pub(crate) fn new(kind: Kind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            action: "",
            code: code.into(),
            message: message.into(),
            request_id: None,
            attempts: 1,
        }
    }

    /// An answer that is not what the API promises.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreadable, "", message)
    }

    /// Something that was begun and came to nothing, as the object's own state says.
    pub(crate) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, code, message)
    }

    /// What one of the SDK's calls met.
    pub(crate) fn of<E>(error: &SdkError<E, Response>, action: &'static str) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let request_id = error.request_id().map(ToOwned::to_owned);
        let mut failure = match error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                let status = service.raw().status().as_u16();
                let code = meta.code().unwrap_or_default();
                let message = meta.message().unwrap_or_default();
                if code.is_empty() {
                    let body = service.raw().body().bytes().unwrap_or_default();
                    Self::new(Kind::Http(status), "", excerpt(&String::from_utf8_lossy(body)))
                } else {
                    Self::new(Kind::Http(status), code, message)
                }
            }
            SdkError::ResponseError(response) if response.raw().status().as_u16() >= 400 => {
                Self::new(Kind::Http(response.raw().status().as_u16()), "", chain(error))
            }
            SdkError::ResponseError(_) => {
                // A reply that was cut is no reply; one that cannot be parsed is another API's.
                let text = chain(error);
                let cut = ["streaming", "connection", "body", "reset", "eof", "incomplete"];
                let lower = text.to_lowercase();
                if cut.iter().any(|sign| lower.contains(sign)) {
                    Self::new(Kind::Transport, "", text)
                } else {
                    Self::unreadable(text)
                }
            }
            SdkError::DispatchFailure(_) if is_about_credentials(error) => {
                Self::new(Kind::Credentials, "", chain(error))
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Self::new(Kind::Transport, "", chain(error)),
            _ => Self::unreadable(chain(error)),
        };
        failure.action = action;
        failure.request_id = request_id;
        failure
    }

    /// Whether the code is one of these.
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    /// Whether the cloud said that the request came too early: then nothing was done.
    pub(crate) fn is_throttled(&self) -> bool {
        self.is(THROTTLED) || self.kind == Kind::Http(429)
    }

    /// Whether the same call may succeed if it is made again.
    pub(crate) fn is_transient(&self) -> bool {
        if self.is_throttled() {
            return true;
        }
        match self.kind {
            Kind::Transport | Kind::Http(408) => true,
            // EC2 says with a 500 that a zone has no capacity.
            Kind::Http(500 | 502..=504) => !self.is_capacity() && (self.code.is_empty() || self.is(UNWELL)),
            Kind::Http(_) => self.is(UNWELL),
            Kind::Credentials | Kind::Unreadable | Kind::Failed | Kind::Deadline(_) => false,
        }
    }

    /// How the cloud fails, when it is transient.
    pub(crate) fn outage(&self) -> Outage {
        match self.kind {
            _ if self.is_throttled() => Outage::Limiting,
            Kind::Transport | Kind::Http(408 | 502 | 504) => Outage::Silent,
            Kind::Http(503) => Outage::Refusing,
            _ => Outage::Failing,
        }
    }

    /// Whether the object is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound")
            || self.code.ends_with("NotFoundException") && self.code != "PolicyNotFoundException"
            || self.is(&[
                "LoadBalancerNotFound",
                "TargetGroupNotFound",
                "ListenerNotFound",
                "NoSuchEntity",
                "InvalidPermission.NotFound",
                "InvalidInstanceID.NotFound",
            ])
    }

    /// Whether such an object exists already.
    pub(crate) fn is_already_exists(&self) -> bool {
        self.code.ends_with(".Duplicate")
            || self.is(&[
                "DuplicateLoadBalancerName",
                "DuplicateLoadBalancer",
                "DuplicateTargetGroupName",
                "DuplicateListener",
                "ResourceExistsException",
                "EntityAlreadyExists",
                "RouteAlreadyExists",
                "Resource.AlreadyAssociated",
            ])
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.is(IN_USE) || self.code.ends_with(".InUse")
    }

    pub(crate) fn is_capacity(&self) -> bool {
        self.is(CAPACITY) || (self.code.ends_with("LimitExceeded") && !self.is_throttled())
    }

    /// The code, the message and the request's ID, as the cloud gave them.
    pub(crate) fn words(&self) -> String {
        let message = unstopped(&self.message);
        let mut facts = Vec::new();
        if !self.code.is_empty() {
            facts.push(self.code.clone());
        } else if let Kind::Http(status) = self.kind {
            facts.push(format!("HTTP {status}"));
        }
        if let Some(id) = &self.request_id {
            facts.push(format!("request {id}"));
        }
        let facts = facts.join(", ");
        match (message.is_empty(), facts.is_empty()) {
            (true, true) => "no reason given".to_owned(),
            (true, false) => facts,
            (false, true) => message.to_owned(),
            (false, false) => format!("{message} ({facts})"),
        }
    }

    /// The error of a call about an object that should exist.
    pub(crate) fn into_error(self, object: &str) -> CloudError {
        if self.is_not_found() {
            return CloudError::NotFound {
                object: object.to_owned(),
            };
        }
        self.into_create_error(object)
    }

    /// The error of a call that makes an object: what was not found then is something that the object needs, so the
    /// cloud's own words are shown.
    pub(crate) fn into_create_error(self, object: &str) -> CloudError {
        let object = object.to_owned();
        let reason = self.words();
        if let Kind::Deadline(waited) = self.kind {
            return CloudError::Timeout {
                object,
                seconds: waited.as_secs(),
                waiting_for: self.message,
            };
        }
        if self.is_capacity() {
            return CloudError::Capacity { object, reason };
        }
        if self.is_transient() {
            return CloudError::Unavailable {
                object,
                outage: self.outage(),
                attempts: self.attempts,
                reason,
            };
        }
        if self.kind == Kind::Credentials || self.is(CREDENTIALS) || self.kind == Kind::Http(401) {
            return CloudError::Credentials { object, reason };
        }
        if self.is(FORBIDDEN) || (self.kind == Kind::Http(403) && self.code.is_empty()) {
            let action = missing_action(&self.message).unwrap_or(self.action);
            let reason = format!("the caller's policies do not allow {action}: {reason}");
            return CloudError::Forbidden { object, reason };
        }
        if self.is_in_use() {
            return CloudError::InUse { object, reason };
        }
        if self.kind == Kind::Unreadable {
            return CloudError::Unreadable { object, reason };
        }
        let code = match self.kind {
            Kind::Http(status) if self.code.is_empty() => format!("HTTP {status}"),
            _ => self.code,
        };
        let message = unstopped(&self.message);
        let message = if message.is_empty() { "no reason given" } else { message };
        let reason = match &self.request_id {
            Some(id) => format!("{message} (request {id})"),
            None => message.to_owned(),
        };
        CloudError::Refused { object, code, reason }
    }
}

/// Turns a failure into the error of a call about an object.
pub(crate) trait About<T> {
    /// See [`Failure::into_error`].
    fn about(self, object: &str) -> multizone_cloud::Result<T>;
    /// See [`Failure::into_create_error`].
    fn making(self, object: &str) -> multizone_cloud::Result<T>;
}

impl<T> About<T> for Result<T, Failure> {
    fn about(self, object: &str) -> multizone_cloud::Result<T> {
        self.map_err(|failure| failure.into_error(object))
    }

    fn making(self, object: &str) -> multizone_cloud::Result<T> {
        self.map_err(|failure| failure.into_create_error(object))
    }
}

/// Turns "not there" into nothing.
pub(crate) fn present<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Lets a delete of what is not there succeed.
pub(crate) fn unless_absent(failure: Failure) -> Result<(), Failure> {
    if failure.is_not_found() { Ok(()) } else { Err(failure) }
}

/// Lets the making of what is there succeed.
pub(crate) fn unless_exists(failure: Failure) -> Result<(), Failure> {
    if failure.is_already_exists() {
        Ok(())
    } else {
        Err(failure)
    }
}

/// The action that AWS's message says is missing: `... is not authorized to perform: ec2:RunInstances on resource ...`.
fn missing_action(message: &str) -> Option<&str> {
    let (_, after) = message.split_once("authorized to perform: ")?;
    let action = after.split([' ', ',']).next()?.trim_end_matches('.');
    action.contains(':').then_some(action)
}

/// The cloud's sentence without its full stop: it goes into one of ours.
fn unstopped(sentence: &str) -> &str {
    sentence.trim_end().trim_end_matches('.')
}

/// Whether the call could not be signed.
fn is_about_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.is::<aws_credential_types::provider::error::CredentialsError>() {
            return true;
        }
        next = cause.source();
    }
    chain(error).contains("credential")
}

/// An error with its causes, each named once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

fn excerpt(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, code: &str, message: &str) -> Failure {
        Failure {
            action: "ec2:RunInstances",
            request_id: Some("r-1".into()),
            ..Failure::new(Kind::Http(status), code, message)
        }
    }

    #[test]
    fn each_code_becomes_the_error_that_says_what_to_do() {
        let object = "machine m in z";
        let capacity = failure(500, "InsufficientInstanceCapacity", "We have none.").into_error(object);
        assert!(
            matches!(&capacity, CloudError::Capacity { reason, .. } if reason == "We have none (InsufficientInstanceCapacity, request r-1)"),
            "{capacity}"
        );
        let quota = failure(400, "VcpuLimitExceeded", "You have requested more vCPU").into_error(object);
        assert!(matches!(quota, CloudError::Capacity { .. }), "{quota}");
        let slow = failure(503, "RequestLimitExceeded", "Slow down.").into_error(object);
        assert!(
            matches!(
                slow,
                CloudError::Unavailable {
                    outage: Outage::Limiting,
                    ..
                }
            ),
            "{slow}"
        );
        let used = failure(400, "DependencyViolation", "x has dependencies").into_error(object);
        assert!(matches!(used, CloudError::InUse { .. }), "{used}");
        let gone = failure(400, "InvalidVolume.NotFound", "x").into_error(object);
        assert!(gone.is_not_found(), "{gone}");
        let refused = failure(400, "InvalidParameterValue", "No such type.").into_error(object);
        assert_eq!(
            refused.to_string(),
            "machine m in z: refused (InvalidParameterValue): No such type (request r-1)"
        );
        let expired = failure(400, "RequestExpired", "x").into_error(object);
        assert!(matches!(expired, CloudError::Credentials { .. }), "{expired}");
    }

    #[test]
    fn the_missing_action_is_named() {
        let said = "User: arn:aws:iam::1:user/u is not authorized to perform: iam:PassRole on resource: x because no \
                    identity-based policy allows the iam:PassRole action";
        let error = failure(403, "UnauthorizedOperation", said).into_error("machine m");
        assert!(error.to_string().contains("do not allow iam:PassRole:"), "{error}");
        let error = failure(403, "UnauthorizedOperation", "No.").into_error("machine m");
        assert!(error.to_string().contains("do not allow ec2:RunInstances:"), "{error}");
    }

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_not() {
        assert!(failure(500, "InternalError", "").is_transient());
        assert!(failure(502, "", "").is_transient());
        assert!(Failure::new(Kind::Transport, "", "").is_transient());
        assert!(!failure(500, "InsufficientInstanceCapacity", "").is_transient());
        assert!(!failure(400, "InvalidParameterValue", "").is_transient());
        assert!(failure(400, "ThrottlingException", "").is_throttled());
    }
}
