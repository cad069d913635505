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
/// Where an attribute is `sensitive` or `write_only`, `Debug` is derived as well, without its value: leave it out of the
/// other derives. The planned struct's `Debug` leaves such values out in any case.
///
/// Combinations without a meaning do not compile, and the error says what to write instead.
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

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::input::{Input, Role};

    /// The derive's complaints about a model of one field.
    fn complaints(item: &syn::DeriveInput) -> Vec<String> {
        match Input::parse(item, Role::Model) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
        }
    }

    macro_rules! refused {
        ($expected:literal, $($field:tt)*) => {{
            let complaints = complaints(&parse_quote!(struct Disk { $($field)* }));
            assert!(complaints.iter().any(|complaint| complaint.contains($expected)), "{complaints:?}");
        }};
    }

    macro_rules! accepted {
        ($($field:tt)*) => {
            assert_eq!(complaints(&parse_quote!(struct Disk { $($field)* })), Vec::<String>::new());
        };
    }

    #[test]
    fn every_mode_is_accepted() {
        accepted!(#[attribute(required)] name: String);
        accepted!(#[attribute(optional)] name: Option<String>);
        accepted!(#[attribute(computed)] name: String);
        accepted!(#[attribute(computed)] name: Option<String>);
        accepted!(#[attribute(optional, computed)] name: String);
        accepted!(#[attribute(optional, default = "x", requires_replace, validate = check, validate = check2)] name: String);
        accepted!(#[attribute(optional, computed, keep_prior)] name: String);
        accepted!(#[attribute(required, write_only, sensitive)] name: Option<String>);
        accepted!(#[attribute(optional, nested, deprecated = "use other")] name: Option<Vec<Replica>>);
    }

    #[test]
    fn the_mode_is_one_and_fits_the_type() {
        refused!("needs #[attribute(required)]", name: String);
        refused!("say whether the attribute is", #[attribute(sensitive)] name: String);
        refused!("`required` or `optional`, not both", #[attribute(required, optional)] name: String);
        refused!("cannot be `computed`", #[attribute(required, computed)] name: String);
        refused!("is never null", #[attribute(required)] name: Option<String>);
        refused!("nobody could leave it out", #[attribute(required, deprecated = "use other")] name: String);
        refused!("can be null: make the field an Option", #[attribute(optional)] name: String);
    }

    #[test]
    fn a_default_is_for_optional_plain_values() {
        refused!("only an `optional` attribute", #[attribute(required, default = "x")] name: String);
        refused!("only an `optional` attribute", #[attribute(computed, default = "x")] name: String);
        refused!("leave `computed` out", #[attribute(optional, computed, default = "x")] name: String);
        refused!("is never null", #[attribute(optional, default = "x")] name: Option<String>);
        refused!("has no `default`", #[attribute(optional, nested, default = x())] name: Replica);
    }

    #[test]
    fn write_only_values_are_in_no_state() {
        refused!("cannot be `computed`", #[attribute(optional, computed, write_only)] name: Option<String>);
        refused!("null in every state", #[attribute(required, write_only)] name: String);
        refused!("never enters a plan", #[attribute(optional, write_only, default = "x")] name: String);
        refused!("no change of it can be seen", #[attribute(optional, write_only, requires_replace)] name: Option<String>);
        refused!("cannot hold `write_only`", #[attribute(optional, write_only, nested)] name: Option<BTreeSet<Rule>>);
    }

    #[test]
    fn what_the_provider_sets_is_not_configured() {
        refused!("cannot be changed by the configuration", #[attribute(computed, requires_replace)] name: String);
        refused!("nothing to `validate`", #[attribute(computed, validate = check)] name: String);
        refused!("needs `keep_prior`", #[attribute(optional, computed, requires_replace)] name: String);
        accepted!(#[attribute(optional, computed, keep_prior, requires_replace)] name: String);
        refused!("`keep_prior` is for `computed`", #[attribute(required, keep_prior)] name: String);
    }

    #[test]
    fn misspelt_repeated_and_reserved_words_are_refused() {
        refused!("unknown flag", #[attribute(require)] name: String);
        refused!("stands here twice", #[attribute(required, required)] name: String);
        refused!("keeps the name `count`", #[attribute(required)] count: i64);
        refused!("lowercase", #[attribute(required)] Name: String);
        refused!("lowercase", #[attribute(required)] _name: String);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let item = parse_quote!(
            struct Disk {
                #[attribute(required, computed, keep_prior)]
                a: Option<String>,
                b: i64,
            }
        );
        assert_eq!(complaints(&item).len(), 3, "{:?}", complaints(&item));
    }

    #[test]
    fn only_structs_with_named_fields_are_objects() {
        assert!(
            complaints(&parse_quote!(
                enum Disk {
                    A,
                }
            ))[0]
                .contains("only a struct")
        );
        assert!(
            complaints(&parse_quote!(
                struct Disk(String);
            ))[0]
                .contains("needs named fields")
        );
        assert!(
            complaints(&parse_quote!(
                struct Disk<T> {
                    #[attribute(required)]
                    a: T,
                }
            ))[0]
                .contains("no generic")
        );
        let versioned = parse_quote!(
            #[model(version = 1)]
            struct Replica {
                #[attribute(required)]
                a: i64,
            }
        );
        assert!(Input::parse(&versioned, Role::Nested).is_err());
        assert_eq!(
            Input::parse(&versioned, Role::Model).map(|input| input.version).ok(),
            Some(1)
        );
    }
}
