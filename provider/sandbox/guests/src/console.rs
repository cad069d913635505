//! A machine's serial console.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use multizone_sandbox_data_plane::Pace;

/// Lines kept for a look at a running machine; the file keeps them all.
const TAIL: usize = 100;

/// What an earlier console of the machine showed last.
fn last_lines(path: &Path) -> VecDeque<String> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines: VecDeque<String> = text.lines().rev().take(TAIL).map(str::to_owned).collect();
    lines.make_contiguous().reverse();
    lines
}

/// The serial console of one boot. Lines carry the machine's uptime in its own, possibly faster, seconds.
#[derive(Debug)]
pub(crate) struct Console {
    output: Mutex<Output>,
    booted: Instant,
    pace: Pace,
}

#[derive(Debug)]
struct Output {
    tail: VecDeque<String>,
    file: Option<File>,
}

impl Console {
    /// A console that starts now and appends to `path`.
    pub(crate) fn open(path: &Path, pace: Pace) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = &file {
            tracing::warn!(path = %path.display(), %error, "the serial console is not recorded");
        }
        let output = Output {
            tail: last_lines(path),
            file: file.ok(),
        };
        Self {
            output: Mutex::new(output),
            booted: Instant::now(),
            pace,
        }
    }

    /// Writes what `program` says, line by line.
    pub(crate) fn say(&self, program: &str, text: impl AsRef<str>) {
        let uptime = self.booted.elapsed().as_secs_f64() * Pace::new(self.pace.speed).speed;
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.as_ref().lines() {
            let line = format!("[{uptime:12.6}] {program}: {line}");
            if let Some(file) = &mut output.file
                && writeln!(file, "{line}").is_err()
            {
                output.file = None;
            }
            output.tail.push_back(line);
            if output.tail.len() > TAIL {
                output.tail.pop_front();
            }
        }
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tail
            .iter()
            .cloned()
            .collect()
    }
}
