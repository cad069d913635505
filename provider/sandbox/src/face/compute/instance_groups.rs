//! Zonal, unmanaged instance groups.

use super::{Answer, Call, object, operate, own_reference, scope, zone_scopes};
use crate::core::balancers::instance_groups::NewInstanceGroup;
use crate::core::balancers::records::{InstanceGroup, NamedPort};
use crate::core::names::fingerprint;
use crate::core::records::InstanceStatus;
use crate::core::{Core, Refusal};
use crate::face::lists::{aggregated, empty, list};
use crate::face::references::link;
use crate::region::Region;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InstanceGroupBody {
    name: String,
    description: String,
    network: Option<String>,
    named_ports: Vec<NamedPort>,
}

#[derive(Deserialize, Default)]
struct InstanceBody {
    #[serde(default)]
    instance: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MembersBody {
    instances: Vec<InstanceBody>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StateBody {
    instance_state: Option<String>,
}

impl MembersBody {
    fn references(&self, region: &Region) -> Result<Vec<(Option<String>, String)>, Refusal> {
        let reference = |(index, it): (usize, &InstanceBody)| {
            let field = format!("instances[{index}].instance");
            own_reference(region, &field, &it.instance, "instances")
        };
        self.instances.iter().enumerate().map(reference).collect()
    }
}

fn show(core: &Core, it: &InstanceGroup) -> Value {
    let settings = core.settings();
    let path = settings.zonal_path(&it.zone, "instanceGroups", &it.identity.name);
    let mut fields = json!({
        "zone": link(&scope(core, &format!("zones/{}", it.zone))),
        "size": it.members.len(),
        "fingerprint": fingerprint(&it.named_ports),
    });
    if let Some(network) = &it.network {
        fields["network"] = link(&settings.global_path("networks", network)).into();
    }
    if let Some(subnetwork) = &it.subnetwork {
        fields["subnetwork"] = link(&settings.subnetwork_path(subnetwork)).into();
    }
    if !it.named_ports.is_empty() {
        let ports = it
            .named_ports
            .iter()
            .map(|port| json!({ "name": port.name, "port": port.port }));
        fields["namedPorts"] = ports.collect();
    }
    object("compute#instanceGroup", &it.identity, &path, fields)
}

pub(super) fn instance_groups(region: &Region, call: &Call, zone: &str, rest: &[&str]) -> Answer {
    region.read(|core| core.settings().require_zone(zone))?;
    match (call.method.as_str(), rest) {
        ("GET", []) => region.read(|core| {
            let groups = core.state().instance_groups().iter().filter(|(_, it)| it.zone == zone);
            let items = groups.map(|(key, it)| (key.clone(), move || show(core, it)));
            let path = scope(core, &format!("zones/{zone}/instanceGroups"));
            list(call, "compute#instanceGroupList", &path, items)
        }),
        ("GET", [name]) => region.read(|core| found(core, zone, name).map(|it| show(core, it))),
        ("POST", []) => {
            let body: InstanceGroupBody = call.body_as()?;
            let network = match body.network.filter(|it| !it.is_empty()) {
                Some(text) => Some(own_reference(region, "resource.network", &text, "networks")?.1),
                None => None,
            };
            let new = NewInstanceGroup {
                name: body.name,
                description: body.description,
                zone: zone.to_owned(),
                network,
                named_ports: body.named_ports,
            };
            operate(region, call, |transaction| transaction.insert_instance_group(new))
        }
        ("POST", [name, "addInstances"]) => {
            let machines = call.body_as::<MembersBody>()?.references(region)?;
            operate(region, call, |transaction| {
                transaction.add_to_instance_group(zone, name, &machines)
            })
        }
        ("POST", [name, "removeInstances"]) => {
            let machines = call.body_as::<MembersBody>()?.references(region)?;
            operate(region, call, |transaction| {
                transaction.remove_from_instance_group(zone, name, &machines)
            })
        }
        ("POST", [name, "listInstances"]) => members(region, call, zone, name),
        ("DELETE", [name]) => operate(region, call, |transaction| {
            transaction.delete_instance_group(zone, name)
        }),
        _ => Err(call.unknown()),
    }
}

fn found<'c>(core: &'c Core, zone: &str, name: &str) -> Result<&'c InstanceGroup, Refusal> {
    let group = core.state().instance_groups().get(&format!("{zone}/{name}"));
    group.ok_or_else(|| Refusal::not_found(&core.settings().zonal_path(zone, "instanceGroups", name)))
}

fn members(region: &Region, call: &Call, zone: &str, name: &str) -> Answer {
    let running_only = match call.body_as::<StateBody>()?.instance_state.as_deref() {
        None | Some("ALL") => false,
        Some("RUNNING") => true,
        Some(other) => return Err(Refusal::invalid("instanceState", other, "ALL or RUNNING")),
    };
    region.read(|core| {
        let group = found(core, zone, name)?;
        let members = group
            .members
            .iter()
            .filter_map(|key| Some((key, core.state().instances().get(key)?)))
            .filter(|(_, it)| !running_only || it.status == InstanceStatus::Running);
        let items = members.map(|(key, it)| {
            let show = move || {
                let path = core.settings().instance_path(key);
                json!({ "instance": link(&path), "status": it.status.word() })
            };
            (key.clone(), show)
        });
        let path = core.settings().zonal_path(zone, "instanceGroups", name);
        list(call, "compute#instanceGroupsListInstances", &path, items)
    })
}

/// The managers of a zone's managed groups, of which there are none; gcloud looks for them to tell the kinds apart.
pub(super) fn managers(region: &Region, call: &Call, zone: &str) -> Answer {
    region.read(|core| {
        core.settings().require_zone(zone)?;
        let path = scope(core, &format!("zones/{zone}/instanceGroupManagers"));
        empty(call, "compute#instanceGroupManagerList", &path)
    })
}

pub(super) fn all_instance_groups(region: &Region, call: &Call) -> Answer {
    region.read(|core| {
        let groups = core.state().instance_groups().iter();
        let items = groups.map(|(key, it)| (format!("zones/{}", it.zone), key.clone(), move || show(core, it)));
        let mut places = zone_scopes(core);
        places.push(format!("regions/{}", core.settings().region.name));
        let path = scope(core, "aggregated/instanceGroups");
        aggregated(
            call,
            "compute#instanceGroupAggregatedList",
            &path,
            "instanceGroups",
            &places,
            items,
        )
    })
}
