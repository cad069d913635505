//! Every call of the trait against the sandbox region: made, made again, drifted, deleted, deleted again.

#![allow(clippy::unwrap_used)]

#[path = "sandbox/balancers.rs"]
mod balancers;
#[path = "sandbox/interruption.rs"]
mod interruption;
#[path = "sandbox/lost_replies.rs"]
mod lost_replies;
#[path = "sandbox/machines.rs"]
mod machines;
#[path = "sandbox/moves.rs"]
mod moves;
#[path = "sandbox/networks.rs"]
mod networks;
#[path = "sandbox/ownership.rs"]
mod ownership;
#[path = "sandbox/region.rs"]
mod region;
#[path = "sandbox/specs.rs"]
mod specs;
#[path = "sandbox/storage.rs"]
mod storage;

use multizone_cloud::{Cloud as _, ClusterName};
use region::Sandbox;
use specs::ZONE;

#[tokio::test]
async fn the_region_says_what_it_offers() {
    let sandbox = Sandbox::start().await;
    let cloud = &sandbox.cloud;
    let zones: Vec<_> = cloud
        .zones()
        .await
        .unwrap()
        .into_iter()
        .map(|zone| (zone.name, zone.up))
        .collect();
    let expected = ["a", "b", "c", "f"].map(|letter| (format!("us-central1-{letter}"), true));
    assert_eq!(zones, expected);
    let offered = cloud.machine_type(ZONE, "n1-standard-2").await.unwrap().unwrap();
    assert_eq!((offered.cpus, offered.memory_mib), (2, 7680));
    assert_eq!(cloud.machine_type(ZONE, "x9-mega").await.unwrap(), None);
    let identity = cloud.default_machine_identity(&ClusterName::new("demo")).await.unwrap();
    assert_eq!(identity, "1234567890-compute@developer.gserviceaccount.com");
    assert_eq!(cloud.provider_id(ZONE, "m"), "gce://sandbox/us-central1-a/m");
    let (driver, handle) = cloud.volume(ZONE, "data", None).unwrap();
    assert_eq!(
        (driver.as_str(), handle.as_str()),
        (
            "pd.csi.storage.gke.io",
            "projects/sandbox/zones/us-central1-a/disks/data"
        )
    );
    assert!(cloud.secret_source("s").ends_with("/v1/projects/sandbox/secrets/s"));
}
