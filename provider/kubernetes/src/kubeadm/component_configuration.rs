//! `KubeletConfiguration` and `KubeProxyConfiguration` as a user writes them, and what of them would break the cluster.

use serde_json::{Map, Value, json};

use super::arguments::STATIC_POD_GRACE_PERIOD;
use super::{SHUTDOWN_GRACE, duration, go_duration};

/// API version of `KubeletConfiguration`.
pub(crate) const KUBELET_API: &str = "kubelet.config.k8s.io/v1beta1";
/// API version of `KubeProxyConfiguration`.
pub(crate) const KUBE_PROXY_API: &str = "kubeproxy.config.k8s.io/v1alpha1";

/// Fields of a kubelet's configuration that follow from other settings, and what to do instead.
const GIVEN_TO_KUBELETS: [(&str, &str); 6] = [
    ("clusterDomain", "it is cluster.local, which the certificates name"),
    ("containerRuntimeEndpoint", "set cri_socket"),
    ("providerID", "each machine has its own"),
    ("registerNode", "every machine registers"),
    (
        "registerWithTaints",
        "set control_plane_taint, or the taints of the node group",
    ),
    ("staticPodPath", "the control plane's pods are where kubeadm puts them"),
];

/// The same for kube-proxy.
const GIVEN_TO_KUBE_PROXY: [(&str, &str); 3] = [
    ("clientConnection", "kubeadm leads kube-proxy to the API's endpoint"),
    ("clusterCIDR", "it is the cluster's pod_cidr"),
    ("hostnameOverride", "each node has its own name"),
];

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedConfiguration {
    /// Not YAML, or no map.
    #[error("it is not a YAML document of {kind}: {reason}")]
    Malformed {
        /// The kind it is to be.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another kind of document.
    #[error("it is a {found}, and {kind} of {api_version} is wanted: correct apiVersion and kind, or leave both out")]
    OtherKind {
        /// The kind it is to be.
        kind: &'static str,
        /// The API version it is to have.
        api_version: &'static str,
        /// What it is.
        found: String,
    },
    /// A field that follows from other settings.
    #[error("{field} is set by the provider and cannot be chosen: {instead}")]
    Given {
        /// The field.
        field: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// The container runtime's is another.
    #[error(
        "cgroupDriver {given} is not what the container runtime uses: the machines' containerd has systemd's, and the two \
         must agree. Leave it out"
    )]
    CgroupDriver {
        /// What was given.
        given: String,
    },
    /// The kubelet would end the API server before its time.
    #[error(
        "{field} {given} is less than the {least} s that the API server may take to stop: give at least {least}s, or leave \
         it out"
    )]
    ShutdownTooShort {
        /// The field.
        field: &'static str,
        /// What was given.
        given: String,
        /// The least it may be, in seconds.
        least: u64,
    },
}

/// Reads a user's `KubeletConfiguration`, and refuses what would break the cluster.
pub fn kubelet_configuration(text: &str) -> Result<Map<String, Value>, RefusedConfiguration> {
    let fields = read(text, "KubeletConfiguration", KUBELET_API, &GIVEN_TO_KUBELETS)?;
    if let Some(driver) = fields.get("cgroupDriver").filter(|driver| *driver != "systemd") {
        return Err(RefusedConfiguration::CgroupDriver {
            given: driver.as_str().map_or_else(|| driver.to_string(), str::to_owned),
        });
    }
    for field in ["shutdownGracePeriod", "shutdownGracePeriodCriticalPods"] {
        let Some(given) = fields.get(field).and_then(Value::as_str) else {
            continue;
        };
        if duration::parse(given).is_some_and(|given| given < STATIC_POD_GRACE_PERIOD) {
            return Err(RefusedConfiguration::ShutdownTooShort {
                field,
                given: given.to_owned(),
                least: STATIC_POD_GRACE_PERIOD.as_secs(),
            });
        }
    }
    Ok(fields)
}

/// Reads a user's `KubeProxyConfiguration`, and refuses what would break the cluster.
pub fn kube_proxy_configuration(text: &str) -> Result<Map<String, Value>, RefusedConfiguration> {
    read(text, "KubeProxyConfiguration", KUBE_PROXY_API, &GIVEN_TO_KUBE_PROXY)
}

fn read(
    text: &str,
    kind: &'static str,
    api_version: &'static str,
    given: &[(&str, &'static str)],
) -> Result<Map<String, Value>, RefusedConfiguration> {
    let malformed = |reason: String| RefusedConfiguration::Malformed { kind, reason };
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| malformed(error.to_string().lines().next().unwrap_or_default().to_owned()))?;
    documents.retain(|document| !document.is_null());
    let mut fields = match (documents.pop(), documents.is_empty()) {
        (Some(Value::Object(fields)), true) => fields,
        (None, _) => Map::new(),
        (Some(_), true) => return Err(malformed("it is not a map of fields".to_owned())),
        (Some(_), false) => return Err(malformed("it holds several documents".to_owned())),
    };
    for (field, wanted) in [("apiVersion", api_version), ("kind", kind)] {
        if let Some(found) = fields.remove(field).filter(|found| found != wanted) {
            return Err(RefusedConfiguration::OtherKind {
                kind,
                api_version,
                found: found.as_str().map_or_else(|| found.to_string(), str::to_owned),
            });
        }
    }
    match given.iter().find(|(field, _)| fields.contains_key(*field)) {
        Some((field, instead)) => Err(RefusedConfiguration::Given {
            field: (*field).to_owned(),
            instead,
        }),
        None => Ok(fields),
    }
}

/// What the provider sets in the cluster's `KubeletConfiguration`, with the user's choice over it.
pub(crate) fn kubelet_fields(chosen: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::from_iter([
        // The container runtime's is systemd as well: see the install script in `user_data`.
        ("cgroupDriver".to_owned(), json!("systemd")),
        // A machine that the cloud stops lets its pods end, the API server's last: it needs its shutdown delay.
        ("shutdownGracePeriod".to_owned(), go_duration(SHUTDOWN_GRACE)),
        (
            "shutdownGracePeriodCriticalPods".to_owned(),
            go_duration(STATIC_POD_GRACE_PERIOD),
        ),
    ]);
    fields.extend(chosen.clone());
    let period = |name: &str| fields.get(name).and_then(Value::as_str).and_then(duration::parse);
    let (all, critical) = (period("shutdownGracePeriod"), period("shutdownGracePeriodCriticalPods"));
    if let (Some(all), Some(critical)) = (all, critical)
        && all < critical
    {
        // Only one of them was chosen: the kubelet wants the whole to hold its part.
        fields.insert("shutdownGracePeriod".to_owned(), go_duration(critical));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet(text: &str) -> String {
        kubelet_configuration(text).unwrap_err().to_string()
    }

    #[test]
    fn a_document_is_taken_with_and_without_its_kind() {
        let whole = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 200\n";
        for text in [whole, "maxPods: 200", "{\"maxPods\": 200}"] {
            let fields = kubelet_configuration(text).unwrap();
            assert_eq!(Value::from(fields), json!({ "maxPods": 200 }), "{text}");
        }
        assert_eq!(kube_proxy_configuration("").unwrap(), Map::new());
        assert_eq!(kube_proxy_configuration("mode: ipvs").unwrap()["mode"], "ipvs");
    }

    #[test]
    fn other_documents_are_refused() {
        let other = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        let said = kube_proxy_configuration(other).unwrap_err().to_string();
        assert!(said.contains("kubelet.config.k8s.io/v1beta1"), "{said}");
        assert!(kubelet("- a").contains("not a map"));
        assert!(kubelet("a: 1\n---\nb: 2").contains("several documents"));
        assert!(kubelet("a: [").contains("not a YAML document"));
    }

    #[test]
    fn rule_the_cgroup_driver_agrees_with_the_container_runtimes() {
        assert!(kubelet("cgroupDriver: cgroupfs").contains("containerd has systemd's"));
        assert!(kubelet_configuration("cgroupDriver: systemd").is_ok());
    }

    #[test]
    fn what_follows_from_other_settings_cannot_be_chosen() {
        assert!(kubelet("staticPodPath: /x").contains("staticPodPath is set by the provider"));
        let said = kube_proxy_configuration("clusterCIDR: 10.0.0.0/8").unwrap_err();
        assert!(said.to_string().contains("pod_cidr"), "{said}");
    }

    #[test]
    fn rule_a_stopping_machine_gives_the_api_server_its_time() {
        assert!(kubelet("shutdownGracePeriodCriticalPods: 10s").contains("at least 30s"));
        let chosen = kubelet_configuration("shutdownGracePeriodCriticalPods: 2m").unwrap();
        let fields = kubelet_fields(&chosen);
        assert_eq!(fields["shutdownGracePeriod"], "2m0s", "the whole holds its part");
    }
}
