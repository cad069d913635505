//! What clients see of one API server, whatever its storage is.

mod joining;
mod kube_client;
mod kubectl_basics;
mod kubectl_workloads;
mod port_forward;
mod privileged_pods;
