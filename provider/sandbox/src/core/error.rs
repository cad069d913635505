//! What the region refuses, in the words of the API it stands for.

/// A request the region refuses: the HTTP status, the reason word and the message that Compute Engine answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// HTTP status code.
    pub status: u16,
    /// Compute Engine's reason word: `notFound`, `alreadyExists`, `resourceInUseByAnotherResource`, ...
    pub reason: &'static str,
    /// What is wrong, naming the field or the object.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
        }
    }

    /// The object at `path` (`projects/...`) does not exist.
    pub fn not_found(path: &str) -> Self {
        Self::new(404, "notFound", format!("The resource '{path}' was not found"))
    }

    /// The object at `path` exists already.
    pub fn already_exists(path: &str) -> Self {
        Self::new(409, "alreadyExists", format!("The resource '{path}' already exists"))
    }

    /// The `kind` at `path` is used by the object at `user`.
    pub fn in_use(kind: &str, path: &str, user: &str) -> Self {
        Self::new(
            400,
            "resourceInUseByAnotherResource",
            format!("The {kind} resource '{path}' is already being used by '{user}'"),
        )
    }

    /// Another operation on the object at `path` is still under way.
    pub fn not_ready(path: &str) -> Self {
        Self::new(400, "resourceNotReady", format!("The resource '{path}' is not ready"))
    }

    /// `field` holds `value`, which is wrong for the reason given.
    pub fn invalid(field: &str, value: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::new(
            400,
            "invalid",
            format!("Invalid value for field '{field}': '{value}'. {why}"),
        )
    }

    /// A request that is wrong as a whole.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message)
    }

    /// A field that must be given is missing.
    pub fn required(field: &str) -> Self {
        Self::new(400, "required", format!("Required field '{field}' not specified"))
    }

    /// A fingerprint does not match what is stored.
    pub fn condition_not_met(message: impl Into<String>) -> Self {
        Self::new(412, "conditionNotMet", message)
    }

    /// The object's state does not allow the request.
    pub fn failed_precondition(message: impl Into<String>) -> Self {
        Self::new(400, "failedPrecondition", message)
    }

    /// The zone or the service cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "backendError", message)
    }

    /// The caller has no right to do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "forbidden", message)
    }

    /// The region itself failed, for example to write its state.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "internalError", message)
    }

    /// Google's canonical status word for the HTTP status.
    pub fn canonical_status(&self) -> &'static str {
        match (self.status, self.reason) {
            (400, "failedPrecondition" | "resourceNotReady" | "resourceInUseByAnotherResource") | (412, _) => {
                "FAILED_PRECONDITION"
            }
            (400, _) => "INVALID_ARGUMENT",
            (403, _) => "PERMISSION_DENIED",
            (404, _) => "NOT_FOUND",
            (409, _) => "ALREADY_EXISTS",
            (503, _) => "UNAVAILABLE",
            _ => "INTERNAL",
        }
    }
}
