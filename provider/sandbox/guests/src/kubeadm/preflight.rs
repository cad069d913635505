//! kubeadm's preflight checks, against what the commands before really did to the machine.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::kubeadm::documents::NodeRegistration;
use crate::kubeadm::version::Version;
use crate::machine::Machine;

/// kubeadm's own limits for a control-plane machine.
const LEAST_CPUS: u32 = 2;
const LEAST_MEMORY_MIB: u64 = 1700;

/// Where the machines' container runtime listens.
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// The container runtime that a machine registers with.
pub(super) fn socket(registration: &NodeRegistration) -> &str {
    registration.cri_socket.as_deref().unwrap_or(CONTAINERD)
}

/// One thing that is wrong.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    name: String,
    message: String,
}

fn finding(name: impl Into<String>, message: impl Into<String>) -> Finding {
    Finding {
        name: name.into(),
        message: message.into(),
    }
}

/// What every machine must have.
pub(super) fn machine_findings(
    machine: &Machine,
    registration: &NodeRegistration,
    control_plane: Option<Version>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let kernel = machine.kernel();
    let socket = socket(registration);
    if !kernel.containerd || socket.trim_start_matches("unix://") != CONTAINERD.trim_start_matches("unix://") {
        findings.push(finding(
            "CRI",
            format!(
                "could not connect to the container runtime: failed to create new CRI runtime service: validate service \
                 connection: dial unix {}: connect: no such file or directory",
                socket.trim_start_matches("unix://")
            ),
        ));
    }
    if kernel.swap {
        findings.push(finding(
            "Swap",
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false",
        ));
    }
    for setting in ["net.bridge.bridge-nf-call-iptables", "net.ipv4.ip_forward"] {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        let name = format!("FileContent-{}", path.replace('/', "-"));
        match kernel.sysctl(setting) {
            None => findings.push(finding(name, format!("{path} does not exist"))),
            Some("1") => {}
            Some(_) => findings.push(finding(name, format!("{path} contents are not set to 1"))),
        }
    }
    drop(kernel);
    match Version::installed(&machine.disk, "kubelet") {
        Err(error) => findings.push(finding(
            "KubeletVersion",
            format!("couldn't get kubelet version: {error}"),
        )),
        Ok(kubelet) => findings.extend(control_plane.and_then(|cluster| kubelet_finding(kubelet, cluster))),
    }
    findings
}

fn kubelet_finding(kubelet: Version, cluster: Version) -> Option<Finding> {
    if (kubelet.major, kubelet.minor) > (cluster.major, cluster.minor) {
        return Some(finding(
            "KubeletVersion",
            format!(
                "the kubelet version is higher than the control plane version. This is not a supported version skew \
                 and may lead to a malfunctional cluster. Kubelet version: \"{kubelet}\" Control plane version: \
                 \"{cluster}\""
            ),
        ));
    }
    if kubelet.minor + 3 < cluster.minor {
        return Some(finding(
            "KubeletVersion",
            format!("Kubelet version \"{kubelet}\" is lower than kubeadm can support for control plane \"{cluster}\""),
        ));
    }
    None
}

/// What a machine must have to become a master, by init or by join.
pub(super) fn master_findings(machine: &Machine, etcd_directory: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let spec = &machine.spec;
    if spec.cpus < LEAST_CPUS {
        findings.push(finding(
            "NumCPU",
            format!(
                "the number of available CPUs {} is less than the required {LEAST_CPUS}",
                spec.cpus
            ),
        ));
    }
    if spec.memory_mib < LEAST_MEMORY_MIB {
        findings.push(finding(
            "Mem",
            format!(
                "the system RAM ({} MB) is less than the minimum {LEAST_MEMORY_MIB} MB",
                spec.memory_mib
            ),
        ));
    }
    for component in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"] {
        findings.extend(existing_file(
            machine,
            &format!("/etc/kubernetes/manifests/{component}.yaml"),
        ));
    }
    if machine.disk.list(etcd_directory).is_ok_and(|names| !names.is_empty()) {
        let name = format!("DirAvailable-{}", etcd_directory.replace('/', "-"));
        findings.push(finding(name, format!("{etcd_directory} is not empty")));
    }
    findings
}

/// What a machine must not have when it joins. A worker has no authority yet; a master has them all.
pub(super) fn join_findings(machine: &Machine, worker: bool) -> Vec<Finding> {
    ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/pki/ca.crt"]
        .iter()
        .take(if worker { 2 } else { 1 })
        .filter_map(|path| existing_file(machine, path))
        .collect()
}

fn existing_file(machine: &Machine, path: &str) -> Option<Finding> {
    let name = format!("FileAvailable-{}", path.replace('/', "-"));
    machine
        .disk
        .exists(path)
        .then(|| finding(name, format!("{path} already exists")))
}

/// The findings as kubeadm's error, unless all of them are ignored.
pub(super) fn judge(machine: &Machine, findings: Vec<Finding>, ignored: &[String]) -> Result<(), String> {
    if machine.repeating.load(Ordering::Relaxed) {
        // What a first attempt has left behind is no reason to stop.
        return Ok(());
    }
    let ignored: BTreeSet<String> = ignored.iter().map(|name| name.to_lowercase()).collect();
    let mut message = "[preflight] Some fatal errors occurred:".to_owned();
    let mut fatal = false;
    for Finding { name, message: text } in findings {
        if ignored.contains("all") || ignored.contains(&name.to_lowercase()) {
            machine.console.say("kubeadm", format!("\t[WARNING {name}]: {text}"));
        } else {
            fatal = true;
            message = format!("{message}\n\t[ERROR {name}]: {text}");
        }
    }
    if !fatal {
        return Ok(());
    }
    message.push_str(
        "\n[preflight] If you know what you are doing, you can make a check non-fatal with \
         `--ignore-preflight-errors=...`",
    );
    Err(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_is_never_newer_and_at_most_three_minors_older() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        let cluster = version("1.34.1");
        assert!(kubelet_finding(version("1.34.9"), cluster).is_none());
        assert!(kubelet_finding(version("1.31.0"), cluster).is_none());
        assert!(
            kubelet_finding(version("1.30.0"), cluster)
                .unwrap()
                .message
                .contains("lower")
        );
        assert!(
            kubelet_finding(version("1.35.0"), cluster)
                .unwrap()
                .message
                .contains("higher")
        );
    }
}
