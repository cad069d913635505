//! What [`crate::every_text`] does not ask for, with the reasons.

/// Files and directories whose texts never become diagnostics, or whose errors are still to be read.
pub(crate) const NO_DIAGNOSTICS: &[(&str, &str)] = &[
    ("src/cli/", "for people at a terminal, without Terraform"),
    ("src/main.rs", "before Terraform is there"),
    ("src/resources/node_group/", "to be read"),
    ("src/resources/control_plane/", "to be read"),
    ("src/configuration.rs", "to be read"),
    ("src/protocol/", "to be read"),
    ("cloud/compute-engine/src/", "to be read"),
    ("kubernetes/src/", "to be read"),
];

/// Texts that cannot be provoked, or are none of an error: the file's end, the text's beginning, the reason.
pub(crate) const NOT_PROVOKED: &[(&str, &str, &str)] = &[
    ("ephemeral/kubeconfig.rs", "The certificate cannot be made", INTERNAL),
    ("ephemeral/kubeconfig.rs", "This is an error in the provider", INTERNAL),
    ("cluster/objects.rs", "Value not known", PLANNED),
    ("cluster/objects.rs", "{name} has no value when it is applied", PLANNED),
    (
        "cluster/objects.rs",
        "The node groups' credential cannot be made",
        INTERNAL,
    ),
    ("cluster/objects.rs", "This is an error in the provider", INTERNAL),
    ("cluster/settings.rs", "Cannot connect to the Kubernetes API", INTERNAL),
    ("cluster/settings.rs", "This is an error in the provider", INTERNAL),
    ("cluster/objects.rs", "firewall rules and the API's address", LOGGED),
    ("disk/objects.rs", "make the disk in its new zone", LOGGED),
    ("disk/objects.rs", "delete the snapshot", LOGGED),
    ("disk/objects.rs", "delete the disk in its old zone", LOGGED),
    (
        "functions/quorum_size.rs",
        "How many members of an etcd cluster",
        DOCUMENTATION,
    ),
    (
        "functions/quorum_size.rs",
        "The quorum of an etcd cluster",
        DOCUMENTATION,
    ),
    ("functions/quorum_size.rs", "Number of voting members", DOCUMENTATION),
    ("functions/spread.rs", "Spreads replicas over zones", DOCUMENTATION),
    ("functions/spread.rs", "The zone of each", DOCUMENTATION),
    ("functions/spread.rs", "Number of replicas", DOCUMENTATION),
    ("functions/spread.rs", "Names of zones", DOCUMENTATION),
];

const INTERNAL: &str = "only an error in the provider's own use of a library gives it";
const PLANNED: &str = "Terraform applies nothing of which something is unknown";
const LOGGED: &str = "the name of a step, for the log";
const DOCUMENTATION: &str = "documentation";
