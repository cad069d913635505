//! What is wrong with an argument of the provider block by itself, without asking anybody.

use http::Uri;
use multizone_schema::{Diagnostics, Path, Value};

/// The longest ID that a project can have, without its domain.
const LONGEST_PROJECT: usize = 30;

/// How fast a sandbox is.
pub(super) fn speed(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_number().is_some_and(|number| number.as_f64() <= 0.0) {
        diagnostics.error(
            path.clone(),
            "Number out of range",
            format!("{path} must be more than 0, for example 60."),
        );
    }
}

/// A project's ID, which is part of every URL and of every node's provider ID.
pub(super) fn project(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    // Old projects of an organisation are called example.com:name.
    let (domain, id) = given.split_once(':').unwrap_or(("", given));
    let ordinary = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let problem = if given.is_empty() {
        "it is empty".to_owned()
    } else if given.bytes().all(|byte| byte.is_ascii_digit()) {
        "it is the project's number; its ID is wanted (gcloud projects describe NUMBER prints it)".to_owned()
    } else if id.len() > LONGEST_PROJECT {
        format!("it has {} characters, {LONGEST_PROJECT} are the most", id.len())
    } else if !id.bytes().all(ordinary) || !domain.bytes().all(|byte| ordinary(byte) || byte == b'.') {
        "it may have lower-case letters, digits and hyphens only (the name that the console shows is not the ID)"
            .to_owned()
    } else if !id.starts_with(|first: char| first.is_ascii_lowercase()) || id.ends_with('-') {
        "it must start with a letter, and not end with a hyphen".to_owned()
    } else {
        return;
    };
    diagnostics.error(
        path.clone(),
        "Malformed project ID",
        format!("{given:?} is no project ID: {problem}. For example: my-project-1."),
    );
}

/// A region's name; whether the cloud has it is for the cloud to say.
pub(super) fn region(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    let parts: Vec<&str> = given.split('-').collect();
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let numbered = |text: &str| {
        let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
        word(name) && name.len() < text.len()
    };
    let problem = match parts[..] {
        [area, place] if word(area) && numbered(place) => return,
        [area, place, zone] if word(area) && numbered(place) && zone.len() == 1 => {
            format!("it is a zone of region {area}-{place}; a cluster's zones are given to its resources")
        }
        _ => "a region is called like us-central1".to_owned(),
    };
    diagnostics.error(
        path.clone(),
        "Malformed region",
        format!("{given:?} is no region: {problem}."),
    );
}

/// The name of one of AWS's regions; whether the account has it is for AWS to say.
pub(super) fn aws_region(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    let (named, zone) = match given.char_indices().next_back() {
        Some((last, letter)) if letter.is_ascii_lowercase() && is_aws_region(&given[..last]) => (&given[..last], true),
        _ => (given, false),
    };
    let problem = if zone {
        format!("it is a zone of region {named}; a cluster's zones are given to its resources")
    } else if is_aws_region(named) {
        return;
    } else {
        "a region is called like us-west-2".to_owned()
    };
    diagnostics.error(
        path.clone(),
        "Malformed region",
        format!("{given:?} is no region: {problem}."),
    );
}

/// `us-west-2`, `us-gov-east-1`: words, and a number.
fn is_aws_region(text: &str) -> bool {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let parts: Vec<&str> = text.split('-').collect();
    match &parts[..] {
        [words @ .., number] if words.len() >= 2 => {
            words.iter().all(|part| word(part))
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    }
}

/// The ARN of a role.
pub(super) fn role(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    let parts: Vec<&str> = given.splitn(6, ':').collect();
    if !matches!(parts[..], ["arn", _, "iam", "", account, role] if !account.is_empty() && role.starts_with("role/")) {
        diagnostics.error(
            path.clone(),
            "Malformed ARN of a role",
            format!("{given:?} is no role: write its ARN, as in arn:aws:iam::123456789012:role/clusters."),
        );
    }
}

/// Not empty.
pub(super) fn given(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_str().is_some_and(str::is_empty) {
        diagnostics.error(path.clone(), "Nothing given", format!("{path} is empty; leave it out."));
    }
}

/// Tags that AWS takes.
pub(super) fn tags(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (key, value) in value.as_map().into_iter().flatten() {
        let problem = if key.is_empty() || key.chars().count() > 128 {
            "a key has 1 to 128 characters"
        } else if key.starts_with("aws:") {
            "keys that begin with aws: are AWS's own"
        } else if key == "Name" || key.starts_with("multizone-") {
            "the provider sets that one itself"
        } else if value.as_str().is_some_and(|value| value.chars().count() > 256) {
            "a value has at most 256 characters"
        } else {
            continue;
        };
        diagnostics.error(
            path.clone().key(key),
            "Tag that cannot be set",
            format!("{key:?} cannot be a default tag: {problem}."),
        );
    }
}

/// The base of the URLs of AWS's APIs.
pub(super) fn aws_endpoint(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    base_url(value, path, "AWS's", "https://aws.example.com", diagnostics);
}

/// The base of the URLs of one of Google's APIs.
pub(super) fn endpoint(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    base_url(value, path, "Google's", "https://compute.example.com", diagnostics);
}

fn base_url(value: &Value, path: &Path, whose: &str, example: &str, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    let problem = match given.parse::<Uri>() {
        Err(error) => error.to_string(),
        Ok(uri) => match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => {
                let authority = uri.authority().map_or("", |authority| authority.as_str());
                if uri.query().is_some() || given.contains('#') {
                    "it has more than a path".to_owned()
                } else if authority.contains('@') {
                    "it has a user in it; say who calls with credentials".to_owned()
                } else {
                    return;
                }
            }
            (Some(scheme), _) => format!("its scheme is {scheme}; http and https are spoken"),
            (None, _) => "it does not start with http:// or https://".to_owned(),
        },
    };
    diagnostics.error(
        path.clone(),
        "Malformed endpoint",
        format!("{given:?} is no base URL of an API: {problem}. For example: {example}. Leave it out for {whose} own."),
    );
}

/// A credentials file's content, which is secret and not quoted; its path is a usual mistake.
pub(super) fn credentials(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(given) = value.as_str() else { return };
    if !given.trim_start().starts_with('{') {
        diagnostics.error(
            path.clone(),
            "Malformed credentials",
            "This is not the content of a credentials file, which is JSON. To read it from a file: credentials = \
             file(\"key.json\").",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(check: fn(&Value, &Path, &mut Diagnostics), given: &str) -> String {
        let mut diagnostics = Diagnostics::new();
        check(&Value::from(given), &Path::from("it"), &mut diagnostics);
        diagnostics.to_string()
    }

    #[test]
    fn what_can_be_right_is_accepted() {
        for id in ["p", "my-project-1", "example.com:legacy"] {
            assert_eq!(said(project, id), "");
        }
        for name in ["us-central1", "europe-west10", "northamerica-northeast2"] {
            assert_eq!(said(region, name), "");
        }
        for url in [
            "http://127.9.0.1:80",
            "https://compute.example.com/",
            "http://[::1]:8080/base",
        ] {
            assert_eq!(said(endpoint, url), "");
        }
        assert_eq!(said(credentials, "\n{\"type\": \"service_account\"}"), "");
    }

    #[test]
    fn what_cannot_is_told_what_it_is() {
        for (id, problem) in [
            ("", "empty"),
            ("123456789012", "number"),
            ("My Project", "lower-case"),
            ("projects/p", "lower-case"),
            ("1p", "start with a letter"),
            ("a123456789012345678901234567890", "31 characters"),
        ] {
            assert!(said(project, id).contains(problem), "{}", said(project, id));
        }
        assert!(said(region, "us-central1-a").contains("a zone of region us-central1"));
        for name in [
            "",
            "us",
            "us-central",
            "US-central1",
            "us-central1-a-b",
            "regions/us-central1",
        ] {
            assert!(said(region, name).contains("is no region"), "{name}");
        }
    }

    #[test]
    fn what_aws_is_told_is_checked() {
        for name in ["us-west-2", "us-gov-east-1", "ap-southeast-4"] {
            assert_eq!(said(aws_region, name), "");
        }
        assert!(said(aws_region, "us-west-2a").contains("a zone of region us-west-2"));
        for name in ["", "us", "us-central1", "us-west-2-b", "US-west-2"] {
            assert!(said(aws_region, name).contains("is no region"), "{name}");
        }
        assert_eq!(said(role, "arn:aws:iam::123456789012:role/team/clusters"), "");
        for arn in ["", "clusters", "arn:aws:iam::123456789012:user/me"] {
            assert!(said(role, arn).contains("is no role"), "{arn}");
        }
        assert!(said(aws_endpoint, "").contains("AWS's own"));
        assert!(said(given, "").contains("leave it out"));
    }

    #[test]
    fn an_endpoint_is_the_base_of_a_url() {
        for (url, problem) in [
            ("", "empty"),
            ("compute.example.com", "does not start with"),
            ("compute.example.com:443", "does not start with"),
            ("ftp://compute.example.com", "scheme is ftp"),
            ("https://user@compute.example.com", "user"),
            ("https://compute.example.com/?a=b", "more than a path"),
            ("https://compute.example.com/#a", "more than a path"),
            ("http://a b", "invalid"),
        ] {
            assert!(said(endpoint, url).contains(problem), "{}", said(endpoint, url));
        }
    }

    #[test]
    fn credentials_are_not_quoted() {
        let said = said(credentials, "/home/me/key.json");
        assert!(said.contains("file(") && !said.contains("/home/me"), "{said}");
    }
}
