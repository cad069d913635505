//! What is told to the user: errors and warnings, with the attribute they are about.

use std::fmt;

use crate::path::{Path, PathStep};

/// Whether a diagnostic stops the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The operation is refused or has failed.
    Error,
    /// The operation goes on.
    Warning,
}

/// One message for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What happened, in one line. Terraform merges warnings with the same summary.
    pub summary: String,
    /// To which object, what is left, and what to do next.
    pub detail: String,
    /// The attribute it is about, if it is about one.
    pub path: Option<Path>,
}

impl Diagnostic {
    /// An error about the whole object.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            path: None,
        }
    }

    /// A warning about the whole object.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            summary: summary.into(),
            detail: detail.into(),
            path: None,
        }
    }

    /// The same diagnostic, about the value at `path`.
    #[must_use]
    pub fn at(mut self, path: impl Into<Path>) -> Self {
        self.path = Some(path.into());
        self
    }
}

impl Diagnostic {
    /// The same diagnostic so that Terraform points at the right line, for the wire.
    ///
    /// Terraform finds an attribute and an element directly in it. For what is deeper it points at the whole block, and
    /// it never shows the path itself. So the path is cut to what it finds, and the detail says where exactly, unless it
    /// does so already.
    #[must_use]
    pub fn located(mut self) -> Self {
        let Some(path) = &self.path else { return self };
        let found = match path.steps() {
            [_, PathStep::Attribute(_), ..] => 1,
            steps => steps.len().min(2),
        };
        if found < path.steps().len() {
            let place = path.to_string();
            if !self.detail.contains(&place) {
                self.detail = format!("At {place}: {}", self.detail);
            }
            self.path = Some(path.steps()[..found].iter().cloned().collect());
        }
        self
    }
}

impl From<&Path> for Path {
    fn from(path: &Path) -> Self {
        path.clone()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.summary)?;
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_root()) {
            write!(f, " (at {path})")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// The messages of one operation, in the order they arose. As an error it holds at least one error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing to say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one message.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds an error about the value at `path`.
    pub fn error(&mut self, path: impl Into<Path>, summary: impl Into<String>, detail: impl Into<String>) {
        self.push(Diagnostic::error(summary, detail).at(path));
    }

    /// Adds a warning about the value at `path`.
    pub fn warning(&mut self, path: impl Into<Path>, summary: impl Into<String>, detail: impl Into<String>) {
        self.push(Diagnostic::warning(summary, detail).at(path));
    }

    /// Whether any message is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there is no message at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of messages.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The messages in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The same messages seen from one level further out: each path gets the outer step.
    #[must_use]
    pub fn inside(mut self, outer: &PathStep) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic.path = Some(diagnostic.path.take().unwrap_or_default().inside(outer.clone()));
        }
        self
    }

    /// `value` when there is no error, these messages otherwise. Warnings beside a value are dropped.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.0.extend(diagnostics);
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        Self(diagnostics.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terraform_cannot_find_is_said() {
        let located = |path: Path| {
            let diagnostic = Diagnostic::error("Bad", "Too small.").at(path).located();
            (
                diagnostic.path.map(|path| path.to_string()).unwrap_or_default(),
                diagnostic.detail,
            )
        };
        let replica = Path::from("replicas").key("a");
        let single = Path::from("timeouts").attribute("create");
        assert_eq!(located("size".into()), ("size".into(), "Too small.".into()));
        assert_eq!(
            located(replica.clone()),
            (r#"replicas["a"]"#.into(), "Too small.".into())
        );
        let said = Diagnostic::error("Bad", "timeouts.create is too small.")
            .at(single.clone())
            .located();
        assert_eq!(said.detail, "timeouts.create is too small.");
        assert_eq!(
            located(replica.attribute("zone")),
            (r#"replicas["a"]"#.into(), r#"At replicas["a"].zone: Too small."#.into())
        );
        assert_eq!(
            located(single),
            ("timeouts".into(), "At timeouts.create: Too small.".into())
        );
        assert_eq!(located(Path::root()), (String::new(), "Too small.".into()));
    }

    #[test]
    fn inside_leads_the_path_outwards() {
        let inner = Diagnostics::from(Diagnostic::error("Bad", ""));
        let outer = inner
            .inside(&PathStep::Key("a".into()))
            .inside(&PathStep::Attribute("replicas".into()));
        assert_eq!(outer.to_string(), r#"error: Bad (at replicas["a"])"#);
    }

    #[test]
    fn only_errors_stop() {
        let mut diagnostics = Diagnostics::new();
        diagnostics.warning("a", "Careful", "");
        assert_eq!(diagnostics.clone().into_result(1), Ok(1));
        diagnostics.error("b", "Bad", "");
        assert_eq!(diagnostics.clone().into_result(1), Err(diagnostics));
    }
}
