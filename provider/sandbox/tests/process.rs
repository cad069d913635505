//! The region as a process of its own, by its command line.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_multizone-sandbox");

/// A directory whose sandbox ends with the test.
struct Sandbox {
    directory: TempDir,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.command(&["stop"]).output();
    }
}

impl Sandbox {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("sandbox")
            .args(arguments)
            .arg("--directory")
            .arg(self.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command prints; it must succeed.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of; it must fail.
    fn complains(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.says(&["status", "--json"])).unwrap()
    }

    fn pid(&self) -> u64 {
        self.status()["pid"].as_u64().unwrap()
    }
}

fn process_field(pid: u64, index: usize) -> String {
    // The command in parentheses may hold spaces; the fields count from behind it.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(index)
        .unwrap()
        .to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn it_starts_detached_and_stops() {
    let sandbox = Sandbox::new();
    assert!(sandbox.says(&["status"]).starts_with("nothing here"));
    // The output is a pipe: the command returns only when nobody holds it any more.
    let said = sandbox.says(&["start", "--region", "europe-west1", "--speed", "1000"]);
    assert!(said.starts_with("region europe-west1 runs at http://127."), "{said}");
    let pid = sandbox.pid();
    // Field 4 behind the command is the session.
    assert_eq!(process_field(pid, 3), pid.to_string(), "a session of its own");
    for (descriptor, target) in [
        (0, Path::new("/dev/null")),
        (1, Path::new("/dev/null")),
        (2, &sandbox.path().join("sandbox.log")),
    ] {
        assert_eq!(
            std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap(),
            target
        );
    }
    assert!(sandbox.says(&["start"]).contains("region europe-west1 runs"));
    assert_eq!(sandbox.pid(), pid, "a second start finds the first");
    assert!(sandbox.says(&["status"]).contains("nothing here"));

    assert!(sandbox.says(&["stop"]).contains("is stopped"));
    until("the process ends", || {
        !Path::new(&format!("/proc/{pid}")).exists() || process_field(pid, 0) == "Z"
    });
    let said = sandbox.says(&["status"]);
    assert!(said.starts_with("not running; there is state in"), "{said}");
    assert!(
        sandbox
            .complains(&["outage", "europe-west1-b"])
            .contains("does not run: start it with")
    );
    assert!(sandbox.says(&["start"]).contains("region europe-west1 runs"));
    assert!(sandbox.says(&["stop", "--delete"]).contains("is removed"));
    assert!(!sandbox.path().exists());
}

#[test]
fn many_starters_make_one_sandbox() {
    let sandbox = Sandbox::new();
    let starters: Vec<_> = (0..6)
        .map(|_| sandbox.command(&["start", "--region", "us-central1"]).spawn().unwrap())
        .collect();
    for mut starter in starters {
        assert!(starter.wait().unwrap().success());
    }
    let description: Value =
        serde_json::from_slice(&std::fs::read(sandbox.path().join("process.json")).unwrap()).unwrap();
    assert_eq!(description["pid"].as_u64(), Some(sandbox.pid()));
}

#[test]
fn after_a_kill_the_next_start_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.says(&["start", "--region", "us-central1"]);
    let before = sandbox.status();
    sandbox.says(&["outage", "us-central1-b"]);
    let pid = sandbox.pid();
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
    until("the process is dead", || {
        sandbox.says(&["status"]).starts_with("not running")
    });
    sandbox.says(&["start"]);
    let after = sandbox.status();
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(after["network_block"], before["network_block"]);
    assert_eq!(after["endpoint"], before["endpoint"]);
    assert!(sandbox.says(&["status"]).contains("us-central1-b out"));
    assert!(sandbox.says(&["restore", "us-central1-b"]).contains("is back"));
    assert!(sandbox.says(&["events"]).contains("zone.restore"));
}

#[test]
fn mistakes_are_explained() {
    let sandbox = Sandbox::new();
    let complaint = sandbox.complains(&["start", "--region", "mars-north1"]);
    assert!(
        complaint.contains("there is no region 'mars-north1'; the sandbox has asia-east1"),
        "{complaint}"
    );
    assert!(
        sandbox
            .complains(&["run", "--speed=-1", "--region", "us-central1"])
            .contains("not a positive number")
    );
    for arguments in [&["start"][..], &["run", "--region", "us-central1"]] {
        let mut command = sandbox.command(arguments);
        let output = command.env("MULTIZONE_ETCD", "/nowhere/etcd").output().unwrap();
        assert!(!output.status.success());
        let complaint = String::from_utf8(output.stderr).unwrap();
        let said = "MULTIZONE_ETCD is /nowhere/etcd, and there is no such program";
        assert!(complaint.contains(said), "{complaint}");
    }
    assert!(!sandbox.path().exists(), "what cannot be leaves nothing behind");
    sandbox.says(&["start", "--region", "us-central1"]);
    assert!(
        sandbox
            .says(&["start", "--speed", "7"])
            .contains("it ran already and keeps its speed; for 7x, stop it")
    );
    let complaint = sandbox.complains(&["start", "--region", "europe-west1"]);
    assert!(
        complaint.contains("is region us-central1, not europe-west1"),
        "{complaint}"
    );
    assert!(
        sandbox
            .complains(&["run", "--region", "us-central1"])
            .contains("is running already")
    );
    assert!(
        sandbox
            .complains(&["outage", "us-central1-z"])
            .contains("has us-central1-a, us-central1-b")
    );
    assert!(sandbox.complains(&["restore", "us-central1-a"]).contains("is not out"));
    assert!(sandbox.complains(&["halt", "nope"]).contains("no machine called nope"));
    assert!(
        sandbox
            .complains(&["console", "nope"])
            .contains("no machine called nope")
    );
    assert!(
        sandbox
            .complains(&["kubeconfig", "demo"])
            .contains("no master of a cluster called demo")
    );
}

#[test]
fn another_version_is_not_mistaken_for_this_one() {
    use std::io::{Read as _, Write as _};
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path()).unwrap();
    // A sandbox of another version, as far as anybody can see from outside.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let description = serde_json::json!({
        "pid": 1, "endpoint": format!("http://{}", listener.local_addr().unwrap()), "version": "0.0.1", "region": "us-central1",
    });
    std::fs::write(sandbox.path().join("process.json"), description.to_string()).unwrap();
    let status =
        serde_json::json!({ "directory": sandbox.path(), "version": "0.0.1", "region": "us-central1" }).to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]);
        write!(stream, "HTTP/1.0 200 OK\r\n\r\n{status}").unwrap();
    });
    let complaint = sandbox.complains(&["start", "--region", "us-central1"]);
    server.join().unwrap();
    assert!(
        complaint.contains("is run by version 0.0.1") && complaint.contains("sandbox stop --directory"),
        "{complaint}"
    );
    std::fs::remove_file(sandbox.path().join("process.json")).unwrap();
}

#[test]
fn a_stale_description_leads_to_nobody_elses_sandbox() {
    let (sandbox, stranger) = (Sandbox::new(), Sandbox::new());
    stranger.says(&["start", "--region", "us-central1"]);
    std::fs::create_dir_all(sandbox.path()).unwrap();
    std::fs::copy(
        stranger.path().join("process.json"),
        sandbox.path().join("process.json"),
    )
    .unwrap();
    assert!(sandbox.says(&["stop"]).contains("no sandbox runs"));
    assert!(sandbox.complains(&["outage", "us-central1-a"]).contains("does not run"));
    let pid = stranger.pid();
    sandbox.says(&["start", "--region", "us-central1"]);
    assert_ne!(sandbox.pid(), pid);
    assert_eq!(stranger.pid(), pid);
}

#[test]
fn in_a_directory_of_somebody_elses_its_files_are_private_and_only_they_are_removed() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path()).unwrap();
    std::fs::set_permissions(sandbox.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let theirs = sandbox.path().join("letter.txt");
    std::fs::write(&theirs, "dear").unwrap();
    sandbox.says(&["start", "--region", "us-central1"]);
    let mut seen = 0;
    for entry in std::fs::read_dir(sandbox.path()).unwrap().map(Result::unwrap) {
        if entry.path() == theirs {
            continue;
        }
        seen += 1;
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", entry.path().display());
    }
    assert!(seen >= 4, "lock, description, database and log: {seen}");
    assert!(sandbox.says(&["stop", "--delete"]).contains("is removed"));
    let left: Vec<_> = std::fs::read_dir(sandbox.path())
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert_eq!(left, [theirs]);
}

#[test]
fn unnamed_it_is_the_one_that_runs() {
    let home = tempfile::tempdir().unwrap();
    let output = |arguments: &[&str]| {
        Command::new(PROGRAM)
            .arg("sandbox")
            .args(arguments)
            .env("MULTIZONE_SANDBOX_DIRECTORY", home.path())
            .output()
            .unwrap()
    };
    assert!(output(&["start", "--region", "us-central1"]).status.success());
    assert!(output(&["stop"]).status.success());
    assert!(output(&["start", "--region", "europe-west1"]).status.success());
    let status = String::from_utf8(output(&["status"]).stdout).unwrap();
    assert!(status.starts_with("region europe-west1 at"), "{status}");
    assert!(output(&["stop"]).status.success());
    let complaint = String::from_utf8(output(&["status"]).stderr).unwrap();
    assert!(
        complaint.contains("several sandboxes (europe-west1, us-central1)"),
        "{complaint}"
    );
}
