//! What kubeadm writes for the kubelet, for `init` and `join`.

use super::documents::{NodeRegistration, Taint};
use super::say;
use crate::kubelet;
use crate::machine::Machine;

/// The node's name: the configured one, or the host's.
pub(super) fn node_name(machine: &Machine, registration: &NodeRegistration) -> String {
    registration
        .name
        .clone()
        .unwrap_or_else(|| machine.spec.hostname.clone())
        .to_lowercase()
}

/// Writes /var/lib/kubelet/kubeadm-flags.env and config.yaml. `taints` are those that the kubelet registers with.
pub(super) fn write_kubelet_settings(
    machine: &Machine,
    registration: &NodeRegistration,
    configuration: &str,
    taints: &[Taint],
) -> Result<(), String> {
    let mut flags = registration.kubelet_extra_args.pairs();
    if let Some(socket) = &registration.cri_socket {
        flags.push(("container-runtime-endpoint".to_owned(), socket.clone()));
    }
    if let Some(name) = &registration.name
        && *name != machine.spec.hostname
    {
        flags.push(("hostname-override".to_owned(), name.clone()));
    }
    if !taints.is_empty() {
        let list: Vec<String> = taints
            .iter()
            .map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect))
            .collect();
        flags.push(("register-with-taints".to_owned(), list.join(",")));
    }
    let flags: Vec<String> = flags
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
    let text = format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", flags.join(" "));
    say(
        machine,
        format!(
            "[kubelet-start] Writing kubelet environment file with flags to file \"{}\"",
            kubelet::FLAGS
        ),
    );
    machine
        .disk
        .write(kubelet::FLAGS, text, 0o644)
        .map_err(|error| error.to_string())?;
    say(
        machine,
        format!(
            "[kubelet-start] Writing kubelet configuration to file \"{}\"",
            kubelet::CONFIGURATION
        ),
    );
    machine
        .disk
        .write(kubelet::CONFIGURATION, configuration, 0o644)
        .map_err(|error| error.to_string())
}
