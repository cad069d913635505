//! Writes and reads through the API's endpoint, one after the other, from a thread of their own.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use jiff::Timestamp;
use tokio::runtime::Builder;

use super::api::Api;
use crate::faults::Faults;

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// The least that etcd waits for a commit before it gives a write up; it knows only real time.
const COMMIT: Duration = Duration::from_secs(5);

/// A request through the endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// What kept it from being answered.
    pub(crate) failed: Option<String>,
    /// The record that it wrote, and was told to have written.
    acknowledged: Option<String>,
}

impl Probe {
    /// Whether it was answered that etcd has taken too long: that is a computer too busy for real etcd's own clock, and
    /// nothing that was done to the members.
    fn etcd_was_too_slow(&self) -> bool {
        let took = self.to.as_millisecond() - self.from.as_millisecond();
        let told = |failed: &String| failed.contains("request timed out") || failed.contains("deadline exceeded");
        self.failed.as_ref().is_some_and(told) && u128::try_from(took).is_ok_and(|took| took >= COMMIT.as_millis())
    }
}

/// Writes and reads until it is asked what it has seen.
pub(crate) struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Probe>>,
}

impl Prober {
    /// Starts; the names of its records begin with `name`.
    pub(crate) fn start(api: &Api, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (api, name, stopping) = (api.clone(), name.to_owned(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(probe(&api, &name, &stopping))
        });
        Self { stop, thread }
    }

    /// Stops.
    pub(crate) fn stop(self) -> Probes {
        self.stop.store(true, Ordering::Relaxed);
        Probes(self.thread.join().unwrap())
    }
}

async fn probe(api: &Api, name: &str, stopping: &AtomicBool) -> Vec<Probe> {
    let mut probes = Vec::new();
    for number in 0.. {
        if stopping.load(Ordering::Relaxed) {
            break;
        }
        let record = format!("{name}-{number}");
        let from = Timestamp::now();
        let failed = api.write(&record).await.err();
        let written = failed.is_none();
        probes.push(Probe {
            from,
            to: Timestamp::now(),
            failed,
            acknowledged: written.then(|| record.clone()),
        });
        if written {
            let from = Timestamp::now();
            let failed = api.read(&record).await.err();
            probes.push(Probe {
                from,
                to: Timestamp::now(),
                failed,
                acknowledged: None,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    probes
}

/// What a prober has seen.
pub(crate) struct Probes(Vec<Probe>);

impl Probes {
    /// The requests that were not answered.
    pub(crate) fn failed(&self) -> Vec<&Probe> {
        self.0.iter().filter(|probe| probe.failed.is_some()).collect()
    }

    /// When the first request was answered that began after that time.
    pub(crate) fn first_answered_since(&self, time: Timestamp) -> Timestamp {
        let answered = |probe: &&Probe| probe.from >= time && probe.failed.is_none();
        self.0.iter().find(answered).map_or(Timestamp::MAX, |probe| probe.to)
    }

    /// How long nothing was answered at the longest, in milliseconds: from the first request that failed to the next
    /// answer.
    pub(crate) fn longest_silence(&self) -> i64 {
        let (mut longest, mut since) = (0, None);
        for probe in &self.0 {
            if probe.failed.is_some() {
                since.get_or_insert(probe.from);
            } else if let Some(since) = since.take() {
                longest = longest.max(probe.to.as_millisecond() - since.as_millisecond());
            }
        }
        longest
    }

    /// Says how many requests there were and how many failed.
    pub(crate) fn say(&self, during: &str) {
        let silence = match self.longest_silence() {
            0 => String::new(),
            longest => format!(", at most {longest} ms without an answer"),
        };
        let failed = self.failed().len();
        say(&format!(
            "prober: {during}: {} requests, {failed} failed{silence}",
            self.0.len()
        ));
    }

    /// Asserts that no request failed, and that there were some.
    pub(crate) fn saw_no_failure(&self, during: &str, faults: &Faults) {
        self.saw_no_failure_but(during, faults, |_| false);
    }

    /// The same on real etcd, where a request may also be answered with etcd's own lack of time.
    pub(crate) fn saw_no_failure_on_real_etcd(&self, during: &str, faults: &Faults) {
        let slow = self.0.iter().filter(|probe| probe.etcd_was_too_slow()).count();
        if slow > 0 {
            println!("{during}: etcd itself took too long for {slow} requests: this computer is busy");
        }
        self.saw_no_failure_but(during, faults, Probe::etcd_was_too_slow);
    }

    fn saw_no_failure_but(&self, during: &str, faults: &Faults, allowed: impl Fn(&Probe) -> bool) {
        self.say(during);
        let failed: Vec<String> = self
            .failed()
            .into_iter()
            .filter(|probe| !allowed(probe))
            .map(|probe| format!("{}: {:?}", faults.step_at(probe.to), probe))
            .collect();
        assert!(failed.is_empty(), "{during}: {failed:#?}");
        assert!(self.0.len() > 10, "{during}: hardly anything was asked");
    }

    /// Asserts that everything that was acknowledged is still there.
    pub(crate) async fn are_still_there(&self, api: &Api) -> usize {
        let there: std::collections::BTreeSet<String> = api.records().await.unwrap().into_iter().collect();
        let acknowledged = self.0.iter().filter_map(|probe| probe.acknowledged.as_ref());
        let lost: Vec<_> = acknowledged.clone().filter(|record| !there.contains(*record)).collect();
        assert!(lost.is_empty(), "acknowledged, and lost: {lost:#?}");
        acknowledged.count()
    }
}

/// Prints a line, and leaves it where `make test` shows them together.
pub(crate) fn say(line: &str) {
    println!("{line}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.work/prober");
    let name: String = line
        .split(": ")
        .take(2)
        .collect::<Vec<_>>()
        .join("-")
        .replace(|c: char| !c.is_alphanumeric(), "-");
    fs::create_dir_all(&directory)
        .and_then(|()| fs::write(directory.join(format!("{name}.txt")), format!("{line}\n")))
        .unwrap_or_else(|error| println!("that is not kept: {error}"));
}
