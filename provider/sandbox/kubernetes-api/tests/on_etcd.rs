//! The suites over an API server that keeps its objects in a real etcd.

#![allow(clippy::unwrap_used, reason = "also the functions beside the tests may")]

mod fixture;
mod suites;
