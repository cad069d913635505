//! The virtual environment of the tests' Python programs, which `scripts/python-environment.sh` makes.

use std::{path::PathBuf, process::Command};

use crate::{Run, workspace::checkout};

/// The Python that can import these modules; says loudly which test is skipped when there is none.
pub fn python(modules: &str) -> Option<PathBuf> {
    let python = checkout().join(".work/venv/bin/python");
    let imports = || Run::of(Command::new(&python).args(["-c", &format!("import {modules}")])).code == 0;
    if python.is_file() && imports() {
        return Some(python);
    }
    println!(
        "SKIPPED: {} is missing or lacks {modules}: scripts/python-environment.sh makes it",
        python.display()
    );
    None
}
