//! The flags of one `#[attribute(…)]`, and which of them go together.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Expr, LitStr, Result};

use crate::shape::{Container, Shape};

/// The flags of one field, each with the place where it stands.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) required: Option<Span>,
    pub(crate) optional: Option<Span>,
    pub(crate) computed: Option<Span>,
    pub(crate) nested: Option<Span>,
    pub(crate) sensitive: Option<Span>,
    pub(crate) write_only: Option<Span>,
    pub(crate) requires_replace: Option<Span>,
    pub(crate) keep_prior: Option<Span>,
    pub(crate) default: Option<(Span, Expr)>,
    pub(crate) deprecated: Option<(Span, LitStr)>,
    pub(crate) validators: Vec<(Span, Expr)>,
}

impl Options {
    /// Reads a field's attributes; `field` is where to complain when there are none.
    pub(crate) fn parse(attributes: &[Attribute], field: Span) -> Result<Self> {
        let mut options = Self::default();
        let mut found = false;
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("attribute"))
        {
            found = true;
            attribute.parse_nested_meta(|meta| options.flag(&meta))?;
        }
        if found {
            Ok(options)
        } else {
            Err(Error::new(
                field,
                "this field needs #[attribute(required)], (optional), (computed) or (optional, computed)",
            ))
        }
    }

    /// Whether the value must not be printed.
    pub(crate) fn is_secret(&self) -> bool {
        self.sensitive.is_some() || self.write_only.is_some()
    }

    /// Whether only the provider sets it.
    pub(crate) fn is_reported(&self) -> bool {
        self.required.is_none() && self.optional.is_none()
    }

    fn flag(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let place = meta.path.get_ident().map_or_else(Span::call_site, syn::Ident::span);
        let twice = || meta.error(format!("`{name}` stands here twice"));
        let flag = match name.as_str() {
            "required" => &mut self.required,
            "optional" => &mut self.optional,
            "computed" => &mut self.computed,
            "nested" => &mut self.nested,
            "sensitive" => &mut self.sensitive,
            "write_only" => &mut self.write_only,
            "requires_replace" => &mut self.requires_replace,
            "keep_prior" => &mut self.keep_prior,
            "default" => {
                let value = meta.value()?.parse()?;
                return self.default.replace((place, value)).map_or(Ok(()), |_| Err(twice()));
            }
            "deprecated" => {
                let value = meta.value()?.parse()?;
                return self.deprecated.replace((place, value)).map_or(Ok(()), |_| Err(twice()));
            }
            "validate" => {
                self.validators.push((place, meta.value()?.parse()?));
                return Ok(());
            }
            _ => {
                return Err(meta.error(
                    "unknown flag; there are required, optional, computed, nested, default, validate, sensitive, \
                     write_only, requires_replace, keep_prior and deprecated",
                ));
            }
        };
        flag.replace(place).map_or(Ok(()), |_| Err(twice()))
    }

    /// Refuses combinations that have no meaning, all of them at once.
    pub(crate) fn check(&self, shape: &Shape, field: Span) -> Result<()> {
        let mut problems = Problems { field, first: None };
        self.check_mode(shape, &mut problems);
        self.check_default(shape, &mut problems);
        self.check_write_only(shape, &mut problems);
        self.check_computed(&mut problems);
        problems.first.map_or(Ok(()), Err)
    }

    fn check_mode(&self, shape: &Shape, problems: &mut Problems) {
        if self.required.is_some() {
            if self.optional.is_some() {
                problems.add(self.optional, "an attribute is `required` or `optional`, not both");
            }
            if self.computed.is_some() {
                problems.add(
                    self.computed,
                    "a `required` attribute comes from the configuration and cannot be `computed`",
                );
            }
            if let Some((place, _)) = self.deprecated {
                problems.add(
                    Some(place),
                    "a `required` attribute cannot be `deprecated`: nobody could leave it out",
                );
            }
            if shape.optional && self.write_only.is_none() {
                problems.add(None, "a `required` attribute is never null: the field is no Option");
            }
        } else if self.optional.is_none() && self.computed.is_none() {
            problems.add(
                None,
                "say whether the attribute is `required`, `optional`, `computed` or `optional, computed`",
            );
        }
        if self.optional.is_some() && self.computed.is_none() && self.default.is_none() && !shape.optional {
            problems.add(
                self.optional,
                "an `optional` attribute can be null: make the field an Option, give it a `default`, or add `computed`",
            );
        }
    }

    fn check_default(&self, shape: &Shape, problems: &mut Problems) {
        let Some((place, _)) = self.default else { return };
        if self.optional.is_none() {
            problems.add(Some(place), "only an `optional` attribute can have a `default`");
        }
        if self.computed.is_some() {
            problems.add(
                self.computed,
                "an attribute with a `default` is computed for Terraform anyway: leave `computed` out",
            );
        }
        if shape.optional {
            problems.add(
                Some(place),
                "an attribute with a `default` is never null: the field is no Option",
            );
        }
        if self.nested.is_some() {
            problems.add(
                Some(place),
                "a `nested` attribute has no `default`; its own attributes may",
            );
        }
    }

    fn check_write_only(&self, shape: &Shape, problems: &mut Problems) {
        let Some(place) = self.write_only else { return };
        if self.computed.is_some() {
            problems.add(
                Some(place),
                "a `write_only` value comes from the configuration and cannot be `computed`",
            );
        }
        if self.default.is_some() {
            problems.add(
                Some(place),
                "a `write_only` attribute has no `default`: it never enters a plan",
            );
        }
        if self.requires_replace.is_some() {
            problems.add(
                self.requires_replace,
                "a `write_only` value is in no state, so that no change of it can be seen",
            );
        }
        if !shape.optional {
            problems.add(
                Some(place),
                "a `write_only` attribute is null in every state: make the field an Option",
            );
        }
        if self.nested.is_some() && shape.container == Container::Set {
            problems.add(Some(place), "a set cannot hold `write_only` values");
        }
    }

    fn check_computed(&self, problems: &mut Problems) {
        if self.keep_prior.is_some() && self.computed.is_none() {
            problems.add(
                self.keep_prior,
                "`keep_prior` is for `computed` attributes; others come from the configuration",
            );
        }
        if self.optional.is_some() && self.computed.is_some() && self.keep_prior.is_none() {
            // Left out, it would be unknown in every update, and so every update a replacement.
            if let Some(place) = self.requires_replace {
                problems.add(
                    Some(place),
                    "with `optional, computed`, `requires_replace` needs `keep_prior` too",
                );
            }
        }
        if !self.is_reported() || self.computed.is_none() {
            return;
        }
        if self.requires_replace.is_some() {
            problems.add(
                self.requires_replace,
                "a `computed` attribute cannot be changed by the configuration",
            );
        }
        for (place, _) in &self.validators {
            problems.add(
                Some(*place),
                "a `computed` attribute is in no configuration, so that there is nothing to `validate`",
            );
        }
    }
}

/// The complaints about one field, as one error.
struct Problems {
    field: Span,
    first: Option<Error>,
}

impl Problems {
    /// Complains about the flag at `place`, or about the field.
    fn add(&mut self, place: Option<Span>, message: &str) {
        let error = Error::new(place.unwrap_or(self.field), message);
        match &mut self.first {
            Some(first) => first.combine(error),
            None => self.first = Some(error),
        }
    }
}
