//! What names, labels and tags may look like, and the fingerprints that guard them.

use super::error::Refusal;
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const NAME_RULE: &str = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'";

/// Refuses what RFC 1035 does not allow as a label, the rule for every name in Compute Engine.
pub fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::required(field));
    }
    if is_rfc1035(name) {
        Ok(())
    } else {
        Err(Refusal::invalid(field, name, NAME_RULE))
    }
}

/// Whether `name` is a lower-case RFC 1035 label of at most 63 characters.
pub fn is_rfc1035(name: &str) -> bool {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    bytes.len() <= 63
        && first.is_ascii_lowercase()
        && (last.is_ascii_lowercase() || last.is_ascii_digit())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// Refuses labels that Compute Engine refuses: at most 64, keys that start with a lower-case letter, keys and values
/// of at most 63 lower-case letters, digits, `_` and `-`.
pub fn check_labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if labels.len() > 64 {
        return Err(Refusal::invalid(field, labels.len(), "At most 64 labels are allowed"));
    }
    let allowed = |c: char| (c.is_alphanumeric() && !c.is_uppercase()) || c == '_' || c == '-';
    for (key, value) in labels {
        let starts_well = key
            .chars()
            .next()
            .is_some_and(|c| c.is_alphabetic() && !c.is_uppercase());
        if !starts_well || key.chars().count() > 63 || !key.chars().all(allowed) {
            return Err(Refusal::invalid(
                field,
                key,
                "Label keys start with a lowercase letter and hold at most 63 lowercase letters, digits, '_' and '-'",
            ));
        }
        if value.chars().count() > 63 || !value.chars().all(allowed) {
            return Err(Refusal::invalid(
                &format!("{field}.{key}"),
                value,
                "Label values hold at most 63 lowercase letters, digits, '_' and '-'",
            ));
        }
    }
    Ok(())
}

/// The fingerprint of labels, metadata, tags or a whole object: changes when they change, equal when they are equal.
pub fn fingerprint(of: &impl serde::Serialize) -> String {
    let bytes = serde_json::to_vec(of).unwrap_or_default();
    let digest = Sha256::digest(&bytes);
    base64::engine::general_purpose::URL_SAFE.encode(&digest[..8])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1035() {
        for good in ["a", "a1", "a-b", &"a".repeat(63)] {
            check_name("resource.name", good).unwrap();
        }
        for bad in ["A", "1a", "a-", "a_b", "-a", &"a".repeat(64)] {
            let refusal = check_name("resource.name", bad).unwrap_err();
            assert_eq!(refusal.reason, "invalid", "{bad}");
            assert!(refusal.message.contains("Must be a match of regex"), "{bad}");
        }
        assert_eq!(check_name("resource.name", "").unwrap_err().reason, "required");
    }

    #[test]
    fn labels_follow_the_published_rules() {
        let label = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        for (key, value) in [("team", "web"), ("a_b-c", ""), ("größe", "ß")] {
            check_labels("resource.labels", &label(key, value)).unwrap();
        }
        for (key, value) in [
            ("Team", "web"),
            ("1a", "b"),
            ("", "b"),
            ("a", "B"),
            ("a", "x.y"),
            ("a.b/c", "x"),
        ] {
            assert_eq!(
                check_labels("resource.labels", &label(key, value)).unwrap_err().reason,
                "invalid",
                "{key}={value}"
            );
        }
    }

    #[test]
    fn a_fingerprint_changes_with_its_subject() {
        let one = BTreeMap::from([("a", "b")]);
        let two = BTreeMap::from([("a", "c")]);
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
        assert_ne!(fingerprint(&one), fingerprint(&two));
    }
}
