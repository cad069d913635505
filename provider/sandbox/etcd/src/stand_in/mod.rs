//! Members for machines without etcd: inside this process, with etcd's API on the member's own address.
//!
//! The members of a cluster find each other by their peer URLs, without connecting to them. From the outside in:
//! - [`gate`] lets connections stand still while a member is paused;
//! - [`routes`], [`service`], [`kv`], [`watch`], [`lease`], [`members`] and [`maintenance`] answer etcd's services;
//! - [`cluster`] counts the quorum and chooses the leader; under it [`led`] carries [`command`]s out on every copy;
//! - [`state`], [`store`] and [`transaction`] are such a copy, [`files`] keeps it on the machine's disk;
//! - [`bootstrap`] finds out who a starting member is.

mod bootstrap;
mod cluster;
mod command;
mod files;
mod gate;
mod kv;
mod lease;
mod led;
mod listener;
mod maintenance;
mod members;
mod routes;
mod service;
mod state;
mod store;
mod transaction;
mod watch;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use multizone_etcd_api::Refusal;
use tokio::net::TcpListener;
use tokio::sync::watch as channel;

use crate::MemberConfig;
use crate::disk::{last_words, make_private, open_log};
use crate::member::{Exit, StartError};
use bootstrap::Known;
use cluster::Ejection;
use command::Command;
use gate::Life;
use led::Seat;

/// The version whose behaviour the stand-in has.
const BEHAVIOUR: &str = "3.4.0";
/// How long etcd waits for a quorum, in real time: five seconds and two election timeouts.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(7);
/// The stand-in's patience has an end at both sides: a busy computer is no lost quorum.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The status of a killed process.
const KILLED: &str = "signal: 9 (SIGKILL)";

/// A member inside this process.
#[derive(Debug)]
pub(crate) struct StandIn {
    life: Arc<channel::Sender<Life>>,
    exit: Arc<channel::Sender<Option<Exit>>>,
    seat: Option<Seat>,
    /// Closed when its address is free again.
    serving: Option<channel::Receiver<()>>,
    log: PathBuf,
}

impl StandIn {
    pub(crate) async fn start(config: MemberConfig) -> Result<Self, StartError> {
        let files = |path: &std::path::Path, source| StartError::Files {
            name: config.name.clone(),
            path: path.to_owned(),
            source,
        };
        make_private(&config.data_directory).map_err(|source| files(&config.data_directory, source))?;
        // Made here so that a log that cannot be written is an error of the start.
        open_log(&config.log).map_err(|source| files(&config.log, source))?;
        let mut member = Self {
            life: Arc::new(channel::Sender::new(Life::Running)),
            exit: Arc::new(channel::Sender::new(None)),
            seat: None,
            serving: None,
            log: config.log.clone(),
        };
        if let Err(reason) = member.begin(config).await {
            member.end("exit status: 1", &reason);
        }
        Ok(member)
    }

    /// Finds its cluster and begins to serve; the error is what it says before it ends.
    async fn begin(&mut self, config: MemberConfig) -> Result<(), String> {
        let acceptor = listener::acceptor(&config.tls)?;
        let listener = TcpListener::bind(config.listen_client)
            .await
            .map_err(|error| format!("listen tcp {}: {error}", config.listen_client))?;
        let Known {
            cluster,
            identity,
            state,
            files,
        } = bootstrap::find_out(&config)?;
        let patience = REQUEST_TIMEOUT.div_f64(config.speed.max(1.0)).max(SHORTEST_TIMEOUT);
        let seat = Seat {
            cluster,
            id: identity.member,
            patience,
            version: config.version.as_deref().unwrap_or(BEHAVIOUR).into(),
        };
        let Some(ejection) = seat.cluster.attach(seat.id, state, files) else {
            return Err(format!("member {:x} is running already", seat.id));
        };
        bootstrap::announce(config.listen_peer, &seat.cluster, seat.id);
        self.seat = Some(seat.clone());
        self.say(&format!(
            "starting member {:x} in cluster {:x}",
            seat.id, seat.cluster.id
        ));

        let ending = Ending {
            seat: seat.clone(),
            life: Arc::clone(&self.life),
            exit: Arc::clone(&self.exit),
            log: self.log.clone(),
        };
        tokio::spawn(ending.when_ejected(ejection));
        let (served, serving) = channel::channel(());
        self.serving = Some(serving);
        let life = self.life.subscribe();
        tokio::spawn(async move {
            live(seat, config, listener, acceptor, life).await;
            drop(served);
        });
        Ok(())
    }

    fn say(&self, text: &str) {
        say(&self.log, text);
    }

    /// Ends it, unless it has ended.
    fn end(&self, status: &str, last_words: &str) -> Exit {
        if let Some(seat) = self.seat.as_ref().filter(|_| self.is_running()) {
            seat.cluster.detach(seat.id);
        }
        finish(&self.life, &self.exit, &self.log, status, last_words)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        let exit = match exit.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(exit)) => exit.clone(),
            _ => self.end("unknown", ""),
        };
        if let Some(serving) = &self.serving {
            // An error is what is waited for: nobody serves any more.
            let _ = serving.clone().changed().await;
        }
        exit
    }

    pub(crate) fn pause(&self) {
        self.set_paused(true);
    }

    pub(crate) fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        let (from, to) = if paused {
            (Life::Running, Life::Paused)
        } else {
            (Life::Paused, Life::Running)
        };
        let turn = |life: &mut Life| {
            let turns = *life == from;
            if turns {
                *life = to;
            }
            turns
        };
        if self.life.send_if_modified(turn)
            && let Some(seat) = &self.seat
        {
            seat.cluster.set_reachable(seat.id, !paused);
        }
    }

    pub(crate) async fn stop(&self) -> Exit {
        self.end("signal: 15 (SIGTERM)", "received terminated signal, shutting down...");
        self.exited().await
    }

    pub(crate) async fn kill(&self) -> Exit {
        self.end(KILLED, "");
        self.exited().await
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end(KILLED, "");
    }
}

/// What ends a member from inside its cluster.
struct Ending {
    seat: Seat,
    life: Arc<channel::Sender<Life>>,
    exit: Arc<channel::Sender<Option<Exit>>>,
    log: PathBuf,
}

impl Ending {
    async fn when_ejected(self, mut ejection: channel::Receiver<Option<Ejection>>) {
        let reason = match ejection.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ejection::Removed)) => {
                "the member has been permanently removed from the cluster\nthe data-dir used by this member must be \
                 removed."
                    .to_owned()
            }
            Ok(Some(Ejection::Disk(reason))) => format!("the member's disk failed: {reason}"),
            // It has ended otherwise.
            _ => return,
        };
        self.seat.cluster.detach(self.seat.id);
        finish(&self.life, &self.exit, &self.log, "exit status: 1", &reason);
    }
}

/// The first end counts.
fn finish(
    life: &channel::Sender<Life>,
    exit: &channel::Sender<Option<Exit>>,
    log: &std::path::Path,
    status: &str,
    text: &str,
) -> Exit {
    life.send_replace(Life::Gone);
    exit.send_if_modified(|exit| {
        let first = exit.is_none();
        if first {
            if !text.is_empty() {
                say(log, text);
            }
            *exit = Some(Exit {
                status: status.to_owned(),
                said: last_words(log),
            });
        }
        first
    });
    let ended = exit.borrow().clone();
    ended.unwrap_or_else(|| Exit {
        status: status.to_owned(),
        said: String::new(),
    })
}

/// Adds a line to the log. A log that cannot be written any more is no reason to end.
fn say(log: &std::path::Path, text: &str) {
    let written = open_log(log).and_then(|mut file| writeln!(file, "{text}"));
    if let Err(error) = written {
        tracing::warn!(log = %log.display(), %error, "etcd's log cannot be written");
    }
}

/// Publishes the member's name and URLs and serves, until it is gone. As etcd, it serves nobody before its cluster has
/// heard of it.
async fn live(
    seat: Seat,
    config: MemberConfig,
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    life: channel::Receiver<Life>,
) {
    let publish = Command::Publish {
        id: seat.id,
        name: config.name.clone(),
        client_urls: vec![config.advertise_client()],
    };
    let publishing = async {
        let publish = |led: &mut led::Led<'_>| led.commit(&publish).map(|_| ());
        seat.led(None, publish).await
    };
    let mut gone = life.clone();
    let published = tokio::select! {
        published = publishing => published,
        // An error means that the member was dropped.
        _ = gone.wait_for(|life| *life == Life::Gone) => return,
    };
    if let Err(refusal) = published {
        if refusal != Refusal::Stopped {
            say(&config.log, &format!("publish error: {refusal}"));
        }
        return;
    }
    say(&config.log, "ready to serve client requests");
    tokio::select! {
        () = listener::serve(seat.clone(), listener, acceptor, life) => {}
        () = expire(&seat) => {}
        _ = gone.wait_for(|life| *life == Life::Gone) => {}
    }
}

/// Revokes leases that have ended, while this member leads.
async fn expire(seat: &Seat) {
    let mut changed = seat.cluster.subscribe();
    loop {
        let next = seat.cluster.next_expiry(seat.id);
        let changed = changed.changed();
        match next {
            Some(next) => {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => seat.cluster.expire(seat.id),
                    change = changed => if change.is_err() { return },
                }
            }
            None => {
                if changed.await.is_err() {
                    return;
                }
            }
        }
    }
}
