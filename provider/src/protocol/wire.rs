//! The messages and services of `proto/`, as compiled.

#![allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::all)]

/// Terraform's provider protocol.
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// What every plugin process answers.
pub mod plugin {
    tonic::include_proto!("plugin");
}

/// gRPC's health check.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
