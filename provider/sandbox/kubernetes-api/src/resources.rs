//! The table of everything the server stores: groups, versions, kinds, names and what each can do.

use k8s_openapi::api::{
    apps::v1 as apps, certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, networking::v1 as networking, policy::v1 as policy,
    rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// One kind of stored object.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) all: bool,
    /// Subresources besides `status`.
    pub(crate) subresources: &'static [Subresource],
    pub(crate) has_status: bool,
    /// Reads the object as its Kubernetes type and writes it back: what the type does not know is gone.
    pub(crate) typed: fn(&Value) -> Result<Value, serde_json::Error>,
}

/// A path below an object that is not the object itself.
#[derive(Debug)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

/// Everything that can be done with a stored object.
pub(crate) const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

impl Resource {
    /// `pods`, `deployments.apps`: how messages and storage keys name the resource.
    pub(crate) fn id(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `v1`, `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Whether this is the core resource of that name.
    pub(crate) fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }
}

/// `v1`, `apps/v1`.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(object)?)
}

const fn resource<T: Serialize + DeserializeOwned>(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
    short_names: &'static [&'static str],
) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        singular,
        kind,
        namespaced,
        short_names,
        all: false,
        subresources: &[],
        has_status: false,
        typed: through::<T>,
    }
}

impl Resource {
    const fn status(mut self) -> Self {
        self.has_status = true;
        self
    }
    const fn in_all(mut self) -> Self {
        self.all = true;
        self
    }
    const fn with(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }
}

const SCALE: &[Subresource] = &[Subresource {
    name: "scale",
    kind: "Scale",
    group: "autoscaling",
    version: "v1",
    verbs: &["get", "patch", "update"],
}];

const POD: &[Subresource] = &[
    Subresource {
        name: "binding",
        kind: "Binding",
        group: "",
        version: "v1",
        verbs: &["create"],
    },
    Subresource {
        name: "eviction",
        kind: "Eviction",
        group: "policy",
        version: "v1",
        verbs: &["create"],
    },
    Subresource {
        name: "portforward",
        kind: "PodPortForwardOptions",
        group: "",
        version: "v1",
        verbs: &["create", "get"],
    },
];

const NAMESPACE: &[Subresource] = &[Subresource {
    name: "finalize",
    kind: "Namespace",
    group: "",
    version: "v1",
    verbs: &["update"],
}];

const CSR: &[Subresource] = &[Subresource {
    name: "approval",
    kind: "CertificateSigningRequest",
    group: "certificates.k8s.io",
    version: "v1",
    verbs: &["get", "patch", "update"],
}];

const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

/// What the server stores.
pub(crate) static RESOURCES: &[Resource] = &[
    resource::<core::Namespace>("", "namespaces", "namespace", "Namespace", false, &["ns"])
        .status()
        .with(NAMESPACE),
    resource::<core::Node>("", "nodes", "node", "Node", false, &["no"]).status(),
    resource::<core::Pod>("", "pods", "pod", "Pod", true, &["po"])
        .status()
        .in_all()
        .with(POD),
    resource::<core::PersistentVolume>(
        "",
        "persistentvolumes",
        "persistentvolume",
        "PersistentVolume",
        false,
        &["pv"],
    )
    .status(),
    resource::<core::PersistentVolumeClaim>(
        "",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
        true,
        &["pvc"],
    )
    .status(),
    resource::<core::Secret>("", "secrets", "secret", "Secret", true, &[]),
    resource::<core::ConfigMap>("", "configmaps", "configmap", "ConfigMap", true, &["cm"]),
    resource::<core::Service>("", "services", "service", "Service", true, &["svc"])
        .status()
        .in_all(),
    resource::<core::Endpoints>("", "endpoints", "endpoints", "Endpoints", true, &["ep"]),
    resource::<core::ServiceAccount>("", "serviceaccounts", "serviceaccount", "ServiceAccount", true, &["sa"]),
    resource::<core::Event>("", "events", "event", "Event", true, &["ev"]),
    resource::<core::LimitRange>("", "limitranges", "limitrange", "LimitRange", true, &["limits"]),
    resource::<core::ResourceQuota>("", "resourcequotas", "resourcequota", "ResourceQuota", true, &["quota"]).status(),
    resource::<core::ReplicationController>(
        "",
        "replicationcontrollers",
        "replicationcontroller",
        "ReplicationController",
        true,
        &["rc"],
    )
    .status()
    .in_all(),
    resource::<apps::DaemonSet>("apps", "daemonsets", "daemonset", "DaemonSet", true, &["ds"])
        .status()
        .in_all(),
    resource::<apps::Deployment>("apps", "deployments", "deployment", "Deployment", true, &["deploy"])
        .status()
        .in_all()
        .with(SCALE),
    resource::<apps::ReplicaSet>("apps", "replicasets", "replicaset", "ReplicaSet", true, &["rs"])
        .status()
        .in_all()
        .with(SCALE),
    resource::<apps::StatefulSet>("apps", "statefulsets", "statefulset", "StatefulSet", true, &["sts"])
        .status()
        .in_all()
        .with(SCALE),
    resource::<apps::ControllerRevision>(
        "apps",
        "controllerrevisions",
        "controllerrevision",
        "ControllerRevision",
        true,
        &[],
    ),
    resource::<coordination::Lease>("coordination.k8s.io", "leases", "lease", "Lease", true, &[]),
    resource::<policy::PodDisruptionBudget>(
        "policy",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        "PodDisruptionBudget",
        true,
        &["pdb"],
    )
    .status(),
    resource::<certificates::CertificateSigningRequest>(
        "certificates.k8s.io",
        "certificatesigningrequests",
        "certificatesigningrequest",
        "CertificateSigningRequest",
        false,
        &["csr"],
    )
    .status()
    .with(CSR),
    resource::<rbac::ClusterRole>(RBAC, "clusterroles", "clusterrole", "ClusterRole", false, &[]),
    resource::<rbac::ClusterRoleBinding>(
        RBAC,
        "clusterrolebindings",
        "clusterrolebinding",
        "ClusterRoleBinding",
        false,
        &[],
    ),
    resource::<rbac::Role>(RBAC, "roles", "role", "Role", true, &[]),
    resource::<rbac::RoleBinding>(RBAC, "rolebindings", "rolebinding", "RoleBinding", true, &[]),
    resource::<networking::NetworkPolicy>(
        NETWORKING,
        "networkpolicies",
        "networkpolicy",
        "NetworkPolicy",
        true,
        &["netpol"],
    ),
    resource::<networking::Ingress>(NETWORKING, "ingresses", "ingress", "Ingress", true, &["ing"]).status(),
    resource::<networking::IngressClass>(NETWORKING, "ingressclasses", "ingressclass", "IngressClass", false, &[]),
    resource::<storage::StorageClass>(
        STORAGE,
        "storageclasses",
        "storageclass",
        "StorageClass",
        false,
        &["sc"],
    ),
    resource::<storage::CSIDriver>(STORAGE, "csidrivers", "csidriver", "CSIDriver", false, &[]),
    resource::<storage::CSINode>(STORAGE, "csinodes", "csinode", "CSINode", false, &[]),
    resource::<storage::VolumeAttachment>(
        STORAGE,
        "volumeattachments",
        "volumeattachment",
        "VolumeAttachment",
        false,
        &[],
    )
    .status(),
    resource::<events::Event>("events.k8s.io", "events", "event", "Event", true, &["ev"]),
    resource::<discovery::EndpointSlice>(
        "discovery.k8s.io",
        "endpointslices",
        "endpointslice",
        "EndpointSlice",
        true,
        &[],
    ),
    resource::<scheduling::PriorityClass>(
        "scheduling.k8s.io",
        "priorityclasses",
        "priorityclass",
        "PriorityClass",
        false,
        &["pc"],
    ),
    resource::<apiextensions::CustomResourceDefinition>(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        "customresourcedefinition",
        "CustomResourceDefinition",
        false,
        &["crd", "crds"],
    )
    .status(),
    resource::<apiregistration::APIService>(
        "apiregistration.k8s.io",
        "apiservices",
        "apiservice",
        "APIService",
        false,
        &[],
    )
    .status(),
];

/// A kind that can be posted and is answered at once, and never stored.
#[derive(Debug)]
pub(crate) struct Review {
    pub(crate) group: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

/// The reviews that are answered.
pub(crate) static REVIEWS: &[Review] = &[
    review(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
        false,
    ),
    review("authentication.k8s.io", "tokenreviews", "TokenReview", false),
    review(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
    ),
];

const fn review(group: &'static str, plural: &'static str, kind: &'static str, namespaced: bool) -> Review {
    Review {
        group,
        plural,
        kind,
        namespaced,
    }
}

/// Finds a stored resource by where it is served.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|one| one.group == group && one.version == version && one.plural == plural)
}

/// Finds a stored resource by its storage name (`pods`, `deployments.apps`).
pub(crate) fn by_id(id: &str) -> Option<&'static Resource> {
    let (plural, group) = id.split_once('.').unwrap_or((id, ""));
    find(group, "v1", plural)
}

/// Finds a stored resource that the server itself relies on.
pub(crate) fn known(id: &str) -> &'static Resource {
    by_id(id).expect("a resource named in this crate is in the table")
}

/// Every group with its version, core first.
pub(crate) fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&'static str> = Vec::new();
    for group in RESOURCES
        .iter()
        .map(|one| one.group)
        .chain(REVIEWS.iter().map(|one| one.group))
    {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}
