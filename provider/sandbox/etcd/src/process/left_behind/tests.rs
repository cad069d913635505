//! What is ended and what is left alone.

use super::{end, is_member, record_of, write};
use crate::{ClusterState, MemberConfig, Tls};
use rustix::process::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn config(data_directory: &Path) -> MemberConfig {
    MemberConfig {
        name: "a".to_owned(),
        data_directory: data_directory.to_owned(),
        listen_client: ([127, 0, 0, 1], 0).into(),
        listen_peer: ([127, 0, 0, 1], 0).into(),
        advertise_peer: String::new(),
        initial_cluster: String::new(),
        initial_cluster_state: ClusterState::New,
        force_new_cluster: false,
        tls: Tls {
            server_certificate: "".into(),
            server_key: "".into(),
            peer_certificate: "".into(),
            peer_key: "".into(),
            trusted_ca: "".into(),
        },
        log: "".into(),
        version: None,
        speed: 1.0,
    }
}

/// A process that waits for the end of its input, with these arguments on its command line.
fn waiting(argument: &str) -> Child {
    Command::new("sh")
        .args(["-c", "cat; :", "sh", argument])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell")
}

#[tokio::test]
async fn a_process_of_an_earlier_run_is_ended_and_anothers_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("etcd");
    let record = record_of(&data);
    let config = config(&data);

    end(&config, &record).await.expect("nothing is recorded");

    let mut ours = waiting(&format!("--data-dir={}", data.display()));
    write(&record, ours.id()).expect("written");
    // A process has no arguments for a moment after it was started.
    let pid = Pid::from_raw(i32::try_from(ours.id()).expect("a number")).expect("an id");
    while !is_member(pid, &config) {
        tokio::task::yield_now().await;
    }
    // Waiting for it would close its input, at whose end it ends.
    let input = ours.stdin.take();
    // Reaps it, as whoever inherits a process left behind does.
    let reaper = std::thread::spawn(move || {
        let status = ours.wait().expect("waited for");
        status.to_string()
    });
    end(&config, &record).await.expect("ended");
    assert!(reaper.join().expect("joined").contains("SIGKILL"));
    drop(input);
    assert!(!record.exists());

    let mut other = waiting(&format!("--data-dir={}-of-another", data.display()));
    write(&record, other.id()).expect("written");
    end(&config, &record).await.expect("nothing to end");
    assert!(other.try_wait().expect("asked").is_none(), "it was not ours");
    drop(other.stdin.take());
    other.wait().expect("waited for");

    std::fs::write(&record, "nonsense").expect("written");
    end(&config, &record).await.expect("nothing to end");
    assert!(!record.exists());
}
