//! States as large as they get: 100 MB in 10,000 instances, and in one.

use multizone_provider::protocol::wire::tfplugin6 as wire;
use multizone_provider::protocol::wire::tfplugin6::provider_client::ProviderClient;
use tonic::transport::Channel;

use crate::host::{Plugin, Start};
use crate::identity::TERRAFORM;

const INSTANCES: usize = 10_000;
/// Bytes of each instance's state.
const INSTANCE: usize = 10_000;
/// How many requests Terraform has under way at a time.
const PARALLELISM: usize = 10;
const DISK: &str = "multizone_disk";

/// The most memory that the process had, in bytes.
fn peak(plugin: &Plugin) -> usize {
    let process = plugin.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes << 10
}

/// A disk's state with this many labels of `length` bytes each.
fn state(name: &str, labels: usize, length: usize) -> Vec<u8> {
    let value = "v".repeat(length);
    let labels: serde_json::Map<_, _> = (0..labels)
        .map(|number| (format!("label-{number}"), value.as_str().into()))
        .collect();
    let state = serde_json::json!({ "name": name, "size_gb": 10, "labels_all": labels });
    state.to_string().into_bytes()
}

/// What Terraform does with each instance first: the upgrade of its state, and a read.
async fn refresh(client: &mut ProviderClient<Channel>, json: Vec<u8>) -> wire::DynamicValue {
    let request = wire::upgrade_resource_state::Request {
        type_name: DISK.to_owned(),
        version: 0,
        raw_state: Some(wire::RawState {
            json,
            ..Default::default()
        }),
    };
    let upgraded = client.upgrade_resource_state(request).await.unwrap().into_inner();
    assert_eq!(upgraded.diagnostics, []);
    let request = wire::read_resource::Request {
        type_name: DISK.to_owned(),
        current_state: upgraded.upgraded_state.clone(),
        ..Default::default()
    };
    let read = client.read_resource(request).await.unwrap().into_inner();
    assert_eq!(read.diagnostics, []);
    // Nobody is asked while the provider is not configured: what was known is what is read.
    assert_eq!(read.new_state, upgraded.upgraded_state);
    read.new_state.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_instances_of_ten_kilobytes() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let client = plugin.provider(&TERRAFORM).await;
    let template = state("NAME", 100, INSTANCE / 100);
    assert!(template.len() >= INSTANCE);
    let workers = (0..PARALLELISM).map(|worker| {
        let (mut client, template) = (client.clone(), template.clone());
        tokio::spawn(async move {
            let mut bytes = 0;
            for instance in 0..INSTANCES / PARALLELISM {
                let name = format!("disk-{worker}-{instance}");
                let json = String::from_utf8(template.clone()).unwrap().replacen("NAME", &name, 1);
                bytes += refresh(&mut client, json.into_bytes()).await.msgpack.len();
            }
            bytes
        })
    });
    let mut bytes = 0;
    for worker in workers.collect::<Vec<_>>() {
        bytes += worker.await.unwrap();
    }
    assert!(bytes >= INSTANCES * INSTANCE, "{bytes} bytes");
    // Of all these states, no more than those under way are ever held.
    let peak = peak(&plugin);
    println!(
        "{INSTANCES} instances, {} MB: {} MB of memory at most",
        bytes / 1_000_000,
        peak / 1_000_000
    );
    assert!(peak < 80 << 20, "{peak} bytes of memory");
}

#[tokio::test]
async fn one_instance_of_a_hundred_megabytes() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let mut client = plugin.provider(&TERRAFORM).await.max_encoding_message_size(256 << 20);
    let json = state("huge", INSTANCES, INSTANCE);
    let length = json.len();
    let read = refresh(&mut client, json).await;
    assert!(read.msgpack.len() >= 100_000_000);
    // A few copies: as received, as a value, as it is sent back.
    let peak = peak(&plugin);
    println!(
        "1 instance, {} MB: {} MB of memory at most",
        length / 1_000_000,
        peak / 1_000_000
    );
    assert!(peak < 8 * length, "{peak} bytes of memory for a state of {length}");
}
