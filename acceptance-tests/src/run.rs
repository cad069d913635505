//! One command, run to its end or to a deadline.

use std::{
    ffi::OsString,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Long enough for every command of the suite on a loaded machine with two cores.
const DEADLINE: Duration = Duration::from_mins(5);

/// What a finished command left.
#[derive(Debug)]
pub struct Run {
    /// The command as a user would type it.
    pub command: String,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When the command cannot be started or is still running at the deadline.
    pub fn of(command: &mut Command) -> Self {
        let text = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let stdout = thread::spawn(move || read_all(out.as_mut()));
        let stderr = thread::spawn(move || read_all(err.as_mut()));
        let began = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if began.elapsed() < DEADLINE => thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!(
                        "{text}: still running after {DEADLINE:?}\n{}\n{}",
                        stdout.join().unwrap_or_default(),
                        stderr.join().unwrap_or_default()
                    );
                }
                Err(error) => panic!("{text}: {error}"),
            }
        };
        Self {
            command: text,
            code: status.code().unwrap_or(-1),
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        }
    }

    /// The run, which must have succeeded.
    ///
    /// # Panics
    /// When it failed, with everything it printed.
    #[must_use]
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.exited(0)
    }

    /// The run, which must have ended with this exit code.
    ///
    /// # Panics
    /// When it ended otherwise, with everything it printed.
    #[must_use]
    #[track_caller]
    pub fn exited(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// The run, which must have said all of this; see [`Run::text`].
    ///
    /// # Panics
    /// When one of the words is missing, with everything that was printed.
    #[must_use]
    #[track_caller]
    pub fn saying(self, words: &[&str]) -> Self {
        let text = self.text();
        for words in words {
            assert!(
                text.contains(words),
                "{words:?} is not what was said by {}\n--- stdout\n{}\n--- stderr\n{}",
                self.command,
                self.stdout,
                self.stderr
            );
        }
        self
    }

    /// Both streams with Terraform's box drawing and line breaks folded to single spaces, so that a sentence of a
    /// diagnostic can be searched for however it was wrapped.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
            .split(|c: char| c.is_whitespace() || matches!(c, '│' | '╷' | '╵'))
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn read_all(stream: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The terraform under test: what `MULTIZONE_TERRAFORM` names, else the one on the PATH.
pub(crate) fn terraform() -> OsString {
    std::env::var_os("MULTIZONE_TERRAFORM").unwrap_or_else(|| "terraform".into())
}

/// Whether a program is on the PATH; says loudly which test is skipped when it is not.
pub fn installed(program: &str) -> bool {
    let program = if program == "terraform" {
        terraform()
    } else {
        program.into()
    };
    // A path, as the one of the terraform under test may be, stays what it is.
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(&program).is_file()));
    if !found {
        println!("SKIPPED: {} is not installed", program.display());
    }
    found
}
