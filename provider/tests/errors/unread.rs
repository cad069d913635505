//! What [`crate::every_text`] does not ask for, with the reasons.

/// Files and directories whose texts never become diagnostics, or whose errors are still to be read.
pub(crate) const NO_DIAGNOSTICS: &[(&str, &str)] = &[
    ("src/cli/", "for people at a terminal, without Terraform"),
    ("src/main.rs", "before Terraform is there"),
    ("src/data_sources/", "to be read"),
    ("src/ephemeral/", "to be read"),
    ("src/functions/", "to be read"),
    ("src/resources/checks.rs", "to be read"),
    ("src/resources/cluster/", "to be read"),
    ("src/resources/disk/", "to be read"),
    ("src/resources/identity.rs", "to be read"),
    ("src/resources/offers.rs", "to be read"),
    ("src/resources/timeouts.rs", "to be read"),
    ("src/resources/trouble.rs", "to be read"),
    ("cloud/src/error.rs", "to be read"),
    ("src/resources/node_group/", "to be read"),
    ("src/resources/control_plane/", "to be read"),
    ("src/configuration.rs", "to be read"),
    ("src/protocol/", "to be read"),
    ("cloud/compute-engine/src/", "to be read"),
    ("kubernetes/src/", "to be read"),
];

/// Texts that cannot be provoked, or are none of an error: the file's end, the text's beginning, the reason.
pub(crate) const NOT_PROVOKED: &[(&str, &str, &str)] = &[];
