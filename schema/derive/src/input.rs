//! The struct that a derive is on.

use proc_macro2::Span;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Fields, Ident, Lit, LitInt, Meta, Result, Type, Visibility,
};

use crate::options::Options;
use crate::shape::Shape;

/// Which derive it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Model,
    Nested,
}

/// Names that Terraform keeps for itself at the top level of a block.
const RESERVED: [&str; 7] = [
    "connection",
    "count",
    "depends_on",
    "for_each",
    "lifecycle",
    "provider",
    "provisioner",
];

pub(crate) struct Input {
    pub(crate) role: Role,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) description: String,
    pub(crate) version: i64,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
    /// The attribute's name: the field's, without `r#`.
    pub(crate) name: String,
    pub(crate) type_: Type,
    pub(crate) shape: Shape,
    pub(crate) description: String,
    pub(crate) options: Options,
}

impl Input {
    pub(crate) fn parse(item: &DeriveInput, role: Role) -> Result<Self> {
        let Data::Struct(data) = &item.data else {
            return Err(Error::new_spanned(
                &item.ident,
                "only a struct can be an object of a schema",
            ));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(Error::new_spanned(
                &item.ident,
                "the struct needs named fields: they are the attributes",
            ));
        };
        if let Some(parameter) = item.generics.params.first() {
            return Err(Error::new_spanned(
                parameter,
                "a schema is one concrete type: no generic parameters",
            ));
        }
        let version = version(&item.attrs, role)?;
        let mut fields = Vec::new();
        let mut problems: Option<Error> = None;
        for field in &named.named {
            match Field::parse(field, role) {
                Ok(field) => fields.push(field),
                Err(error) => match &mut problems {
                    Some(problems) => problems.combine(error),
                    None => problems = Some(error),
                },
            }
        }
        problems.map_or(Ok(()), Err)?;
        Ok(Self {
            role,
            visibility: item.vis.clone(),
            name: item.ident.clone(),
            description: documentation(&item.attrs),
            version,
            fields,
        })
    }
}

impl Field {
    fn parse(field: &syn::Field, role: Role) -> Result<Self> {
        let ident = field
            .ident
            .clone()
            .ok_or_else(|| Error::new_spanned(field, "the field needs a name"))?;
        let name = ident.to_string().trim_start_matches("r#").to_owned();
        if role == Role::Model && RESERVED.contains(&name.as_str()) {
            return Err(Error::new(
                ident.span(),
                format!("Terraform keeps the name `{name}` for itself"),
            ));
        }
        let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
        if !starts_well
            || !name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            return Err(Error::new(
                ident.span(),
                "an attribute's name is a lowercase letter, then lowercase letters, digits and underscores",
            ));
        }
        let shape = Shape::of(&field.ty);
        let options = Options::parse(&field.attrs, ident.span())?;
        options.check(&shape, ident.span())?;
        Ok(Self {
            visibility: field.vis.clone(),
            name,
            type_: field.ty.clone(),
            shape,
            description: documentation(&field.attrs),
            options,
            ident,
        })
    }
}

/// The version from `#[model(version = 1)]`.
fn version(attributes: &[Attribute], role: Role) -> Result<i64> {
    let mut version = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("model")) {
        if role == Role::Nested {
            return Err(Error::new_spanned(
                attribute,
                "a nested object has no version of its own",
            ));
        }
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("version") {
                return Err(meta.error("the only setting here is `version = NUMBER`"));
            }
            let number: LitInt = meta.value()?.parse()?;
            if version.replace(number.base10_parse::<i64>()?).is_some() {
                return Err(meta.error("`version` stands here twice"));
            }
            Ok(())
        })?;
    }
    Ok(version.unwrap_or(0))
}

/// The doc comment's text: lines as written, without the space after `///`.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

impl Input {
    /// The name of the planned form.
    pub(crate) fn planned(&self) -> Ident {
        Ident::new(
            &format!("{}Planned", self.name),
            Span::call_site().located_at(self.name.span()),
        )
    }
}
