//! The page of a provider, resource, data source or ephemeral resource.

use std::fmt::Write as _;

use super::{fenced, front_matter, in_item};
use crate::attribute::{Attribute, AttributeKind, Mode};
use crate::schema::Schema;
use crate::types::Type;
use crate::value::Value;

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// The provider itself: `docs/index.md`.
    Provider,
    /// `docs/resources/NAME.md`.
    Resource,
    /// `docs/data-sources/NAME.md`.
    DataSource,
    /// `docs/ephemeral-resources/NAME.md`.
    EphemeralResource,
}

impl PageKind {
    fn title(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::Resource => "Resource",
            Self::DataSource => "Data Source",
            Self::EphemeralResource => "Ephemeral Resource",
        }
    }

    /// Where the page of `name` (as `multizone_disk`) is, from the docs directory.
    pub fn path(self, name: &str) -> String {
        let short = name.split_once('_').map_or(name, |(_, short)| short);
        match self {
            Self::Provider => "index.md".to_owned(),
            Self::Resource => format!("resources/{short}.md"),
            Self::DataSource => format!("data-sources/{short}.md"),
            Self::EphemeralResource => format!("ephemeral-resources/{short}.md"),
        }
    }
}

/// The page of the object called `name` (`multizone_disk`; for the provider `multizone`).
///
/// `example` is the HCL of the example section, `import` the shell command of the import section.
pub fn page(kind: PageKind, name: &str, schema: &Schema, example: Option<&str>, import: Option<&str>) -> String {
    let provider = name.split('_').next().unwrap_or(name);
    let (title, heading) = match kind {
        PageKind::Provider => (format!("{provider} Provider"), format!("{provider} Provider")),
        _ => (
            format!("{name} {} - {provider}", kind.title()),
            format!("{name} ({})", kind.title()),
        ),
    };
    let mut text = front_matter(&title, &schema.description);
    let _ = write!(text, "\n# {heading}\n\n{}\n", schema.description);
    if let Some(example) = example {
        let _ = write!(text, "\n## Example Usage\n\n{}", fenced("terraform", example));
    }
    text.push_str("\n## Schema\n");
    attributes(&mut text, &schema.attributes, "");
    if let Some(import) = import {
        let _ = write!(
            text,
            "\n## Import\n\nImport is supported using the following syntax:\n\n{}",
            fenced("shell", import)
        );
    }
    text
}

/// What follows the import section of a resource's page: the import block `example`, and the identity's attributes.
pub fn import_by_identity(identity: &Schema, example: &str) -> String {
    let mut text = format!(
        "\nFrom Terraform 1.12 on, an import block can name the object by its identity:\n\n{}\n### Identity Schema\n",
        fenced("terraform", example)
    );
    attributes(&mut text, &identity.attributes, "identity");
    text
}

/// The groups of an object's attributes, then the sections of the nested ones. `path` is empty at the top.
fn attributes(text: &mut String, attributes: &[Attribute], path: &str) {
    let mut sorted: Vec<&Attribute> = attributes.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    for heading in ["Required", "Optional", "Read-Only"] {
        let members: Vec<&&Attribute> = sorted
            .iter()
            .filter(|attribute| group(attribute.mode) == heading)
            .collect();
        if members.is_empty() {
            continue;
        }
        let _ = if path.is_empty() {
            writeln!(text, "\n### {heading}\n")
        } else {
            writeln!(text, "\n{heading}:\n")
        };
        for attribute in members {
            item(text, attribute, path);
        }
    }
    for attribute in sorted {
        if let Some(inner) = attribute.kind.nested() {
            let path = if path.is_empty() {
                attribute.name.clone()
            } else {
                format!("{path}.{}", attribute.name)
            };
            let _ = writeln!(
                text,
                "\n<a id=\"{}\"></a>\n### Nested Schema for `{path}`",
                anchor(&path)
            );
            self::attributes(text, inner, &path);
        }
    }
}

/// The heading that an attribute is under.
fn group(mode: Mode) -> &'static str {
    match mode {
        Mode::Required => "Required",
        Mode::Optional | Mode::OptionalComputed => "Optional",
        Mode::Computed => "Read-Only",
    }
}

fn item(text: &mut String, attribute: &Attribute, path: &str) {
    let mut labels = vec![kind_label(&attribute.kind)];
    if attribute.sensitive {
        labels.push("Sensitive".to_owned());
    }
    if attribute.write_only {
        labels.push("Write-only".to_owned());
    }
    if attribute.deprecated.is_some() {
        labels.push("Deprecated".to_owned());
    }
    let _ = write!(text, "- `{}` ({})", attribute.name, labels.join(", "));
    if !attribute.description.is_empty() {
        let _ = write!(text, " {}", in_item(&attribute.description));
    }
    // An author who explains the default does so better than the literal value.
    if let Some(default) = attribute
        .default
        .as_ref()
        .filter(|_| !attribute.description.contains("efault"))
        && let Some(default) = literal(default)
    {
        let _ = write!(text, " Defaults to `{default}`.");
    }
    if attribute.requires_replace {
        text.push_str(" Changing this forces a new object.");
    }
    if let Some(deprecated) = &attribute.deprecated {
        let _ = write!(text, " **Deprecated:** {}", in_item(deprecated));
    }
    if attribute.kind.nested().is_some() {
        let path = if path.is_empty() {
            attribute.name.clone()
        } else {
            format!("{path}.{}", attribute.name)
        };
        let _ = write!(text, " (see [below for nested schema](#{}))", anchor(&path));
    }
    text.push('\n');
}

fn anchor(path: &str) -> String {
    format!("nestedatt--{}", path.replace('.', "--"))
}

fn kind_label(kind: &AttributeKind) -> String {
    match kind {
        AttributeKind::Plain(type_) => type_label(type_),
        AttributeKind::Single(_) => "Attributes".to_owned(),
        AttributeKind::List(_) => "Attributes List".to_owned(),
        AttributeKind::Set(_) => "Attributes Set".to_owned(),
        AttributeKind::Map(_) => "Attributes Map".to_owned(),
    }
}

/// A type in the registry's words.
pub(super) fn type_label(type_: &Type) -> String {
    match type_ {
        Type::String => "String".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::Bool => "Boolean".to_owned(),
        Type::Dynamic => "Dynamic".to_owned(),
        Type::List(element) => format!("List of {}", type_label(element)),
        Type::Set(element) => format!("Set of {}", type_label(element)),
        Type::Map(element) => format!("Map of {}", type_label(element)),
        Type::Tuple(_) => "Tuple".to_owned(),
        Type::Object(_) => "Object".to_owned(),
    }
}

/// A default as HCL, if it is short enough to be read in passing.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty() && !text.contains(['`', '\n'])),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::List(elements) | Value::Set(elements) if elements.is_empty() => Some("[]".to_owned()),
        Value::Map(elements) if elements.is_empty() => Some("{}".to_owned()),
        _ => None,
    }
}
