//! Writing YAML documents the way people and strict parsers both read them.

use serde::Serialize;

/// One YAML document, ending in a newline.
///
/// Only for values made of maps with text keys, lists and scalars: those always serialise.
pub(crate) fn document(value: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = serde_saphyr::to_string_with_options(value, options)
        .expect("maps with text keys, lists and scalars always serialise");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Several documents with `---` between them.
pub(crate) fn documents(parts: &[String]) -> String {
    parts.join("---\n")
}
