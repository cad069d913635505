//! Terraform's types, values, schemas, plans and codecs, without any I/O.
//!
//! A served object is a plain struct with [`derive(Model)`](derive@Model): its doc comments are the documentation, its
//! fields are what state holds, and the derived `…Planned` struct is the same object where any value may be null or
//! unknown. Everything else works on [`Schema`] and [`Value`]: the codecs ([`msgpack`], [`json`]), the plan
//! ([`plan`]), validation ([`validate`]), state upgrades ([`upgrade`]) and the documentation pages ([`docs`]).
//!
//! ```
//! use multizone_schema::{Model, PlannedModel, Planned};
//!
//! /// A zonal disk.
//! #[derive(Model, Clone, Debug, PartialEq)]
//! struct Disk {
//!     /// Size in GiB.
//!     #[attribute(required)]
//!     size_gb: i64,
//!     /// Identity of the disk.
//!     #[attribute(computed, keep_prior)]
//!     id: String,
//! }
//!
//! let planned = DiskPlanned { size_gb: 5.into(), id: Planned::Unknown };
//! let errors = planned.into_known().unwrap_err();
//! assert_eq!(errors.iter().next().unwrap().path, Some("id".into()));
//! ```
//!
//! What makes no sense does not compile:
//!
//! ```compile_fail
//! # use multizone_schema::{Model, PlannedModel, Planned};
//! /// A zonal disk.
//! #[derive(Model, Clone, Debug, PartialEq)]
//! struct Disk {
//!     /// Size in GiB.
//!     #[attribute(required, computed)]
//!     size_gb: i64,
//! }
//! ```
//!
//! Nor does a set of objects that only an address can tell apart, or a `Debug` that would print a secret:
//!
//! ```compile_fail,E0080
//! # use std::collections::BTreeSet;
//! # use multizone_schema::{Model, Nested, PlannedModel, Planned};
//! /// A rule.
//! #[derive(Nested, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
//! struct Rule {
//!     /// The port.
//!     #[attribute(required, requires_replace)]
//!     port: i64,
//! }
//! /// A firewall.
//! #[derive(Model, Clone, Debug, PartialEq)]
//! struct Firewall {
//!     /// Rules.
//!     #[attribute(required, nested)]
//!     rules: BTreeSet<Rule>,
//! }
//! ```
//!
//! ```compile_fail,E0119
//! # use multizone_schema::{Model, PlannedModel, Planned};
//! /// A user.
//! #[derive(Model, Clone, Debug, PartialEq)]
//! struct User {
//!     /// The password.
//!     #[attribute(required, sensitive)]
//!     password: String,
//! }
//! ```

// The derives name this crate by its path, also inside its own tests.
#[allow(unused_extern_crates)]
extern crate self as multizone_schema;

pub mod attribute;
pub mod check;
pub mod codec;
pub mod diagnostic;
pub mod docs;
pub mod field;
pub mod json;
pub mod model;
pub mod msgpack;
pub mod number;
pub mod path;
pub mod plan;
pub mod planned;
pub mod schema;
pub mod types;
pub mod upgrade;
pub mod validate;
pub mod value;

pub use attribute::{Attribute, AttributeKind, Mode, Validator};
pub use codec::{DecodeError, DecodeReason, EncodeError, EncodeReason};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use field::{Field, PlainField};
pub use model::{Model, Nested, PlannedModel, PlannedOf};
pub use multizone_schema_derive::{Model, Nested};
pub use number::Number;
pub use path::{Path, PathStep};
pub use planned::Planned;
pub use schema::Schema;
pub use types::Type;
pub use value::Value;
