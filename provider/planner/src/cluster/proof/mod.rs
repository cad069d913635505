//! Proof beyond single situations: what must hold before every step, whatever happened before; random clusters; and an
//! exhaustive check of what can happen between steps.

mod disturbance;
mod fairness;
mod goal;
mod invariants;
mod model;
mod model_check;
mod properties;
mod random_walk;
mod rules;
pub(super) mod situations;
mod teeth;
mod workers;
