//! Diagnostics as Terraform prints them where it knows no terminal: wrapped at 78 columns, without the source line.

use std::fmt::Write as _;

use multizone_provider::functions::FunctionError;
use multizone_schema::{Diagnostic, Diagnostics, Severity};

const COLUMNS: usize = 78;

/// All of them, in order.
pub(crate) fn rendered(diagnostics: &Diagnostics) -> String {
    assert!(!diagnostics.is_empty(), "nothing was said");
    let each = diagnostics.iter().cloned().map(|one| one_rendered(one.located()));
    each.collect::<Vec<_>>().join("\n")
}

fn one_rendered(diagnostic: Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
    };
    let mut text = format!("{severity}: {}\n", diagnostic.summary);
    if let Some(path) = diagnostic.path.filter(|path| !path.is_root()) {
        let _ = write!(text, "\n  at {path}\n");
    }
    if !diagnostic.detail.is_empty() {
        let _ = write!(text, "\n{}\n", wrapped(&diagnostic.detail));
    }
    text
}

/// The error of a function's call.
pub(crate) fn rendered_call(name: &str, error: &FunctionError) -> String {
    let argument = error.argument.map(|number| format!("\n  at argument {number}\n"));
    let said = wrapped(&format!("Call to function {name:?} failed: {error}."));
    format!(
        "Error: Error in function call\n{}\n{said}\n",
        argument.unwrap_or_default()
    )
}

/// Terraform wraps paragraphs, and leaves lines alone that begin with a space.
fn wrapped(detail: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in detail.lines() {
        let mut line = String::new();
        if paragraph.starts_with(' ') {
            paragraph.clone_into(&mut line);
        } else {
            for word in paragraph.split_whitespace() {
                if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > COLUMNS {
                    lines.push(std::mem::take(&mut line));
                }
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn long_paragraphs_are_wrapped_and_indented_lines_are_not() {
    let long = "word ".repeat(20);
    let text = rendered(&Diagnostic::error("Bad", format!("{long}\n  {long}")).at("size").into());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..5], ["Error: Bad", "", "  at size", "", lines[4]]);
    assert_eq!((lines[4].len(), lines.len()), (74, 7));
}
