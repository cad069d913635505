//! Starting a child that dies with its parent.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::kind::program_on;

/// The command for a program that the kernel kills when its parent ends, where that is possible: `setpriv` (util-linux)
/// asks for it and then becomes the program, so the process id is the program's.
pub(super) fn dying_with_its_parent(program: &Path) -> Command {
    match program_on("setpriv", std::env::var_os("PATH").as_deref()) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

struct Request {
    command: Command,
    runtime: Handle,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

/// Spawns the command from a thread that lives as long as this process: to the kernel the parent is the thread that
/// forked, and a runtime's threads come and go.
pub(super) async fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        std::thread::spawn(move || {
            for mut request in requests {
                let _runtime = request.runtime.enter();
                // Whoever asked may have gone; the child is killed when it is dropped.
                let _ = request.reply.send(request.command.spawn());
            }
        });
        sender
    });
    let (reply, child) = oneshot::channel();
    let request = Request {
        command,
        runtime: Handle::current(),
        reply,
    };
    let gone = || std::io::Error::other("the thread that starts processes has ended");
    spawner.send(request).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}
