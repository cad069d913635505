//! What the codecs share: their errors, and the value's methods.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::{Path, PathStep};
use crate::types::{MAX_DEPTH, Type};
use crate::value::Value;
use crate::{json, msgpack};

/// Why bytes were refused, and at which value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", shortened(format!("{}{reason}", at(path))))]
pub struct DecodeError {
    /// The value that could not be read.
    pub path: Path,
    /// What is wrong with it.
    pub reason: DecodeReason,
}

/// What is wrong with encoded bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// The bytes end in the middle of a value.
    #[error("the value is cut off")]
    CutOff,
    /// There are bytes after the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The bytes are no msgpack or JSON at all.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A value of another type.
    #[error("{wanted} is required, but the value is {found}")]
    Mismatch {
        /// The type of the schema.
        wanted: String,
        /// What the bytes hold.
        found: &'static str,
    },
    /// A number that is none or has too many digits.
    #[error(transparent)]
    Number(#[from] crate::number::ParseNumberError),
    /// The type of a dynamic value.
    #[error("the type of a dynamic value: {0}")]
    Type(#[from] crate::types::TypeError),
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8")]
    Utf8,
    /// An attribute that the object's type does not have.
    #[error("there is no attribute {0:?}")]
    UnknownAttribute(String),
    /// An attribute that the object's type has and the value has not.
    #[error("the attribute {0:?} is missing")]
    MissingAttribute(String),
    /// The same key twice.
    #[error("the key {0:?} occurs twice")]
    Duplicate(String),
    /// A tuple of another length.
    #[error("{wanted} elements are required, but there are {found}")]
    Length {
        /// The length of the type.
        wanted: usize,
        /// The length of the value.
        found: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the value is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// Why a value could not be encoded: which value, and what it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", at(path))]
pub struct EncodeError {
    /// The value that could not be written.
    pub path: Path,
    /// What is wrong with it.
    pub reason: EncodeReason,
}

/// What is wrong with a value to be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeReason {
    /// A value of another type.
    #[error("{wanted} is required, but the value is {found}")]
    Mismatch {
        /// The type of the schema.
        wanted: String,
        /// What the value is.
        found: &'static str,
    },
    /// An unknown value where only known ones can be: in state, and in JSON.
    #[error("the value is unknown, but must be known here")]
    Unknown,
    /// An attribute that the object's type does not have.
    #[error("the schema has no attribute {0:?}")]
    UnknownAttribute(String),
    /// An attribute that the object's type has and the value has not.
    #[error("the attribute {0:?} is missing")]
    MissingAttribute(String),
    /// A tuple of another length.
    #[error("{wanted} elements are required, but there are {found}")]
    Length {
        /// The length of the type.
        wanted: usize,
        /// The length of the value.
        found: usize,
    },
    /// An infinity, which JSON cannot hold.
    #[error("JSON has no number for {0}")]
    Infinite(String),
}

/// The most bytes that a message quotes of a value.
const LONGEST: usize = 600;

/// A message that quotes what came from outside, where that is not too long to be read.
pub(crate) fn shortened(mut message: String) -> String {
    if message.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|end| message.is_char_boundary(*end))
            .unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

fn at(path: &Path) -> String {
    if path.is_root() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl From<DecodeReason> for DecodeError {
    fn from(reason: DecodeReason) -> Self {
        Self {
            path: Path::root(),
            reason,
        }
    }
}

impl From<EncodeReason> for EncodeError {
    fn from(reason: EncodeReason) -> Self {
        Self {
            path: Path::root(),
            reason,
        }
    }
}

impl DecodeError {
    /// The same error seen from one level further out.
    #[must_use]
    pub(crate) fn inside(self, outer: PathStep) -> Self {
        Self {
            path: self.path.inside(outer),
            reason: self.reason,
        }
    }
}

impl EncodeError {
    /// The same error seen from one level further out.
    #[must_use]
    pub(crate) fn inside(self, outer: PathStep) -> Self {
        Self {
            path: self.path.inside(outer),
            reason: self.reason,
        }
    }

    pub(crate) fn mismatch(wanted: &Type, found: &Value) -> Self {
        EncodeReason::Mismatch {
            wanted: wanted.to_string(),
            found: found.kind(),
        }
        .into()
    }
}

impl From<DecodeError> for Diagnostics {
    fn from(error: DecodeError) -> Self {
        let detail = format!(
            "Terraform sent a value that does not fit the schema: {error}. Run `terraform init -upgrade` if Terraform or the provider changed; otherwise report this."
        );
        Diagnostic::error("Value cannot be read", detail).at(error.path).into()
    }
}

impl From<EncodeError> for Diagnostics {
    fn from(error: EncodeError) -> Self {
        let detail = format!("{error}. This is an error in the provider; please report it.");
        Diagnostic::error("Value cannot be written", detail)
            .at(error.path)
            .into()
    }
}

/// The step to the element at `index`.
pub(crate) fn index_step(index: usize) -> PathStep {
    PathStep::Index(i64::try_from(index).unwrap_or(i64::MAX))
}

impl Value {
    /// Reads what Terraform sent: a configuration, plan or state of this type.
    pub fn from_msgpack(bytes: &[u8], type_: &Type) -> Result<Self, DecodeError> {
        msgpack::decode(bytes, type_)
    }

    /// Writes a configuration or plan, which may hold unknown values.
    pub fn to_msgpack(&self, type_: &Type) -> Result<Vec<u8>, EncodeError> {
        msgpack::encode(self, type_, msgpack::Unknowns::Allowed)
    }

    /// Writes a state: as [`Value::to_msgpack`], but an unknown value is refused with its path.
    pub fn to_state(&self, type_: &Type) -> Result<Vec<u8>, EncodeError> {
        msgpack::encode(self, type_, msgpack::Unknowns::Refused)
    }

    /// Reads a value in JSON, as state files hold it. Attributes that are left out are null; ones that the type does
    /// not have are refused.
    pub fn from_json(bytes: &[u8], type_: &Type) -> Result<Self, DecodeError> {
        json::decode(bytes, type_, json::Extra::Refused)
    }

    /// Reads a state in JSON that an earlier version of the schema may have written: as [`Value::from_json`], but
    /// attributes that the type does not have are ignored.
    pub fn from_state_json(bytes: &[u8], type_: &Type) -> Result<Self, DecodeError> {
        json::decode(bytes, type_, json::Extra::Ignored)
    }

    /// Writes the value in JSON. Unknown values are refused with their path: JSON has none.
    pub fn to_json(&self, type_: &Type) -> Result<Vec<u8>, EncodeError> {
        json::encode(self, type_)
    }
}
