//! Members that are real etcd processes.
//!
//! A process never outlives the one that started it: where `setpriv` is installed the kernel kills it with its parent,
//! and everywhere its identity is written beside its log, so that the next start of the same member ends what an
//! earlier run left behind.

mod flags;
mod left_behind;
mod spawn;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};

use crate::MemberConfig;
use crate::disk::{last_words, make_private, open_log};
use crate::member::{Exit, StartError};

/// How long a process may take to stop before it is killed; the kubelet gives static pods as long.
const GRACE: Duration = Duration::from_secs(30);

/// A running etcd process.
#[derive(Debug)]
pub(crate) struct EtcdProcess {
    orders: mpsc::UnboundedSender<Order>,
    exit: watch::Receiver<Option<Exit>>,
}

/// A signal to send, and where to say that it was sent (or that there was nobody left to send it to).
#[derive(Debug)]
struct Order {
    signal: Signal,
    done: oneshot::Sender<()>,
}

impl EtcdProcess {
    pub(crate) async fn start(program: &Path, config: MemberConfig) -> Result<Self, StartError> {
        let version = flags::version_of(program, &config.name).await?;
        let files = |path: &Path, source| StartError::Files {
            name: config.name.clone(),
            path: path.to_owned(),
            source,
        };
        make_private(&config.data_directory).map_err(|source| files(&config.data_directory, source))?;
        let record = left_behind::record_of(&config.data_directory);
        left_behind::end(&config, &record).await?;
        let log = open_log(&config.log).map_err(|source| files(&config.log, source))?;
        let errors = log.try_clone().map_err(|source| files(&config.log, source))?;

        let mut command = spawn::dying_with_its_parent(program);
        command
            .args(flags::of(&config, version))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        let child = spawn::spawn(command).await.map_err(|source| StartError::Program {
            name: config.name.clone(),
            program: program.to_owned(),
            source,
        })?;
        if let Some(pid) = child.id() {
            left_behind::write(&record, pid).map_err(|source| files(&record, source))?;
        }
        let (orders, received) = mpsc::unbounded_channel();
        let (exit_sender, exit) = watch::channel(None);
        tokio::spawn(look_after(child, received, exit_sender, config.log, record));
        Ok(Self { orders, exit })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(exit)) => exit.clone(),
            _ => Exit {
                status: "unknown: the task that looked after it is gone".to_owned(),
                said: String::new(),
            },
        }
    }

    pub(crate) async fn pause(&self) {
        self.send(Signal::STOP).await;
    }

    pub(crate) async fn resume(&self) {
        self.send(Signal::CONT).await;
    }

    pub(crate) async fn stop(&self) -> Exit {
        self.send(Signal::TERM).await;
        // A paused process gets no signal but these.
        self.send(Signal::CONT).await;
        if let Ok(exit) = tokio::time::timeout(GRACE, self.exited()).await {
            exit
        } else {
            self.kill().await
        }
    }

    pub(crate) async fn kill(&self) -> Exit {
        self.send(Signal::KILL).await;
        self.exited().await
    }

    async fn send(&self, signal: Signal) {
        let (done, sent) = oneshot::channel();
        if self.orders.send(Order { signal, done }).is_ok() {
            // An error means that the process has ended: there is nobody to send it to.
            let _ = sent.await;
        }
    }
}

/// Owns the child: only who reaps a process can be sure that its id is still its own when signalling it.
async fn look_after(
    mut child: Child,
    mut orders: mpsc::UnboundedReceiver<Order>,
    exit: watch::Sender<Option<Exit>>,
    log: PathBuf,
    record: PathBuf,
) {
    let pid = child.id();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            order = orders.recv() => {
                let Some(order) = order else {
                    // The member was dropped.
                    signal(&child, Signal::KILL);
                    break child.wait().await;
                };
                signal(&child, order.signal);
                // Whoever ordered it may have gone.
                let _ = order.done.send(());
            }
        }
    };
    let status = match status {
        Ok(status) => status.to_string(),
        Err(error) => format!("unknown: {error}"),
    };
    if let Some(pid) = pid {
        left_behind::forget(&record, pid);
    }
    let said = last_words(&log);
    exit.send_replace(Some(Exit { status, said }));
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(pid = pid.as_raw_nonzero(), ?signal, %error, "etcd did not get a signal");
    }
}
