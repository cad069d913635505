//! The plan of one object: a pure function of schema, configuration and prior state.
//!
//! Terraform calls it twice (at plan and again during apply) and compares, so nothing here looks at the world.
//!
//! 1. What the configuration sets is planned as it is. What it leaves out is its default, or for computed attributes
//!    what it was before. Write-only values are null.
//! 2. If that differs from the prior state anywhere, computed attributes that are left out and have no default are
//!    unknown, except those that keep their prior value.
//!
//! Elements of nested maps are compared with their predecessors by key and those of lists by index. A set's elements
//! have no name: each is compared with the prior element that has the same configured values.
//!
//! Objects that did not exist before have no prior values: their computed attributes are unknown. So `keep_prior`
//! applies to an element that already existed; in a list, where an insertion shifts the elements, only to one whose
//! configured values have not changed.

mod keep;
mod merge;
mod replace;

use std::collections::BTreeMap;

use crate::schema::Schema;
use crate::value::Value;

pub use replace::requires_replace;

/// Plans one object: the values after apply, unknown where only apply can tell.
///
/// `prior` is null for a creation. `proposed` is Terraform's own merge of configuration and prior state; it is null for
/// a destruction, whose plan is null. Otherwise it is not needed: the merge is made here again, because Terraform's
/// does not tell which values of a set's elements the configuration left out.
pub fn propose(schema: &Schema, config: &Value, prior: &Value, proposed: &Value) -> Value {
    if proposed.is_null() {
        return Value::Null;
    }
    let (Value::Object(config), prior) = (config.peeled(), prior.as_object()) else {
        // Terraform configures objects; there is nothing to plan with.
        return proposed.clone();
    };
    let merged = merge::object(&schema.attributes, config, prior);
    if prior == Some(&merged) {
        return Value::Object(merged);
    }
    Value::Object(keep::object(&schema.attributes, config, merged, prior))
}

type Object = BTreeMap<String, Value>;

/// The value of an attribute; null when the object does not have it.
fn attribute<'a>(object: Option<&'a Object>, name: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    object.and_then(|object| object.get(name)).unwrap_or(&NULL)
}
