//! Every error that a user can meet, read: provoked, and kept as Terraform prints it.
//!
//! An error says what happened, to which object, what is left in the cloud, and what to do.  [`every_text`] fails when
//! the sources hold a text that is in no snapshot here.  To add one: provoke it in the module of its subject, hand it to
//! `read!`, run the tests with `INSTA_UPDATE=always`, and read what it says as somebody who has never seen the sources.

#![allow(clippy::unwrap_used, missing_docs)]

mod api_load_balancer;
mod cluster;
mod compute_engine;
mod compute_engine_balancers;
mod compute_engine_network;
mod control_plane;
mod disk;
mod every_text;
mod failures;
mod kubernetes;
mod masters;
mod node_group;
mod others;
mod protocol;
mod provider_block;
mod rendering;
mod run;
mod sources;
mod unread;

use multizone_provider::configuration;

// The regions and the core of Terraform that other tests run on.
#[allow(dead_code)]
#[path = "../interruption/cloud.rs"]
mod cloud;
#[allow(dead_code)]
#[path = "../interruption/faults.rs"]
mod faults;
#[allow(dead_code)]
#[path = "../../src/resources/memory_cloud/mod.rs"]
mod memory_cloud;
#[allow(dead_code)]
#[path = "../interruption/region.rs"]
mod region;
// A Compute Engine that answers as it is told.
#[allow(dead_code)]
#[path = "../../cloud/compute-engine/tests/scripted/server.rs"]
mod scripted;
#[allow(dead_code)]
#[path = "../interruption/terraform.rs"]
mod terraform;
#[allow(dead_code)]
#[path = "../interruption/world.rs"]
mod world;

/// Keeps a snapshot of diagnostics as Terraform prints them: `read!("name", diagnostics)`.
macro_rules! read {
    ($name:literal, $diagnostics:expr) => {
        insta::assert_snapshot!($name, $crate::rendering::rendered(&$diagnostics))
    };
}
pub(crate) use read;
