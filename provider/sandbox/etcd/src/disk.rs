//! What both kinds of member leave on their machine's disk beside the data: the directory and the log.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// A log that is longer than this when it is opened is begun anew.
const LOG_LIMIT: u64 = 8 * 1024 * 1024;
/// How much of the end of a log is shown.
const LAST_WORDS: u64 = 2_000;

/// Makes the directory, or makes it its owner's alone: etcd refuses one that others can read.
pub(crate) fn make_private(directory: &Path) -> std::io::Result<()> {
    if !directory.is_dir() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))
}

pub(crate) fn open_log(log: &Path) -> std::io::Result<std::fs::File> {
    if let Some(parent) = log.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    if file.metadata()?.len() > LOG_LIMIT {
        file.set_len(0)?;
    }
    Ok(file)
}

/// The end of a log, from the beginning of a line; empty when there is none.
pub(crate) fn last_words(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(match text.split_once('\n') {
            Some((_, whole_lines)) if length > LAST_WORDS => whole_lines.to_owned(),
            _ => text,
        })
    };
    read().unwrap_or_default()
}
