//! The generated code.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit};

use crate::input::{Field, Input, Role};
use crate::shape::Container;

pub(crate) fn expand(input: &Input) -> TokenStream {
    let planned_struct = planned_struct(input);
    let debug = debug(input);
    let codec = codec(input);
    let planned_codec = planned_codec(input);
    let description = description(input);
    quote! {
        #planned_struct
        #debug
        #codec
        #planned_codec
        #description
    }
}

/// The struct where any value may be null or unknown.
fn planned_struct(input: &Input) -> TokenStream {
    let Input { visibility, name, .. } = input;
    let planned = input.planned();
    let documentation = format!("[`{name}`] in a configuration or plan: any value may be null or unknown.");
    let fields = input.fields.iter().map(|field| {
        let Field {
            visibility,
            ident,
            type_,
            description,
            ..
        } = field;
        let known = quote_spanned!(type_.span()=> <#type_ as ::multizone_schema::Field>::Known);
        quote! {
            #[doc = #description]
            #visibility #ident: ::multizone_schema::Planned<#known>
        }
    });
    quote! {
        #[doc = #documentation]
        #[derive(Clone, Default, PartialEq)]
        #visibility struct #planned { #(#fields,)* }
    }
}

/// `Debug` for the planned struct, without secrets; for the struct itself too, where it has any. A derived one would
/// print them, so it then conflicts with this one.
fn debug(input: &Input) -> TokenStream {
    let name = &input.name;
    let planned = input.planned();
    let of_planned = input.fields.iter().map(|field| {
        let Field { ident, name, .. } = field;
        if field.options.is_secret() {
            quote!(.field(#name, &self.#ident.as_ref().map(|_| ::core::format_args!("(sensitive)"))))
        } else {
            quote!(.field(#name, &self.#ident))
        }
    });
    let of_planned = quote! {
        #[automatically_derived]
        impl ::core::fmt::Debug for #planned {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(::core::stringify!(#planned))#(#of_planned)*.finish()
            }
        }
    };
    if !input.fields.iter().any(|field| field.options.is_secret()) {
        return of_planned;
    }
    let of_itself = input.fields.iter().map(|field| {
        let Field { ident, name, shape, .. } = field;
        match (field.options.is_secret(), shape.optional) {
            (true, true) => {
                quote!(.field(#name, &self.#ident.as_ref().map(|_| ::core::format_args!("(sensitive)"))))
            }
            (true, false) => quote!(.field(#name, &::core::format_args!("(sensitive)"))),
            (false, _) => quote!(.field(#name, &self.#ident)),
        }
    });
    quote! {
        #of_planned

        #[automatically_derived]
        impl ::core::fmt::Debug for #name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.debug_struct(::core::stringify!(#name))#(#of_itself)*.finish()
            }
        }
    }
}

/// `Field` for the struct.
fn codec(input: &Input) -> TokenStream {
    let name = &input.name;
    let planned = input.planned();
    let idents: Vec<_> = input.fields.iter().map(|field| &field.ident).collect();
    let names: Vec<_> = input.fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = input.fields.iter().map(|field| &field.type_).collect();
    quote! {
        #[automatically_derived]
        impl ::multizone_schema::Field for #name {
            type Known = #planned;

            fn encode(&self) -> ::multizone_schema::Value {
                ::multizone_schema::Value::Object(::std::collections::BTreeMap::from([
                    #((::std::string::String::from(#names), ::multizone_schema::Field::encode(&self.#idents)),)*
                ]))
            }

            fn decode(
                value: &::multizone_schema::Value,
            ) -> ::core::result::Result<Self, ::multizone_schema::Diagnostics> {
                let object = ::multizone_schema::model::derived::object(value)?;
                let mut diagnostics = ::multizone_schema::Diagnostics::new();
                #(let #idents = ::multizone_schema::model::derived::decode::<#types>(object, #names, &mut diagnostics);)*
                let (#(::core::option::Option::Some(#idents),)*) = (#(#idents,)*) else {
                    return ::core::result::Result::Err(diagnostics);
                };
                ::core::result::Result::Ok(Self { #(#idents,)* })
            }

            fn encode_known(known: &#planned) -> ::multizone_schema::Value {
                ::multizone_schema::Value::Object(::std::collections::BTreeMap::from([
                    #((
                        ::std::string::String::from(#names),
                        ::multizone_schema::model::derived::encode_planned::<#types>(&known.#idents),
                    ),)*
                ]))
            }

            fn decode_known(
                value: &::multizone_schema::Value,
            ) -> ::core::result::Result<#planned, ::multizone_schema::Diagnostics> {
                let object = ::multizone_schema::model::derived::object(value)?;
                let mut diagnostics = ::multizone_schema::Diagnostics::new();
                #(
                    let #idents =
                        ::multizone_schema::model::derived::decode_known::<#types>(object, #names, &mut diagnostics);
                )*
                let (#(::core::option::Option::Some(#idents),)*) = (#(#idents,)*) else {
                    return ::core::result::Result::Err(diagnostics);
                };
                ::core::result::Result::Ok(#planned { #(#idents,)* })
            }

            fn into_planned(self) -> ::multizone_schema::Planned<#planned> {
                ::multizone_schema::Planned::Known(self.into())
            }

            fn from_planned(
                planned: ::multizone_schema::Planned<#planned>,
            ) -> ::core::result::Result<Self, ::multizone_schema::Diagnostics> {
                let planned = ::multizone_schema::model::derived::require(planned)?;
                let mut diagnostics = ::multizone_schema::Diagnostics::new();
                #(
                    let #idents = ::multizone_schema::model::derived::keep(
                        #names,
                        <#types as ::multizone_schema::Field>::from_planned(planned.#idents),
                        &mut diagnostics,
                    );
                )*
                let (#(::core::option::Option::Some(#idents),)*) = (#(#idents,)*) else {
                    return ::core::result::Result::Err(diagnostics);
                };
                ::core::result::Result::Ok(Self { #(#idents,)* })
            }
        }
    }
}

/// `PlannedModel` and `From` for the planned struct.
fn planned_codec(input: &Input) -> TokenStream {
    let name = &input.name;
    let planned = input.planned();
    let idents: Vec<_> = input.fields.iter().map(|field| &field.ident).collect();
    quote! {
        #[automatically_derived]
        impl ::core::convert::From<#name> for #planned {
            fn from(model: #name) -> Self {
                Self { #(#idents: ::multizone_schema::Field::into_planned(model.#idents),)* }
            }
        }

        #[automatically_derived]
        impl ::multizone_schema::PlannedModel for #planned {
            type Model = #name;
        }
    }
}

/// `Model` or `Nested`: the schema.
fn description(input: &Input) -> TokenStream {
    let Input {
        name,
        description,
        version,
        ..
    } = input;
    let planned = input.planned();
    let attributes = input.fields.iter().map(attribute);
    let attributes = quote!(::std::vec![#(#attributes,)*]);
    let sets = input.fields.iter().filter_map(set_of_addressed);
    match input.role {
        Role::Model => quote! {
            #(#sets)*

            #[automatically_derived]
            impl ::multizone_schema::Model for #name {
                type Planned = #planned;

                fn schema() -> ::multizone_schema::Schema {
                    ::multizone_schema::Schema {
                        version: #version,
                        description: ::std::string::String::from(#description),
                        attributes: #attributes,
                    }
                }
            }
        },
        Role::Nested => {
            let write_only = input
                .fields
                .iter()
                .map(|field| holds(field, field.options.write_only, "WRITE_ONLY"));
            let requires_replace = input
                .fields
                .iter()
                .map(|field| holds(field, field.options.requires_replace, "REQUIRES_REPLACE"));
            quote! {
                #(#sets)*

                #[automatically_derived]
                impl ::multizone_schema::Nested for #name {
                    const WRITE_ONLY: bool = false #(|| #write_only)*;
                    const REQUIRES_REPLACE: bool = false #(|| #requires_replace)*;

                    fn attributes() -> ::std::vec::Vec<::multizone_schema::Attribute> {
                        #attributes
                    }
                }
            }
        }
    }
}

/// Whether a field, or something inside it, has the flag.
fn holds(field: &Field, flag: Option<Span>, constant: &str) -> TokenStream {
    if flag.is_some() {
        return quote!(true);
    }
    // What is inside a computed attribute is reported there, whatever it is elsewhere.
    if field.options.nested.is_none() || field.options.is_reported() {
        return quote!(false);
    }
    let inner = &field.shape.inner;
    let constant = Ident::new(constant, inner.span());
    quote_spanned!(inner.span()=> <#inner as ::multizone_schema::Nested>::#constant)
}

/// Refuses a set whose elements hold what only an element with an address can.
fn set_of_addressed(field: &Field) -> Option<TokenStream> {
    let options = &field.options;
    if options.nested.is_none() || options.is_reported() || field.shape.container != Container::Set {
        return None;
    }
    let inner = &field.shape.inner;
    Some(quote_spanned! {inner.span()=>
        const _: () = {
            ::core::assert!(
                !<#inner as ::multizone_schema::Nested>::WRITE_ONLY,
                "a set cannot hold `write_only` values: use a map or a list"
            );
            ::core::assert!(
                !<#inner as ::multizone_schema::Nested>::REQUIRES_REPLACE,
                "an element of a set has no address, so that no change of it can be a reason for a new object: use a map or a list"
            );
        };
    })
}

fn attribute(field: &Field) -> TokenStream {
    let Field {
        name,
        type_,
        shape,
        description,
        options,
        ..
    } = field;
    let mode = match (options.required, options.optional, options.computed) {
        (Some(_), ..) => quote!(Required),
        // Terraform lets a provider plan a value for what the configuration leaves out only when it is computed.
        (None, Some(_), None) if options.default.is_some() => quote!(OptionalComputed),
        (None, Some(_), None) => quote!(Optional),
        (None, Some(_), Some(_)) => quote!(OptionalComputed),
        (None, None, _) => quote!(Computed),
    };
    let kind = if options.nested.is_some() {
        let container = match shape.container {
            Container::Single => quote!(Single),
            Container::List => quote!(List),
            Container::Set => quote!(Set),
            Container::Map => quote!(Map),
        };
        let inner = &shape.inner;
        let mut attributes = quote_spanned!(inner.span()=> <#inner as ::multizone_schema::Nested>::attributes());
        if options.is_reported() {
            attributes = quote!(::multizone_schema::attribute::computed_only(#attributes));
        }
        quote!(#container(#attributes))
    } else {
        let whole = &shape.whole;
        let type_ = quote_spanned!(whole.span()=> <#whole as ::multizone_schema::PlainField>::type_());
        quote!(Plain(#type_))
    };
    let sensitive = options.sensitive.is_some();
    let write_only = options.write_only.is_some();
    let requires_replace = options.requires_replace.is_some();
    let keep_prior = options.keep_prior.is_some();
    let deprecated = options.deprecated.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |(_, text)| quote!(::core::option::Option::Some(::std::string::String::from(#text))),
    );
    let default = options.default.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |(_, value)| {
            let value = default(value);
            quote_spanned!(value.span()=> {
                let default: #type_ = #value;
                ::core::option::Option::Some(::multizone_schema::Field::encode(&default))
            })
        },
    );
    let validators = options.validators.iter().map(|(_, validator)| {
        quote_spanned!(validator.span()=> { let validator: ::multizone_schema::Validator = #validator; validator })
    });
    quote! {
        ::multizone_schema::Attribute {
            name: ::std::string::String::from(#name),
            kind: ::multizone_schema::AttributeKind::#kind,
            description: ::std::string::String::from(#description),
            mode: ::multizone_schema::Mode::#mode,
            sensitive: #sensitive,
            write_only: #write_only,
            deprecated: #deprecated,
            default: #default,
            requires_replace: #requires_replace,
            keep_prior: #keep_prior,
            validators: ::std::vec![#(#validators,)*],
        }
    }
}

/// A string literal becomes a `String`; everything else has the field's type already.
fn default(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => quote!(::std::string::String::from(#text)),
        other => quote!(#other),
    }
}
