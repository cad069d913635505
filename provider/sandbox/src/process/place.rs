//! Where a region keeps its state.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The region when neither state nor caller names one.
pub const DEFAULT_REGION: &str = "us-central1";

/// A region's directory and the files in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
}

/// Why there is no such place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Nothing says where state belongs.
    #[error(
        "there is no place for the sandbox's state: neither MULTIZONE_SANDBOX_DIRECTORY nor XDG_STATE_HOME nor HOME is set; name a directory"
    )]
    NoHome,
    /// The directory cannot be made or used.
    #[error("the sandbox's directory {} cannot be used: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Place {
    /// The given directory, or the default one of a region.
    pub fn of(directory: Option<&Path>, region: &str) -> Result<Self, PlaceError> {
        let directory = match directory {
            Some(directory) => directory.to_owned(),
            None => Self::base()?.join(region),
        };
        let directory = std::path::absolute(&directory).map_err(|source| PlaceError::Directory {
            directory: directory.clone(),
            source,
        })?;
        Ok(Self { directory })
    }

    /// The directory that holds the default directories of the regions.
    pub fn base() -> Result<PathBuf, PlaceError> {
        let variable = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        variable("MULTIZONE_SANDBOX_DIRECTORY")
            .or_else(|| variable("XDG_STATE_HOME").map(|it| it.join("multizone/sandbox")))
            .or_else(|| variable("HOME").map(|it| it.join(".local/state/multizone/sandbox")))
            .ok_or(PlaceError::NoHome)
    }

    /// Makes the directory, readable by its owner only: it holds secrets.
    pub fn make(&self) -> Result<(), PlaceError> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(|source| PlaceError::Directory {
                directory: self.directory.clone(),
                source,
            })
    }

    /// The core's file.
    pub fn database(&self) -> PathBuf {
        self.directory.join("region.sqlite")
    }

    /// Locked by the running process.
    pub fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    /// What the running process says of itself.
    pub fn description(&self) -> PathBuf {
        self.directory.join("process.json")
    }

    /// What the detached process has to tell.
    pub fn log(&self) -> PathBuf {
        self.directory.join("sandbox.log")
    }

    /// The content of the machines' disks.
    pub fn disks(&self) -> PathBuf {
        self.directory.join("disks")
    }

    /// Whether there is any state.
    pub fn has_state(&self) -> bool {
        self.database().exists()
    }

    /// Whether a process has the region.
    pub fn in_use(&self) -> bool {
        std::fs::File::open(self.lock()).is_ok_and(|file| file.try_lock().is_err())
    }

    /// Removes all state: the region's own files, and the directory when nothing else is in it.  Somebody may have named
    /// a directory that holds more than the region.
    pub fn remove(&self) -> Result<(), PlaceError> {
        let failed = |source| PlaceError::Directory {
            directory: self.directory.clone(),
            source,
        };
        let database = |suffix: &str| {
            let mut name = self.database().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        absent(std::fs::remove_dir_all(self.disks())).map_err(failed)?;
        // The database goes last: while it is there, the directory counts as a region's.
        for file in [
            self.description(),
            self.log(),
            self.lock(),
            database("-shm"),
            database("-wal"),
            self.database(),
        ] {
            absent(std::fs::remove_file(file)).map_err(failed)?;
        }
        match absent(std::fs::remove_dir(&self.directory)) {
            Err(source) if source.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other.map_err(failed),
        }
    }
}

/// What is not there needs no removing.
fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
