//! Machines without guests.
use crate::core::Core;
use crate::region::{Region, Report};
use multizone_sandbox_data_plane::{Network, Pace};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
/// The guests, and the directory of their disks.
pub struct Machines;
impl Machines {
    /// None.
    pub fn new(_: &Arc<Region>, _: Network, _: Pace, _: PathBuf) -> Self {
        Self
    }
    #[allow(clippy::unused_self)]
    pub(crate) fn reconcile(&self, _: &Core) {}
    pub(crate) fn reports(&self) -> BTreeMap<String, Report> {
        BTreeMap::new()
    }
    pub(crate) fn console(&self, _: &str) -> String {
        String::new()
    }
    /// Nothing.
    pub async fn stop(&self) {}
}
