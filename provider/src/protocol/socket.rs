//! The Unix socket a plugin listens on, in a directory that only its user can enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The kernel's limit for a socket's path is 108 bytes with the terminating zero; some systems have 104.
const LONGEST_PATH: usize = 100;
/// Where to go when the directory for temporary files has too long a name.
const SHORT_DIRECTORY: &str = "/tmp";
const SOCKET_NAME: &str = "plugin.sock";

/// A private directory with a socket's place in it; both are removed when this is dropped.
#[derive(Debug)]
pub struct SocketDirectory {
    directory: PathBuf,
    socket: PathBuf,
}

impl SocketDirectory {
    /// Makes a new directory (mode 0700) under `parent`, or under `/tmp` where the socket's path would get too long.
    pub fn create(parent: &Path, process: u32) -> io::Result<Self> {
        let mut attempt: u32 = 0;
        loop {
            let name = format!("multizone-{process}-{attempt}");
            let mut directory = parent.join(&name);
            if directory.join(SOCKET_NAME).as_os_str().len() > LONGEST_PATH {
                directory = Path::new(SHORT_DIRECTORY).join(&name);
            }
            // Fails when the name is taken, by whomever: nobody can have prepared the directory.
            match DirBuilder::new().mode(0o700).create(&directory) {
                Ok(()) => {
                    return Ok(Self {
                        socket: directory.join(SOCKET_NAME),
                        directory,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
                Err(error) => {
                    let message = format!("cannot make the socket directory {}: {error}", directory.display());
                    return Err(io::Error::new(error.kind(), message));
                }
            }
        }
    }

    /// Where to bind the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for SocketDirectory {
    fn drop(&mut self) {
        for result in [fs::remove_file(&self.socket), fs::remove_dir(&self.directory)] {
            if let Err(error) = result
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(directory = %self.directory.display(), %error, "cannot remove the socket");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_directory_is_private_and_goes_away() {
        let parent = tempfile::tempdir().unwrap();
        let socket = SocketDirectory::create(parent.path(), 7).unwrap();
        let directory = socket.socket().parent().unwrap().to_owned();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let listener = UnixListener::bind(socket.socket()).unwrap();
        drop(listener);
        drop(socket);
        assert!(!directory.exists());
    }

    #[test]
    fn a_name_that_is_taken_is_never_entered() {
        let parent = tempfile::tempdir().unwrap();
        let first = SocketDirectory::create(parent.path(), 7).unwrap();
        let second = SocketDirectory::create(parent.path(), 7).unwrap();
        assert_ne!(first.socket(), second.socket());
    }

    #[test]
    fn a_long_parent_falls_back_to_a_short_one() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        let socket = SocketDirectory::create(&long, std::process::id()).unwrap();
        assert!(socket.socket().starts_with(SHORT_DIRECTORY));
        UnixListener::bind(socket.socket()).unwrap();
    }

    #[test]
    fn a_missing_parent_is_named() {
        let error = SocketDirectory::create(Path::new("/nowhere/at/all"), 7).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/multizone-7-0"), "{error}");
    }
}
