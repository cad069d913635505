//! What a running machine holds in memory, kept beside its disk while it runs.
//!
//! The region's process can be restarted (an upgrade, a reboot of the host): its machines then go on where they
//! were, as if they had been paused. A halt loses the memory, as a power cut does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kubelet::Containers;
use crate::system::Kernel;

/// The memory of one machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Memory {
    pub(crate) kernel: Kernel,
    pub(crate) containers: Containers,
    pub(crate) user_data: UserDataProgress,
    /// Whether the kubelet's unit is started.
    pub(crate) kubelet: bool,
}

/// How far cloud-init has come with the commands of the user data.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct UserDataProgress {
    /// The command that runs, counted from 0; none before the first.
    pub(crate) command: Option<usize>,
    /// What has failed so far.
    pub(crate) errors: Vec<String>,
}

fn file(boot_disk: &Path) -> PathBuf {
    boot_disk.join("memory.json")
}

impl Memory {
    /// The memory of the machine with this boot disk, if it was running when the region's process ended.
    pub(crate) fn load(boot_disk: &Path) -> Option<Self> {
        let text = fs::read(file(boot_disk)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps the memory.
    pub(crate) fn save(&self, boot_disk: &Path) -> io::Result<()> {
        let new = boot_disk.join("memory.json.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, file(boot_disk))
    }

    /// Loses the memory: the machine is off.
    pub(crate) fn forget(boot_disk: &Path) {
        if let Err(error) = fs::remove_file(file(boot_disk))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(boot_disk = %boot_disk.display(), %error, "a halted machine's memory stays");
        }
    }
}
