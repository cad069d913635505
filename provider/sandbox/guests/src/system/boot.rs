//! What systemd brings up from the disk.

use std::io;

use super::{API_ROUTE_ENABLED, CONTAINERD_ENABLED, HOSTS, KUBELET_ENABLED};
use crate::machine::Machine;

const FSTAB: &str = "/etc/fstab";
/// The image comes with a swap file, like many do: whoever wants a kubelet has to turn it off.
const IMAGE_FSTAB: &str = "LABEL=rootfs / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n";

/// Goes on after a restart of the region's process: only what the process held for the machine is made again.
pub(crate) fn resume(machine: &Machine) {
    machine
        .console
        .say("multizone-sandbox", "the sandbox was restarted; the machine goes on");
    let addresses = machine.kernel().local_addresses.clone();
    for address in addresses {
        if let Err(error) = machine.network.add_local_address(&machine.spec.name, address) {
            machine
                .console
                .say("multizone-sandbox", format!("address {address} is lost: {error}"));
        }
    }
    if machine.disk.exists(API_ROUTE_ENABLED) {
        machine.api_route.start();
    }
}

/// Brings the machine up to where cloud-init and enabled services start.
pub(crate) fn boot(machine: &Machine) {
    let spec = &machine.spec;
    machine.console.say(
        "kernel",
        format!(
            "Linux version 6.8.0-1020-gcp, {} CPUs, {} MiB",
            spec.cpus, spec.memory_mib
        ),
    );
    if let Err(error) = bring_up(machine) {
        machine
            .console
            .say("systemd", format!("Failed to bring up the system: {error}"));
    }
    machine.console.say(
        "systemd",
        format!("Reached target multi-user.target on {}", spec.hostname),
    );
}

fn bring_up(machine: &Machine) -> io::Result<()> {
    let disk = &machine.disk;
    if !disk.exists(FSTAB) {
        disk.write(FSTAB, IMAGE_FSTAB, 0o644)?;
        disk.write("/etc/hostname", format!("{}\n", machine.spec.hostname), 0o644)?;
        disk.write(HOSTS, "127.0.0.1 localhost\n", 0o644)?;
    }
    let fstab = disk.text(FSTAB)?.unwrap_or_default();
    machine.kernel().swap = fstab.lines().any(is_swap_entry);
    for file in disk
        .list("/etc/modules-load.d")?
        .iter()
        .filter(|file| has_conf_suffix(file))
    {
        let modules = disk.text(&format!("/etc/modules-load.d/{file}"))?.unwrap_or_default();
        for module in settings(&modules) {
            machine.kernel().modules.insert(module.to_owned());
        }
    }
    load_sysctls(machine)?;
    if disk.exists(CONTAINERD_ENABLED) {
        machine.kernel().containerd = true;
        machine
            .console
            .say("systemd", "Started containerd.service - containerd container runtime.");
    }
    if disk.exists(KUBELET_ENABLED) {
        machine.kubelet.start();
    }
    if disk.exists(API_ROUTE_ENABLED) {
        machine.api_route.start();
    }
    Ok(())
}

/// Whether a line of fstab mounts swap.
pub(super) fn is_swap_entry(line: &str) -> bool {
    !line.trim_start().starts_with('#') && line.split_whitespace().nth(2) == Some("swap")
}

/// Does what `sysctl --system` does: applies every file of /etc/sysctl.d, and says what cannot be set.
pub(crate) fn load_sysctls(machine: &Machine) -> io::Result<()> {
    for file in machine
        .disk
        .list("/etc/sysctl.d")?
        .iter()
        .filter(|file| has_conf_suffix(file))
    {
        let text = machine.disk.text(&format!("/etc/sysctl.d/{file}"))?.unwrap_or_default();
        for setting in settings(&text) {
            let Some((name, value)) = setting.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim().replace('/', "."), value.trim().to_owned());
            let mut kernel = machine.kernel();
            if kernel.sysctl(&name).is_none() {
                let path = name.replace('.', "/");
                machine.console.say(
                    "sysctl",
                    format!("cannot stat /proc/sys/{path}: No such file or directory"),
                );
            } else {
                kernel.sysctls.insert(name, value);
            }
        }
    }
    Ok(())
}

fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

fn has_conf_suffix(file: &str) -> bool {
    std::path::Path::new(file)
        .extension()
        .is_some_and(|extension| extension == "conf")
}
