//! The calls that are made, out of the hundreds that the API has.
//!
//! Each line is a method of one of Google's clients: its path, the arguments of its query that are ever set, and whether it
//! has a body.  A method that is not here panics when it is called.

#[allow(clippy::wildcard_imports)]
use google_cloud_compute_v1::{model::*, stub};
use google_cloud_gax::{Result, options::RequestOptions, response::Response};
use reqwest::Method;

use crate::transport::Transport;

macro_rules! calls {
    ($($service:ident {$(
        $name:ident($request:path) -> $reply:ty: $method:ident $template:literal($($value:ident),*)
        $([$($argument:ident),*])? $(with $body:ident)?;
    )*})*) => {$(
        impl stub::$service for Transport {$(
            async fn $name(&self, request: $request, options: RequestOptions) -> Result<Response<$reply>> {
                let call = self.call(Method::$method, $template, &[$(&request.$value),*]);
                $($(let call = call.argument(stringify!($argument), &request.$argument);)*)?
                $(let call = call.body(request.$body.as_ref())?;)?
                call.send(&options).await
            }
        )*}
    )*};
}

calls! {
    Addresses {
        get(addresses::GetRequest) -> Address: GET "projects/{}/regions/{}/addresses/{}"(project, region, address);
        list(addresses::ListRequest) -> AddressList: GET "projects/{}/regions/{}/addresses"(project, region)
            [filter, max_results, page_token];
        insert(addresses::InsertRequest) -> Operation: POST "projects/{}/regions/{}/addresses"(project, region)
            [request_id] with body;
        set_labels(addresses::SetLabelsRequest) -> Operation:
            POST "projects/{}/regions/{}/addresses/{}/setLabels"(project, region, resource) [request_id] with body;
        delete(addresses::DeleteRequest) -> Operation:
            DELETE "projects/{}/regions/{}/addresses/{}"(project, region, address) [request_id];
    }
    Disks {
        get(disks::GetRequest) -> Disk: GET "projects/{}/zones/{}/disks/{}"(project, zone, disk);
        insert(disks::InsertRequest) -> Operation: POST "projects/{}/zones/{}/disks"(project, zone)
            [request_id] with body;
        resize(disks::ResizeRequest) -> Operation: POST "projects/{}/zones/{}/disks/{}/resize"(project, zone, disk)
            [request_id] with body;
        set_labels(disks::SetLabelsRequest) -> Operation:
            POST "projects/{}/zones/{}/disks/{}/setLabels"(project, zone, resource) [request_id] with body;
        create_snapshot(disks::CreateSnapshotRequest) -> Operation:
            POST "projects/{}/zones/{}/disks/{}/createSnapshot"(project, zone, disk) [request_id] with body;
        delete(disks::DeleteRequest) -> Operation: DELETE "projects/{}/zones/{}/disks/{}"(project, zone, disk)
            [request_id];
    }
    Firewalls {
        get(firewalls::GetRequest) -> Firewall: GET "projects/{}/global/firewalls/{}"(project, firewall);
        list(firewalls::ListRequest) -> FirewallList: GET "projects/{}/global/firewalls"(project)
            [filter, max_results, page_token];
        insert(firewalls::InsertRequest) -> Operation: POST "projects/{}/global/firewalls"(project)
            [request_id] with body;
        update(firewalls::UpdateRequest) -> Operation: PUT "projects/{}/global/firewalls/{}"(project, firewall)
            [request_id] with body;
        delete(firewalls::DeleteRequest) -> Operation: DELETE "projects/{}/global/firewalls/{}"(project, firewall)
            [request_id];
    }
    ForwardingRules {
        get(forwarding_rules::GetRequest) -> ForwardingRule:
            GET "projects/{}/regions/{}/forwardingRules/{}"(project, region, forwarding_rule);
        list(forwarding_rules::ListRequest) -> ForwardingRuleList:
            GET "projects/{}/regions/{}/forwardingRules"(project, region) [filter, max_results, page_token];
        insert(forwarding_rules::InsertRequest) -> Operation:
            POST "projects/{}/regions/{}/forwardingRules"(project, region) [request_id] with body;
        delete(forwarding_rules::DeleteRequest) -> Operation:
            DELETE "projects/{}/regions/{}/forwardingRules/{}"(project, region, forwarding_rule) [request_id];
    }
    GlobalOperations {
        wait(global_operations::WaitRequest) -> Operation:
            POST "projects/{}/global/operations/{}/wait"(project, operation);
    }
    InstanceGroups {
        aggregated_list(instance_groups::AggregatedListRequest) -> InstanceGroupAggregatedList:
            GET "projects/{}/aggregated/instanceGroups"(project) [filter, max_results, page_token];
        list_instances(instance_groups::ListInstancesRequest) -> InstanceGroupsListInstances:
            POST "projects/{}/zones/{}/instanceGroups/{}/listInstances"(project, zone, instance_group)
            [filter, max_results, page_token] with body;
        insert(instance_groups::InsertRequest) -> Operation: POST "projects/{}/zones/{}/instanceGroups"(project, zone)
            [request_id] with body;
        add_instances(instance_groups::AddInstancesRequest) -> Operation:
            POST "projects/{}/zones/{}/instanceGroups/{}/addInstances"(project, zone, instance_group)
            [request_id] with body;
        remove_instances(instance_groups::RemoveInstancesRequest) -> Operation:
            POST "projects/{}/zones/{}/instanceGroups/{}/removeInstances"(project, zone, instance_group)
            [request_id] with body;
        delete(instance_groups::DeleteRequest) -> Operation:
            DELETE "projects/{}/zones/{}/instanceGroups/{}"(project, zone, instance_group) [request_id];
    }
    Instances {
        aggregated_list(instances::AggregatedListRequest) -> InstanceAggregatedList:
            GET "projects/{}/aggregated/instances"(project) [filter, max_results, page_token];
        get(instances::GetRequest) -> Instance: GET "projects/{}/zones/{}/instances/{}"(project, zone, instance);
        insert(instances::InsertRequest) -> Operation: POST "projects/{}/zones/{}/instances"(project, zone)
            [request_id] with body;
        start(instances::StartRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/start"(project, zone, instance) [request_id];
        stop(instances::StopRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/stop"(project, zone, instance) [request_id];
        set_labels(instances::SetLabelsRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/setLabels"(project, zone, instance) [request_id] with body;
        set_disk_auto_delete(instances::SetDiskAutoDeleteRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/setDiskAutoDelete"(project, zone, instance)
            [auto_delete, device_name, request_id];
        add_access_config(instances::AddAccessConfigRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/addAccessConfig"(project, zone, instance)
            [network_interface, request_id] with body;
        delete_access_config(instances::DeleteAccessConfigRequest) -> Operation:
            POST "projects/{}/zones/{}/instances/{}/deleteAccessConfig"(project, zone, instance)
            [access_config, network_interface, request_id];
        delete(instances::DeleteRequest) -> Operation:
            DELETE "projects/{}/zones/{}/instances/{}"(project, zone, instance) [request_id];
    }
    MachineTypes {
        get(machine_types::GetRequest) -> MachineType:
            GET "projects/{}/zones/{}/machineTypes/{}"(project, zone, machine_type);
    }
    Networks {
        get(networks::GetRequest) -> Network: GET "projects/{}/global/networks/{}"(project, network);
        insert(networks::InsertRequest) -> Operation: POST "projects/{}/global/networks"(project)
            [request_id] with body;
        delete(networks::DeleteRequest) -> Operation: DELETE "projects/{}/global/networks/{}"(project, network)
            [request_id];
    }
    Projects {
        get(projects::GetRequest) -> Project: GET "projects/{}"(project);
    }
    RegionBackendServices {
        get(region_backend_services::GetRequest) -> BackendService:
            GET "projects/{}/regions/{}/backendServices/{}"(project, region, backend_service);
        list(region_backend_services::ListRequest) -> BackendServiceList:
            GET "projects/{}/regions/{}/backendServices"(project, region) [filter, max_results, page_token];
        get_health(region_backend_services::GetHealthRequest) -> BackendServiceGroupHealth:
            POST "projects/{}/regions/{}/backendServices/{}/getHealth"(project, region, backend_service) with body;
        insert(region_backend_services::InsertRequest) -> Operation:
            POST "projects/{}/regions/{}/backendServices"(project, region) [request_id] with body;
        update(region_backend_services::UpdateRequest) -> Operation:
            PUT "projects/{}/regions/{}/backendServices/{}"(project, region, backend_service) [request_id] with body;
        delete(region_backend_services::DeleteRequest) -> Operation:
            DELETE "projects/{}/regions/{}/backendServices/{}"(project, region, backend_service) [request_id];
    }
    RegionHealthChecks {
        get(region_health_checks::GetRequest) -> HealthCheck:
            GET "projects/{}/regions/{}/healthChecks/{}"(project, region, health_check);
        list(region_health_checks::ListRequest) -> HealthCheckList:
            GET "projects/{}/regions/{}/healthChecks"(project, region) [filter, max_results, page_token];
        insert(region_health_checks::InsertRequest) -> Operation:
            POST "projects/{}/regions/{}/healthChecks"(project, region) [request_id] with body;
        update(region_health_checks::UpdateRequest) -> Operation:
            PUT "projects/{}/regions/{}/healthChecks/{}"(project, region, health_check) [request_id] with body;
        delete(region_health_checks::DeleteRequest) -> Operation:
            DELETE "projects/{}/regions/{}/healthChecks/{}"(project, region, health_check) [request_id];
    }
    RegionOperations {
        wait(region_operations::WaitRequest) -> Operation:
            POST "projects/{}/regions/{}/operations/{}/wait"(project, region, operation);
    }
    Snapshots {
        get(snapshots::GetRequest) -> Snapshot: GET "projects/{}/global/snapshots/{}"(project, snapshot);
        list(snapshots::ListRequest) -> SnapshotList: GET "projects/{}/global/snapshots"(project)
            [filter, max_results, page_token];
        delete(snapshots::DeleteRequest) -> Operation: DELETE "projects/{}/global/snapshots/{}"(project, snapshot)
            [request_id];
    }
    Subnetworks {
        get(subnetworks::GetRequest) -> Subnetwork:
            GET "projects/{}/regions/{}/subnetworks/{}"(project, region, subnetwork);
        insert(subnetworks::InsertRequest) -> Operation: POST "projects/{}/regions/{}/subnetworks"(project, region)
            [request_id] with body;
        delete(subnetworks::DeleteRequest) -> Operation:
            DELETE "projects/{}/regions/{}/subnetworks/{}"(project, region, subnetwork) [request_id];
    }
    ZoneOperations {
        wait(zone_operations::WaitRequest) -> Operation:
            POST "projects/{}/zones/{}/operations/{}/wait"(project, zone, operation);
    }
    Zones {
        list(zones::ListRequest) -> ZoneList: GET "projects/{}/zones"(project) [filter, max_results, page_token];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Every source of this crate but this one.
    fn sources(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("calls.rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source is text"));
            }
        }
    }

    /// What stands before `.set_project(`: the method of a client.
    fn called(text: &str) -> BTreeSet<String> {
        let before = |(at, _): (usize, &str)| {
            let call = text[..at].trim_end().strip_suffix("()")?;
            let begin = call.rfind('.')? + 1;
            Some(call[begin..].to_owned())
        };
        text.match_indices(".set_project(").filter_map(before).collect()
    }

    #[test]
    fn every_method_that_is_called_is_listed() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let listed = include_str!("calls.rs");
        let called = called(&text);
        assert!(called.len() > 10, "the calls are found: {called:?}");
        for method in called {
            assert!(
                listed.contains(&format!("\n        {method}(")),
                "{method} is called and not listed"
            );
        }
    }
}
