//! What [`crate::every_text`] does not ask for, with the reasons.

/// Files and directories whose texts never become diagnostics, or whose errors are still to be read.
pub(crate) const NO_DIAGNOSTICS: &[(&str, &str)] = &[
    ("src/cli/", "for people at a terminal, without Terraform"),
    (
        "src/data_sources/cluster_status/",
        "what the data source shows, asserted in its own tests",
    ),
    ("src/main.rs", "before Terraform is there"),
    (
        "src/resources/control_plane/outage.rs",
        "asserted in tests/interruption/masters, at every step",
    ),
    (
        "src/resources/rollout/outage.rs",
        "asserted in tests/interruption/masters, at every step",
    ),
    ("src/protocol/companions.rs", TRANSPORT),
    ("src/protocol/debug.rs", "for people at a terminal, without Terraform"),
    ("src/protocol/plugin.rs", TRANSPORT),
    ("src/protocol/routes.rs", TRANSPORT),
    ("src/protocol/socket.rs", TRANSPORT),
    ("src/protocol/tls.rs", TRANSPORT),
];

/// Texts that cannot be provoked, or are none of an error: the file's end, the text's beginning, the reason.
pub(crate) const NOT_PROVOKED: &[(&str, &str, &str)] = &[
    ("resources/checks.rs", "Range outside the network", ZONAL),
    ("resources/checks.rs", "{} = {range} is not within", ZONAL),
    ("cluster/drift.rs", "the network was changed", ZONAL),
    (
        "cluster/drift.rs",
        "what is behind the API's address was changed",
        ZONAL,
    ),
    ("cluster/adoption.rs", "its security groups in network", ZONAL),
    ("cluster/existing.rs", "A zone keeps its subnet", ZONAL),
    ("cluster/existing.rs", "{} was {was} and cannot become", ZONAL),
    ("cluster/existing.rs", "existing_network was not checked", ZONAL),
    ("cluster/existing.rs", "there is no subnet", ZONAL),
    ("cluster/existing.rs", "Subnet that does not fit", ZONAL),
    ("cluster/existing.rs", "{} is in zone", ZONAL),
    ("cluster/existing.rs", "{} has no free addresses left", ZONAL),
    ("cluster/existing.rs", "{} has the range", ZONAL),
    ("resources/offers.rs", "Too few addresses", ZONAL),
    ("resources/offers.rs", "{path}: {most} new machine", ZONAL),
    ("resources/offers.rs", " Of these, {passing} only while", ZONAL),
    ("resources/offers.rs", "the free addresses of the zone's subnet", ZONAL),
    ("cluster/subnets.rs", "Zones have subnets of their own here", ZONAL),
    ("cluster/subnets.rs", "Zone {zone} needs {path}", ZONAL),
    ("cluster/subnets.rs", "A subnet keeps its range", ZONAL),
    ("cluster/subnets.rs", "{path} was {was} and cannot become", ZONAL),
    ("cluster/subnets.rs", "the subnet of zone {zone} is gone", ZONAL),
    (
        "src/patience.rs",
        "nothing came within",
        "a cloud that neither answers nor fails for ten seconds",
    ),
    ("ephemeral/kubeconfig.rs", "The certificate cannot be made", INTERNAL),
    (
        "api_load_balancer/planned.rs",
        "the balancers of cluster",
        "a plan that asks in vain says nothing of balancers",
    ),
    ("cluster/objects.rs", "Value not known", PLANNED),
    ("cluster/objects.rs", "{name} has no value when it is applied", PLANNED),
    (
        "cluster/objects.rs",
        "The node groups' credential cannot be made",
        INTERNAL,
    ),
    ("cluster/settings.rs", "Cannot connect to the Kubernetes API", INTERNAL),
    ("cluster/objects.rs", "firewall rules and the API's address", LOGGED),
    ("cluster/removal.rs", "the API's address, and the network", LOGGED),
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
    (
        "api_load_balancer/executor.rs",
        "Run Terraform again then.",
        "after the planner's reason, which is in its own snapshots, with zones that are out",
    ),
    ("rollout/address.rs", "an answer of the API", ROLLOUT),
    ("rollout/address.rs", "The address is where it should be", ROLLOUT),
    ("rollout/address.rs", "Master {machine} is gone", BETWEEN),
    ("rollout/address.rs", "Run terraform apply again", BETWEEN),
    ("rollout/balancer.rs", "Cluster {} has no balancer", INTERNAL),
    ("rollout/balancer.rs", "master {machine} in {zone} to serve", ROLLOUT),
    ("rollout/balancer.rs", "It stays behind the balancer", ROLLOUT),
    ("rollout/balancer.rs", "Balancer {name} of cluster {} is gone", BETWEEN),
    ("rollout/balancer.rs", "Run terraform apply again", BETWEEN),
    ("rollout/mod.rs", "The time allowed passed", ROLLOUT),
    ("world/asks.rs", "A certificate for asking", INTERNAL),
    ("kubeadm/choice.rs", "Value not known", PLANNED),
    ("kubeadm/choice.rs", "kubeadm has no value", PLANNED),
    ("control_plane/drift.rs", "give the machine of master", STEP),
    ("control_plane/drift.rs", "it has none: a move of", WAY_OUT),
    ("control_plane/drift.rs", "somebody changed them", STEP),
    ("control_plane/drift.rs", "let master", STEP),
    ("control_plane/drift.rs", "set labels and taints of master", STEP),
    ("control_plane/drift.rs", "keep the control plane's settings", STEP),
    (
        "control_plane/executor.rs",
        "Cannot connect to the Kubernetes API",
        INTERNAL,
    ),
    ("control_plane/drift.rs", ", and delete what it no longer has", STEP),
    ("control_plane/executor.rs", "See whether a firewall", ROLLOUT),
    ("control_plane/executor.rs", "It is read through the API server", FAILS),
    ("control_plane/steps/backup.rs", "etcd has no healthy member", MASTERS),
    (
        "control_plane/steps/backup.rs",
        "Apply again once etcd answers",
        MASTERS,
    ),
    (
        "control_plane/steps/joining.rs",
        "Master {} did not join within",
        MASTERS,
    ),
    (
        "control_plane/steps/leaving.rs",
        "Then run terraform apply again",
        MASTERS,
    ),
    (
        "control_plane/steps/leaving.rs",
        "The API server of master {name} still serves",
        MASTERS,
    ),
    (
        "control_plane/steps/leaving.rs",
        "See how the pod multizone-hold-NODE",
        MASTERS,
    ),
    (
        "control_plane/steps/leaving.rs",
        "The API server of master {name} did not serve",
        MASTERS,
    ),
    ("control_plane/steps/leaving.rs", "Its manifest is put back", MASTERS),
    ("control_plane/steps/settings.rs", "Put it right as kubeadm", SETTINGS),
    (
        "control_plane/steps/settings.rs",
        "The cluster's own settings",
        SETTINGS,
    ),
    ("control_plane/steps/mod.rs", "The volumes were not detached", MASTERS),
    ("control_plane/steps/mod.rs", "See which pods still use them", MASTERS),
    ("control_plane/steps/mod.rs", "The record of the API server", MASTERS),
    ("control_plane/steps/mod.rs", "It expires by itself", MASTERS),
    ("control_plane/steps/mod.rs", "A step of this change is none", INTERNAL),
    (
        "control_plane/steps/mod.rs",
        "Run terraform apply again when the zone",
        "an outage mostly ends the step before, as asserted in tests/interruption/masters",
    ),
    ("control_plane/steps/mod.rs", "it is no member of etcd", MASTERS),
    (
        "control_plane/steps/mod.rs",
        "its member of etcd does not vote yet",
        MASTERS,
    ),
    (
        "control_plane/steps/mod.rs",
        "its member of etcd does not answer",
        MASTERS,
    ),
    ("control_plane/steps/mod.rs", "its Node is not registered", MASTERS),
    ("control_plane/steps/mod.rs", "it is on its way", PART),
    (
        "control_plane/steps/mod.rs",
        "No master serves the Kubernetes API",
        FAILS,
    ),
    ("control_plane/steps/mod.rs", "Apply again once one does", FAILS),
    (
        "control_plane/steps/mod.rs",
        "etcd did not do what was asked for",
        MASTERS,
    ),
    ("control_plane/machine.rs", "The user data of machine", BUG),
    ("world/observer.rs", "A certificate for asking etcd", INTERNAL),
    ("control_plane/plan.rs", "a zone that its balancer misses", OUTAGE),
    ("control_plane/plan.rs", "steps not to stop between", SEVERAL),
    ("control_plane/repair.rs", "Node {name} could not be put right", FAILS),
    ("control_plane/wanted.rs", "Value not known", CORE),
    ("control_plane/wanted.rs", "{name} has no value", CORE),
    ("turn/mod.rs", "It is not this operation's turn", TURN),
    ("turn/mod.rs", "The turn to change the masters", TURN),
    ("turn/lock.rs", "somebody who was faster", PART),
    ("world/asks.rs", "it answers by now", FAILS),
    ("world/asks.rs", "its API server says that it is not ready", FAILS),
    ("world/asks.rs", "no answer within", FAILS),
    ("world/observer.rs", "no answer within", FAILS),
    ("node_group/facts.rs", "no answer within", FAILS),
    ("node_group/facts.rs", "{specification}, now", PART),
    (
        "node_group/executor.rs",
        "Machine {} in {} belongs to cluster",
        "read in acceptance-tests/tests/drift.rs, with a node",
    ),
    ("node_group/executor.rs", "{zones} {names} {are} out", TEARDOWN),
    ("node_group/executor.rs", "Zone {out} is out", TEARDOWN),
    (
        "node_group/executor.rs",
        "Nothing is lost: run Terraform again when",
        TEARDOWN,
    ),
    ("node_group/steps.rs", "there is no connection", INTERNAL),
    ("node_group/steps.rs", "Apply again once the API serves", FAILS),
    ("node_group/steps.rs", "Not every worker has joined: {error}", FAILS),
    ("node_group/steps.rs", "Then apply again: the drain continues", DRAIN),
    ("node_group/worker.rs", "Value not known", CORE),
    ("node_group/worker.rs", "{name} has no value", CORE),
    ("node_group/worker.rs", "Machine {name} cannot be made", BUG),
    ("node_group/worker.rs", "Then apply again.", BUG),
    (
        "served/resource.rs",
        "The operation failed without saying why",
        FORBIDDEN,
    ),
    ("served/resource.rs", "State holds what was reached", FORBIDDEN),
    ("compute-engine/src/cloud.rs", "the connection to the cloud", INTERNAL),
    ("cloud/src/error.rs", "it does not say that it belongs", BETWEEN),
    ("compute-engine/src/firewall_rules.rs", "the rule names neither", BUG),
    ("compute-engine/src/firewall_rules.rs", "the rule needs TCP ports", BUG),
    ("compute-engine/src/snapshots.rs", "the labels name no cluster", BUG),
    (
        "compute-engine/src/failure.rs",
        "already in-use by",
        "Google's words, looked for",
    ),
];

const ZONAL: &str = "of clouds whose subnets are zonal, read in acceptance-tests/tests/aws.rs";
const INTERNAL: &str = "only an error in the provider itself gives it";
const PLANNED: &str = "Terraform applies nothing of which something is unknown";
const LOGGED: &str = "the name of a step, for the log";
const DOCUMENTATION: &str = "documentation";
const WAY_OUT: &str = "a step of the rollout, read in tests/interruption/masters/rollback.rs";
const STEP: &str = "a step of the rollout, read in acceptance-tests/tests/drift.rs";
const TURN: &str = "two processes at once, asserted in src/resources/turn/lock/tests.rs";
const SEVERAL: &str = "said of several masters, asserted in src/resources/control_plane/tests.rs";
const OUTAGE: &str = "before the planner's reason, which is in its own snapshots, with zones that are out";
const FAILS: &str = "the API server or the machine fails between two calls";
const SETTINGS: &str =
    "an API server that serves other settings than kubeadm's; their errors are read among Kubernetes'";
const ROLLOUT: &str = "a step of control planes of several masters, asserted in src/resources/rollout/tests.rs";
const MASTERS: &str = "a master or its member of etcd that does not do as it should, once a change is under way";
const BETWEEN: &str = "somebody deletes it between two calls";
const CORE: &str = "Terraform applies nothing that is not known";
const BUG: &str = "no configuration that passes its checks leads there";
const PART: &str = "a part of another text, or of no diagnostic";
const DRAIN: &str = "read in acceptance-tests/tests/node_groups.rs, with pods";
const TEARDOWN: &str = "with zones that are out, asserted in tests/interruption/masters/teardown.rs";
const TRANSPORT: &str = "on standard error or between processes: Terraform shows none of it as a diagnostic";
const FORBIDDEN: &str = "no resource fails without a diagnostic; the served provider says it in place of nothing";
