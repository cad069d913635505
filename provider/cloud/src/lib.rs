//! What Multizone needs from a cloud: one trait, plain facts, and an inventory found by labels.
//!
//! A cloud knows nothing of Terraform and nothing of Kubernetes.  Every mutation is idempotent ("ensure"): calling it
//! again with the same specification finds the object it made and returns it, so that a crash between any two calls is
//! healed by calling them again.  Every change is made for one cluster: an object of another, or of none, is
//! [`CloudError::NotOurs`] and is left as it is.

mod capabilities;
mod error;
mod inventory;
mod labels;
mod retries;
mod spec;

use async_trait::async_trait;

pub use capabilities::{Capabilities, EndpointKind, Subnets, Timing};
pub use error::{CloudError, Outage};
pub use inventory::{
    Address, AddressHolder, Balancer, BalancerTarget, Disk, FirewallRule, Host, Inventory, Machine, MachineState,
    Network, Subnet, TargetHealth,
};
pub use labels::{ClusterName, Labels, Role, label, relabelled};
pub use retries::Retries;
pub use spec::{
    AddressSpec, BalancerSpec, DiskSpec, ExistingNetwork, ExistingSubnet, FirewallSpec, MachineSpec, MachineType,
    NetworkSpec, Notice, Performance, SecretSpec, Zone,
};

/// The result of a call to a cloud.
pub type Result<T> = std::result::Result<T, CloudError>;

/// A request that got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// How the cloud failed.
    pub outage: Outage,
    /// Attempts made so far.
    pub attempts: u32,
    /// Where the cloud was looked for, and what was found instead.
    pub reason: String,
}

/// One region of one cloud account.
#[async_trait]
pub trait Cloud: Send + Sync + std::fmt::Debug {
    /// The cloud's name as its users write it, for example `Compute Engine`.
    fn name(&self) -> &str;
    /// The region that every call concerns.
    fn region(&self) -> &str;
    /// What this cloud can and cannot do, and how long its operations usually take.
    fn capabilities(&self) -> &Capabilities;
    /// How many requests have been sent to the cloud so far, retries included.
    fn requests(&self) -> u64;
    /// What the last request met that got no answer, while requests go on being tried again: for those who cannot wait for
    /// the last attempt.
    fn unanswered(&self) -> Option<Unanswered> {
        None
    }

    /// The zones on offer in the region.
    async fn zones(&self) -> Result<Vec<Zone>>;
    /// A machine type as offered in a zone; `None` when the zone does not offer it.
    async fn machine_type(&self, zone: &str, name: &str) -> Result<Option<MachineType>>;

    /// Everything in the region that carries the cluster's label, read in pages.
    async fn inventory(&self, cluster: &ClusterName) -> Result<Inventory>;

    /// Makes sure that the cluster's network exists, with its subnets.  Where subnets are zonal, those of zones that it does
    /// not span go, unless something is in them.  Existing ones are only checked, and kept in mind.
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network>;
    /// Those of these subnets that exist, where clusters may live in existing networks ([`Capabilities::existing_networks`]).
    async fn existing_subnets(&self, _ids: &[String]) -> Result<Vec<ExistingSubnet>> {
        Ok(Vec::new())
    }
    /// How many machines a subnet of this range has room for that is made for a zone, where subnets are zonal.
    fn room(&self, _range: &ipnet::Ipv4Net) -> Option<u64> {
        None
    }
    /// The addresses that nobody has in a cluster's subnet of a zone, where the cloud tells; `None` also where there is no
    /// such subnet.
    async fn free_addresses(&self, _cluster: &ClusterName, _zone: &str) -> Result<Option<u64>> {
        Ok(None)
    }
    /// Deletes the cluster's network with its subnets and its own firewall rules; absent is fine, in use is an error.
    async fn delete_network(&self, cluster: &ClusterName) -> Result<()>;
    /// Deletes the subnet of a zone, where subnets are zonal; absent is fine, in use is an error.  A region's subnet stays:
    /// it goes with the network.
    async fn delete_subnet(&self, _cluster: &ClusterName, _zone: &str) -> Result<()> {
        Ok(())
    }
    /// Makes sure that a firewall rule exists and says what the specification says; a rule that says something else is
    /// corrected.  The network must exist.
    async fn ensure_firewall_rule(&self, spec: &FirewallSpec) -> Result<FirewallRule>;
    /// Deletes a firewall rule; absent is fine.
    async fn delete_firewall_rule(&self, cluster: &ClusterName, name: &str) -> Result<()>;

    /// Makes sure that a stable external address is reserved.
    async fn ensure_address(&self, spec: &AddressSpec) -> Result<Address>;
    /// Releases a stable address; absent is fine, in use is an error.
    async fn delete_address(&self, cluster: &ClusterName, name: &str) -> Result<()>;
    /// Gives a stable address to a machine or a balancer that exists, and waits until it holds it.  Nothing happens when
    /// it holds it already; an address that another holds is [`CloudError::InUse`], since only
    /// [`Cloud::detach_address`] takes one away.  An ephemeral external address of the machine gives way.
    async fn attach_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()>;
    /// Takes a stable address from whoever holds it; nobody is fine.  A machine has an ephemeral external address
    /// afterwards, since without one it would reach nothing outside its network.
    async fn detach_address(&self, cluster: &ClusterName, address: &str) -> Result<()>;
    /// Takes a stable address from whoever holds it and gives it to another, with as little as the cloud allows between
    /// the two.  What fails after the address was taken leaves it with nobody: calling it again gives it on.
    async fn move_address(&self, cluster: &ClusterName, address: &str, to: &AddressHolder) -> Result<()> {
        self.detach_address(cluster, address).await?;
        self.attach_address(cluster, address, to).await
    }

    /// Whether a machine of the cluster that runs has lost its way out of the network, where machines have one of their own:
    /// a move of an address that was interrupted may leave it so.
    fn is_cut_off(&self, _machine: &Machine) -> bool {
        false
    }
    /// Gives a machine of the cluster its way out again; one that has one is left as it is.
    async fn reconnect_machine(&self, _cluster: &ClusterName, _zone: &str, _name: &str) -> Result<()> {
        Ok(())
    }

    /// Makes sure that a balancer exists, spans the zones and checks its targets as the specification says; one that
    /// differs is corrected in place, its labels are replaced.  It listens nowhere until it is given an address.  A zone
    /// that it leaves must have no targets: [`CloudError::InUse`].
    async fn ensure_balancer(&self, spec: &BalancerSpec) -> Result<Balancer>;
    /// Deletes a balancer; absent is fine, one that holds an address or has targets is [`CloudError::InUse`].
    async fn delete_balancer(&self, cluster: &ClusterName, name: &str) -> Result<()>;
    /// Puts a machine behind a balancer, which then checks it; a target already is fine.  The balancer must span the
    /// zone.  [`Cloud::inventory`] says when it serves.
    async fn register_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()>;
    /// Takes a machine off a balancer and waits until it is gone from it, not merely draining; no target, or no
    /// balancer, is fine.
    async fn deregister_target(&self, cluster: &ClusterName, balancer: &str, zone: &str, machine: &str) -> Result<()>;

    /// Makes sure that a machine exists (its name is its identity within the zone) and waits until it runs; a halted one
    /// is started.  An existing machine of that name that does not carry the cluster's label is an error, never adopted;
    /// one of another machine type is [`CloudError::Differs`].  Labels and user data of an existing machine stay.
    async fn ensure_machine(&self, spec: &MachineSpec) -> Result<Machine>;
    /// Starts a machine of the cluster that was halted, and waits until it runs.
    async fn start_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()>;
    /// Stops a machine of the cluster, its operating system first, and waits until it is halted; one that is halted, or
    /// absent, is fine.
    async fn stop_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()>;
    /// Deletes a machine of the cluster with its boot disk and waits until it is gone; absent is fine.
    async fn delete_machine(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()>;
    /// The machine of that zone and name, whoever's it is: for one that has lost the label by which
    /// [`Cloud::inventory`] knows it.
    async fn machine(&self, zone: &str, name: &str) -> Result<Option<Machine>>;
    /// Replaces the labels of a machine of the cluster, which it stays of.  One that belongs to none becomes the cluster's
    /// when the given labels say so.
    async fn set_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()>;
    /// The same for labels that nobody waits for: the cloud has accepted them, and shows them when it is done.
    async fn note_machine_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.set_machine_labels(cluster, zone, name, labels).await
    }

    /// Makes sure that a disk exists, filled from a snapshot when one is given.  An existing disk of the cluster is
    /// returned as it is: compare its size; another kind is [`CloudError::Differs`].
    async fn ensure_disk(&self, spec: &DiskSpec) -> Result<Disk>;
    /// Grows a disk of the cluster to a size; a disk of that size already is fine, a larger one is
    /// [`CloudError::Differs`].
    async fn resize_disk(&self, cluster: &ClusterName, zone: &str, name: &str, size_gb: i64) -> Result<()>;
    /// Gives a disk of the cluster a size and what it does, in one change: some clouds take few of them in a day.  What it is and does
    /// already is fine; a larger size than the given one is [`CloudError::Differs`].
    async fn modify_disk(
        &self,
        cluster: &ClusterName,
        zone: &str,
        name: &str,
        size_gb: i64,
        _performance: &Performance,
    ) -> Result<()> {
        self.resize_disk(cluster, zone, name, size_gb).await
    }
    /// What stands in the way of a disk of this kind and size that does this, by the cloud's rules: an attribute of a disk
    /// (`size_gb`, `iops`, `throughput`), and why, in a sentence without its full stop.
    fn unfit_disk(&self, _kind: &str, _size_gb: i64, performance: &Performance) -> Option<(&'static str, String)> {
        let attribute = match performance {
            Performance { iops: Some(_), .. } => "iops",
            Performance {
                throughput: Some(_), ..
            } => "throughput",
            _ => return None,
        };
        let reason = format!(
            "it cannot be chosen for disks on {}: their kind and size say what they do",
            self.name()
        );
        Some((attribute, reason))
    }
    /// The disk of that zone and name, whoever's it is; see [`Cloud::machine`].
    async fn disk(&self, zone: &str, name: &str) -> Result<Option<Disk>>;
    /// Replaces a disk's labels, as [`Cloud::set_machine_labels`] does a machine's.
    async fn set_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()>;
    /// The same for labels that nobody waits for, as [`Cloud::note_machine_labels`] does a machine's.
    async fn note_disk_labels(&self, cluster: &ClusterName, zone: &str, name: &str, labels: &Labels) -> Result<()> {
        self.set_disk_labels(cluster, zone, name, labels).await
    }
    /// Deletes a disk of the cluster; absent is fine, in use is an error.
    async fn delete_disk(&self, cluster: &ClusterName, zone: &str, name: &str) -> Result<()>;
    /// Takes a snapshot of a disk under the given name, or finds the one taken before, and waits until it is ready.
    /// `labels` must hold [`label::CLUSTER`], and the disk be that cluster's.
    async fn ensure_snapshot(&self, zone: &str, disk: &str, snapshot: &str, labels: &Labels) -> Result<()>;
    /// Deletes a snapshot of the cluster; absent is fine.
    async fn delete_snapshot(&self, cluster: &ClusterName, snapshot: &str) -> Result<()>;

    /// The latest version of a secret; `None` when the secret or every version of it is absent.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// Stores a secret unless it exists.  Returns the content now stored, which is the earlier one when the secret
    /// existed.  Who may read it is for [`Cloud::grant_secret`].
    async fn ensure_secret(&self, spec: &SecretSpec) -> Result<Vec<u8>>;
    /// Stores a secret, made anew or with another content than before.  A content that is stored already is not stored
    /// again.
    async fn replace_secret(&self, spec: &SecretSpec) -> Result<()>;
    /// Lets the machine identity `reader` read the secret.
    async fn grant_secret(&self, name: &str, reader: &str) -> Result<()>;
    /// Deletes a secret of the cluster; absent is fine.
    async fn delete_secret(&self, cluster: &ClusterName, name: &str) -> Result<()>;

    /// The notice of that name of a cluster, in the secret store; `None` when there is none.
    async fn notice(&self, cluster: &ClusterName, name: &str) -> Result<Option<Notice>>;
    /// Puts up a notice in place of `over`, or where there is none.  `None` when somebody was faster: then nothing is
    /// changed.  A reply that was lost may make one's own notice that somebody's.
    async fn post_notice(
        &self,
        cluster: &ClusterName,
        name: &str,
        text: &str,
        over: Option<&Notice>,
    ) -> Result<Option<Notice>>;
    /// Takes a notice down unless it is another by now; absent is fine.
    async fn remove_notice(&self, cluster: &ClusterName, name: &str, notice: &Notice) -> Result<()>;

    /// The identity that a cluster's masters have when the configuration names none (on Compute Engine the project's
    /// default service account).
    async fn default_machine_identity(&self, cluster: &ClusterName) -> Result<String>;
    /// The Kubernetes provider ID of a machine that is to be made, for its user data, for example
    /// `gce://PROJECT/ZONE/NAME`.  `@INSTANCE_ID@` in it stands for what only the machine itself will know.
    fn provider_id(&self, zone: &str, machine: &str) -> String;
    /// The Kubernetes provider ID of a machine that exists.
    fn provider_id_of(&self, machine: &Machine) -> String {
        self.provider_id(&machine.zone, &machine.name)
    }
    /// The CSI driver and volume handle of a disk, for example (`pd.csi.storage.gke.io`, `projects/P/zones/Z/disks/D`).
    /// `None` where the handle is the cloud's own ID of the disk, and that is not known.
    fn volume(&self, zone: &str, disk: &str, id: Option<&str>) -> Option<(String, String)>;
    /// Where a machine reads a secret from at boot, for user data: on Compute Engine the URL of the secret,
    /// `https://secretmanager.googleapis.com/v1/projects/P/secrets/S`, on AWS
    /// `https://secretsmanager.R.amazonaws.com/?region=R#S`.
    fn secret_source(&self, name: &str) -> String;
}
