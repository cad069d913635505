//! Guests in the region's machines: they boot from user data, ask for secrets, and go with their zone.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{TestRegion, ZONE, machine};

const USER_DATA: &str = "#cloud-config
write_files:
  - path: /etc/greeting
    content: hello from the user data
    permissions: '0644'
runcmd:
  - [swapoff, -a]
";

async fn phase_until(region: &TestRegion, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let status = region.status().await;
        let machine = status["machines"][0].clone();
        if holds(&machine) {
            return machine;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}: {machine}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_does_what_its_user_data_says() {
    let region = TestRegion::start().await;
    let instances = format!("/zones/{ZONE}/instances");
    let mut body = machine("m");
    body["metadata"] = json!({ "items": [{ "key": "user-data", "value": USER_DATA }] });
    region.post(&instances, body).await;
    let booted = phase_until(&region, "the machine runs", |it| it["phase"] == "running").await;
    let disk = region
        .directory
        .path()
        .join("disks")
        .join(booted["boot_disk"].as_str().unwrap());
    assert_eq!(
        std::fs::read_to_string(disk.join("rootfs/etc/greeting")).unwrap(),
        "hello from the user data"
    );
    let console = region.get(&format!("{instances}/m/serialPort")).await;
    assert!(
        console["contents"].as_str().unwrap().contains("cloud-init"),
        "{console}"
    );
    let from = format!("{instances}/m/serialPort?start={}", console["next"].as_str().unwrap());
    assert_eq!(region.get(&from).await["contents"], "");

    let halt = format!("/sandbox/v1/machines/{ZONE}/m/halt");
    assert_eq!(region.call(Method::POST, &halt, None).await.0, 200);
    phase_until(&region, "the machine is halted", |it| it["phase"] == "halted").await;
    assert_eq!(region.get(&format!("{instances}/m")).await["status"], "TERMINATED");
    assert_eq!(
        region.call(Method::POST, "/sandbox/v1/machines/m/boot", None).await.0,
        200
    );
    phase_until(&region, "the machine runs again", |it| it["phase"] == "running").await;
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_survives_a_restart_of_the_region() {
    let region = TestRegion::start().await;
    let mut body = machine("m");
    body["metadata"] = json!({ "items": [{ "key": "user-data", "value": USER_DATA }] });
    region.post(&format!("/zones/{ZONE}/instances"), body).await;
    phase_until(&region, "the machine runs", |it| it["phase"] == "running").await;
    let region = TestRegion::start_in(region.stop().await, 5000.0).await;
    let machine = phase_until(&region, "the machine runs again", |it| it["phase"] == "running").await;
    assert_eq!(machine["status"], "RUNNING");
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_finds_consoles_and_kubeconfigs() {
    let region = TestRegion::start().await;
    let sandbox = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_multizone-sandbox"));
        command
            .arg("sandbox")
            .args(arguments)
            .arg("--directory")
            .arg(region.directory.path());
        command
    };
    let said = |output: std::process::Output| {
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let mut body = machine("demo-master-a");
    body["labels"] = json!({ "multizone-cluster": "demo", "multizone-role": "master" });
    body["metadata"] = json!({ "items": [{ "key": "user-data", "value": USER_DATA }] });
    region.post(&format!("/zones/{ZONE}/instances"), body).await;
    let booted = phase_until(&region, "the machine runs", |it| it["phase"] == "running").await;
    let (well, console, _) = said(sandbox(&["console", "demo-master-a"]).output().await.unwrap());
    assert!(well && console.contains("cloud-init"), "{console}");

    let (well, _, complaint) = said(sandbox(&["kubeconfig", "demo"]).output().await.unwrap());
    assert!(!well && complaint.contains("have no admin.conf yet"), "{complaint}");
    let disk = region
        .directory
        .path()
        .join("disks")
        .join(booted["boot_disk"].as_str().unwrap());
    std::fs::create_dir_all(disk.join("rootfs/etc/kubernetes")).unwrap();
    std::fs::write(disk.join("rootfs/etc/kubernetes/admin.conf"), "apiVersion: v1\n").unwrap();
    let (well, kubeconfig, _) = said(sandbox(&["kubeconfig", "demo"]).output().await.unwrap());
    assert!(well);
    assert_eq!(kubeconfig, "apiVersion: v1\n");
    // A cluster whose name only begins the same has none.
    assert!(!sandbox(&["kubeconfig", "dem"]).output().await.unwrap().status.success());
    let file = region.directory.path().join("kubeconfig");
    assert!(
        sandbox(&["kubeconfig", "demo", "--output", file.to_str().unwrap()])
            .status()
            .await
            .unwrap()
            .success()
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let (_, table, _) = said(sandbox(&["status"]).output().await.unwrap());
    assert!(table.contains("demo-master-a") && table.contains("RUNNING"), "{table}");
    region.stop().await;
}
