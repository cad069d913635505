//! Runs the script behind a master's `multizone-api-route` service, with bash, against a server that plays the master's
//! own API server, and an `ip` that only notes what it is told.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use multizone_kubernetes::user_data::{API_ROUTE_COMMAND, MasterStart, MasterUserData, PkiLocation, SECRET_MANAGER};

const ADD: &str = "address replace 203.0.113.10/32 dev lo";
const REMOVE: &str = "address delete 203.0.113.10/32 dev lo";

/// Answers every request with 200 or 500.
fn serve(ready: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            let _ = head.take_while(|line| !line.is_empty()).count();
            let status = if ready.load(Ordering::SeqCst) {
                "200 OK"
            } else {
                "500 Internal Server Error"
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    });
    url
}

/// The script as the user data writes it.
fn script() -> String {
    let user_data = MasterUserData {
        version: "1.34.1".parse().unwrap(),
        start: MasterStart::Join,
        kubeadm_configuration: "kind: Example\n".into(),
        pki: PkiLocation::SecretManager {
            url: SECRET_MANAGER.into(),
            project: "project".into(),
            secret: "demo-pki".into(),
        },
        endpoint_address: Some("203.0.113.10".parse().unwrap()),
        endpoint_name: None,
        patches: std::collections::BTreeMap::new(),
    };
    let parsed: serde_json::Value = serde_saphyr::from_str(&user_data.render().unwrap()).unwrap();
    let files = parsed["write_files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == API_ROUTE_COMMAND).unwrap();
    file["content"].as_str().unwrap().to_owned()
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn wait_for(log: &Path, what: &str, condition: impl Fn(&[String]) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if condition(&lines) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain until {what}; ip was told {lines:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn rule_a_master_leads_to_itself_only_while_it_serves() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("SKIPPED: curl is not installed, so the script did not run");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    executable(&directory.path().join("route"), &script());
    executable(
        &directory.path().join("ip"),
        &format!("#!/bin/bash\necho \"$*\" >>{}\n", log.display()),
    );
    let ready = Arc::new(AtomicBool::new(false));
    let url = serve(Arc::clone(&ready));
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let child = Command::new("bash")
        .arg(directory.path().join("route"))
        .args(["203.0.113.10/32", &url])
        .env("PATH", path)
        .env("MULTIZONE_RETRY_SECONDS", "0.02")
        .spawn()
        .unwrap();
    let _running = Running(child);

    wait_for(&log, "the address is off", |lines| !lines.is_empty());
    wait_for(&log, "nothing but removals are seen", |lines| {
        lines.iter().all(|line| line == REMOVE)
    });
    ready.store(true, Ordering::SeqCst);
    wait_for(&log, "the address is on", |lines| {
        lines.last().is_some_and(|line| line == ADD)
    });
    ready.store(false, Ordering::SeqCst);
    wait_for(&log, "the address is off again", |lines| {
        lines.last().is_some_and(|line| line == REMOVE)
    });
}
