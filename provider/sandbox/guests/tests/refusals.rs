//! What machines refuse, and how they say so.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::{Authority, Region, user_data};

const MASTER: &str = "us-central1-a/master";
const WORKER: &str = "us-central1-b/worker";

fn master_off(region: &mut Region) {
    let user_data = user_data::master(region, "us-central1-a", "master");
    region.machine("us-central1-a", "master", 2, user_data);
    region
        .topology
        .external_addresses
        .insert(region.endpoint(), MASTER.to_owned());
}

#[tokio::test]
async fn a_master_with_too_little_memory_or_cpu_fails_the_preflight() {
    let mut region = Region::new();
    master_off(&mut region);
    let spec = region.specs.get_mut(MASTER).unwrap();
    (spec.cpus, spec.memory_mib) = (1, 1024);
    region.power(MASTER, true);
    let failure = region.failure(MASTER).await;
    assert!(failure.contains("kubeadm init: [ERROR NumCPU]"), "{failure}");
    let console = region.console(MASTER);
    assert!(
        console.contains("[ERROR Mem]: the system RAM (1024 MB) is less than the minimum 1700 MB"),
        "{console}"
    );
    assert!(
        !region
            .file(MASTER, "/etc/kubernetes/manifests/kube-apiserver.yaml")
            .exists()
    );
}

#[tokio::test]
async fn prerequisites_are_what_the_commands_before_did() {
    let mut region = Region::new();
    master_off(&mut region);
    let spec = region.specs.get_mut(MASTER).unwrap();
    let user_data = spec.user_data.take().unwrap();
    spec.user_data = Some(
        user_data
            .replace("[\"swapoff\",\"-a\"],", "")
            .replace("[\"modprobe\",\"br_netfilter\"],", ""),
    );
    region.power(MASTER, true);
    region.failure(MASTER).await;
    let console = region.console(MASTER);
    assert!(console.contains("[ERROR Swap]"), "{console}");
    assert!(
        console.contains("/proc/sys/net/bridge/bridge-nf-call-iptables does not exist"),
        "{console}"
    );
    assert!(!console.contains("ip_forward contents"), "{console}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_leaves_no_authority_to_use() {
    let mut region = Region::new();
    master_off(&mut region);
    let spec = region.specs.get_mut(MASTER).unwrap();
    spec.user_data = spec.user_data.take().map(|text| text.replace("demo-pki", "other-pki"));
    region.power(MASTER, true);
    let failure = region.failure(MASTER).await;
    assert!(failure.contains("multizone-fetch-pki"), "{failure}");
    assert!(
        region.console(MASTER).contains("error execution phase certs"),
        "{}",
        region.console(MASTER)
    );
}

#[tokio::test]
async fn unknown_commands_are_logged_and_cloud_init_goes_on() {
    let mut region = Region::new();
    let user_data = "#cloud-config\nruncmd:\n- [frobnicate, now]\n- [echo, still here]\n";
    region.machine("us-central1-a", "plain", 2, user_data.to_owned());
    region.power("us-central1-a/plain", true);
    let failure = region.failure("us-central1-a/plain").await;
    assert!(failure.contains("frobnicate: command not found"), "{failure}");
    assert!(region.console("us-central1-a/plain").contains("still here"));
}

async fn join_fails(token_valid: bool, pinned: Option<&str>, registration: &serde_json::Value) -> String {
    let mut region = Region::with_master().await;
    let token = region.admin().token(token_valid).await;
    let hash = pinned.unwrap_or(&region.ca.hash).to_owned();
    let user_data = user_data::worker_with(&region, registration, &token, &hash);
    // Long enough for a kubelet that may start, short enough for one that may not.
    let user_data = user_data.replace("\\\"tlsBootstrap\\\":\\\"5m0s\\\"", "\\\"tlsBootstrap\\\":\\\"3s\\\"");
    region.machine("us-central1-b", "worker", 3, user_data);
    region.power(WORKER, true);
    let failure = region.failure(WORKER).await;
    assert!(region.admin().get("/api/v1/nodes/worker").await.is_none());
    let console = region.console(WORKER);
    region.guests.stop().await;
    format!("{failure}\n{console}")
}

#[tokio::test]
async fn a_join_with_another_authority_pinned_is_refused() {
    let other = Authority::new("other").hash;
    let said = join_fails(
        true,
        Some(&other),
        &user_data::registration("us-central1-b", "worker", ""),
    )
    .await;
    assert!(said.contains("none of the public keys"), "{said}");
}

#[tokio::test]
async fn a_join_with_an_expired_token_is_refused() {
    let said = join_fails(false, None, &user_data::registration("us-central1-b", "worker", "")).await;
    assert!(said.contains("Unauthorized"), "{said}");
}

#[tokio::test]
async fn a_kubelet_does_not_start_with_labels_it_may_not_set() {
    let registration = user_data::registration("us-central1-b", "worker", ",node-role.kubernetes.io/worker=");
    let said = join_fails(true, None, &registration).await;
    assert!(said.contains("unknown 'kubernetes.io' or 'k8s.io' labels"), "{said}");
}

#[tokio::test]
async fn kubeadm_reads_its_file_strictly() {
    let mut region = Region::new();
    master_off(&mut region);
    let spec = region.specs.get_mut(MASTER).unwrap();
    spec.user_data = spec
        .user_data
        .take()
        .map(|text| text.replace("clusterName", "clustername"));
    region.power(MASTER, true);
    let failure = region.failure(MASTER).await;
    assert!(failure.contains("unknown field `clustername`"), "{failure}");
}

#[tokio::test]
async fn a_kubelet_does_not_start_with_flags_it_does_not_know() {
    let mut registration = user_data::registration("us-central1-b", "worker", "");
    let flags = registration["kubeletExtraArgs"].as_array_mut().unwrap();
    flags.push(serde_json::json!({"name": "node-lables", "value": "a=b"}));
    let said = join_fails(true, None, &registration).await;
    assert!(said.contains("unknown flag: --node-lables"), "{said}");
}
