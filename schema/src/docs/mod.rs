//! Documentation pages in the Terraform registry's layout, as tfplugindocs writes them.

mod function;
mod page;

pub use function::{Function, Parameter, function_page};
pub use page::{PageKind, import_by_identity, page};

/// The first paragraph on one line, for the front matter.
fn summary(description: &str) -> String {
    let first = description.split("\n\n").next().unwrap_or_default();
    first.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The lines between the `---`.
fn front_matter(title: &str, description: &str) -> String {
    format!(
        "---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {}\n---\n",
        summary(description)
    )
}

/// A description as the rest of a list item: further lines are indented.
fn in_item(description: &str) -> String {
    let mut lines = description.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| {
        if line.is_empty() {
            text + "\n"
        } else {
            text + "\n  " + line
        }
    })
}

/// A fenced block.
fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n", text.trim_end())
}
