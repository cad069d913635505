//! Whether every text that a user can meet is in a snapshot.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    sources::{Text, spaced, texts},
    unread::{NO_DIAGNOSTICS, NOT_PROVOKED},
};

/// What is scanned: all of the provider's own texts, and those of the errors of its libraries.
const SOURCES: [(&str, bool); 4] = [
    ("src", false),
    ("cloud/src/error.rs", false),
    ("cloud/compute-engine/src", false),
    ("kubernetes/src", true),
];

/// The snapshots by name, each as its diagnostics.
fn snapshots() -> BTreeMap<String, Vec<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors/snapshots");
    let mut snapshots = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snap") {
            let content = fs::read_to_string(&path).unwrap();
            let body = content.splitn(3, "---\n").nth(2).unwrap();
            let each = format!("\n{body}").replace("\nWarning: ", "\nError: ");
            let each = each.split("\nError: ").map(|one| spaced(one.trim_end())).collect();
            snapshots.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), each);
        }
    }
    snapshots
}

/// Whether the fragments stand in the text, in order.
fn holds(said: &str, fragments: &[String]) -> bool {
    let mut rest = said;
    fragments.iter().all(|fragment| {
        let fragment = fragment.trim_end();
        rest.find(fragment).is_some_and(|at| {
            rest = &rest[at + fragment.len()..];
            true
        })
    })
}

#[test]
fn every_error_is_read() {
    let snapshots = snapshots();
    let said: Vec<&String> = snapshots.values().flatten().collect();
    let read = |text: &Text| {
        let fragments = text.fragments();
        said.iter().any(|said| holds(said, &fragments))
    };
    let mut used = vec![false; NOT_PROVOKED.len()];
    let mut unread = Vec::new();
    for (root, only_errors) in SOURCES {
        for text in texts(root, only_errors) {
            if NO_DIAGNOSTICS.iter().any(|(file, _)| text.file.starts_with(file)) {
                continue;
            }
            let listed = NOT_PROVOKED
                .iter()
                .position(|(file, start, _)| text.file.ends_with(file) && text.said.starts_with(start));
            match (listed, read(&text)) {
                (Some(index), false) => used[index] = true,
                (None, false) => unread.push(format!("{}:{}: {}", text.file, text.line, text.said)),
                (_, true) => {}
            }
        }
    }
    assert!(
        unread.is_empty(),
        "{} texts are in no snapshot of tests/errors: provoke them, or list them in unread.rs with the reason.\n{}",
        unread.len(),
        unread.join("\n")
    );
    let needless = NOT_PROVOKED.iter().zip(used).filter(|(_, used)| !used);
    let needless: Vec<_> = needless
        .map(|((file, start, _), _)| format!("{file}: {start}"))
        .collect();
    assert!(
        needless.is_empty(),
        "read or gone, so not to be listed in unread.rs:\n{}",
        needless.join("\n")
    );
}

#[test]
fn no_snapshot_is_left_over() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    for name in snapshots().keys() {
        let (module, snapshot) = name.trim_start_matches("errors__").split_once("__").unwrap();
        let source = fs::read_to_string(directory.join(format!("{module}.rs"))).unwrap();
        assert!(
            source.contains(&format!("{snapshot:?}")),
            "{module}.rs makes no snapshot {snapshot:?} any more: delete snapshots/{name}.snap"
        );
    }
}
