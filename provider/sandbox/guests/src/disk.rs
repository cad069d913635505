//! A machine's boot disk: a directory of the host that holds the machine's file system.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// The file system on a machine's disk. Paths are the machine's own absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    console: PathBuf,
}

impl Disk {
    /// The disk kept in `directory`, which is made if need be.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let root = directory.join("rootfs");
        fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            console: directory.join("console.log"),
        })
    }

    /// Where the serial console's output goes on the host; not part of the machine's file system.
    pub(crate) fn console(&self) -> &Path {
        &self.console
    }

    /// Where `path` is on the host.
    pub(crate) fn on_host(&self, path: &str) -> io::Result<PathBuf> {
        let mut host = self.root.clone();
        for component in Path::new(path).components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => host.push(name),
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("{path}: not a plain path"),
                    ));
                }
            }
        }
        Ok(host)
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.on_host(path).is_ok_and(|host| host.exists())
    }

    pub(crate) fn is_executable(&self, path: &str) -> bool {
        let metadata = self.on_host(path).and_then(fs::metadata);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }

    /// The text of `path`; none when there is no such file.
    pub(crate) fn text(&self, path: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.on_host(path)?) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path, &error)),
        }
    }

    /// The text of `path`, which has to be there.
    pub(crate) fn required_text(&self, path: &str) -> io::Result<String> {
        self.text(path)?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("open {path}: no such file or directory"),
            )
        })
    }

    /// Writes a whole file; a power cut leaves the old one or the new one.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> io::Result<()> {
        let host = self.on_host(path)?;
        let write = || {
            if let Some(directory) = host.parent() {
                fs::create_dir_all(directory)?;
            }
            let mut name = host.file_name().unwrap_or_default().to_owned();
            name.push(".new");
            let new = host.with_file_name(name);
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode & 0o7777)
                .open(&new)?;
            file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
            file.write_all(content.as_ref())?;
            fs::rename(&new, &host)
        };
        write().map_err(|error| at(path, &error))
    }

    /// Adds to the end of a file.
    pub(crate) fn append(&self, path: &str, content: &[u8], mode: u32) -> io::Result<()> {
        let mut whole = fs::read(self.on_host(path)?).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(at(path, &error)),
        })?;
        whole.extend_from_slice(content);
        self.write(path, whole, mode)
    }

    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.on_host(path)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path, &error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn make_directory(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.on_host(path)?).map_err(|error| at(path, &error))
    }

    /// The names in a directory, sorted; empty when there is none.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.on_host(path)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| at(path, &error))?,
        };
        let mut names = entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }
}

fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_content_and_mode() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        disk.write("/etc/secret", "one", 0o600).unwrap();
        disk.append("/etc/secret", b" two", 0o600).unwrap();
        assert_eq!(disk.text("/etc/secret").unwrap().unwrap(), "one two");
        let mode = fs::metadata(disk.on_host("/etc/secret").unwrap())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!disk.is_executable("/etc/secret"));
        assert_eq!(disk.list("/etc").unwrap(), ["secret"]);
        disk.remove("/etc/secret").unwrap();
        assert_eq!(disk.text("/etc/secret").unwrap(), None);
    }

    #[test]
    fn no_path_leaves_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path()).unwrap();
        assert!(disk.write("/etc/../../outside", "x", 0o644).is_err());
        assert!(!directory.path().join("outside").exists());
    }
}
