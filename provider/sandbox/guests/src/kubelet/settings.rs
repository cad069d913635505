//! What a kubelet is told: kubeadm's flags and the configuration file.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{CONFIGURATION, FLAGS, KubeletError};
use crate::machine::Machine;
use crate::system::{Failure, failure};

/// Labels of Kubernetes' own that a kubelet may set.
const ALLOWED_LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
const ALLOWED_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Flags that a kubelet knows and that change nothing here.
const FLAGS_WITHOUT_EFFECT: [&str; 16] = [
    "address",
    "cgroup-driver",
    "cluster-dns",
    "cluster-domain",
    "container-runtime-endpoint",
    "eviction-hard",
    "feature-gates",
    "kube-reserved",
    "max-pods",
    "node-status-update-frequency",
    "pod-infra-container-image",
    "resolv-conf",
    "root-dir",
    "rotate-certificates",
    "system-reserved",
    "v",
];

/// A kubelet's settings.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) node_name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Value>,
    pub(super) provider_id: Option<String>,
    pub(super) address: Ipv4Addr,
    pub(super) version: String,
    fail_on_swap: bool,
}

impl Settings {
    /// Reads the flags and the configuration from the disk.
    pub(super) fn load(machine: &Machine) -> Result<Self, KubeletError> {
        let text = machine
            .disk
            .required_text(CONFIGURATION)
            .map_err(|error| KubeletError::Configuration(error.to_string()))?;
        let configuration: Value =
            serde_saphyr::from_str(&text).map_err(|error| KubeletError::Configuration(error.to_string()))?;
        if configuration["kind"] != "KubeletConfiguration" {
            return Err(KubeletError::Configuration("it is no KubeletConfiguration".to_owned()));
        }
        let environment = machine
            .disk
            .text(FLAGS)
            .map_err(|error| KubeletError::Run(error.to_string()))?;
        let mut flags = flags(&environment.unwrap_or_default());
        let mut take = |name: &str| flags.remove(name);
        let run = |message: String| KubeletError::Run(message);
        let address = match take("node-ip") {
            None => machine.spec.address,
            Some(text) => text.parse().map_err(|_| run(format!("bad --node-ip {text:?}")))?,
        };
        let version = machine
            .disk
            .required_text("/usr/bin/kubelet")
            .map_err(|error| run(error.to_string()))?;
        let mut taints = taints(&take("register-with-taints").unwrap_or_default()).map_err(run)?;
        if take("cloud-provider").as_deref() == Some("external") {
            // Until a cloud controller manager has looked at the node.
            let key = "node.cloudprovider.kubernetes.io/uninitialized";
            taints.push(json!({"key": key, "value": "true", "effect": "NoSchedule"}));
        }
        let configured = configuration["failSwapOn"].as_bool().unwrap_or(true);
        let settings = Self {
            node_name: take("hostname-override").unwrap_or_else(|| machine.spec.hostname.clone()),
            labels: labels(&take("node-labels").unwrap_or_default()).map_err(run)?,
            taints,
            provider_id: take("provider-id"),
            address,
            version: version.trim().to_owned(),
            fail_on_swap: take("fail-swap-on").map_or(configured, |flag| flag != "false"),
        };
        match flags.keys().find(|name| !FLAGS_WITHOUT_EFFECT.contains(&name.as_str())) {
            None => Ok(settings),
            Some(unknown) => Err(run(format!("failed to parse kubelet flag: unknown flag: --{unknown}"))),
        }
    }

    /// Refuses to start where a real kubelet does, and notes what is merely odd.
    pub(super) fn check(&self, machine: &Machine) -> Result<(), Failure> {
        let unknown: Vec<&str> = self
            .labels
            .keys()
            .map(String::as_str)
            .filter(|key| !may_set(key))
            .collect();
        if !unknown.is_empty() {
            return Err(failure(format!(
                "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: {unknown:?}; --node-labels \
                 in the 'kubernetes.io' namespace must begin with an allowed prefix ({}) or be in the specifically \
                 allowed set ({})",
                ALLOWED_PREFIXES.join(", "),
                ALLOWED_LABELS.join(", ")
            )));
        }
        let (swap, containerd) = {
            let kernel = machine.kernel();
            (kernel.swap, kernel.containerd)
        };
        if swap && self.fail_on_swap {
            return Err(failure(
                "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false",
            ));
        }
        if !containerd {
            return Err(failure(
                "unable to determine runtime API version: rpc error: connection error: desc = \"transport: Error while \
                 dialing: dial unix /run/containerd/containerd.sock: connect: connection refused\"",
            ));
        }
        let warnings = self.contradictions(machine);
        for warning in &warnings {
            machine.console.say("multizone-sandbox", warning);
        }
        machine.status.update(|progress| {
            progress.kubernetes_version = Some(self.version.clone());
            progress.warnings = warnings;
        });
        Ok(())
    }

    /// Where the node's labels and provider ID contradict where the machine runs.
    fn contradictions(&self, machine: &Machine) -> Vec<String> {
        let spec = &machine.spec;
        let mut found = Vec::new();
        for (key, runs_in) in [
            ("topology.kubernetes.io/zone", &spec.zone),
            ("topology.kubernetes.io/region", &spec.region),
            ("failure-domain.beta.kubernetes.io/zone", &spec.zone),
            ("failure-domain.beta.kubernetes.io/region", &spec.region),
        ] {
            if let Some(said) = self.labels.get(key).filter(|said| *said != runs_in) {
                found.push(format!("label {key}={said}, but the machine runs in {runs_in}"));
            }
        }
        if let Some(id) = &self.provider_id {
            let right = &spec.provider_id;
            let cloud = |id: &str| id.split("://").next().map(str::to_owned);
            if cloud(id) == cloud(right) && id != right {
                found.push(format!("provider ID {id}, but the machine is {right}"));
            }
        }
        found
    }

    /// All labels of a new Node.
    pub(super) fn node_labels(&self) -> Value {
        let mut labels = self.labels.clone();
        for (key, value) in [
            ("beta.kubernetes.io/arch", "amd64"),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("kubernetes.io/hostname", &self.node_name),
            ("kubernetes.io/os", "linux"),
        ] {
            labels.insert(key.to_owned(), value.to_owned());
        }
        json!(labels)
    }
}

/// The flags in `KUBELET_KUBEADM_ARGS="--a=b --c=d"`.
fn flags(environment: &str) -> BTreeMap<String, String> {
    let arguments = environment
        .lines()
        .find_map(|line| line.trim().strip_prefix("KUBELET_KUBEADM_ARGS="))
        .unwrap_or_default()
        .trim_matches('"');
    arguments
        .split_whitespace()
        .filter_map(|argument| argument.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn labels(list: &str) -> Result<BTreeMap<String, String>, String> {
    list.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!(
                "invalid argument {list:?} for \"--node-labels\" flag: {pair} must be formatted as key=value"
            )),
        })
        .collect()
}

/// Taints written as `key=value:effect` or `key:effect`.
fn taints(list: &str) -> Result<Vec<Value>, String> {
    list.split(',')
        .filter(|taint| !taint.is_empty())
        .map(|taint| {
            let malformed = || format!("invalid taint spec: {taint}");
            let (rest, effect) = taint.rsplit_once(':').ok_or_else(malformed)?;
            if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
                return Err(malformed());
            }
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            let mut object = json!({"key": key, "effect": effect});
            if !value.is_empty() {
                object["value"] = value.into();
            }
            Ok(object)
        })
        .collect()
}

/// Whether a kubelet may set this label on its Node.
fn may_set(key: &str) -> bool {
    let Some((namespace, _)) = key.split_once('/') else {
        return true;
    };
    let within = |domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
    if !within("kubernetes.io") && !within("k8s.io") {
        return true;
    }
    ALLOWED_LABELS.contains(&key) || ALLOWED_PREFIXES.iter().any(|prefix| within(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_labels_and_taints_are_read() {
        let flags = flags("KUBELET_KUBEADM_ARGS=\"--node-ip=127.1.1.2 --node-labels=a=b,team=web --x=y=z\"\n");
        assert_eq!(flags["node-ip"], "127.1.1.2");
        assert_eq!(flags["x"], "y=z");
        assert_eq!(labels(&flags["node-labels"]).unwrap()["team"], "web");
        assert_eq!(
            taints("a=b:NoSchedule,c:NoExecute").unwrap()[1],
            json!({"key": "c", "effect": "NoExecute"})
        );
        assert!(taints("a=b").is_err());
        assert!(labels("a").is_err());
    }

    #[test]
    fn kubelets_label_topology_but_neither_roles_nor_unknown_keys() {
        assert!(may_set("topology.kubernetes.io/zone"));
        assert!(may_set("failure-domain.beta.kubernetes.io/region"));
        assert!(may_set("team"));
        assert!(may_set("example.com/team"));
        assert!(may_set("custom.node.kubernetes.io/x"));
        assert!(!may_set("node-role.kubernetes.io/worker"));
        assert!(!may_set("kubernetes.io/unknown"));
        assert!(!may_set("example.k8s.io/x"));
    }
}
