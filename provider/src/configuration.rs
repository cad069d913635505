//! The provider block, and what it turns into: one region of one cloud.

mod checks;
mod counted;
mod rooms;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use multizone_cloud::{Cloud, CloudError, ClusterName, Inventory, MachineType, Zone};
use multizone_cloud_aws::Aws;
use multizone_cloud_compute_engine::{ComputeEngine, Credentials, Settings};
use multizone_sandbox::SandboxSettings;
use multizone_schema::{Diagnostic, Diagnostics, Model, Nested, Path, PlannedModel, PlannedOf};
use tokio::sync::Mutex;

use counted::Counted;
use rooms::Rooms;
pub use rooms::{Maker, NewMachines};

use crate::{
    inventories::Inventories,
    patience::Patience,
    resources::{identity::SecretNames, timeouts},
};

/// Builds and looks after self-managed (kubeadm) Kubernetes clusters that span the zones of one region, on Compute
/// Engine, on AWS, or on an embedded sandbox region that needs no cloud account.
///
/// Exactly one of `sandbox`, `compute_engine` and `aws` says where.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ProviderConfiguration {
    /// A simulated region on this machine. It is started when it does not run yet, outlives Terraform, and keeps its
    /// state in a directory; `terraform-provider-multizone sandbox status` shows it.
    #[attribute(optional, nested)]
    pub sandbox: Option<SandboxConfiguration>,
    /// A region of a Google Cloud project.
    #[attribute(optional, nested)]
    pub compute_engine: Option<ComputeEngineConfiguration>,
    /// A region of an AWS account.
    #[attribute(optional, nested)]
    pub aws: Option<AwsConfiguration>,
    /// How resources are destroyed. A destroy reads a resource's own options from the state of the last apply; these
    /// are current.
    #[attribute(optional, nested)]
    pub destroy: Option<DestroyOptions>,
}

/// The embedded sandbox region.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct SandboxConfiguration {
    /// The region to simulate, for example `us-central1`.
    #[attribute(required, validate = checks::region)]
    pub region: String,
    /// Directory that holds its state. Defaults to the one named after the region below `$MULTIZONE_SANDBOX_DIRECTORY`, else
    /// below the user's state directory.
    #[attribute(optional)]
    pub directory: Option<String>,
    /// How many times faster than a real cloud operations are. Counts when the region is started.
    #[attribute(optional, validate = checks::speed)]
    pub speed: Option<f64>,
}

/// A region of Compute Engine.
#[derive(Nested, Clone, PartialEq)]
pub struct ComputeEngineConfiguration {
    /// Project ID.
    #[attribute(required, validate = checks::project)]
    pub project: String,
    /// Region, for example `us-central1`.
    #[attribute(required, validate = checks::region)]
    pub region: String,
    /// Base URL of the Compute Engine API, where it is not Google's own.
    #[attribute(optional, validate = checks::endpoint)]
    pub endpoint: Option<String>,
    /// Base URL of Secret Manager, where it is neither Google's own nor `endpoint`.
    #[attribute(optional, validate = checks::endpoint)]
    pub secret_manager_endpoint: Option<String>,
    /// Content of a credentials file (service account, user login or workload identity). Defaults to the application's
    /// default credentials: the environment, gcloud's login, or the metadata server.
    #[attribute(optional, sensitive, validate = checks::credentials)]
    pub credentials: Option<String>,
    /// Call without credentials: for endpoints that ask for none.
    #[attribute(optional)]
    pub anonymous: Option<bool>,
}

/// A region of AWS.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct AwsConfiguration {
    /// Region, for example `us-west-2`.
    #[attribute(required, validate = checks::aws_region)]
    pub region: String,
    /// Profile of the shared configuration and credentials files. Without it, credentials are found as AWS's own tools
    /// find them: the environment, the default profile, single sign-on, the role of the container or the machine.
    #[attribute(optional, validate = checks::given)]
    pub profile: Option<String>,
    /// ARN of a role to assume with them.
    #[attribute(optional, validate = checks::role)]
    pub assume_role: Option<String>,
    /// Base URL of all of AWS's APIs, where it is not AWS's own.
    #[attribute(optional, validate = checks::aws_endpoint)]
    pub endpoint_url: Option<String>,
    /// Tags that everything gets beside its own.
    #[attribute(optional, validate = checks::tags)]
    pub default_tags: Option<BTreeMap<String, String>>,
}

/// How resources are destroyed.
#[derive(Nested, Clone, Debug, PartialEq)]
pub struct DestroyOptions {
    /// How long the drain of a node may take before the destroy gives up, for example `10m`; goes before the node
    /// group's own `drain_timeout`.
    #[attribute(optional, validate = timeouts::duration)]
    pub drain_timeout: Option<String>,
    /// Delete the machines of node groups that are destroyed without draining them, `PodDisruptionBudgets` or not, and
    /// without asking the Kubernetes API when it does not answer. The Node objects then stay in a cluster that lives on:
    /// remove them with `kubectl delete node`.
    #[attribute(optional)]
    pub force: Option<bool>,
}

/// A configured provider: one region of one cloud, and what was learned about it in this process.
#[derive(Clone, Debug)]
pub struct Configured {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cloud: Arc<dyn Cloud>,
    destroy: Destroy,
    zones: Mutex<Option<Vec<Zone>>>,
    machine_types: Mutex<BTreeMap<(String, String), Option<MachineType>>>,
    planned_versions: std::sync::Mutex<BTreeMap<ClusterName, String>>,
    inventories: Inventories,
    planned_zones: RwLock<BTreeMap<ClusterName, BTreeSet<String>>>,
    counted: Counted,
    rooms: Rooms,
    planned_balancers: RwLock<PlannedBalancers>,
    patience: Patience,
}

/// The zones of balancers, as far as they are known, by cluster and name.
type PlannedBalancers = BTreeMap<(ClusterName, String), Option<BTreeSet<String>>>;

/// How resources are destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroy {
    /// How long a drain may take; goes before the resource's own option.
    pub drain_timeout: Option<Duration>,
    /// Without draining.
    pub force: bool,
}

impl Configured {
    /// A provider on this cloud.
    pub fn new(cloud: Arc<dyn Cloud>, destroy: Destroy) -> Self {
        let inner = Inner {
            inventories: Inventories::new(cloud.clone()),
            cloud,
            destroy,
            zones: Mutex::default(),
            machine_types: Mutex::default(),
            planned_zones: RwLock::default(),
            counted: Counted::default(),
            rooms: Rooms::default(),
            planned_balancers: RwLock::default(),
            planned_versions: std::sync::Mutex::default(),
            patience: Patience::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The region's cloud.
    pub fn cloud(&self) -> &Arc<dyn Cloud> {
        &self.inner.cloud
    }

    /// How resources are destroyed.
    pub fn destroy(&self) -> Destroy {
        self.inner.destroy
    }

    /// The time: for certificates, which is the only thing that needs one.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// A question to the cloud that a plan can do without: it has a few seconds, and none at all once the cloud has left
    /// another one without an answer.
    pub async fn ask<T>(
        &self,
        object: &str,
        question: impl Future<Output = Result<T, CloudError>>,
    ) -> Result<T, CloudError> {
        self.inner.patience.ask(self.cloud().as_ref(), object, question).await
    }

    /// The region's zones, asked for once.
    pub async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        let mut known = self.inner.zones.lock().await;
        if let Some(zones) = &*known {
            return Ok(zones.clone());
        }
        let zones = self.inner.cloud.zones().await?;
        Ok(known.insert(zones).clone())
    }

    /// Whether a zone is known to be out.
    pub async fn is_out(&self, zone: &str) -> bool {
        let zones = self.zones().await.unwrap_or_default();
        zones.iter().any(|found| found.name == zone && !found.up)
    }

    /// The region's zones as they are now; what is asked for once is that from then on.
    pub async fn zones_now(&self) -> Result<Vec<Zone>, CloudError> {
        let zones = self.inner.cloud.zones().await?;
        *self.inner.zones.lock().await = Some(zones.clone());
        Ok(zones)
    }

    /// A machine type as a zone offers it, asked for once.
    pub async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>, CloudError> {
        let mut known = self.inner.machine_types.lock().await;
        let key = (zone.to_owned(), name.to_owned());
        if let Some(machine_type) = known.get(&key) {
            return Ok(machine_type.clone());
        }
        let machine_type = self.inner.cloud.machine_type(zone, name).await?;
        known.insert(key, machine_type.clone());
        Ok(machine_type)
    }

    /// Remembers which Kubernetes version a cluster's control plane will have: what is planned after it, in this process,
    /// must fit.
    pub fn plan_version(&self, cluster: &ClusterName, version: &str) {
        let mut planned = self
            .inner
            .planned_versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        planned.insert(cluster.clone(), version.to_owned());
    }

    /// The Kubernetes version that a cluster's control plane will have, if it was planned in this process.
    pub fn planned_version(&self, cluster: &ClusterName) -> Option<String> {
        let planned = self
            .inner
            .planned_versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        planned.get(cluster).cloned()
    }

    /// The Kubernetes versions that control planes will have that were planned in this process, by their clusters.
    pub fn planned_versions(&self) -> BTreeMap<ClusterName, String> {
        let planned = self.inner.planned_versions.lock();
        planned.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A cluster's inventory as it was when this process first looked, for refreshing state: never older than this
    /// process's own changes.
    pub async fn known_inventory(&self, cluster: &ClusterName) -> Result<Arc<Inventory>, CloudError> {
        // A hundred objects would each wait for the last attempt.
        if let Some(error) = self
            .inner
            .patience
            .given_up(&format!("the inventory of cluster {cluster}"))
        {
            return Err(error);
        }
        self.inner.patience.heard(self.inner.inventories.known(cluster).await)
    }

    /// A cluster's inventory if this process has looked at it already: for what is worth saying, and no request.
    pub fn inventory_at_hand(&self, cluster: &ClusterName) -> Option<Arc<Inventory>> {
        self.inner.inventories.peek(cluster)
    }

    /// A cluster's inventory as it is now.
    pub async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory, CloudError> {
        let now = self.inner.inventories.now(cluster).await;
        self.inner.patience.heard(now).map(Arc::unwrap_or_clone)
    }

    /// Keeps the zones that a cluster is planned to span, for the plans of what depends on it.  Terraform plans those
    /// later, in this process; applying happens in another one.
    pub fn plan_zones(&self, cluster: &ClusterName, zones: BTreeSet<String>) {
        let mut planned = self.inner.planned_zones.write().unwrap_or_else(PoisonError::into_inner);
        planned.insert(cluster.clone(), zones);
    }

    /// The zones that a cluster is planned to span; `None` when it was not planned in this process (yet).
    pub fn planned_zones(&self, cluster: &ClusterName) -> Option<BTreeSet<String>> {
        let planned = self.inner.planned_zones.read().unwrap_or_else(PoisonError::into_inner);
        planned.get(cluster).cloned()
    }

    /// Keeps the zones that a balancer is planned to span, as far as they are known, for the plan of the control plane
    /// behind it.
    pub fn plan_balancer(&self, cluster: &ClusterName, name: &str, zones: Option<BTreeSet<String>>) {
        let planned = self.inner.planned_balancers.write();
        let mut planned = planned.unwrap_or_else(PoisonError::into_inner);
        planned.insert((cluster.clone(), name.to_owned()), zones);
    }

    /// The zones that a balancer is planned to span; `None` when it was not planned in this process (yet).
    pub fn planned_balancer(&self, cluster: &ClusterName, name: &str) -> Option<Option<BTreeSet<String>>> {
        let planned = self.inner.planned_balancers.read();
        let planned = planned.unwrap_or_else(PoisonError::into_inner);
        planned.get(&(cluster.clone(), name.to_owned())).cloned()
    }

    /// Forgets what was known of a cluster: something of it changes.
    #[allow(clippy::unused_async)]
    pub async fn forget(&self, cluster: &ClusterName) {
        self.inner.inventories.forget(cluster);
    }
}

/// Checks of the provider block that no validator of a single attribute can make.
pub fn validate(config: &PlannedOf<ProviderConfiguration>) -> Diagnostics {
    let given = |planned: bool, name: &'static str| planned.then_some(name);
    let clouds: Vec<&str> = [
        given(!config.sandbox.is_null(), "sandbox"),
        given(!config.compute_engine.is_null(), "compute_engine"),
        given(!config.aws.is_null(), "aws"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match clouds[..] {
        [_] => config.compute_engine.known().map_or_else(Diagnostics::new, one_caller),
        [] => Diagnostic::error(
            "No cloud configured",
            "The provider needs exactly one of sandbox, compute_engine and aws. To try it on this machine, write: sandbox = { \
             region = \"us-central1\" }",
        )
        .at("sandbox")
        .into(),
        [.., last] => Diagnostic::error(
            "Two clouds configured",
            format!(
                "The provider block has {}; exactly one says where the clusters are. For a second cloud, write a second \
                 provider block with an alias.",
                clouds.join(" and ")
            ),
        )
        .at(last)
        .into(),
    }
}

/// Refuses to call both with credentials and without.
fn one_caller(config: &ComputeEngineConfigurationPlanned) -> Diagnostics {
    if config.anonymous.known() != Some(&true) || config.credentials.is_null() {
        return Diagnostics::new();
    }
    Diagnostic::error(
        "Credentials for anonymous calls",
        "compute_engine has credentials, and anonymous = true, which calls without any. Remove one of the two.",
    )
    .at(Path::from("compute_engine").attribute("anonymous"))
    .into()
}

/// Turns the provider block into a region that can be worked on. `None` when it is not wholly known yet, or wrong.
pub async fn configure(
    config: PlannedOf<ProviderConfiguration>,
    _terraform_version: &str,
) -> (Option<Configured>, Diagnostics) {
    let diagnostics = validate(&config);
    if diagnostics.has_errors() {
        return (None, diagnostics);
    }
    let value = config.to_value();
    if !value.is_wholly_known() {
        return (None, diagnostics);
    }
    let config = match config.into_known() {
        Ok(config) => config,
        Err(errors) => return (None, errors),
    };
    match connect(&config).await {
        Ok(cloud) => (
            Some(Configured::new(cloud, destroy(config.destroy.as_ref()))),
            diagnostics,
        ),
        Err(errors) => (None, errors),
    }
}

fn destroy(options: Option<&DestroyOptions>) -> Destroy {
    options.map_or_else(Destroy::default, |options| Destroy {
        drain_timeout: options.drain_timeout.as_deref().and_then(timeouts::parse),
        force: options.force.unwrap_or(false),
    })
}

async fn connect(config: &ProviderConfiguration) -> Result<Arc<dyn Cloud>, Diagnostics> {
    let settings = match (&config.sandbox, &config.compute_engine, &config.aws) {
        (Some(sandbox), ..) => sandbox_settings(sandbox).await?,
        (None, Some(compute_engine), _) => compute_engine_settings(compute_engine),
        (None, None, Some(aws)) => return Ok(Arc::new(Aws::connect(aws_settings(aws)).await)),
        (None, None, None) => return Err(validate(&config.clone().into())),
    };
    let path = if config.sandbox.is_some() {
        "sandbox"
    } else {
        "compute_engine"
    };
    match ComputeEngine::connect(settings).await {
        Ok(cloud) => Ok(Arc::new(cloud)),
        Err(error) => Err(Diagnostic::error(
            "Cannot use the cloud",
            format!("{error}.\nNothing was changed.\n{}", error.advice()),
        )
        .at(path)
        .into()),
    }
}

async fn sandbox_settings(sandbox: &SandboxConfiguration) -> Result<Settings, Diagnostics> {
    let regions = multizone_sandbox::core::catalogue::REGIONS;
    if !regions.iter().any(|region| region.name == sandbox.region) {
        let names: Vec<&str> = regions.iter().map(|region| region.name).collect();
        return Err(Diagnostic::error(
            "Unknown region",
            format!(
                "{:?} is no region that the sandbox can be. It can be {}.",
                sandbox.region,
                names.join(", ")
            ),
        )
        .at(Path::from("sandbox").attribute("region"))
        .into());
    }
    let wanted = SandboxSettings {
        region: sandbox.region.clone(),
        directory: sandbox.directory.as_ref().map(PathBuf::from),
        speed: sandbox.speed,
    };
    let running = multizone_sandbox::ensure_running(&wanted).await.map_err(|error| {
        Diagnostic::error(
            "The sandbox region does not run",
            format!(
                "{error}\nterraform-provider-multizone sandbox status shows what there is; sandbox start starts it by hand."
            ),
        )
        .at(Path::from("sandbox").attribute("region"))
    })?;
    Ok(Settings {
        endpoint: Some(running.endpoint),
        credentials: Credentials::Anonymous,
        default_network_cidr: Some(running.network_block),
        timeouts: multizone_cloud_compute_engine::Timeouts {
            poll_interval: Duration::from_millis(50),
            ..multizone_cloud_compute_engine::Timeouts::default()
        },
        ..Settings::new(running.project, sandbox.region.clone())
    })
}

fn aws_settings(config: &AwsConfiguration) -> multizone_cloud_aws::Settings {
    multizone_cloud_aws::Settings {
        endpoint: config.endpoint_url.clone(),
        credentials: multizone_cloud_aws::Credentials::Chain {
            profile: config.profile.clone(),
            assume_role: config.assume_role.clone(),
        },
        default_tags: config.default_tags.clone().unwrap_or_default(),
        secret_names: |region, cluster| SecretNames::of(region, cluster).all(),
        ..multizone_cloud_aws::Settings::new(config.region.clone())
    }
}

fn compute_engine_settings(config: &ComputeEngineConfiguration) -> Settings {
    let credentials = match (&config.credentials, config.anonymous) {
        (Some(content), _) => Credentials::Json(content.clone()),
        (None, Some(true)) => Credentials::Anonymous,
        (None, _) => Credentials::ApplicationDefault,
    };
    Settings {
        endpoint: config.endpoint.clone(),
        secret_manager_endpoint: config.secret_manager_endpoint.clone(),
        credentials,
        ..Settings::new(config.project.clone(), config.region.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use multizone_schema::Planned;

    fn sandbox() -> SandboxConfiguration {
        SandboxConfiguration {
            region: "us-central1".to_owned(),
            directory: None,
            speed: None,
        }
    }

    fn compute_engine() -> ComputeEngineConfiguration {
        ComputeEngineConfiguration {
            project: "p".to_owned(),
            region: "us-central1".to_owned(),
            endpoint: None,
            secret_manager_endpoint: None,
            credentials: None,
            anonymous: None,
        }
    }

    fn said(config: ProviderConfiguration) -> String {
        validate(&config.into()).to_string()
    }

    #[test]
    fn exactly_one_cloud_is_configured() {
        let none = ProviderConfiguration {
            sandbox: None,
            compute_engine: None,
            aws: None,
            destroy: None,
        };
        assert!(said(none.clone()).contains("at sandbox"));
        let one = ProviderConfiguration {
            sandbox: Some(sandbox()),
            ..none.clone()
        };
        assert_eq!(said(one.clone()), "");
        let two = ProviderConfiguration {
            compute_engine: Some(compute_engine()),
            ..one
        };
        assert!(said(two).contains("exactly one"));
    }

    #[test]
    fn a_cloud_that_is_not_known_yet_is_no_error() {
        let mut config = PlannedOf::<ProviderConfiguration>::from(ProviderConfiguration {
            sandbox: None,
            compute_engine: None,
            aws: None,
            destroy: None,
        });
        config.compute_engine = Planned::Unknown;
        assert!(validate(&config).is_empty());
    }
}
