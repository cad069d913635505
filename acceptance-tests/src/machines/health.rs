//! Health checks of target groups: every target is asked again and again, and moto is told what is found.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use multizone_sandbox::{
    core::balancers::records::{Probe, Protocol},
    health::{Prober, SHORTEST_INTERVAL, Streak},
};
use multizone_sandbox_data_plane::{Network, Pace};
use serde_json::json;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    cloud::{Check, Cloud, Target},
    http,
};

/// The checks of all target groups.
pub(super) struct Checks {
    moto: SocketAddr,
    prober: Arc<Prober>,
    pace: Pace,
    /// By target group and instance.
    running: Mutex<BTreeMap<(String, String), Running>>,
}

/// What is asked of one target.
#[derive(Clone, PartialEq, Eq)]
struct Question {
    machine: String,
    from: Ipv4Addr,
    port: u16,
    check: Check,
}

/// A target that is being asked, until this is dropped.
struct Running {
    question: Question,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checks {
    pub(super) fn new(moto: SocketAddr, network: Network, pace: Pace) -> Self {
        Self {
            moto,
            prober: Arc::new(Prober::new(network, pace)),
            pace,
            running: Mutex::default(),
        }
    }

    /// Asks the targets that there are, and no others.
    pub(super) fn reconcile(&self, cloud: &Cloud) {
        let asked = |target: &&Target| ["initial", "healthy", "unhealthy"].contains(&target.state.as_str());
        let mut wanted = BTreeMap::new();
        for listener in &cloud.balancers {
            for target in listener.targets.iter().filter(asked) {
                let Some(machine) = cloud.key(&target.instance) else {
                    continue;
                };
                let question = Question {
                    machine,
                    from: listener.checked_from,
                    port: listener.check.port.unwrap_or(target.port),
                    check: listener.check.clone(),
                };
                wanted.insert((listener.group.clone(), target.instance.clone()), question);
            }
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|target, known| wanted.get(target) == Some(&known.question));
        for (target, question) in wanted {
            running.entry(target).or_insert_with_key(|(group, instance)| {
                let work = ask(
                    self.moto,
                    Arc::clone(&self.prober),
                    self.pace,
                    question.clone(),
                    (group.clone(), instance.clone()),
                );
                let task = tokio::spawn(work).abort_handle();
                Running { question, task }
            });
        }
    }
}

async fn ask(moto: SocketAddr, prober: Arc<Prober>, pace: Pace, question: Question, target: (String, String)) {
    let Question {
        machine,
        from,
        port,
        check,
    } = question;
    let probe = Probe {
        protocol: match check.protocol.as_str() {
            "HTTPS" => Protocol::Https,
            "HTTP" => Protocol::Http,
            _ => Protocol::Tcp,
        },
        port,
        request_path: check.path.unwrap_or_default(),
        host: String::new(),
    };
    let mut ticks = interval(pace.scaled(Duration::from_secs(check.interval)).max(SHORTEST_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut streak = Streak::new(check.healthy, check.unhealthy);
    let mut told = None;
    loop {
        ticks.tick().await;
        let answer = prober
            .ask(from, &machine, &probe, Duration::from_secs(check.timeout))
            .await;
        let found = streak.saw(answer.is_ok());
        if found.is_some() && found != told {
            let body = json!({ "group": target.0, "instance": target.1, "healthy": found });
            let answer = http::ask(moto, "POST", "/machines/health", &body.to_string()).await;
            told = found.filter(|_| answer.is_ok());
        }
    }
}
