//! What a field's type looks like: which containers are around the innermost type.

use syn::{GenericArgument, PathArguments, Type};

/// A container that the derive treats specially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Single,
    List,
    Set,
    Map,
}

/// A field's type, taken apart.
pub(crate) struct Shape {
    /// Whether the whole is an `Option`.
    pub(crate) optional: bool,
    /// What is inside the `Option`, or the whole.
    pub(crate) whole: Type,
    /// The container that this is.
    pub(crate) container: Container,
    /// What the container holds.
    pub(crate) inner: Type,
}

impl Shape {
    pub(crate) fn of(type_: &Type) -> Self {
        let (optional, type_) = match generic(type_) {
            Some((name, mut arguments)) if name == "Option" && arguments.len() == 1 => (true, arguments.remove(0)),
            _ => (false, type_.clone()),
        };
        let whole = type_.clone();
        let (container, inner) = match generic(&type_) {
            Some((name, mut arguments)) => match (name.as_str(), arguments.len()) {
                ("Vec", 1) => (Container::List, arguments.remove(0)),
                ("BTreeSet", 1) => (Container::Set, arguments.remove(0)),
                ("BTreeMap", 2) => (Container::Map, arguments.remove(1)),
                _ => (Container::Single, type_),
            },
            None => (Container::Single, type_),
        };
        Self {
            optional,
            whole,
            container,
            inner,
        }
    }
}

/// The last name of a path type and its type arguments.
fn generic(type_: &Type) -> Option<(String, Vec<Type>)> {
    let Type::Path(path) = type_ else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    let inner = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(type_) => Some(type_.clone()),
        _ => None,
    });
    Some((last.ident.to_string(), inner.collect()))
}
