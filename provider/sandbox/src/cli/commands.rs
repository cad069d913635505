//! What each subcommand does.

use super::{CliError, Which, print};
use crate::client::ClientError;
use crate::process::{self, Description, Place, RunError, RunSettings, SandboxSettings};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a region may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(which: &Which, speed: Option<f64>, detached: bool) -> Result<(), CliError> {
    if detached {
        // A session of its own: no terminal's and no Terraform's signal reaches it.  It fails only for a process that
        // leads its group already, which then is as good as detached.
        let _ = rustix::process::setsid();
    }
    // The state holds the clusters' keys, and the directory may be one that others can look into.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let settings = RunSettings {
        place: which.place()?,
        region: which.region.clone(),
        speed,
        etcd: None,
    };
    // A thread of its own, whatever runtime the caller has.
    let work = std::thread::spawn(move || -> Result<(), RunError> {
        let _ = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_env_filter(
                tracing_subscriber::EnvFilter::try_from_env("MULTIZONE_SANDBOX_LOG")
                    .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
            )
            .try_init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|source| RunError::System {
                action: "start its threads",
                source,
            })?;
        let ended = runtime.block_on(process::run(settings));
        runtime.shutdown_timeout(Duration::from_secs(2));
        ended
    });
    match work.join() {
        Ok(ended) => Ok(ended?),
        Err(_) => Err(RunError::System {
            action: "go on",
            source: std::io::Error::other("it panicked"),
        }
        .into()),
    }
}

pub(super) fn start(which: &Which, speed: Option<f64>) -> Result<(), CliError> {
    let place = which.place()?;
    let region = match (&which.region, Description::read(&place)) {
        (Some(region), _) => region.clone(),
        (None, Some(description)) => description.region,
        (None, None) => region_of(&place),
    };
    let program = std::env::current_exe().map_err(|source| CliError::File {
        what: "this program cannot be found".to_owned(),
        source,
    })?;
    let settings = SandboxSettings {
        region: region.clone(),
        directory: Some(place.directory),
        speed,
    };
    let running = process::ensure_running_with(&program, &settings)?;
    print(&format!(
        "region {region} runs at {} ({}x real time), state in {}\n",
        running.endpoint,
        running.speed,
        running.directory.display()
    ))?;
    match speed {
        Some(wanted) if (wanted - running.speed).abs() > f64::EPSILON => print(&format!(
            "it ran already and keeps its speed; for {wanted}x, stop it and start it again\n"
        )),
        _ => Ok(()),
    }
}

/// The region a directory holds, else the one it is named after, else the default.
fn region_of(place: &Place) -> String {
    if place.has_state()
        && let Ok(store) = crate::core::Store::open(&place.database())
        && let Ok(Some(region)) = store.setting("region")
    {
        return region;
    }
    let name = place
        .directory
        .file_name()
        .map(|it| it.to_string_lossy().into_owned())
        .unwrap_or_default();
    match crate::core::catalogue::region(&name) {
        Some(region) => region.name.to_owned(),
        None => process::DEFAULT_REGION.to_owned(),
    }
}

pub(super) fn status(which: &Which, json: bool) -> Result<(), CliError> {
    let place = which.place()?;
    match which.client() {
        Ok(client) => {
            let status = client.get("/sandbox/v1/status")?;
            if json {
                print(&format!("{status:#}\n"))
            } else {
                print(&super::status::table(&status))
            }
        }
        Err(CliError::NotRunning(_)) => {
            let text = match (json, place.has_state()) {
                (true, state) => format!(
                    "{}\n",
                    serde_json::json!({ "running": false, "state": state, "directory": place.directory })
                ),
                (false, true) => {
                    format!(
                        "not running; there is state in {}\nstart it with: terraform-provider-multizone sandbox start --directory {}\n",
                        place.directory.display(),
                        place.directory.display()
                    )
                }
                (false, false) => format!("nothing here: no sandbox in {}\n", place.directory.display()),
            };
            print(&text)
        }
        Err(other) => Err(other),
    }
}

pub(super) fn zone(which: &Which, zone: &str, verb: &str) -> Result<(), CliError> {
    which.client()?.post(&format!("/sandbox/v1/zones/{zone}/{verb}"))?;
    print(&match verb {
        "outage" => format!("zone {zone} is out; bring it back with: sandbox restore {zone}\n"),
        _ => format!("zone {zone} is back\n"),
    })
}

pub(super) fn machine(which: &Which, machine: &str, verb: &str) -> Result<(), CliError> {
    let answer = which
        .client()?
        .post(&format!("/sandbox/v1/machines/{machine}/{verb}"))?;
    let key = answer
        .get("machine")
        .and_then(Value::as_str)
        .unwrap_or(machine)
        .to_owned();
    print(&match verb {
        "halt" => format!("machine {key} is halted; give it power again with: sandbox boot {key}\n"),
        _ => format!("machine {key} boots\n"),
    })
}

/// The machines of a status, with their keys.
fn machines(status: &Value) -> impl Iterator<Item = (String, &Value)> {
    let list = status.get("machines").and_then(Value::as_array).into_iter().flatten();
    list.map(|it| {
        let text = |name: &str| it.get(name).and_then(Value::as_str).unwrap_or_default();
        (format!("{}/{}", text("zone"), text("name")), it)
    })
}

pub(super) fn console(which: &Which, machine: &str) -> Result<(), CliError> {
    let client = which.client()?;
    let status = client.get("/sandbox/v1/status")?;
    let found =
        machines(&status).find(|(key, it)| key == machine || it.get("name").and_then(Value::as_str) == Some(machine));
    let Some((key, _)) = found else {
        return Err(CliError::NoMachine(machine.to_owned()));
    };
    let answer = client.get(&format!("/sandbox/v1/machines/{key}/console"))?;
    print(answer.get("console").and_then(Value::as_str).unwrap_or_default())
}

pub(super) fn kubeconfig(which: &Which, cluster: &str, output: Option<&Path>) -> Result<(), CliError> {
    let place = which.place()?;
    let status = which.client()?.get("/sandbox/v1/status")?;
    let mut masters = 0;
    for (_, machine) in machines(&status) {
        let labels = machine.get("labels");
        let is = |key: &str, value: &str| labels.and_then(|it| it.get(key)).and_then(Value::as_str) == Some(value);
        if !is("multizone-cluster", cluster) || !is("multizone-role", "master") {
            continue;
        }
        masters += 1;
        let Some(disk) = machine.get("boot_disk").and_then(Value::as_str) else {
            continue;
        };
        let file = place.disks().join(disk).join("rootfs/etc/kubernetes/admin.conf");
        if let Ok(text) = std::fs::read_to_string(file) {
            return match output {
                None => print(&text),
                Some(output) => write_private(output, &text).map_err(|source| CliError::File {
                    what: format!("{} cannot be written", output.display()),
                    source,
                }),
            };
        }
    }
    Err(CliError::NoKubeconfig(match masters {
        0 => format!("the region has no master of a cluster called {cluster}; `sandbox status` lists the machines"),
        _ => format!("the masters of {cluster} have no admin.conf yet; `sandbox console` shows what they do"),
    }))
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

pub(super) fn stop(which: &Which, delete: bool) -> Result<(), CliError> {
    let place = which.place()?;
    match which.client() {
        Ok(client) => {
            let pid = Description::read(&place).map_or(0, |it| it.pid);
            match client.post("/sandbox/v1/stop") {
                Ok(_) | Err(ClientError::Unreachable { .. }) => {}
                Err(other) => return Err(other.into()),
            }
            wait_for_end(&place, pid)?;
            print(&format!("the sandbox in {} is stopped\n", place.directory.display()))?;
        }
        Err(CliError::NotRunning(_)) => {
            print(&format!("no sandbox runs in {}\n", place.directory.display()))?;
        }
        Err(other) => return Err(other),
    }
    if delete && place.has_state() {
        place.remove()?;
        print(&format!("its state in {} is removed\n", place.directory.display()))?;
    }
    Ok(())
}

/// The process has ended when its lock is free.
fn wait_for_end(place: &Place, pid: u32) -> Result<(), CliError> {
    let deadline = Instant::now() + STOP_PATIENCE;
    while Instant::now() < deadline {
        if !place.in_use() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(CliError::StillRunning(pid))
}
