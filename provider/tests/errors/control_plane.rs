//! Errors of control planes.
