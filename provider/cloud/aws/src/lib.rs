//! Multizone on AWS: EC2, Elastic Load Balancing, Secrets Manager, and IAM for the masters' identity.
//!
//! AWS's own SDK makes the calls.  Every call is counted, retried within bounds when the cloud is busy or out of reach, and
//! made so that a lost reply cannot make a second object: what knows a token is given one, and what does not is looked for
//! by its tags before it is made again.
//!
//! # How objects are found again
//!
//! By their tags ([`multizone_cloud::label`], and `multizone-name`).  The load balancer, its target group, the role and its
//! instance profile also have names that follow from the cluster's, and secrets have the caller's names: the load
//! balancing API cannot select by tags, and a list of secrets is minutes behind.
//!
//! # What a cluster is made of
//!
//! | for the trait | on AWS |
//! |---|---|
//! | network | a VPC, its internet gateway, the route to it, a subnet in each zone |
//! | firewall rule | permissions in two security groups, one for each role; their descriptions name the rule |
//! | address | a network load balancer with its listener and target group: its DNS name is the endpoint |
//! | balancer | a mark on that target group; the load balancer's zones |
//! | machine, disk, snapshot | instance, volume, snapshot |
//! | machine identity | a role without policies and its instance profile; secrets name their readers |

mod balancers;
mod clients;
mod cloud;
mod disks;
mod failure;
mod front;
mod identities;
mod images;
mod instances;
mod inventory;
mod looks;
mod machines;
mod making;
mod names;
mod network;
mod notices;
mod requests;
mod secrets;
mod security_groups;
mod settings;
mod snapshots;
mod tags;
mod zones;

pub use cloud::Aws;
pub use multizone_cloud::Retries;
pub use settings::{Credentials, Settings, Timeouts};
