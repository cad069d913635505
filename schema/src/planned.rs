//! A value that may be null or unknown.

/// A value of a configuration or plan: not set, known after apply, or known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Planned<T> {
    /// Not set.
    #[default]
    Null,
    /// Known after apply.
    Unknown,
    /// Known now.
    Known(T),
}

impl<T> Planned<T> {
    /// The value, if it is known and set.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// The value to change, if it is known and set.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// The value itself, if it is known and set.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Whether it is not set.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is known after apply.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether it is known and set.
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The same with a reference to the value.
    pub fn as_ref(&self) -> Planned<&T> {
        match self {
            Self::Null => Planned::Null,
            Self::Unknown => Planned::Unknown,
            Self::Known(value) => Planned::Known(value),
        }
    }

    /// The same with the value changed by `change`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Planned<U> {
        match self {
            Self::Null => Planned::Null,
            Self::Unknown => Planned::Unknown,
            Self::Known(value) => Planned::Known(change(value)),
        }
    }
}

impl Planned<String> {
    /// The text, if it is known and set.
    pub fn as_str(&self) -> Option<&str> {
        self.known().map(String::as_str)
    }
}

impl<T> From<T> for Planned<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T> From<Option<T>> for Planned<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}

impl From<&str> for Planned<String> {
    fn from(text: &str) -> Self {
        Self::Known(text.to_owned())
    }
}
