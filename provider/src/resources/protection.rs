//! `deletion_protection`: what is not destroyed until somebody says so in an apply of its own.

use multizone_schema::{Diagnostic, Diagnostics};

/// Refuses the destruction of `what` (as in `cluster demo in us-central1`), if it is protected.  `with_it` is what else goes, as in
/// ` and its data`.
pub fn check(protected: bool, what: &str, with_it: &str) -> Diagnostics {
    if !protected {
        return Diagnostics::new();
    }
    Diagnostic::error(
        "Protected against destruction",
        format!(
            "deletion_protection of {what} is true, so it is not destroyed; nothing was changed. To destroy it{with_it}, set \
             deletion_protection to false and apply that first."
        ),
    )
    .at("deletion_protection")
    .into()
}
