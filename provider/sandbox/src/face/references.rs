//! References between objects: full links, paths and bare names.

use crate::core::Refusal;

/// Where links point.  They are canonical, as Compute Engine's are: the sandbox's own port changes with each start.
const LINK_BASE: &str = "https://www.googleapis.com/compute/v1/";

/// The link to the object at `path` (`projects/...`).
pub(super) fn link(path: &str) -> String {
    format!("{LINK_BASE}{path}")
}

/// A reference to an object, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Project, when it names one.
    pub(super) project: Option<String>,
    /// Zone or region, when it names one.
    pub(super) place: Option<String>,
    /// Whether it names the newest of a family.
    pub(super) family: bool,
    /// Name.
    pub(super) name: String,
}

impl Reference {
    /// Takes apart a link, a path (`projects/...`, `zones/...`, `global/...`) or a bare name of the collection.
    pub(super) fn parse(field: &str, text: &str, collection: &str) -> Result<Self, Refusal> {
        let refuse = || Refusal::invalid(field, text, "The URL is malformed.");
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.find("/projects/").map(|at| &rest[at + 1..]).ok_or_else(refuse)?,
            None => text.trim_start_matches('/'),
        };
        let mut segments: Vec<&str> = path.split('/').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(refuse());
        }
        let name = segments.pop().ok_or_else(refuse)?.to_owned();
        let mut reference = Self {
            project: None,
            place: None,
            family: false,
            name,
        };
        if segments.last() == Some(&"family") {
            segments.pop();
            reference.family = true;
        }
        match segments.pop() {
            None => {}
            Some(last) if last == collection => {}
            // gcloud's way to say "the newest image of this family for this zone".
            Some("imageFamilyViews") if collection == "images" => reference.family = true,
            Some(_) => return Err(refuse()),
        }
        let mut rest = segments.as_slice();
        if let ["projects", project, tail @ ..] = rest {
            reference.project = Some((*project).to_owned());
            rest = tail;
        }
        match rest {
            [] | ["global"] => {}
            ["zones" | "regions", place] => reference.place = Some((*place).to_owned()),
            _ => return Err(refuse()),
        }
        Ok(reference)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str, collection: &str) -> (Option<String>, Option<String>, bool, String) {
        let it = Reference::parse("f", text, collection).unwrap();
        (it.project, it.place, it.family, it.name)
    }

    #[test]
    fn links_paths_and_names_are_understood() {
        let sandbox = Some("sandbox".to_owned());
        let zone = Some("us-central1-a".to_owned());
        let expected = (sandbox.clone(), zone.clone(), false, "d".to_owned());
        assert_eq!(
            parse(
                "https://www.googleapis.com/compute/v1/projects/sandbox/zones/us-central1-a/disks/d",
                "disks"
            ),
            expected
        );
        assert_eq!(
            parse(
                "http://127.7.0.1:80/compute/v1/projects/sandbox/zones/us-central1-a/disks/d",
                "disks"
            ),
            expected
        );
        assert_eq!(
            parse("zones/us-central1-a/machineTypes/x", "machineTypes"),
            (None, zone, false, "x".to_owned())
        );
        assert_eq!(
            parse("global/networks/n", "networks"),
            (None, None, false, "n".to_owned())
        );
        assert_eq!(parse("n", "networks"), (None, None, false, "n".to_owned()));
        assert_eq!(
            parse("projects/debian-cloud/global/images/family/debian-12", "images"),
            (Some("debian-cloud".to_owned()), None, true, "debian-12".to_owned())
        );
    }

    #[test]
    fn references_to_other_collections_are_refused() {
        for text in [
            "zones/z/disks/x",
            "global/networks/n",
            "https://example.com/x",
            "a//b",
            "",
        ] {
            assert!(Reference::parse("f", text, "machineTypes").is_err(), "{text}");
        }
    }
}
