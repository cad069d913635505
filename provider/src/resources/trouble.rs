//! Errors of the cloud and of the cluster, as what the user reads: what happened, to which object, what is left, and
//! what to do next.

use std::future::Future;

use multizone_cloud::CloudError;
use multizone_schema::{Diagnostic, Diagnostics};
use tokio::time::{Instant, timeout_at};

use super::timeouts::written;

/// What an operation was about when something went wrong, and what that leaves behind.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What was being done, as in `create cluster demo`.
    pub doing: &'a str,
    /// What is left in the cloud.
    pub left: &'a str,
}

impl Situation<'_> {
    /// The diagnostics for an error of the cloud.
    pub fn cloud(&self, error: &CloudError) -> Diagnostics {
        let next = error.advice();
        // An apply would make what a destroy deletes.
        let again = |next: &str| next.replace("un terraform apply again", "un Terraform again");
        let next = if self.deletes() { again(next) } else { next.to_owned() };
        self.error(&format!("{error}."), &next)
    }

    /// The diagnostics for any other error, with what to do about it.
    pub fn error(&self, what: &str, next: &str) -> Diagnostics {
        let Self { doing, left } = self;
        Diagnostic::error(format!("Cannot {doing}"), format!("{what}\n{left}\n{next}")).into()
    }

    /// Whether the operation is a destroy.
    pub fn deletes(&self) -> bool {
        self.verb() == Some("delete")
    }

    fn verb(&self) -> Option<&str> {
        self.doing.split(' ').next()
    }

    /// What gives the operation more time.
    pub fn more_time(&self) -> &'static str {
        match self.verb() {
            Some("create") => "write a longer time, for example timeouts = { create = \"1h\" }",
            // A destroy reads it from state.
            Some("delete") => "first apply a longer time, for example timeouts = { delete = \"1h\" }",
            _ => "write a longer time, for example timeouts = { update = \"1h\" }",
        }
    }

    /// The diagnostics for an operation that the user asked to stop.
    pub fn stopped(&self) -> Diagnostics {
        self.error(
            "Stopped as asked, after the step that was under way.",
            "Run terraform apply again to continue.",
        )
    }
}

/// What a create leaves that did not finish.
pub const ADOPTED: &str =
    "What was made so far stays in the cloud, marked as unfinished; the next terraform apply adopts it and continues.";
/// What an update leaves that did not finish.
pub const CONTINUED: &str = "What was done so far stays as it is; the next terraform apply continues from there.";
/// What a delete leaves that did not finish.
pub const STILL_THERE: &str = "What was not deleted yet is still there, and stays in Terraform's state.";

/// Runs an operation to its deadline.  What was under way in the cloud at that moment may still finish.
pub async fn within<T>(
    deadline: Instant,
    situation: &Situation<'_>,
    operation: impl Future<Output = Result<T, Diagnostics>>,
) -> Result<T, Diagnostics> {
    let began = Instant::now();
    if let Ok(result) = timeout_at(deadline, operation).await {
        return result;
    }
    // A part of an operation may have begun long after the whole.
    let waited = written(began.elapsed());
    Err(situation.error(
        &format!("Its timeout has passed: it was waited for {waited} and given up."),
        &format!(
            "Run terraform apply again; if the cloud is that slow, {}.",
            situation.more_time()
        ),
    ))
}

/// The planner's words as a sentence.
pub(crate) fn sentence(words: &impl ToString) -> String {
    let mut text = words.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_happened_what_is_left_and_what_to_do() {
        let situation = Situation {
            doing: "create cluster demo",
            left: ADOPTED,
        };
        let error = CloudError::NotFound {
            object: "zone us-central1-z".to_owned(),
        };
        let text = situation.cloud(&error).to_string();
        for part in [
            "Cannot create cluster demo",
            "zone us-central1-z does not exist",
            "adopts",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
