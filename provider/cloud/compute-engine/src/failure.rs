//! What came back from the cloud instead of a result, and what it means.

use std::time::Duration;

use google_cloud_compute_v1::model::Operation;
use google_cloud_gax::error::{Error as GoogleError, rpc::StatusDetails};
use multizone_cloud::{CloudError, Outage};
use serde::Deserialize;

/// Where a failure came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cloud answered with this status.
    Http(u16),
    /// The operation ran and failed.
    Operation,
    /// No answer: no connection, a reset, a timeout.
    Transport,
    /// No credentials, or they could not be used: no token was had, and Google's client has tried often enough.
    Credentials,
    /// An answer that is not what the API promises.
    Unreadable,
    /// Not done within the time allowed.
    Deadline(Duration),
}

/// One failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Google's reason, for example `alreadyExists`, or the operation's code, for example `RESOURCE_ALREADY_EXISTS`.
    pub(crate) reason: String,
    /// Google's message.
    pub(crate) message: String,
    /// How long the cloud asks to wait before the next attempt.
    pub(crate) retry_after: Option<Duration>,
    /// Attempts made.
    pub(crate) attempts: u32,
}

impl Failure {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            message: message.into(),
            retry_after: None,
            attempts: 1,
        }
    }

    /// An answer that is not what the API promises.
    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreadable, String::new(), message)
    }

    /// The failure that a finished operation reports, if any.
    pub(crate) fn of_operation(operation: &Operation) -> Option<Self> {
        if let Some(error) = operation.error.as_ref().and_then(|error| error.errors.first()) {
            return Some(Self::new(
                Kind::Operation,
                error.code.clone().unwrap_or_else(|| "UNKNOWN".to_owned()),
                error.message.clone().unwrap_or_default(),
            ));
        }
        let status = operation.http_error_status_code.filter(|status| *status >= 400)?;
        Some(Self::new(
            Kind::Http(u16::try_from(status).unwrap_or(500)),
            String::new(),
            operation.http_error_message.clone().unwrap_or_default(),
        ))
    }

    /// The failure of an HTTP reply with that status and body, in the form that all of Google's REST APIs share.
    pub(crate) fn of_reply(status: u16, body: &[u8]) -> Self {
        let Ok(reply) = serde_json::from_slice::<ErrorReply>(body) else {
            return Self::new(
                Kind::Http(status),
                String::new(),
                excerpt(&String::from_utf8_lossy(body)),
            );
        };
        let ErrorDocument {
            message,
            status: name,
            errors,
            details,
        } = reply.error;
        let reason = details
            .into_iter()
            .chain(errors)
            .find_map(|item| item.reason)
            .or(name)
            .unwrap_or_default();
        Self::new(Kind::Http(status), reason, message)
    }

    /// Whether the same call may succeed if it is made again.
    pub(crate) fn is_transient(&self) -> bool {
        match self.kind {
            Kind::Http(408 | 429 | 500 | 502..=504) | Kind::Transport => true,
            Kind::Http(_) => self.is_rate_limit(),
            Kind::Credentials | Kind::Operation | Kind::Unreadable | Kind::Deadline(_) => false,
        }
    }

    fn is_rate_limit(&self) -> bool {
        self.kind == Kind::Http(429) || self.is(&["rateLimitExceeded", "userRateLimitExceeded"])
    }

    /// How the cloud fails, when it is transient.
    pub(crate) fn outage(&self) -> Outage {
        match self.kind {
            _ if self.is_rate_limit() => Outage::Limiting,
            Kind::Transport | Kind::Http(408 | 502 | 504) => Outage::Silent,
            Kind::Http(503) => Outage::Refusing,
            _ => Outage::Failing,
        }
    }

    /// Whether another operation on the object has to end first, which may take as long as an operation takes.
    pub(crate) fn is_not_ready(&self) -> bool {
        self.is(&["resourceNotReady", "RESOURCE_NOT_READY"])
    }

    pub(crate) fn is_not_found(&self) -> bool {
        match self.kind {
            Kind::Http(404) => true,
            Kind::Operation => self.is(&["RESOURCE_NOT_FOUND"]),
            _ => false,
        }
    }

    /// Whether an object of that name exists already.  A 409 alone does not say so: Compute Engine also answers it to a
    /// change that runs beside another.
    pub(crate) fn is_already_exists(&self) -> bool {
        matches!(self.kind, Kind::Http(409) | Kind::Operation) && self.is(&["alreadyExists", "RESOURCE_ALREADY_EXISTS"])
    }

    /// Whether the fingerprint or the etag of the object was no longer the current one.  A 409 says so too, to a change
    /// that makes nothing.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self.kind, Kind::Http(409 | 412)) || self.is(&["conditionNotMet", "CONDITION_NOT_MET"])
    }

    /// Whether what the change was to find is not so any more.
    pub(crate) fn is_precondition(&self) -> bool {
        self.is(&["FAILED_PRECONDITION", "failedPrecondition"])
    }

    /// Whether a machine to be put into an instance group is in it already.
    pub(crate) fn is_member_already(&self) -> bool {
        self.is(&["memberAlreadyExists", "MEMBER_ALREADY_EXISTS"])
    }

    /// Whether a machine to be taken out of an instance group is not in it.
    pub(crate) fn is_member_no_more(&self) -> bool {
        self.is(&["memberNotFound", "MEMBER_NOT_FOUND"]) || self.is_not_found()
    }

    fn is_in_use(&self) -> bool {
        let reason = self.normal_reason();
        reason.starts_with("resourceinuse")
            || reason.ends_with("inusebyanotherresource")
            // An external address that another machine holds is merely `invalid`.
            || (reason == "invalid" && self.message.contains("already in-use by"))
    }

    fn is_capacity(&self) -> bool {
        let reason = self.normal_reason();
        reason.contains("resourcepoolexhausted")
            || reason.contains("resourcesexhausted")
            || reason.contains("stockout")
            || reason.starts_with("quotaexceeded")
            || reason == "limitexceeded"
    }

    fn is_forbidden(&self) -> bool {
        // An API that is not enabled is not the caller's to be permitted.
        let disabled = self.is(&["accessNotConfigured", "SERVICE_DISABLED"]);
        (self.kind == Kind::Http(403) && !disabled) || self.is(&["PERMISSIONS_ERROR"])
    }

    /// Whether the reason is one of these, however it is spelled (`alreadyExists`, `ALREADY_EXISTS`).
    fn is(&self, reasons: &[&str]) -> bool {
        let own = self.normal_reason();
        reasons.iter().any(|reason| normal(reason) == own)
    }

    fn normal_reason(&self) -> String {
        normal(&self.reason)
    }

    /// The reason and the message, as the cloud gave them.
    pub(crate) fn words(&self) -> String {
        let message = unstopped(&self.message);
        match (self.reason.is_empty(), message.is_empty()) {
            (true, true) => "no reason given".to_owned(),
            (true, false) => message.to_owned(),
            (false, true) => self.reason.clone(),
            (false, false) => format!("{message} ({})", self.reason),
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
        if self.is_in_use() {
            return CloudError::InUse { object, reason };
        }
        if self.is_capacity() {
            return CloudError::Capacity { object, reason };
        }
        if self.is_transient() || self.is(&["INTERNAL_ERROR"]) {
            return CloudError::Unavailable {
                object,
                outage: self.outage(),
                attempts: self.attempts,
                reason,
            };
        }
        if matches!(self.kind, Kind::Credentials | Kind::Http(401)) {
            return CloudError::Credentials { object, reason };
        }
        if self.kind == Kind::Unreadable {
            return CloudError::Unreadable { object, reason };
        }
        if self.is_forbidden() {
            let reason = match missing_permission(&self.message) {
                Some(permission) => format!("the caller lacks the permission {permission}: {reason}"),
                None => reason,
            };
            return CloudError::Forbidden { object, reason };
        }
        let message = unstopped(&self.message);
        let reason = if message.is_empty() { "no reason given" } else { message }.to_owned();
        let code = match self.kind {
            Kind::Http(status) if self.reason.is_empty() => format!("HTTP {status}"),
            _ => self.reason,
        };
        CloudError::Refused { object, code, reason }
    }
}

/// The cloud's sentence without its full stop: it goes into one of ours.
fn unstopped(sentence: &str) -> &str {
    sentence.trim_end().trim_end_matches('.')
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

impl From<GoogleError> for Failure {
    fn from(error: GoogleError) -> Self {
        if let Some(status) = error.http_status_code() {
            let mut failure = match error.status() {
                Some(document) => {
                    let reason = document.details.iter().find_map(|detail| match detail {
                        StatusDetails::ErrorInfo(info) if !info.reason.is_empty() => Some(info.reason.clone()),
                        _ => None,
                    });
                    let reason = reason.unwrap_or_else(|| match document.code.name() {
                        "UNKNOWN" => String::new(),
                        name => name.to_owned(),
                    });
                    Self::new(Kind::Http(status), reason, document.message.clone())
                }
                None => Self::of_reply(status, error.http_payload().map_or(&[][..], |payload| payload)),
            };
            failure.retry_after = error
                .http_headers()
                .and_then(|headers| headers.get("retry-after"))
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            return failure;
        }
        let kind = if error.is_authentication() {
            Kind::Credentials
        } else if error.is_timeout() || error.is_io() || error.is_connect() || error.is_transport() {
            Kind::Transport
        } else {
            Kind::Unreadable
        };
        Self::new(kind, String::new(), chain(&error))
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let kind = if error.is_decode() || error.is_builder() {
            Kind::Unreadable
        } else {
            Kind::Transport
        };
        Self::new(kind, String::new(), chain(&error))
    }
}

/// An error with its causes, each named once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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

/// The permission that Google's message says is missing: `Required 'compute.instances.create' permission for ...` or
/// `Permission 'secretmanager.secrets.create' denied ...`.
fn missing_permission(message: &str) -> Option<&str> {
    let (_, after) = message
        .split_once("equired '")
        .or_else(|| message.split_once("ermission '"))?;
    let (permission, _) = after.split_once('\'')?;
    (permission.contains('.') && !permission.contains('/')).then_some(permission)
}

fn normal(reason: &str) -> String {
    reason
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn excerpt(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

#[derive(Deserialize)]
struct ErrorReply {
    error: ErrorDocument,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct ErrorDocument {
    message: String,
    status: Option<String>,
    errors: Vec<ErrorItem>,
    details: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::operation::{Error, error::Errors};

    use super::*;

    fn reply(status: u16, reason: &str, message: &str) -> Failure {
        let body = format!(
            r#"{{"error":{{"code":{status},"message":"{message}","errors":[{{"reason":"{reason}","domain":"global"}}]}}}}"#
        );
        Failure::of_reply(status, body.as_bytes())
    }

    fn operation(code: &str, message: &str) -> Failure {
        let error = Error::new().set_errors([Errors::new().set_code(code).set_message(message)]);
        Failure::of_operation(&Operation::new().set_error(error)).unwrap()
    }

    #[test]
    fn each_reason_becomes_the_error_that_says_what_to_do() {
        let object = "machine m in z";
        let in_use = reply(400, "resourceInUseByAnotherResource", "used by x").into_error(object);
        assert!(
            matches!(in_use, CloudError::InUse { ref reason, .. } if reason.contains("used by x")),
            "{in_use}"
        );
        let held = reply(
            400,
            "invalid",
            "External IP address: 192.0.2.1 is already in-use by 'm'",
        )
        .into_error(object);
        assert!(matches!(held, CloudError::InUse { .. }), "{held}");
        let stockout = operation("ZONE_RESOURCE_POOL_EXHAUSTED", "no n1 left").into_error(object);
        assert!(matches!(stockout, CloudError::Capacity { .. }), "{stockout}");
        let quota = reply(403, "quotaExceeded", "CPUS").into_error(object);
        assert!(matches!(quota, CloudError::Capacity { .. }), "{quota}");
        let refused = reply(400, "invalid", "bad name").into_error(object);
        assert_eq!(refused.to_string(), "machine m in z: refused (invalid): bad name");
        assert!(reply(404, "notFound", "gone").into_error(object).is_not_found());
        let needs = reply(404, "notFound", "subnet x").into_create_error(object);
        assert!(matches!(needs, CloudError::Refused { .. }), "{needs}");
        let busy = reply(503, "backendError", "busy").into_error(object);
        assert!(matches!(busy, CloudError::Unavailable { .. }), "{busy}");
        let internal = operation("INTERNAL_ERROR", "oops").into_error(object);
        assert!(matches!(internal, CloudError::Unavailable { .. }), "{internal}");
    }

    #[test]
    fn a_missing_permission_is_named() {
        for (message, permission) in [
            (
                "Required 'compute.instances.create' permission for 'projects/p'",
                "compute.instances.create",
            ),
            (
                "Permission 'secretmanager.secrets.create' denied for resource 'projects/p'",
                "secretmanager.secrets.create",
            ),
        ] {
            let error = reply(403, "forbidden", message).into_error("x");
            let expected = format!("the caller lacks the permission {permission}");
            assert!(
                matches!(error, CloudError::Forbidden { ref reason, .. } if reason.contains(&expected)),
                "{error}"
            );
        }
    }

    #[test]
    fn missing_credentials_are_called_so() {
        let error = Failure::new(Kind::Credentials, "", "run gcloud auth application-default login").into_error("x");
        let expected = "x: no usable credentials: run gcloud auth application-default login";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(reply(status, "x", "y").is_transient(), "{status}");
        }
        assert!(reply(403, "rateLimitExceeded", "").is_transient());
        let not_ready = reply(400, "resourceNotReady", "");
        assert!(not_ready.is_not_ready() && !not_ready.is_transient());
        for (status, reason) in [
            (400, "invalid"),
            (403, "forbidden"),
            (404, "notFound"),
            (409, "alreadyExists"),
        ] {
            assert!(!reply(status, reason, "").is_transient(), "{status}");
        }
    }

    #[test]
    fn existing_and_stale_are_told_apart() {
        assert!(reply(409, "alreadyExists", "").is_already_exists());
        assert!(operation("RESOURCE_ALREADY_EXISTS", "").is_already_exists());
        assert!(!reply(409, "conflict", "").is_already_exists());
        assert!(reply(412, "conditionNotMet", "").is_stale());
    }

    #[test]
    fn a_reply_that_is_not_json_is_shown_in_part() {
        let failure = Failure::of_reply(502, "<html>bad gateway</html>".as_bytes());
        assert_eq!(failure.message, "<html>bad gateway</html>");
        assert!(failure.is_transient());
    }

    #[test]
    fn a_deadline_says_what_was_waited_for() {
        let failure = Failure::new(Kind::Deadline(Duration::from_secs(5)), "", "operation insert x");
        assert_eq!(
            failure.into_error("disk d").to_string(),
            "disk d: after 5 s still waiting for operation insert x"
        );
    }
}
