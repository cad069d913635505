//! Balancers, as Compute Engine's regional external pass-through ones are made: a health check, instance groups, a
//! backend service over them, a forwarding rule that puts an address in front.

pub mod backend_services;
pub mod forwarding_rules;
pub mod health_checks;
pub mod instance_groups;
pub mod records;
pub mod targets;
