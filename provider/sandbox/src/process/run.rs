//! The region's process, from its lock to its end.

use super::claim::{ClaimError, claim_again, claim_any};
use super::description::Description;
use super::place::{Place, PlaceError};
use super::{DEFAULT_SPEED, VERSION};
use crate::core::{Block, Core, Settings, Store, StoreError, catalogue};
use crate::face::{Control, Face, StopSignal, router};
use crate::machines::Machines;
use crate::region::Region;
use jiff::Timestamp;
use multizone_sandbox_data_plane::{Network, Pace};
use multizone_sandbox_etcd::{Kind, NoSuchEtcd};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// ID and number of the region's one project.
const PROJECT: (&str, u64) = ("sandbox", 100_000_000_001);
/// How long an earlier process of the region may take to let go of its addresses.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long calls may take that are under way when the region is asked to stop.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Where the state is.
    pub place: Place,
    /// The region; `None` for the one that the state is of.
    pub region: Option<String>,
    /// How many times faster than a real region; `None` for the earlier speed, or the default.
    pub speed: Option<f64>,
    /// What the masters' members are made of; `None` for what the environment has.
    pub etcd: Option<Kind>,
}

/// Why the region could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Another process has the directory.
    #[error("the sandbox in {} is running already", .0.directory.display())]
    RunningAlready(Place),
    /// No such region.
    #[error("there is no region '{0}'; the sandbox has {known}", known = known_regions())]
    UnknownRegion(String),
    /// The directory belongs to another region.
    #[error("{} holds the region {found}, not {wanted}: name another directory, or remove it", place.directory.display())]
    OtherRegion {
        /// The directory.
        place: Place,
        /// The region it holds.
        found: String,
        /// The region asked for.
        wanted: String,
    },
    /// Not a speed.
    #[error("the speed {0} is not a positive number")]
    Speed(f64),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No addresses.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// There is no such etcd for the masters.
    #[error(transparent)]
    Etcd(#[from] NoSuchEtcd),
    /// Something of the system failed.
    #[error("the sandbox cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

fn known_regions() -> String {
    catalogue::REGIONS
        .iter()
        .map(|region| region.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::System { action, source }
}

/// Refuses a region that there is none of and a speed that is none, before anything is made for them.
pub(super) fn require_possible(region: Option<&str>, speed: Option<f64>) -> Result<(), RunError> {
    if let Some(region) = region
        && catalogue::region(region).is_none()
    {
        return Err(RunError::UnknownRegion(region.to_owned()));
    }
    match speed {
        Some(speed) if !speed.is_finite() || speed <= 0.0 => Err(RunError::Speed(speed)),
        _ => Ok(()),
    }
}

/// Runs the region until it is asked to stop, by its API or by a signal.
pub async fn run(wanted: RunSettings) -> Result<(), RunError> {
    require_possible(wanted.region.as_deref(), wanted.speed)?;
    let etcd = wanted.etcd.clone().map_or_else(Kind::found, Ok)?;
    let place = wanted.place.clone();
    place.make()?;
    let _lock = lock(&place)?;
    let store = Store::open(&place.database())?;
    let (settings, _claim) = decide(&wanted, &store)?;
    let listener = listen(&store, settings.block)?;
    let endpoint = listener.local_addr().map_err(system("learn its own address"))?;

    let speed = Pace::new(settings.speed);
    let network = Network::with_pace(speed);
    let core = Core::open(settings, store, Timestamp::now())?;
    let region_name = core.settings().region.name.to_owned();
    let region = Region::new(core, Arc::new(Timestamp::now), network.clone());
    tracing::info!(%etcd, "the masters' etcd");
    region.populate(Machines::new(&region, network, speed, place.disks(), etcd));
    let time = tokio::spawn(Arc::clone(&region).drive());
    let health = tokio::spawn(crate::health::run(Arc::clone(&region), speed));

    let control = Arc::new(Control {
        endpoint: format!("http://{endpoint}"),
        directory: place.directory.clone(),
        version: VERSION.to_owned(),
        stop: StopSignal::default(),
        requests: AtomicU64::new(0),
    });
    let listener = tokio::net::TcpListener::from_std(listener).map_err(system("serve its API"))?;
    let description = Description {
        pid: std::process::id(),
        endpoint: control.endpoint.clone(),
        version: VERSION.to_owned(),
        region: region_name,
    };
    description.write(&place).map_err(system("write process.json"))?;
    tracing::info!(
        endpoint = control.endpoint,
        region = description.region,
        "the sandbox region runs"
    );

    let face = router(Face {
        region: Arc::clone(&region),
        control: Arc::clone(&control),
    });
    let ended = CancellationToken::new();
    let server = axum::serve(listener, face).with_graceful_shutdown(ended.clone().cancelled_owned());
    let server = tokio::spawn(server.into_future());
    tokio::select! {
        () = control.stop.asked() => {}
        () = signal() => {}
    }
    Description::remove(&place);
    ended.cancel();
    // Whoever asks now gets an answer; whoever waits for something gets none.
    let _ = tokio::time::timeout(LAST_ANSWERS, server).await;
    time.abort();
    health.abort();
    if let Some(machines) = region.machines() {
        machines.stop().await;
    }
    tracing::info!(
        "the sandbox region has stopped; its state stays in {}",
        place.directory.display()
    );
    Ok(())
}

/// The lock goes with the process, however it ends.
fn lock(place: &Place) -> Result<std::fs::File, RunError> {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(place.lock())
        .map_err(system("open its lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::RunningAlready(place.clone())),
        Err(std::fs::TryLockError::Error(source)) => Err(RunError::System {
            action: "take its lock",
            source,
        }),
    }
}

/// What the region is: what its state remembers, else what is asked for.
fn decide(wanted: &RunSettings, store: &Store) -> Result<(Settings, TcpListener), RunError> {
    let found = store.setting("region")?;
    let name = match (&wanted.region, found) {
        (Some(wanted_name), Some(found)) if *wanted_name != found => {
            let (place, wanted) = (wanted.place.clone(), wanted_name.clone());
            return Err(RunError::OtherRegion { place, found, wanted });
        }
        (Some(wanted_name), None) => wanted_name.clone(),
        (_, Some(found)) => found,
        (None, None) => super::place::DEFAULT_REGION.to_owned(),
    };
    let region = catalogue::region(&name).ok_or(RunError::UnknownRegion(name))?;
    let remembered: Option<f64> = store
        .setting("speed")?
        .and_then(|text| text.parse().ok())
        .filter(|speed: &f64| speed.is_finite() && *speed > 0.0);
    let speed = wanted.speed.or(remembered).unwrap_or(DEFAULT_SPEED);
    let (block, claim) = match store
        .setting("block")?
        .and_then(|text| text.parse().ok())
        .and_then(Block::new)
    {
        Some(block) => (block, claim_again(block, PATIENCE)?),
        None => claim_any(&wanted.place.directory)?,
    };
    store.set_setting("region", region.name)?;
    store.set_setting("block", &block.number().to_string())?;
    store.set_setting("speed", &speed.to_string())?;
    let (project, project_number) = PROJECT;
    Ok((
        Settings {
            region,
            project: project.to_owned(),
            project_number,
            block,
            speed,
        },
        claim,
    ))
}

/// Listens where the region listened before, if it can: links and shells that remember the endpoint go on working.
fn listen(store: &Store, block: Block) -> Result<TcpListener, RunError> {
    let remembered = store.setting("port")?.and_then(|text| text.parse::<u16>().ok());
    let bind = |port: u16| TcpListener::bind(SocketAddr::from((block.api_address(), port)));
    let listener = match remembered.map(bind) {
        Some(Ok(listener)) => listener,
        _ => bind(0).map_err(system("listen for its API"))?,
    };
    listener.set_nonblocking(true).map_err(system("serve its API"))?;
    let port = listener.local_addr().map_err(system("learn its own address"))?.port();
    store.set_setting("port", &port.to_string())?;
    Ok(listener)
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
