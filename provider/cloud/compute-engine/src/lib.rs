//! Multizone on Compute Engine, and on anything that speaks its REST API, such as the sandbox region's face.
//!
//! Google's own Rust client makes the calls, over a transport of ours; Secret Manager is plain REST.  Every call is counted, retried within
//! bounds when the cloud is busy or out of reach, and made so that a lost reply cannot make a second object: inserts
//! carry a request ID, and a name that exists already is read and judged ([`CloudError::NotOurs`] when it is not this
//! cluster's, [`CloudError::Differs`] when it is not what was asked for).
//!
//! # How objects are found again
//!
//! | object | name | known by |
//! |---|---|---|
//! | network and its regional subnet | `multizone-<cluster>-<region>` | a JSON document in `description` |
//! | firewall rule | `multizone-<cluster>-<rule>-<hash>` | a JSON document in `description` |
//! | address | `multizone-<cluster>-<address>-<hash>` | a JSON document in `description` |
//! | balancer: health check, instance groups, backend service, forwarding rule | `multizone-<cluster>-<balancer>-<hash>` | a JSON document in `description` |
//! | machine, disk, snapshot, secret | the caller's | labels |
//!
//! Compute Engine has no labels on networks, subnets, firewall rules and a balancer's objects, and takes those of
//! addresses only after they were made.  The hash is over region, cluster and name, so
//! that clusters of which one's name is a prefix of the other's cannot meet (domain-rules.md, kube-up's mistake 4).
//!
//! # What the caller must be allowed to do
//!
//! By Google's list of permissions; not tried on a real account:
//! - `compute.projects.get`, `compute.zones.list`, `compute.machineTypes.get`, `compute.globalOperations.get`,
//!   `compute.regionOperations.get`, `compute.zoneOperations.get`;
//! - `compute.networks.` create, delete, get, updatePolicy; `compute.subnetworks.` create, delete, get, use,
//!   useExternalIp; `compute.firewalls.` create, delete, get, list, update;
//! - `compute.addresses.` create, delete, get, list, setLabels, use;
//! - `compute.regionHealthChecks.` and `compute.regionBackendServices.` create, delete, get, list, update, use;
//!   `compute.instanceGroups.` create, delete, get, list, update, use; `compute.forwardingRules.` create, delete, get,
//!   list; `compute.instances.` addAccessConfig, deleteAccessConfig, use;
//! - `compute.instances.` create, delete, get, list, setLabels, setMetadata, setServiceAccount, setTags, start, stop,
//!   update;
//! - `compute.disks.` create, createSnapshot, delete, get, list, resize, setLabels; `compute.snapshots.` create, delete,
//!   get, list, setLabels, useReadOnly;
//! - `secretmanager.secrets.` create, delete, get, getIamPolicy, list, setIamPolicy; `secretmanager.versions.` access,
//!   add;
//! - `iam.serviceAccounts.actAs` on the masters' service account.
//!
//! [`CloudError::NotOurs`]: multizone_cloud::CloudError::NotOurs
//! [`CloudError::Differs`]: multizone_cloud::CloudError::Differs

mod address_holders;
mod addresses;
mod balancers;
mod calls;
mod clients;
mod cloud;
mod disks;
mod failure;
mod firewall_rules;
mod instances;
mod inventory;
mod listed_disks;
mod machines;
mod making;
mod names;
mod networks;
mod notices;
mod operations;
mod ownership;
mod pages;
mod requests;
mod secret_manager;
mod settings;
mod snapshots;
mod transport;
mod zones;

pub use cloud::ComputeEngine;
pub use multizone_cloud::Retries;
pub use settings::{Credentials, Settings, Timeouts};
