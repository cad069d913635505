//! What only processes can get wrong: being left behind.

use multizone_sandbox_etcd::{EtcdMember, Kind, StartError};

use crate::fixture::{Place, real_etcd, until};

fn processes_with(argument: &str) -> usize {
    let running = std::fs::read_dir("/proc").expect("a list of processes");
    let lines = running.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).split('\0').any(|found| found == argument))
        .count()
}

#[tokio::test]
async fn a_dropped_member_is_gone_and_a_process_left_behind_is_ended_by_the_next_start() {
    let Some(kind) = real_etcd() else { return };
    let place = Place::new(kind);
    let mut a = place.machine("a");
    let argument = format!("--data-dir={}", a.config.data_directory.display());
    a.start().await;
    a.client.serving().await;
    assert_eq!(processes_with(&argument), 1, "one process, no wrapper beside it");
    let kept = a.config.clone();
    drop(a);
    until("its end", async || (processes_with(&argument) == 0).then_some(())).await;

    // Another one with its data directory, as if this sandbox had not started it.
    let mut left = std::process::Command::new("sh")
        .args(["-c", "cat; :", "sh", &argument])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a shell");
    let record = kept.data_directory.with_file_name("etcd.pid");
    std::fs::write(&record, left.id().to_string()).expect("written");
    // Waiting for it would close its input, at whose end it ends.
    let input = left.stdin.take();
    let reaped = tokio::task::spawn_blocking(move || left.wait().expect("waited for"));
    let mut again = place.machine("again");
    again.config = kept;
    again.start().await;
    assert!(!reaped.await.expect("joined").success(), "it was killed");
    drop(input);
    // A process has no arguments for a moment after it was started.
    until("its start", async || (processes_with(&argument) == 1).then_some(())).await;
    again.member().stop().await;
    assert!(!record.exists());
}

#[tokio::test]
async fn what_is_no_etcd_is_said_at_once() {
    let place = Place::new(Kind::StandIn);
    let config = place.machine("a").config;
    let missing = Kind::Process(place.path("nowhere/etcd"));
    let error = EtcdMember::start(&missing, config.clone())
        .await
        .expect_err("no such program");
    assert!(matches!(error, StartError::Program { .. }), "{error}");
    let other = Kind::Process("/bin/cat".into());
    let error = EtcdMember::start(&other, config).await.expect_err("no etcd");
    assert!(matches!(error, StartError::NotEtcd { .. }), "{error}");
}
