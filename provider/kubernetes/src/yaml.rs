//! Writing YAML documents the way people and strict parsers both read them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// One YAML document of a Kubernetes object, ending in a newline.
pub(crate) fn document(object: &Value) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = serde_saphyr::to_string_with_options(&Object(object), options)
        .expect("maps with text keys, lists and scalars always serialise");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// An object with its version and kind first, as everybody writes it; the other fields by name.
struct Object<'a>(&'a Value);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = Map::new();
        let fields = self.0.as_object().unwrap_or(&empty);
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| match name.as_str() {
            "apiVersion" => (0, ""),
            "kind" => (1, ""),
            "metadata" => (2, ""),
            other => (3, other),
        });
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Several documents with `---` between them.
pub(crate) fn documents(parts: &[String]) -> String {
    parts.join("---\n")
}
