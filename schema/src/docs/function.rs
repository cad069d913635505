//! The page of a provider-defined function.

use std::fmt::Write as _;

use super::page::type_label;
use super::{fenced, front_matter, in_item};
use crate::types::Type;

/// What a function's page tells.
#[derive(Clone, Debug)]
pub struct Function<'a> {
    /// The provider's name, for the title.
    pub provider: &'a str,
    /// The function's name.
    pub name: &'a str,
    /// One line.
    pub summary: &'a str,
    /// The whole description, in markdown.
    pub description: &'a str,
    /// The parameters in order.
    pub parameters: Vec<Parameter<'a>>,
    /// The parameter that takes any number of further arguments.
    pub variadic: Option<Parameter<'a>>,
    /// The type of the result.
    pub returns: &'a Type,
}

/// A function's parameter.
#[derive(Clone, Debug)]
pub struct Parameter<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_: &'a Type,
    /// What it means, in markdown.
    pub description: &'a str,
    /// Whether null may be passed.
    pub nullable: bool,
}

/// The page of a function; `example` is the HCL of the example section.
pub fn function_page(function: &Function<'_>, example: Option<&str>) -> String {
    let Function {
        provider,
        name,
        summary,
        description,
        parameters,
        variadic,
        returns,
    } = function;
    let mut text = front_matter(&format!("{name} function - {provider}"), summary);
    let _ = write!(text, "\n# function: {name}\n\n{description}\n");
    if let Some(example) = example {
        let _ = write!(text, "\n## Example Usage\n\n{}", fenced("terraform", example));
    }
    let plain = parameters
        .iter()
        .map(|parameter| format!("{} {}", parameter.name, parameter.type_));
    let rest = variadic
        .iter()
        .map(|parameter| format!("{} {}...", parameter.name, parameter.type_));
    let signature = format!("{name}({}) {returns}", plain.chain(rest).collect::<Vec<_>>().join(", "));
    let _ = write!(text, "\n## Signature\n\n{}", fenced("text", &signature));
    if !parameters.is_empty() || variadic.is_some() {
        text.push_str("\n## Arguments\n\n");
        let variadic = variadic.iter().map(|parameter| (parameter, true));
        let all = parameters.iter().map(|parameter| (parameter, false)).chain(variadic);
        for (position, (parameter, is_variadic)) in (1..).zip(all) {
            let mut label = type_label(parameter.type_);
            if is_variadic {
                label = format!("Variadic, {label}");
            }
            if parameter.nullable {
                label.push_str(", Nullable");
            }
            let _ = writeln!(
                text,
                "{position}. `{}` ({label}) {}",
                parameter.name,
                in_item(parameter.description)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_and_arguments() {
        let sizes = Type::list(Type::Number);
        let function = Function {
            provider: "multizone",
            name: "spread",
            summary: "Spreads things.",
            description: "Spreads things over zones.",
            parameters: vec![Parameter {
                name: "sizes",
                type_: &sizes,
                description: "How many.",
                nullable: true,
            }],
            variadic: Some(Parameter {
                name: "zone",
                type_: &Type::String,
                description: "Where.",
                nullable: false,
            }),
            returns: &Type::Number,
        };
        let page = function_page(&function, Some("output \"x\" {}\n"));
        let expected = "---\npage_title: \"spread function - multizone\"\nsubcategory: \"\"\ndescription: |-\n  Spreads things.\n---\n\n\
            # function: spread\n\nSpreads things over zones.\n\n## Example Usage\n\n```terraform\noutput \"x\" {}\n```\n\n\
            ## Signature\n\n```text\nspread(sizes list of number, zone string...) number\n```\n\n\
            ## Arguments\n\n1. `sizes` (List of Number, Nullable) How many.\n2. `zone` (Variadic, String) Where.\n";
        assert_eq!(page, expected);
    }
}
