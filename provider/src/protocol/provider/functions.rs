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
            "This version of the provider has no function {:?}. Upgrade the provider, or correct the name",
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
    let (given, taken) = (arguments.len(), parameters.len());
    if given < taken {
        let text = format!("Arguments are missing: {given} of {taken} are given");
        return Err(FunctionError::new(text));
    }
    let mut values = Vec::with_capacity(arguments.len());
    for (position, argument) in (0_i64..).zip(arguments) {
        let parameter = parameters.get(values.len()).or(entry.definition.variadic.as_ref());
        let parameter = parameter
            .ok_or_else(|| FunctionError::at(position, "The function takes fewer arguments: leave this one out"))?;
        let value = codec::decode(Some(argument), &parameter.r#type);
        values.push(value.map_err(|error| FunctionError::at(position, text(&codec::diagnostics(error))))?);
    }
    let known = values.iter().all(Value::is_wholly_known);
    let result: Value = entry.function.call(values)?;
    // What is unknown comes from an argument that is.
    let encode = if known { codec::encode_state } else { codec::encode };
    encode(&result, &entry.definition.returns).map_err(|error| FunctionError::new(text(&codec::diagnostics(error))))
}

/// The answer where the call itself broke.
pub(super) fn failure(diagnostics: &[wire::Diagnostic]) -> wire::call_function::Response {
    wire::call_function::Response {
        result: None,
        error: Some(wire::FunctionError {
            text: text(diagnostics),
            function_argument: None,
        }),
    }
}

/// The diagnostics as one text, to which Terraform puts a full stop.
fn text(diagnostics: &[wire::Diagnostic]) -> String {
    let texts = diagnostics
        .iter()
        .map(|diagnostic| format!("{}: {}", diagnostic.summary, diagnostic.detail.trim_end_matches('.')));
    texts.collect::<Vec<_>>().join("\n")
}
