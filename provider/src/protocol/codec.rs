//! Schemas, values, paths and diagnostics as messages.

use multizone_schema::codec::EncodeError;
use multizone_schema::{
    Attribute, AttributeKind, Diagnostic, Diagnostics, Mode, Path, PathStep, Schema, Severity, Type, Value,
};

use super::wire::tfplugin6 as wire;
use crate::functions::{FunctionDefinition, Parameter};

/// Reads a value of this type. A message without content is null, as Terraform has it.
pub fn decode(value: Option<&wire::DynamicValue>, type_: &Type) -> Result<Value, Diagnostics> {
    let Some(value) = value else {
        return Ok(Value::Null);
    };
    let decoded = if !value.msgpack.is_empty() {
        Value::from_msgpack(&value.msgpack, type_)
    } else if !value.json.is_empty() {
        Value::from_json(&value.json, type_)
    } else {
        return Ok(Value::Null);
    };
    decoded.map_err(|error| {
        Diagnostic::error(
            "Terraform sent a value that does not fit the schema",
            format!(
                "{error}. Nothing was changed. This is an error in the provider or in Terraform: run terraform init \
                 -upgrade if one of them was just upgraded, otherwise please report it with the log (TF_LOG=debug)."
            ),
        )
        .into()
    })
}

/// Writes a plan, which may hold unknown values.
pub fn encode(value: &Value, type_: &Type) -> Result<wire::DynamicValue, Diagnostics> {
    written(value.to_msgpack(type_))
}

/// Writes a state or a result, which may not.
pub fn encode_state(value: &Value, type_: &Type) -> Result<wire::DynamicValue, Diagnostics> {
    written(value.to_state(type_))
}

fn written(bytes: Result<Vec<u8>, EncodeError>) -> Result<wire::DynamicValue, Diagnostics> {
    let msgpack = bytes.map_err(|error| {
        Diagnostic::error(
            "The provider made a value that does not fit its schema",
            format!(
                "{}. What was there before is kept in state. This is an error in the provider; please report it with the \
                 log (TF_LOG=debug). Running Terraform again continues from what exists.",
                error.reason
            ),
        )
        .at(error.path)
    })?;
    Ok(wire::DynamicValue {
        msgpack,
        json: Vec::new(),
    })
}

/// All of them, in order.
pub fn diagnostics(diagnostics: Diagnostics) -> Vec<wire::Diagnostic> {
    diagnostics.into_iter().map(diagnostic).collect()
}

fn diagnostic(diagnostic: Diagnostic) -> wire::Diagnostic {
    let diagnostic = diagnostic.located();
    let severity = match diagnostic.severity {
        Severity::Error => wire::diagnostic::Severity::Error,
        Severity::Warning => wire::diagnostic::Severity::Warning,
    };
    wire::Diagnostic {
        severity: severity.into(),
        summary: diagnostic.summary,
        detail: diagnostic.detail,
        // A path without steps would point at nothing.
        attribute: diagnostic
            .path
            .filter(|path| !path.is_root())
            .map(|path| attribute_path(&path)),
    }
}

/// A path, step by step.
pub fn attribute_path(path: &Path) -> wire::AttributePath {
    use wire::attribute_path::Step;
    use wire::attribute_path::step::Selector;
    let selector = |step: &PathStep| match step {
        PathStep::Attribute(name) => Selector::AttributeName(name.clone()),
        PathStep::Key(key) => Selector::ElementKeyString(key.clone()),
        PathStep::Index(index) => Selector::ElementKeyInt(*index),
    };
    wire::AttributePath {
        steps: path
            .steps()
            .iter()
            .map(|step| Step {
                selector: Some(selector(step)),
            })
            .collect(),
    }
}

/// A schema as Terraform wants it: attributes sorted by name.
pub fn schema(schema: &Schema) -> wire::Schema {
    wire::Schema {
        version: schema.version,
        block: Some(wire::schema::Block {
            version: schema.version,
            attributes: attributes(&schema.attributes),
            block_types: Vec::new(),
            description: schema.description.clone(),
            description_kind: wire::StringKind::Markdown.into(),
            deprecated: false,
        }),
    }
}

fn attributes(attributes: &[Attribute]) -> Vec<wire::schema::Attribute> {
    let mut attributes: Vec<_> = attributes.iter().map(attribute).collect();
    attributes.sort_by(|left, right| left.name.cmp(&right.name));
    attributes
}

fn attribute(attribute: &Attribute) -> wire::schema::Attribute {
    use wire::schema::object::NestingMode;
    let nested = |inner: &[Attribute], nesting: NestingMode| {
        Some(wire::schema::Object {
            attributes: attributes(inner),
            nesting: nesting.into(),
        })
    };
    let (type_, nested_type) = match &attribute.kind {
        AttributeKind::Plain(type_) => (type_.to_json_bytes(), None),
        AttributeKind::Single(inner) => (Vec::new(), nested(inner, NestingMode::Single)),
        AttributeKind::List(inner) => (Vec::new(), nested(inner, NestingMode::List)),
        AttributeKind::Set(inner) => (Vec::new(), nested(inner, NestingMode::Set)),
        AttributeKind::Map(inner) => (Vec::new(), nested(inner, NestingMode::Map)),
    };
    // Terraform accepts an attribute that has a default only as optional and computed.
    let computed = attribute.mode.is_computed() || attribute.default.is_some();
    wire::schema::Attribute {
        name: attribute.name.clone(),
        r#type: type_,
        nested_type,
        description: attribute.description.clone(),
        required: attribute.mode.is_required(),
        optional: matches!(attribute.mode, Mode::Optional | Mode::OptionalComputed),
        computed,
        sensitive: attribute.sensitive,
        description_kind: wire::StringKind::Markdown.into(),
        deprecated: attribute.deprecated.is_some(),
        write_only: attribute.write_only,
    }
}

/// The schema of what names an object: all of it is needed to find the object.
pub fn identity_schema(schema: &Schema) -> wire::ResourceIdentitySchema {
    let attribute = |attribute: &Attribute| wire::resource_identity_schema::IdentityAttribute {
        name: attribute.name.clone(),
        r#type: attribute.kind.type_().to_json_bytes(),
        required_for_import: attribute.mode.is_required(),
        optional_for_import: !attribute.mode.is_required(),
        description: attribute.description.clone(),
    };
    wire::ResourceIdentitySchema {
        version: schema.version,
        identity_attributes: schema.attributes.iter().map(attribute).collect(),
    }
}

/// A function's definition.
pub fn function(definition: &FunctionDefinition) -> wire::Function {
    wire::Function {
        parameters: definition.parameters.iter().map(parameter).collect(),
        variadic_parameter: definition.variadic.as_ref().map(parameter),
        r#return: Some(wire::function::Return {
            r#type: definition.returns.to_json_bytes(),
        }),
        summary: definition.summary.clone(),
        description: definition.description.clone(),
        description_kind: wire::StringKind::Markdown.into(),
        deprecation_message: String::new(),
    }
}

fn parameter(parameter: &Parameter) -> wire::function::Parameter {
    wire::function::Parameter {
        name: parameter.name.clone(),
        r#type: parameter.r#type.to_json_bytes(),
        allow_null_value: parameter.allow_null,
        allow_unknown_values: parameter.allow_unknown,
        description: parameter.description.clone(),
        description_kind: wire::StringKind::Markdown.into(),
    }
}

/// A point in time, to the nanosecond.
pub fn timestamp(timestamp: jiff::Timestamp) -> prost_types::Timestamp {
    // Protocol Buffers count the nanoseconds forwards, also before 1970.
    let nanos = timestamp.subsec_nanosecond();
    let (seconds, nanos) = if nanos < 0 {
        (timestamp.as_second() - 1, nanos + 1_000_000_000)
    } else {
        (timestamp.as_second(), nanos)
    };
    prost_types::Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use wire::attribute_path::step::Selector;

    use super::*;

    #[test]
    fn a_default_makes_an_attribute_computed_for_terraform() {
        let mut disk_type = Attribute::plain("disk_type", Type::String, Mode::Optional, "Kind of disk.");
        disk_type.default = Some(Value::from("pd-balanced"));
        let wire = attribute(&disk_type);
        assert!(wire.optional && wire.computed && !wire.required);
        assert_eq!(wire.r#type, br#""string""#);
    }

    #[test]
    fn attributes_are_sorted_and_nested_ones_have_no_type() {
        let zone = Attribute::plain("zone", Type::String, Mode::Required, "Zone.");
        let replicas = Attribute::new("replicas", AttributeKind::Map(vec![zone]), Mode::Required, "Replicas.");
        let name = Attribute::plain("name", Type::String, Mode::Required, "Name.");
        let schema_ = Schema {
            version: 3,
            description: "A thing.".into(),
            attributes: vec![replicas, name],
        };
        let block = schema(&schema_).block.unwrap();
        assert_eq!(
            block.attributes.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(),
            ["name", "replicas"]
        );
        assert!(block.attributes[1].r#type.is_empty());
        let nested = block.attributes[1].nested_type.as_ref().unwrap();
        assert_eq!(nested.nesting, i32::from(wire::schema::object::NestingMode::Map));
        assert_eq!(nested.attributes[0].name, "zone");
    }

    #[test]
    fn a_diagnostic_keeps_the_part_of_its_path_that_terraform_finds() {
        let path = Path::root().attribute("replicas").key("a").attribute("zones").index(2);
        let wire = diagnostics(Diagnostic::error("Wrong zone", "Pick another.").at(path).into());
        assert_eq!(wire[0].detail, r#"At replicas["a"].zones[2]: Pick another."#);
        let steps: Vec<_> = wire[0]
            .attribute
            .as_ref()
            .unwrap()
            .steps
            .iter()
            .map(|s| s.selector.clone().unwrap())
            .collect();
        let expected = [
            Selector::AttributeName("replicas".into()),
            Selector::ElementKeyString("a".into()),
        ];
        assert_eq!(steps, expected);
        let whole = diagnostics(Diagnostic::warning("Odd", "But fine.").at(Path::root()).into());
        assert_eq!(whole[0].attribute, None);
    }

    #[test]
    fn times_before_1970_count_forwards() {
        let before = jiff::Timestamp::new(-1, -250_000_000).unwrap();
        assert_eq!(
            timestamp(before),
            prost_types::Timestamp {
                seconds: -2,
                nanos: 750_000_000
            }
        );
    }

    #[test]
    fn an_absent_value_is_null() {
        assert_eq!(decode(None, &Type::String), Ok(Value::Null));
        assert_eq!(
            decode(Some(&wire::DynamicValue::default()), &Type::String),
            Ok(Value::Null)
        );
        let json = wire::DynamicValue {
            msgpack: Vec::new(),
            json: br#""a""#.to_vec(),
        };
        assert_eq!(decode(Some(&json), &Type::String), Ok(Value::from("a")));
        let wrong = wire::DynamicValue {
            msgpack: vec![0xc3],
            json: Vec::new(),
        };
        assert!(decode(Some(&wrong), &Type::String).unwrap_err().has_errors());
    }
}
