//! Values in msgpack, as they go over the wire.
//!
//! Null is nil. Any extension means unknown (Terraform may add refinements of an unknown value, which may be ignored).
//! A dynamic value is the array of its type (JSON, as binary) and itself. A number is an integer, a double, or a
//! decimal string when neither holds it exactly. Objects and maps are maps with string keys; lists, sets and tuples
//! are arrays.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::{Unknowns, encode};
