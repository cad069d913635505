//! Terraform's rules for answers, checked before it sees one.
//!
//! Terraform rejects an answer that breaks a rule with a text that names this provider and helps nobody; after an apply
//! it also taints the object, and destroys it next time. So every answer passes through here first: a breach becomes a
//! diagnostic that names the attribute, and what was there before stays. All of it is pure.
//!
//! | answer | what is checked |
//! |---|---|
//! | all | [`shape`]: every attribute of the schema, of its type, and nothing else; write-only values are null |
//! | plan | [`plan`]: what is configured is planned, or what was there; what is neither configured nor computed is null; nested elements keep their count; a destroy is null; paths that require replacement exist |
//! | plan | [`replan`]: planned once more, as Terraform does during apply, every known value is the same |
//! | apply | [`apply`]: every known planned value comes back; nothing is unknown; a create has made an object, a destroy has left none |
//! | read | [`read`]: nothing is unknown; nothing is there that was not before; [`same_object`]: its identity stays |
//! | import, upgrade | [`import`], [`upgrade`]: there is an object, and nothing in it is unknown |
//! | move | every move is refused, so that no answer holds an object |
//! | data source | [`data_source`]: there is a result, and nothing in it is unknown |
//! | ephemeral resource | [`ephemeral`]: the same, and what is configured comes back |
//! | validate | [`validate`]: nothing is refused for being unknown; what a diagnostic points at exists |
//!
//! By construction there is no answer with `legacy_type_system` (the messages here do not have it), and no null block
//! (schemas here have attributes only). That a read keeps private bytes, and a value that is merely written in another
//! way, no rule can tell from outside: that is the resource's.

mod apply;
mod plan;
mod shape;
mod state;
mod validate;

pub use apply::apply;
pub use plan::{plan, replan, settles};
pub use shape::{Unknowns, shape};
pub use state::{data_source, ephemeral, import, read, same_object, upgrade};
pub use validate::validate;

use multizone_schema::{Diagnostic, Diagnostics, Path};

/// A rule, broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// A value of another type than the schema's.
    #[error("the schema wants {wanted}, but the answer holds {found}")]
    Kind {
        /// The type of the schema.
        wanted: String,
        /// What the value is.
        found: &'static str,
    },
    /// The schema does not have the attribute.
    #[error("the schema has no such attribute")]
    Superfluous,
    /// The answer does not have the attribute.
    #[error("the answer leaves the attribute out")]
    Missing,
    /// A write-only value in an answer.
    #[error("the value is write-only, and must be null in every answer")]
    WriteOnly,
    /// An unknown value outside a plan.
    #[error("the value is unknown, but must be known by now")]
    Unknown,
    /// A read of an object under another name.
    #[error("what names the object is not what named it before, and it keeps that for life")]
    AnotherObject,
    /// Null in place of an object.
    #[error("there is no object in the answer")]
    NoObject,
    /// An object after or in the plan of its destruction, or read where there was none.
    #[error("there is an object in the answer where there can be none")]
    Object,
    /// A plan that changes what is configured.
    #[error("the planned value is neither the configured one nor the one that was there before")]
    NotAsConfigured,
    /// A plan for what neither the user nor the provider sets.
    #[error("a value is planned, but none is configured and the attribute is not computed")]
    NotComputed,
    /// A plan with more or fewer nested objects than the configuration.
    #[error("elements: {planned} planned, {configured} configured")]
    Count {
        /// How many are planned.
        planned: usize,
        /// How many are configured.
        configured: usize,
    },
    /// A path that requires replacement, and is nowhere.
    #[error("a change of it is said to require replacement, but it is neither in the plan nor in the state")]
    NoSuchPath,
    /// A plan that depends on more than its input.
    #[error("the value is another one when the same change is planned once more, as Terraform does during apply")]
    Unsteady,
    /// An applied value that was planned otherwise.
    #[error("the value is another one than was planned")]
    NotAsPlanned,
}

/// A broken rule and the value that breaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Where.
    pub path: Path,
    /// Which.
    pub rule: Rule,
}

impl Breach {
    fn new(path: &Path, rule: Rule) -> Self {
        Self {
            path: path.clone(),
            rule,
        }
    }

    /// The error for the user; `left` says what has become of the object.
    fn error(self, left: &str) -> Diagnostic {
        let Self { path, rule } = self;
        tracing::error!(%path, %rule, "an answer breaks a rule of Terraform");
        let place = if path.is_root() {
            "The provider's answer".to_owned()
        } else {
            format!("The provider's answer for {path}")
        };
        Diagnostic::error(
            "The provider broke a rule of Terraform",
            format!(
                "{place} would be rejected: {rule}. {left} This is an error in the provider; please report it with the \
                 log (TF_LOG=debug)."
            ),
        )
        .at(path)
    }
}

/// Nothing has been done yet.
const NOTHING_CHANGED: &str = "Nothing was changed.";

/// All of them as errors.
fn errors(breaches: Vec<Breach>, left: &str) -> Diagnostics {
    breaches.into_iter().map(|breach| breach.error(left)).collect()
}

/// Passes what has no breach.
fn unbroken<T>(value: T, breaches: Vec<Breach>) -> Result<T, Diagnostics> {
    if breaches.is_empty() {
        Ok(value)
    } else {
        Err(errors(breaches, NOTHING_CHANGED))
    }
}
