//! Errors of node groups.
