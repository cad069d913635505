//! What is wrong with a configuration by itself, without asking anybody: each with the path and what would be right.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use ipnet::Ipv4Net;
use multizone_kubernetes::{labels, version::KubernetesVersion};
use multizone_schema::{Diagnostic, Diagnostics, Path, PathStep, Planned, Value};

use super::identity::{LONGEST_CLUSTER_NAME, LONGEST_OBJECT_NAME};

/// The newest minor version this release was tested with; a newer one is a warning.
pub const NEWEST_KNOWN: (u16, u16) = (1, 35);

/// The largest disk, in GiB.
const LARGEST_DISK: i64 = 65_536;

/// Kinds of zonal disk: Compute Engine's, of which the sandbox offers the first three, and AWS's.
const DISK_TYPES: [&str; 14] = [
    "pd-balanced",
    "pd-ssd",
    "pd-standard",
    "pd-extreme",
    "hyperdisk-balanced",
    "hyperdisk-extreme",
    "hyperdisk-ml",
    "hyperdisk-throughput",
    "gp3",
    "gp2",
    "io2",
    "io1",
    "st1",
    "sc1",
];

/// Filesystems that Compute Engine's disk driver makes at the first mount.
const FILESYSTEMS: [&str; 3] = ["ext4", "xfs", "ext3"];

/// A cluster's name: a label of DNS that starts with a letter, short enough for the names built from it.
pub fn cluster_name(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    name(value, path, diagnostics, "cluster", LONGEST_CLUSTER_NAME);
}

/// The name of a node group or a disk.
pub fn object_name(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    name(
        value,
        path,
        diagnostics,
        "node group, disk or balancer",
        LONGEST_OBJECT_NAME - 8,
    );
}

fn name(value: &Value, path: &Path, diagnostics: &mut Diagnostics, what: &str, longest: usize) {
    let Some(name) = value.as_str() else { return };
    let problem = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > longest {
        format!("it has {} characters, {longest} are the most", name.len())
    } else if !name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        "it may have lower-case letters, digits and hyphens only".to_owned()
    } else if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        "it must start with a lower-case letter".to_owned()
    } else if name.ends_with('-') {
        "it must not end with a hyphen".to_owned()
    } else {
        return;
    };
    diagnostics.error(
        path.clone(),
        "Name that the cloud refuses",
        format!("{name:?} cannot be the name of a {what}: {problem}. For example: demo-1."),
    );
}

/// The keys of `replicas`: they are part of the machines' names.
pub fn replica_keys(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(replicas) = value.as_map() else { return };
    for key in replicas.keys() {
        let well_formed = !key.is_empty()
            && key.len() <= 16
            && key
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !well_formed {
            diagnostics.error(
                path.clone().key(key),
                "Replica key that cannot name a machine",
                format!(
                    "{key:?} is part of the machine's name: use up to 16 lower-case letters and digits, for example a."
                ),
            );
        }
    }
}

/// An IPv4 range with its network's address, such as `10.128.0.0/20`.
pub fn cidr(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    range(8..=28, "", value, path, diagnostics);
}

/// The range of the pods.  kubeadm refuses one that is smaller than what a node gets, a /24.
pub fn pod_cidr(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    range(8..=24, ", which every node gets of it", value, path, diagnostics);
}

/// The range of the services.  kubeadm refuses one of more than 20 bits.
pub fn service_cidr(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    range(12..=28, "", value, path, diagnostics);
}

fn range(lengths: RangeInclusive<u8>, why: &str, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    let (least, most) = (lengths.start(), lengths.end());
    let problem = match text.parse::<Ipv4Net>() {
        Ok(range) if range.addr() != range.network() => format!("the range it is in is {}", range.trunc()),
        Ok(range) if range.prefix_len() < *least => format!("it is larger than a /{least}"),
        Ok(range) if range.prefix_len() > *most => format!("it is smaller than a /{most}{why}"),
        Ok(_) => return,
        Err(_) => match text.parse::<Ipv4Addr>() {
            Ok(address) => format!("the length of the prefix is missing, as in {address}/16"),
            Err(_) => "an IPv4 range is written as 10.244.0.0/16".to_owned(),
        },
    };
    diagnostics.error(
        path.clone(),
        "Unusable range of addresses",
        format!("{path} cannot be {text:?}: {problem}."),
    );
}

/// An attribute that holds a range, for [`overlaps`].
#[derive(Debug)]
pub struct Range {
    path: Path,
    addresses: Option<Ipv4Net>,
    written: bool,
}

impl Range {
    /// An attribute without a default.
    pub fn given(path: impl Into<Path>, value: &Planned<String>) -> Self {
        Self {
            path: path.into(),
            addresses: value
                .known()
                .and_then(|text| text.parse::<Ipv4Net>().ok())
                .map(|range| range.trunc()),
            written: !value.is_null(),
        }
    }

    /// An attribute with a default.
    pub fn or_default(path: impl Into<Path>, value: &Planned<String>, default: &str) -> Self {
        let written = !value.is_null();
        let default = Planned::Known(default.to_owned());
        Self {
            written,
            ..Self::given(path, if written { value } else { &default })
        }
    }
}

/// Refuses a range that is not in another one, where both are known.
pub fn within(inner: &Range, outer: &Range) -> Diagnostics {
    match (inner.addresses, outer.addresses) {
        (Some(range), Some(around)) if !around.contains(&range) => Diagnostic::error(
            "Range outside the network",
            format!(
                "{} = {range} is not within {} = {around}. Choose a part of that range.",
                inner.path, outer.path
            ),
        )
        .at(inner.path.clone())
        .into(),
        _ => Diagnostics::new(),
    }
}

/// Refuses ranges of which one contains another, at an attribute that the configuration has.
pub fn overlaps(ranges: &[Range]) -> Diagnostics {
    overlaps_from(ranges, 0)
}

/// The same where those before the index are known to be apart.
pub fn overlaps_from(ranges: &[Range], first: usize) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for (index, one) in ranges.iter().enumerate() {
        for other in ranges.iter().skip((index + 1).max(first)) {
            let (Some(range), Some(other_range)) = (one.addresses, other.addresses) else {
                continue;
            };
            if !range.contains(&other_range) && !other_range.contains(&range) {
                continue;
            }
            let default = |written: bool| if written { "" } else { " (its default)" };
            let at = if one.written || !other.written {
                &one.path
            } else {
                &other.path
            };
            diagnostics.error(
                at.clone(),
                "Overlapping ranges",
                format!(
                    "{} = {range}{} and {} = {other_range}{} overlap: an address must belong to one of them only. Choose \
                     ranges that are apart, for example 10.244.0.0/16 and 10.96.0.0/12.",
                    one.path,
                    default(one.written),
                    other.path,
                    default(other.written)
                ),
            );
        }
    }
    diagnostics
}

/// A Kubernetes version that this provider installs; a version newer than it knows is a warning.
pub fn kubernetes_version(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str() else { return };
    match KubernetesVersion::parse(text) {
        Err(error) => {
            let (major, minor) = NEWEST_KNOWN;
            diagnostics.error(
                path.clone(),
                "Unsupported Kubernetes version",
                format!("{error}. Supported are 1.29.0 to {major}.{minor}."),
            );
        }
        Ok(version) if (version.major, version.minor) > NEWEST_KNOWN => {
            let (major, minor) = NEWEST_KNOWN;
            diagnostics.warning(
                path.clone(),
                "Kubernetes version newer than this provider",
                format!(
                    "{version} is newer than {major}.{minor}, the newest this release knows. It is installed as asked \
                     for; if kubeadm of that version reads another configuration, the master's initialisation fails."
                ),
            );
        }
        Ok(_) => {}
    }
}

/// At least 1.
pub fn positive(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    at_least(1, value, path, diagnostics);
}

/// At least 0.
pub fn not_negative(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    at_least(0, value, path, diagnostics);
}

/// At least 10: less than an operating system and container images need.
pub fn boot_disk(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    at_least(10, value, path, diagnostics);
}

/// A disk's size in GiB: 1 to what the largest has.
pub fn disk_size(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    at_least(1, value, path, diagnostics);
    if let Some(size) = value
        .as_number()
        .and_then(multizone_schema::Number::as_i64)
        .filter(|size| *size > LARGEST_DISK)
    {
        diagnostics.error(
            path.clone(),
            "Number out of range",
            format!("{path} is {size}; no disk has more than {LARGEST_DISK} GiB."),
        );
    }
}

/// The ID of something that exists: what it is like is for the cloud to say.
pub fn given(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if value.as_str().is_some_and(str::is_empty) {
        diagnostics.error(path.clone(), "Nothing given", format!("{path} is empty; leave it out."));
    }
}

/// A kind of disk that can be made in one zone.  What a zone offers of them is for the cloud to say.
pub fn disk_type(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    one_of(&DISK_TYPES, "kind of disk", value, path, diagnostics);
}

/// A filesystem that the disk's driver makes.
pub fn filesystem(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    one_of(
        &FILESYSTEMS,
        "filesystem that the disk's driver makes",
        value,
        path,
        diagnostics,
    );
}

fn one_of(offered: &[&str], what: &str, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str().filter(|text| !offered.contains(text)) {
        diagnostics.error(
            path.clone(),
            "Not on offer",
            format!("{path}: {text:?} is no {what}. Choose one of {}.", offered.join(", ")),
        );
    }
}

/// The name of a storage class, or nothing.  It is kept in a label of the disk, so that an import finds it.
pub fn storage_class(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
        return;
    };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if text.len() > 63 || !text.split('.').all(part) {
        diagnostics.error(
            path.clone(),
            "Malformed name of a storage class",
            format!(
                "{path} cannot be {text:?}: the name of a storage class has up to 63 lower-case letters, digits, hyphens \
                 and dots, for example fast. Leave it empty for claims without a class."
            ),
        );
    }
}

fn at_least(least: i64, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let Some(number) = value.as_number() else { return };
    match number.as_i64() {
        Some(number) if number >= least => {}
        Some(number) => diagnostics.error(
            path.clone(),
            "Number out of range",
            format!("{path} is {number}; it must be {least} or more."),
        ),
        None => diagnostics.error(
            path.clone(),
            "Number out of range",
            format!("{path} must be a whole number."),
        ),
    }
}

/// More than nothing.
pub fn not_empty(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let empty = value.as_map().is_some_and(std::collections::BTreeMap::is_empty)
        || value.as_elements().is_some_and(<[Value]>::is_empty)
        || value.as_str().is_some_and(str::is_empty);
    if empty {
        diagnostics.error(
            path.clone(),
            "Nothing given",
            format!("{path} needs at least one element."),
        );
    }
}

/// Labels that the kubelet may set and that nobody else sets.
pub fn node_labels(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    for (key, value) in value.as_map().into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        if let Err(error) = labels::check_node_label(key, value) {
            diagnostics.error(
                path.clone().key(key),
                "Label that a node cannot have",
                format!("{error}."),
            );
        }
    }
}

/// Labels of a disk in the cloud, whose keys are not the provider's own.
pub fn cloud_labels(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    let plain = |text: &str| {
        text.len() <= 63
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
    };
    for (key, value) in value.as_map().into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        let problem = if key.starts_with("multizone-") || key.starts_with("topology-") {
            "its key is one that the provider sets itself"
        } else if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !plain(key) {
            "a key has up to 63 lower-case letters, digits, hyphens and underscores, a letter first"
        } else if !plain(value) {
            "a value has up to 63 lower-case letters, digits, hyphens and underscores"
        } else {
            continue;
        };
        diagnostics.error(
            path.clone().key(key),
            "Label that the cloud refuses",
            format!("The label {key:?} = {value:?} is refused: {problem}."),
        );
    }
}

/// What a taint does.
pub fn taint_effect(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(Err(error)) = value.as_str().map(str::parse::<labels::TaintEffect>) {
        diagnostics.error(path.clone(), "Unknown taint effect", format!("{error}."));
    }
}

/// The key of a taint.
pub fn taint_key(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(Err(error)) = value.as_str().map(labels::check_key) {
        diagnostics.error(path.clone(), "Malformed taint key", format!("{error}."));
    }
}

/// A diagnostic for a value that must stay as it was while the object exists.
pub fn fixed(path: &str, was: &str, wanted: &str, why: &str) -> Diagnostic {
    Diagnostic::error(
        "Change that cannot be made in place",
        format!("{path} is {was} and is to be {wanted}. {why}"),
    )
    .at(Path::root().step(PathStep::Attribute(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use multizone_schema::{Severity, Validator};

    fn said(check: Validator, value: impl Into<Value>) -> Vec<String> {
        let mut diagnostics = Diagnostics::new();
        check(&value.into(), &Path::from("x"), &mut diagnostics);
        diagnostics.iter().map(ToString::to_string).collect()
    }

    fn map(entries: &[(&str, &str)]) -> Value {
        Value::map(entries.iter().map(|(key, value)| (*key, Value::from(*value))))
    }

    #[test]
    fn names_that_the_cloud_refuses_are_refused() {
        assert!(said(cluster_name, "demo-1").is_empty());
        for wrong in ["", "Demo_1", "-pool", "pool-", "1pool", &"x".repeat(33)] {
            assert_eq!(said(cluster_name, wrong).len(), 1, "{wrong}");
        }
        assert!(said(cluster_name, "Demo_1")[0].contains("lower-case"));
    }

    #[test]
    fn malformed_ranges_are_refused_with_what_would_be_right() {
        assert!(said(cidr, "10.244.0.0/16").is_empty());
        assert!(said(cidr, "10.244.0.0")[0].contains("10.244.0.0/16"));
        assert!(said(cidr, "10.244.1.0/16")[0].contains("10.244.0.0/16"));
        for wrong in [
            "10.244.0.300/16",
            "10.0.0.0/33",
            "fd00::/64",
            "0.0.0.0/0",
            "10.0.0.0/30",
        ] {
            assert_eq!(said(cidr, wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn overlapping_ranges_are_refused() {
        let range = |path: &str, text: &str| Range::given(path, &Planned::Known(text.to_owned()));
        let said = overlaps(&[
            range("pod_cidr", "10.96.0.0/16"),
            range("service_cidr", "10.96.0.0/12"),
            range("network_cidr", "10.244.0.0/16"),
        ]);
        assert_eq!(said.len(), 1);
        assert!(
            said.to_string()
                .contains("pod_cidr = 10.96.0.0/16 and service_cidr = 10.96.0.0/12 overlap")
        );
        let apart = [
            range("pod_cidr", "10.244.0.0/16"),
            range("service_cidr", "10.96.0.0/12"),
        ];
        assert!(overlaps(&apart).is_empty());
        let unknown = Range::or_default("pod_cidr", &Planned::Unknown, "10.96.0.0/12");
        assert!(overlaps(&[unknown, range("service_cidr", "10.96.0.0/12")]).is_empty());
    }

    #[test]
    fn an_overlap_is_told_at_what_is_written() {
        let default = Range::or_default("pod_cidr", &Planned::Null, "10.244.0.0/16");
        let written = Range::given("network_cidr", &Planned::Known("10.244.0.0/20".to_owned()));
        let said = overlaps(&[default, written]).to_string();
        assert!(said.contains("(at network_cidr)"), "{said}");
        assert!(said.contains("pod_cidr = 10.244.0.0/16 (its default)"), "{said}");
    }

    #[test]
    fn ranges_that_kubeadm_refuses_are_refused() {
        assert!(said(pod_cidr, "10.0.0.0/24").is_empty());
        assert!(said(pod_cidr, "10.0.0.0/25")[0].contains("/24"));
        assert!(said(service_cidr, "10.0.0.0/12").is_empty());
        assert!(said(service_cidr, "10.0.0.0/11")[0].contains("/12"));
    }

    #[test]
    fn what_a_disk_cannot_be_is_refused_with_what_it_can() {
        assert!(said(filesystem, "xfs").is_empty());
        assert!(said(filesystem, "fat")[0].contains("ext4, xfs, ext3"));
        assert!(said(disk_type, "pd-ssd").is_empty());
        assert!(said(disk_type, "floppy")[0].contains("pd-balanced"));
        assert!(said(disk_size, Value::from(65_536)).is_empty());
        assert!(said(disk_size, Value::from(65_537))[0].contains("65536"));
        for right in ["", "fast", "a.b-c.1"] {
            assert!(said(storage_class, right).is_empty(), "{right}");
        }
        for wrong in ["Fast", "a_b", ".a", "a-", "a..b", &"a".repeat(64)] {
            assert_eq!(said(storage_class, wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn versions_are_whole_supported_and_not_from_the_future() {
        assert!(said(kubernetes_version, "1.34.1").is_empty());
        assert!(said(kubernetes_version, "v1.34")[0].contains("1.34.1"));
        assert!(said(kubernetes_version, "1.28.3")[0].contains("1.29"));
        let mut diagnostics = Diagnostics::new();
        kubernetes_version(&"1.99.0".into(), &Path::from("x"), &mut diagnostics);
        assert_eq!(
            diagnostics.iter().next().map(|one| one.severity),
            Some(Severity::Warning)
        );
    }

    #[test]
    fn numbers_have_a_least() {
        assert!(said(not_negative, Value::from(0)).is_empty());
        assert!(said(not_negative, Value::from(-1))[0].contains("-1"));
        assert!(said(positive, Value::from(0))[0].contains("1 or more"));
    }

    #[test]
    fn labels_the_kubelet_may_not_set_are_refused() {
        assert!(said(node_labels, map(&[("team", "web")])).is_empty());
        for wrong in [
            ("node-role.kubernetes.io/web", ""),
            ("team", "a b"),
            ("topology.kubernetes.io/zone", "z"),
        ] {
            let said = said(node_labels, map(&[wrong]));
            assert!(said[0].contains(wrong.0), "{said:?}");
        }
    }

    #[test]
    fn the_providers_own_cloud_labels_cannot_be_given() {
        assert!(said(cloud_labels, map(&[("team", "web")])).is_empty());
        for wrong in [
            ("multizone-cluster", "x"),
            ("topology-zone", "x"),
            ("Team", "x"),
            ("team", "Web"),
        ] {
            assert_eq!(said(cloud_labels, map(&[wrong])).len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn taints_have_one_of_three_effects() {
        assert!(said(taint_effect, "NoSchedule").is_empty());
        assert!(said(taint_effect, "noschedule")[0].contains("NoSchedule"));
    }

    #[test]
    fn replica_keys_become_part_of_names() {
        assert!(said(replica_keys, map(&[("a", "")])).is_empty());
        assert_eq!(said(replica_keys, map(&[("A b", "")])).len(), 1);
    }
}
