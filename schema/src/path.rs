//! Where in an object a value is.

use std::fmt;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathStep {
    /// An attribute of an object.
    Attribute(String),
    /// An element of a list or tuple.
    Index(i64),
    /// An element of a map.
    Key(String),
}

/// The way from an object to a value inside it; the empty path is the object itself.
///
/// A set's elements have no address: what concerns one of them carries the set's path.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<PathStep>);

impl Path {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// This path and one more attribute.
    #[must_use]
    pub fn attribute(self, name: impl Into<String>) -> Self {
        self.step(PathStep::Attribute(name.into()))
    }

    /// This path and one more list index.
    #[must_use]
    pub fn index(self, index: usize) -> Self {
        self.step(PathStep::Index(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// This path and one more map key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.step(PathStep::Key(key.into()))
    }

    /// This path and one more step.
    #[must_use]
    pub fn step(mut self, step: PathStep) -> Self {
        self.0.push(step);
        self
    }

    /// The same path seen from one level further out.
    #[must_use]
    pub fn inside(mut self, outer: PathStep) -> Self {
        self.0.insert(0, outer);
        self
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PathStep> for Path {
    fn from_iter<I: IntoIterator<Item = PathStep>>(steps: I) -> Self {
        Self(steps.into_iter().collect())
    }
}

impl From<&str> for Path {
    /// A path of one attribute.
    fn from(attribute: &str) -> Self {
        Self::root().attribute(attribute)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Attribute(name) if position == 0 => f.write_str(name)?,
                PathStep::Attribute(name) => write!(f, ".{name}")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
                PathStep::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_in_terraform() {
        let path = Path::root().attribute("replicas").key("a").attribute("ports").index(2);
        assert_eq!(path.to_string(), r#"replicas["a"].ports[2]"#);
        assert_eq!(Path::root().to_string(), "");
    }

    #[test]
    fn inside_adds_the_outer_step() {
        let path = Path::from("zone")
            .inside(PathStep::Key("a".into()))
            .inside(PathStep::Attribute("replicas".into()));
        assert_eq!(path, Path::root().attribute("replicas").key("a").attribute("zone"));
    }
}
