//! Requests through a cluster's API while something else happens.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{Run, Workspace};

/// Writes and reads through the API's endpoint, one after the other, until it is stopped.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    running: JoinHandle<Vec<String>>,
}

impl Prober {
    /// Begins to ask the API of the cluster `demo`.
    pub fn start(workspace: &Workspace) -> Self {
        // The second prober finds the object of the first.
        let _ = workspace.kubectl("demo", &["create", "configmap", "prober"]);
        let kubeconfig = workspace.path().join("kubeconfig-of-the-prober");
        fs::copy(workspace.path().join("kubeconfig"), &kubeconfig).expect("kubectl has left its kubeconfig");
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = thread::spawn({
            let (stop, answered) = (stop.clone(), answered.clone());
            move || probe(&kubeconfig, &stop, &answered)
        });
        Self {
            stop,
            answered,
            running,
        }
    }

    /// Stops, and asserts that no request failed and that there were some.
    #[track_caller]
    pub fn saw_no_failure(self, during: &str) {
        let failed = self.stopped(during);
        assert!(failed.is_empty(), "{during}: {failed:#?}");
    }

    /// Stops, and asserts that some requests were answered; returns why others were not.
    #[track_caller]
    pub fn stopped(self, during: &str) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.running.join().expect("the prober does not panic");
        let answered = self.answered.load(Ordering::Relaxed);
        println!("{during}: {answered} requests answered, {} failed", failed.len());
        assert!(answered > 0, "{during}: nothing was asked");
        failed
    }
}

fn probe(kubeconfig: &Path, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", kubeconfig)
            .args(["--request-timeout=10s"])
            .args(arguments);
        Run::of(&mut command)
    };
    let mut failed = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let written = number.to_string();
        let patch = format!(r#"{{"data":{{"number":"{written}"}}}}"#);
        let write = kubectl(&["patch", "configmap", "prober", "--type=merge", "-p", &patch]);
        let read = kubectl(&["get", "configmap", "prober", "-o", "jsonpath={.data.number}"]);
        for run in [&write, &read] {
            if run.code == 0 {
                answered.fetch_add(1, Ordering::Relaxed);
            } else {
                failed.push(run.stderr.clone());
            }
        }
        if write.code == 0 && read.code == 0 && read.stdout != written {
            failed.push(format!("{written} was acknowledged and {} is there", read.stdout));
        }
    }
    failed
}
