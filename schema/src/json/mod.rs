//! Values in JSON, as state files hold them.
//!
//! As in msgpack, except that there are no unknown values, and that a dynamic value is the object
//! `{"value": …, "type": …}`. Numbers keep all their digits.

mod decode;
mod encode;
mod reader;

pub use decode::{Extra, decode};
pub use encode::encode;
