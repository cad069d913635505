//! What a running region says of itself, for those who look for it.

use super::place::Place;
use serde::{Deserialize, Serialize};
use std::io::Write as _;

/// What a running region says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Process.
    pub pid: u32,
    /// Where its API listens.
    pub endpoint: String,
    /// Version of the program.
    pub version: String,
    /// The region.
    pub region: String,
}

impl Description {
    /// Reads the description that the place holds, if any.  A file that cannot be read counts as none.
    pub fn read(place: &Place) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(place.description()).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, place: &Place) -> std::io::Result<()> {
        let new = place.description().with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&new, place.description())
    }

    /// Removes it.
    pub fn remove(place: &Place) {
        let _ = std::fs::remove_file(place.description());
    }
}
