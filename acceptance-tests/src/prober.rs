//! Requests through a cluster's API while something else happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{Request, header::CONTENT_TYPE};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::Workspace;

/// What is written and read.
const OBJECT: &str = "/api/v1/namespaces/default/configmaps/prober";
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a write and a read: what they are asked during needs the processor, too.
const PAUSE: Duration = Duration::from_millis(50);

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
        let kubeconfig = Kubeconfig::read_from(workspace.path().join("kubeconfig")).expect("kubectl has a kubeconfig");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = thread::spawn({
            let (stop, answered) = (stop.clone(), answered.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            move || {
                runtime
                    .expect("a runtime")
                    .block_on(probe(&kubeconfig, &stop, &answered))
            }
        });
        Self {
            stop,
            answered,
            running,
        }
    }

    /// Stops, and asserts that no request failed during these steps of a rollout and that there were some.
    ///
    /// Whenever etcd's leadership moves, etcd drops the writes that arrive in between, and kube-apiserver answers them with
    /// etcd's error (kubernetes/kubernetes#112152): nobody can prevent that who has to move it. Only on a machine under load
    /// is there time for one. As many as the moves allow are counted and said, and none at all without a move.
    #[track_caller]
    pub fn saw_no_failure(self, during: &str, steps: &[String]) {
        let moves = steps
            .iter()
            .filter(|step| step.contains("move etcd's leadership"))
            .count();
        let (dropped, failed): (Vec<_>, Vec<_>) = self
            .stopped(during)
            .into_iter()
            .partition(|failure| was_dropped(failure));
        assert!(failed.is_empty(), "{during}: {failed:#?}");
        assert!(
            dropped.len() <= moves,
            "{during}, with {moves} moves of etcd's leadership: {dropped:#?}"
        );
        if !dropped.is_empty() {
            println!(
                "{during}: etcd dropped {} writes as its leadership moved",
                dropped.len()
            );
        }
    }

    /// Stops, and asserts that whatever failed was a connection that broke, as those to a machine do that is terminated: no
    /// answer was an error, none took too long, and what was acknowledged is there.
    #[track_caller]
    pub fn saw_only_broken_connections(self, during: &str) {
        let mut failed = self.stopped(during);
        // Variants of kube's errors without an answer.
        failed.retain(|failure| !failure.contains(": Service(") && !failure.contains(": HyperError("));
        assert!(failed.is_empty(), "{during}: {failed:#?}");
    }

    /// Stops, and asserts that some requests were answered; returns why others were not.
    #[track_caller]
    fn stopped(self, during: &str) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.running.join().expect("the prober does not panic");
        let answered = self.answered.load(Ordering::Relaxed);
        println!("{during}: {answered} requests answered, {} failed", failed.len());
        assert!(answered > 0, "{during}: nothing was asked");
        failed
    }
}

/// Whether a request was answered with what etcd says of a proposal that it dropped.
fn was_dropped(failure: &str) -> bool {
    failure.contains("etcdserver: request timed out") || failure.contains("raft proposal dropped")
}

async fn probe(kubeconfig: &Kubeconfig, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let (mut failed, begun) = (Vec::new(), Instant::now());
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let written = json!({ "number": number.to_string() });
        let patch = Request::patch(OBJECT).header(CONTENT_TYPE, "application/merge-patch+json");
        let patch = patch.body(json!({ "data": written }).to_string().into_bytes());
        let write = ask(kubeconfig, patch, begun).await;
        let read = ask(kubeconfig, Request::get(OBJECT).body(Vec::new()), begun).await;
        if let (Ok(_), Ok(read)) = (&write, &read)
            && read["data"] != written
        {
            failed.push(format!("{written} was acknowledged and {read} is there"));
        }
        for answer in [write, read] {
            match answer {
                Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                Err(error) => failed.push(error),
            }
        }
        sleep(PAUSE).await;
    }
    failed
}

/// One request over a connection of its own, so that wherever the endpoint leads, new clients are led there too; when it
/// fails, with the time since `begun` and how long it took.
async fn ask(
    kubeconfig: &Kubeconfig,
    request: http::Result<Request<Vec<u8>>>,
    begun: Instant,
) -> Result<Value, String> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await;
    let mut config = config.map_err(|error| error.to_string())?;
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    let request = request.map_err(|error| error.to_string())?;
    let (asked_at, method) = (begun.elapsed(), request.method().clone());
    let answer = timeout(PATIENCE, client.request(request)).await;
    let failed = |error: String| {
        let took = begun.elapsed().saturating_sub(asked_at);
        format!("{method} after {asked_at:.1?}, which took {took:.1?}: {error}")
    };
    match answer {
        Ok(answer) => answer.map_err(|error| failed(format!("{error:?}"))),
        Err(_) => Err(failed(format!("no answer within {PATIENCE:?}"))),
    }
}
