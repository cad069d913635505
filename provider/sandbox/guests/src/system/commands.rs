//! The commands that user data may run. Nothing else exists on these machines.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::Deserialize;

use super::boot::load_sysctls;
use super::{API_ROUTE_ENABLED, CONTAINERD_ENABLED, KUBELET_ENABLED, api_route, edits};
use crate::kubeadm;
use crate::machine::Machine;

/// Installing containerd and the Kubernetes packages on a real machine.
const INSTALL: Duration = Duration::from_secs(40);
/// Asking the metadata server for a token and the secret store for a secret.
const FETCH: Duration = Duration::from_secs(2);
/// The script tries for ten minutes, since the right to read a secret takes time to spread.
const FETCH_ATTEMPTS: u32 = 120;
const FETCH_PAUSE: Duration = Duration::from_secs(5);
/// A machine that is being changed goes on until that is done.
const POWER_OFF_ATTEMPTS: u32 = 20;
const POWER_OFF_PAUSE: Duration = Duration::from_secs(5);
/// Where the programs on the PATH are.
const PATH: [&str; 4] = ["/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/"];

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What it printed last.
    pub(crate) message: String,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            message: error.to_string(),
        }
    }
}

/// A failure with this message.
pub(crate) fn failure(message: impl Into<String>) -> Failure {
    Failure {
        message: message.into(),
    }
}

/// Runs one command to its end.
pub(crate) async fn execute(machine: &Machine, argv: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    match (name, arguments) {
        ("true" | ":", _) => Ok(()),
        ("echo", words) => {
            machine.console.say("cloud-init", words.join(" "));
            Ok(())
        }
        ("swapoff", ["-a" | "--all"]) => {
            machine.kernel().swap = false;
            Ok(())
        }
        ("sed", arguments) => edits::sed(machine, arguments),
        ("sh", ["-c", script]) => edits::fill_in_instance_id(machine, script),
        ("mkdir", ["-p", directories @ ..]) => directories
            .iter()
            .try_for_each(|directory| Ok(machine.disk.make_directory(directory)?)),
        ("modprobe", modules) => modprobe(machine, modules),
        ("sysctl", ["--system"]) => Ok(load_sysctls(machine)?),
        ("ip", ["address" | "addr" | "a", "add", address, "dev", "lo"]) => add_address(machine, address),
        ("systemctl", arguments) => systemctl(machine, arguments),
        ("multizone-install-kubernetes", arguments) => {
            find(machine, program)?;
            install(machine, arguments).await
        }
        ("multizone-fetch-pki", arguments) => {
            find(machine, program)?;
            fetch_pki(machine, arguments).await
        }
        ("multizone-join-control-plane", arguments) => {
            find(machine, program)?;
            join_control_plane(machine, arguments).await
        }
        ("kubeadm", arguments) => {
            find(machine, program)?;
            kubeadm::run(machine, arguments).await
        }
        ("swapoff" | "mkdir" | "sysctl" | "ip", _) => Err(failure(format!(
            "{name}: this machine does not know the arguments {}",
            arguments.join(" ")
        ))),
        _ => {
            find(machine, program)?;
            Err(failure(format!(
                "{program}: the sandbox's machines cannot run this program"
            )))
        }
    }
}

/// Looks a program up as a shell does.
fn find(machine: &Machine, program: &str) -> Result<(), Failure> {
    if program.contains('/') {
        return match (machine.disk.exists(program), machine.disk.is_executable(program)) {
            (false, _) => Err(failure(format!("{program}: No such file or directory"))),
            (true, false) => Err(failure(format!("{program}: Permission denied"))),
            (true, true) => Ok(()),
        };
    }
    if PATH
        .iter()
        .any(|directory| machine.disk.is_executable(&format!("{directory}{program}")))
    {
        return Ok(());
    }
    Err(failure(format!("{program}: command not found")))
}

fn modprobe(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    for module in arguments.iter().filter(|argument| !argument.starts_with('-')) {
        if !matches!(
            *module,
            "overlay" | "br_netfilter" | "ip_vs" | "ip_vs_rr" | "nf_conntrack" | "ip_tables"
        ) {
            return Err(failure(format!(
                "modprobe: FATAL: Module {module} not found in directory /lib/modules"
            )));
        }
        machine.kernel().modules.insert((*module).to_owned());
    }
    Ok(())
}

fn add_address(machine: &Machine, address: &str) -> Result<(), Failure> {
    let plain = address.split_once('/').map_or(address, |(plain, _)| plain);
    let parsed: Ipv4Addr = plain.parse().map_err(|_| {
        failure(format!(
            "Error: any valid prefix is expected rather than \"{address}\"."
        ))
    })?;
    machine.network.add_local_address(&machine.spec.name, parsed)?;
    machine.kernel().local_addresses.insert(parsed);
    Ok(())
}

fn systemctl(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    let (options, words): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|word| word.starts_with('-'));
    let Some((verb, units)) = words.split_first() else {
        return Err(failure("systemctl: a command is missing"));
    };
    if *verb == "daemon-reload" {
        return Ok(());
    }
    let now = options.contains(&"--now");
    for unit in units {
        let unit = unit.trim_end_matches(".service");
        let (program, enabled) = match unit {
            "kubelet" => ("/usr/bin/kubelet", KUBELET_ENABLED),
            "containerd" => ("/usr/bin/containerd", CONTAINERD_ENABLED),
            "multizone-api-route" => (api_route::PROGRAM, API_ROUTE_ENABLED),
            _ => return Err(failure(format!("Unit {unit}.service not found."))),
        };
        if !machine.disk.exists(program) || unit == "multizone-api-route" && !machine.disk.exists(api_route::UNIT) {
            return Err(failure(format!("Unit {unit}.service not found.")));
        }
        match *verb {
            "enable" => machine
                .disk
                .write(enabled, format!("[Service]\nExecStart={program}\n"), 0o644)?,
            "disable" => machine.disk.remove(enabled)?,
            "start" | "restart" | "stop" | "unmask" => {}
            verb => return Err(failure(format!("systemctl: this machine does not know {verb}"))),
        }
        match (unit, *verb) {
            ("kubelet", "restart") => machine.kubelet.restart(),
            ("kubelet", "stop") => machine.kubelet.stop(),
            ("kubelet", verb) if verb == "start" || now && verb == "enable" => machine.kubelet.start(),
            ("kubelet", "disable") if now => machine.kubelet.stop(),
            ("multizone-api-route", "stop") => machine.api_route.stop(),
            ("multizone-api-route", verb) if verb == "start" || now && verb == "enable" => machine.api_route.start(),
            ("containerd", "stop") => machine.kernel().containerd = false,
            ("containerd", "disable") if now => machine.kernel().containerd = false,
            ("containerd", verb) if matches!(verb, "start" | "restart") || now && verb == "enable" => {
                machine.kernel().containerd = true;
            }
            _ => {}
        }
    }
    Ok(())
}

/// `multizone-install-kubernetes MINOR VERSION [KUBEADM_MINOR KUBEADM_VERSION]`: containerd, kubelet, kubectl and kubeadm
/// from packages.
async fn install(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    let (minor, version, kubeadm_minor, kubeadm) = match *arguments {
        [minor, version] => (minor, version, minor, version),
        [minor, version, kubeadm_minor, kubeadm] => (minor, version, kubeadm_minor, kubeadm),
        _ => {
            return Err(failure(
                "usage: multizone-install-kubernetes MINOR VERSION [KUBEADM_MINOR KUBEADM_VERSION]",
            ));
        }
    };
    for (minor, version, program) in [(minor, version, "kubelet"), (kubeadm_minor, kubeadm, "kubeadm")] {
        if !version.starts_with(&format!("{minor}.")) || version.split('.').any(|part| part.parse::<u32>().is_err()) {
            return Err(failure(format!(
                "E: Version '{version}-*' for '{program}' was not found"
            )));
        }
    }
    machine.status.phase("installing Kubernetes");
    machine.takes(INSTALL.mul_f64(0.5)).await;
    machine
        .console
        .say("apt", "Setting up containerd (1.7.28-0ubuntu1) ...");
    machine.disk.write("/usr/bin/containerd", "1.7.28\n", 0o755)?;
    machine
        .disk
        .write(CONTAINERD_ENABLED, "[Service]\nExecStart=/usr/bin/containerd\n", 0o644)?;
    machine.kernel().containerd = true;
    machine.takes(INSTALL.mul_f64(0.5)).await;
    for (program, version) in [("kubelet", version), ("kubectl", version), ("kubeadm", kubeadm)] {
        machine
            .console
            .say("apt", format!("Setting up {program} ({version}-1.1) ..."));
        machine
            .disk
            .write(&format!("/usr/bin/{program}"), format!("{version}\n"), 0o755)?;
    }
    machine
        .disk
        .write(KUBELET_ENABLED, "[Service]\nExecStart=/usr/bin/kubelet\n", 0o644)?;
    machine
        .status
        .update(|progress| progress.kubernetes_version = Some(version.to_owned()));
    machine.kubelet.start();
    Ok(())
}

/// `multizone-join-control-plane CONFIGURATION`: a machine whose join has failed and that does not vote in etcd switches
/// itself off.
async fn join_control_plane(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    let [configuration] = arguments else {
        return Err(failure("usage: multizone-join-control-plane CONFIGURATION"));
    };
    find(machine, "kubeadm")?;
    let join = ["join", "--config", configuration];
    let Err(failed) = Box::pin(kubeadm::run(machine, &join)).await else {
        return Ok(());
    };
    if kubeadm::may_vote(machine).await {
        return Err(failed);
    }
    machine.console.say(
        "multizone-join-control-plane",
        format!("{}: the machine switches itself off", failed.message),
    );
    for _ in 0..POWER_OFF_ATTEMPTS {
        match machine.host.power_off(&machine.spec.name).await {
            Ok(()) => break,
            Err(error) => machine.console.say("systemd", error.to_string()),
        }
        machine.takes(POWER_OFF_PAUSE).await;
    }
    Err(failed)
}

/// The secret that holds the cluster's authorities.
#[derive(Deserialize)]
struct PkiSecret {
    format: u32,
    files: std::collections::BTreeMap<String, String>,
}

/// `multizone-fetch-pki SECRET`: the cluster's authorities from the secret store, with the machine's identity.
async fn fetch_pki(machine: &Machine, arguments: &[&str]) -> Result<(), Failure> {
    let [secret] = arguments else {
        return Err(failure("usage: multizone-fetch-pki SECRET"));
    };
    machine.status.phase("fetching the cluster's keys");
    // kubeadm makes authorities of its own when it finds none: it refuses to while this is there.
    machine.disk.write(
        "/etc/kubernetes/pki/ca.crt",
        "multizone: the certificate authorities have not been fetched\n",
        0o600,
    )?;
    machine.takes(FETCH).await;
    let mut attempt = 1;
    let bytes = loop {
        match machine.host.access_secret(&machine.spec.name, secret).await {
            Ok(bytes) => break bytes,
            Err(error) if attempt == FETCH_ATTEMPTS => {
                return Err(failure(format!("secret {secret} cannot be read: {error}")));
            }
            Err(error) => {
                if attempt == 1 {
                    machine
                        .console
                        .say("multizone-fetch-pki", format!("{error}; trying on"));
                    machine.status.phase(format!("fetching the cluster's keys: {error}"));
                }
            }
        }
        attempt += 1;
        machine.takes(FETCH_PAUSE).await;
    };
    let pki: PkiSecret =
        serde_json::from_slice(&bytes).map_err(|error| failure(format!("secret {secret} is not JSON: {error}")))?;
    if pki.format != 1 {
        return Err(failure(format!("secret {secret} has format {}, not 1", pki.format)));
    }
    for (name, content) in &pki.files {
        let private = std::path::Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "key");
        let mode = if private { 0o600 } else { 0o644 };
        machine
            .disk
            .write(&format!("/etc/kubernetes/pki/{name}"), content, mode)?;
    }
    Ok(())
}
