//! Errors of the provider block.
