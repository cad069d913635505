//! Functions: call.

use multizone_schema::Value;

use super::super::catalog::{Catalog, FunctionEntry};
use super::super::codec;
use super::super::wire::tfplugin6 as wire;
use crate::functions::FunctionError;

pub(super) fn call<P: Send + Sync>(
    catalog: &Catalog<P>,
    request: &wire::call_function::Request,
) -> wire::call_function::Response {
    let result = match catalog.functions.get(request.name.as_str()) {
        Some(entry) => evaluate(entry, &request.arguments),
        None => Err(FunctionError::new(format!(
            "This version of the provider has no function {:?}.",
            request.name
        ))),
    };
    match result {
        Ok(result) => wire::call_function::Response {
            result: Some(result),
            error: None,
        },
        Err(FunctionError { text, argument }) => wire::call_function::Response {
            result: None,
            error: Some(wire::FunctionError {
                text,
                function_argument: argument,
            }),
        },
    }
}

fn evaluate(entry: &FunctionEntry, arguments: &[wire::DynamicValue]) -> Result<wire::DynamicValue, FunctionError> {
    let parameters = &entry.definition.parameters;
    let missing = parameters.len().saturating_sub(arguments.len());
    if missing > 0 {
        return Err(FunctionError::new(format!("{missing} arguments are missing.")));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for (position, argument) in (0_i64..).zip(arguments) {
        let parameter = parameters.get(values.len()).or(entry.definition.variadic.as_ref());
        let parameter = parameter.ok_or_else(|| FunctionError::at(position, "The function takes fewer arguments."))?;
        let value = codec::decode(Some(argument), &parameter.r#type);
        values.push(value.map_err(|error| FunctionError::at(position, error.to_string()))?);
    }
    let known = values.iter().all(Value::is_wholly_known);
    let result: Value = entry.function.call(values)?;
    // What is unknown comes from an argument that is.
    let encode = if known { codec::encode_state } else { codec::encode };
    encode(&result, &entry.definition.returns).map_err(|error| FunctionError::new(error.to_string()))
}

/// The answer where the call itself broke.
pub(super) fn failure(diagnostics: &[wire::Diagnostic]) -> wire::call_function::Response {
    let text = diagnostics
        .iter()
        .map(|diagnostic| format!("{}: {}", diagnostic.summary, diagnostic.detail));
    let text = text.collect::<Vec<_>>().join("\n");
    wire::call_function::Response {
        result: None,
        error: Some(wire::FunctionError {
            text,
            function_argument: None,
        }),
    }
}
