//! What the API server refuses to store.

mod kinds;
mod metadata;
mod quantity;
mod structure;

use serde_json::Value;

use crate::resources::Resource;
use crate::status::Cause;

pub(crate) use kinds::change;
pub(crate) use quantity::bytes_of;
pub(crate) use structure::structure;

/// Everything wrong with an object.
pub(crate) fn object(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata::check(resource, object, &mut causes);
    kinds::check(resource, object, &mut causes);
    causes
}
