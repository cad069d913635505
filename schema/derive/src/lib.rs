//! The derives of `multizone-schema`: one struct gives the schema, the codec, the planned form and the documentation.
//!
//! See [`derive@Model`] for the attributes.

mod expand;
mod input;
mod options;
mod shape;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Model` for a struct with named fields, and a struct `…Planned` beside it.
///
/// The struct's doc comment describes the object, each field's doc comment its attribute. `#[model(version = 1)]` sets
/// the schema's version (0 otherwise). Every field has an `#[attribute(…)]` with one of
///
/// - `required`: the configuration sets it. The field is not an `Option`.
/// - `optional`: the configuration may set it. The field is an `Option`, or has a `default`.
/// - `computed`: the provider sets it.
/// - `optional, computed`: the configuration may set it, the provider does otherwise.
///
/// and any of
///
/// - `nested`: the field is a struct with `derive(Nested)`, or an `Option`, `Vec`, `BTreeSet` or `BTreeMap<String, _>` of one.
/// - `default = EXPRESSION`: the value when the configuration sets none, of the field's type (or a string literal).
/// - `validate = FUNCTION`: a `fn(&Value, &Path, &mut Diagnostics)`, called for values that are known and not null. May
///   be repeated.
/// - `requires_replace`: a change means a new object.
/// - `keep_prior`: a computed value stays the same in an update.
/// - `sensitive`, `deprecated = "use … instead"`.
/// - `write_only`: the value never enters plan or state; the field is an `Option` and always `None` in the model.
///
/// Combinations without a meaning do not compile:
///
/// ```compile_fail
/// #[derive(multizone_schema::Model, Clone)]
/// struct Disk {
///     #[attribute(required, computed)]
///     id: String,
/// }
/// ```
#[proc_macro_derive(Model, attributes(model, attribute))]
pub fn derive_model(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    derive(&item, input::Role::Model)
}

/// Derives `Nested` for a struct that is an object inside another: as [`derive@Model`], without a version.
#[proc_macro_derive(Nested, attributes(model, attribute))]
pub fn derive_nested(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    derive(&item, input::Role::Nested)
}

fn derive(item: &DeriveInput, role: input::Role) -> TokenStream {
    input::Input::parse(item, role)
        .map_or_else(|error| error.to_compile_error(), |input| expand::expand(&input))
        .into()
}
