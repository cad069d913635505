//! Proof beyond single situations: what must hold before every step, whatever happened before.
//!
//! - `invariants`, `goal`: what must hold and what is to be reached, written from domain-rules.md and not from the engine
//! - `model`, `workers`, `disturbance`: masters, node groups and Terraform as a state machine, and what can happen to it
//! - `situations`, `disagreement`: where it begins; `model_check`: that it keeps the invariants, that the address leads to
//!   a master that serves, and (`fairness`) that every fair path ends at the goal
//! - `properties`, `random_walk`: random clusters of up to 7 masters over 5 zones
//! - `teeth`: that each gate is needed; `rules`: that each rule has its test

pub(super) mod disagreement;
mod disturbance;
mod fairness;
mod goal;
mod invariants;
mod model;
mod model_check;
mod properties;
mod random_walk;
mod rules;
mod situations;
mod teeth;
mod workers;
