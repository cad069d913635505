//! Errors of the protocol: what Terraform sends and gets.
