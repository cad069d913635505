//! What the cloud offers: zones and machine types, asked for at plan in order to refuse, never in order to choose.

use multizone_cloud::{CloudError, ClusterName, Subnets};
use multizone_schema::{Diagnostic, Diagnostics, Path};

use crate::configuration::{Configured, Maker, NewMachines};

/// Why a machine must be of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// kubeadm's preflight wants 2 CPUs and 2 GiB.
    Master,
    /// Anything that the zone offers.
    Worker,
}

/// kubeadm's preflight: CPUs of a control-plane machine.
const MASTER_CPUS: u32 = 2;
/// kubeadm's recommendation: MiB of a control-plane machine.
const MASTER_MEMORY_MIB: u64 = 2048;

/// Refuses a zone that the region does not have.
pub async fn check_zone(provider: &Configured, path: Path, zone: &str) -> Diagnostics {
    match provider.ask("the zones", provider.zones()).await {
        Ok(zones) => {
            if zones.iter().any(|known| known.name == zone) {
                return Diagnostics::new();
            }
            let region = provider.cloud().region();
            let names: Vec<&str> = zones.iter().map(|zone| zone.name.as_str()).collect();
            Diagnostic::error(
                "Unknown zone",
                format!(
                    "{path}: {zone:?} is not a zone of region {region}. Its zones are {}. A cluster spans zones of one \
                     region, the one in the provider's configuration.",
                    names.join(", ")
                ),
            )
            .at(path)
            .into()
        }
        Err(error) => unasked(&path, "the zones on offer", &error),
    }
}

/// Refuses a machine type that the zone does not offer, or that is too small for its purpose.
pub async fn check_machine_type(
    provider: &Configured,
    path: Path,
    zone: &str,
    machine_type: &str,
    purpose: Purpose,
) -> Diagnostics {
    let offered = match provider
        .ask("the machine type", provider.machine_type(zone, machine_type))
        .await
    {
        Ok(offered) => offered,
        // A zone that does not exist has been refused where it stands.
        Err(CloudError::NotFound { .. }) => return Diagnostics::new(),
        Err(error) => return unasked(&path, "the machine types on offer", &error),
    };
    let Some(offered) = offered else {
        return Diagnostic::error(
            "Unknown machine type",
            format!(
                "{path}: zone {zone} does not offer machines of type {machine_type:?}. Choose one that it offers, for \
                 example {}.",
                provider.cloud().capabilities().machine_type
            ),
        )
        .at(path)
        .into();
    };
    if purpose == Purpose::Worker || (offered.cpus >= MASTER_CPUS && offered.memory_mib >= MASTER_MEMORY_MIB) {
        return Diagnostics::new();
    }
    Diagnostic::error(
        "Machine type too small for a master",
        format!(
            "{path}: {machine_type} has {} CPU{} and {} MiB. kubeadm refuses a master with fewer than 2 CPUs or less \
             than 2 GiB. Choose a larger type, for example {}.",
            offered.cpus,
            if offered.cpus == 1 { "" } else { "s" },
            offered.memory_mib,
            provider.cloud().capabilities().machine_type
        ),
    )
    .at(path)
    .into()
}

/// Refuses more new machines in a zone than its subnet has addresses for, those counted that others plan there.
pub async fn check_addresses(
    provider: &Configured,
    path: Path,
    cluster: &ClusterName,
    zone: &str,
    (maker, new): (Maker, NewMachines),
) -> Diagnostics {
    if provider.cloud().capabilities().subnets == Subnets::Regional || new == NewMachines::default() {
        return Diagnostics::new();
    }
    match provider.plan_machines(cluster, zone, maker, new).await {
        Ok((all, Some(free))) if all.staying + all.passing > free => {
            let most = all.staying + all.passing;
            let passing = match all.passing {
                0 => String::new(),
                passing => format!(
                    " Of these, {passing} only while others are replaced: a node group with max_surge = 0 and \
                     max_unavailable = 1 does without."
                ),
            };
            Diagnostic::error(
                "Too few addresses",
                format!(
                    "{path}: {most} new machine{} planned in zone {zone} of cluster {cluster}, whose subnet has {free} \
                     free address{}.{passing} Plan fewer there, or give the zone a larger subnet, which takes leaving it \
                     first.",
                    if most == 1 { " is" } else { "s are" },
                    if free == 1 { "" } else { "es" },
                ),
            )
            .at(path)
            .into()
        }
        Ok(_) => Diagnostics::new(),
        Err(error) => unasked(&path, "the free addresses of the zone's subnet", &error),
    }
}

/// The plan does without the answer: apply asks again, and is told by the cloud itself.
fn unasked(path: &Path, what: &str, error: &CloudError) -> Diagnostics {
    Diagnostic::warning(
        "The cloud could not be asked",
        format!("{path} was not checked against {what}: {error}. Apply will find out."),
    )
    .at(path.clone())
    .into()
}
