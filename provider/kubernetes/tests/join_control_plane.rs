//! Runs the script that makes a machine a master, with bash, among programs that do as they are told.
#![allow(clippy::unwrap_used)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

/// How the join goes, and what etcd says of itself.
struct Case {
    join_succeeds: bool,
    manifest: bool,
    metrics: Option<&'static str>,
}

fn program(directory: &Path, name: &str, script: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether the script succeeds, and whether the machine switches itself off.
fn run(case: &Case) -> (bool, bool) {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let switched_off = place.join("off");
    let join = "[ \"$1 $2 $3\" = 'join --config /etc/kubernetes/kubeadm.yaml' ]";
    let joined = if case.join_succeeds { join } else { "exit 1" };
    program(place, "kubeadm", joined);
    let touch = format!("[ \"$1\" = poweroff ] && touch {}", switched_off.display());
    program(place, "systemctl", &touch);
    let answer = case.metrics.map_or_else(
        || "exit 7".to_owned(),
        |value| format!("echo 'etcd_server_has_leader 1'\necho 'etcd_server_is_learner {value}'"),
    );
    program(place, "curl", &answer);
    let manifest = place.join("etcd.yaml");
    if case.manifest {
        fs::write(&manifest, "kind: Pod\n").unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/user_data/join-control-plane.sh");
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args([script, "/etc/kubernetes/kubeadm.yaml"])
        .arg(&manifest)
        .env("PATH", path)
        .output()
        .unwrap();
    (output.status.success(), switched_off.exists())
}

#[test]
fn a_machine_that_has_joined_stays_on() {
    let joined = Case {
        join_succeeds: true,
        manifest: true,
        metrics: Some("0"),
    };
    assert_eq!(run(&joined), (true, false));
}

#[test]
fn a_machine_that_cannot_join_switches_itself_off_unless_it_may_vote() {
    let failed = |manifest, metrics| {
        run(&Case {
            join_succeeds: false,
            manifest,
            metrics,
        })
    };
    assert_eq!(failed(false, None), (false, true), "etcd was never started");
    assert_eq!(failed(true, Some("1")), (false, true), "a learner");
    assert_eq!(failed(true, Some("0")), (false, false), "a voter");
    assert_eq!(failed(true, None), (false, false), "nobody says that it does not vote");
}
