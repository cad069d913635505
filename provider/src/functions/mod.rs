//! The functions, and what a function is.

pub mod quorum_size;
pub mod spread;

use multizone_schema::{Type, Value};

/// One function, called as `provider::multizone::<name>(...)`. Pure: the same arguments give the same result.
pub trait Function: Send + Sync + 'static {
    /// The function's name.
    fn name(&self) -> &'static str;

    /// Its parameters, its result, and what they mean.
    fn definition(&self) -> FunctionDefinition;

    /// Computes the result. The arguments have the parameters' types; those of the variadic parameter follow the others.
    fn call(&self, arguments: Vec<Value>) -> Result<Value, FunctionError>;
}

/// What a function takes and gives.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionDefinition {
    /// One line.
    pub summary: String,
    /// Markdown.
    pub description: String,
    /// In the order of the call.
    pub parameters: Vec<Parameter>,
    /// The parameter that any number of further arguments belong to.
    pub variadic: Option<Parameter>,
    /// The type of the result.
    pub returns: Type,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name in documentation and messages.
    pub name: String,
    /// Its type; arguments are converted to it.
    pub r#type: Type,
    /// Markdown.
    pub description: String,
    /// Whether the function wants to see null; without it Terraform refuses a null argument.
    pub allow_null: bool,
    /// Whether the function wants to see unknown values; without it the result of an unknown argument is unknown.
    pub allow_unknown: bool,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// What is wrong and what would be right.
    pub text: String,
    /// The argument it is about, counted from 0.
    pub argument: Option<i64>,
}

impl FunctionError {
    /// An error about the call as a whole.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: None,
        }
    }

    /// An error about one argument, counted from 0.
    pub fn at(argument: i64, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: Some(argument),
        }
    }
}
