//! `kubeadm join`: the phases of every join, with those of a master in [`join_master`] between them.

use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::certificates::DIRECTORY as PKI;
use super::documents::{JoinConfiguration, TokenDiscovery, read_join};
use super::join_master::JoiningMaster;
use super::kubelet_files::{node_name, write_kubelet_settings};
use super::mark::default_taint;
use super::patches::Patches;
use super::version::{Version, check_cluster};
use super::{Attempts, LEAST_POLL, POLL, PhaseFailed, go_duration, in_phase, objects, preflight, say, yaml};
use crate::api::{Api, ApiError, Patch};
use crate::hex::hex;
use crate::kubeconfig::Credentials;
use crate::kubelet;
use crate::machine::Machine;

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// Looking at the machine and pulling what it needs.
const PREPARE: Duration = Duration::from_secs(8);
const START_KUBELET: Duration = Duration::from_secs(3);
/// How long kubeadm tries again to read a `ConfigMap`.
const SHORT_RETRY: Duration = Duration::from_millis(350);
/// The least at any pace: etcd elects a leader in the host's own time.
const LEAST_SHORT_RETRY: Duration = Duration::from_secs(10);

/// Runs every phase of a join.
pub(super) async fn run(machine: &Machine, path: &str) -> Result<(), PhaseFailed> {
    machine.status.phase("kubeadm join: preflight");
    let failed = in_phase("preflight");
    let kubeadm = Version::installed(&machine.disk, "kubeadm").map_err(in_phase("preflight"))?;
    let text = machine.disk.required_text(path).map_err(in_phase("preflight"))?;
    let join = read_join(&text, kubeadm).map_err(|error| failed(format!("{path}: {error}")))?;
    let (Some(token), None) = (&join.discovery.bootstrap_token, &join.discovery.file) else {
        return Err(failed(
            "the sandbox's kubeadm needs discovery.bootstrapToken, and nothing else".to_owned(),
        ));
    };
    if !join.skip_phases.iter().any(|phase| phase == "preflight") {
        say(machine, "[preflight] Running pre-flight checks");
        machine.takes(PREPARE).await;
        let mut findings = preflight::join_findings(machine, join.control_plane.is_none());
        findings.extend(preflight::machine_findings(machine, &join.node_registration, None));
        preflight::judge(machine, findings, &join.node_registration.ignore_preflight_errors)
            .map_err(in_phase("preflight"))?;
    }

    machine.status.phase("kubeadm join: waiting for the API");
    let cluster = discover(machine, &join, token).await.map_err(in_phase("preflight"))?;
    let bootstrap = Credentials {
        token: Some(
            join.discovery
                .tls_bootstrap_token
                .clone()
                .unwrap_or_else(|| token.token.clone()),
        ),
        ..cluster
    };
    let api = Api::new(machine, &bootstrap).map_err(in_phase("preflight"))?;
    machine
        .status
        .phase("kubeadm join: reading the cluster's configuration");
    let configuration = cluster_configuration(machine, &api)
        .await
        .map_err(in_phase("preflight"))?;
    check_version(machine, &join, &configuration, kubeadm).map_err(in_phase("preflight"))?;
    let patches = Patches::load(machine, join.patches.as_ref()).map_err(in_phase("preflight"))?;
    let master = match &join.control_plane {
        None => None,
        Some(control_plane) => {
            let joining = JoiningMaster::new(machine, kubeadm, &configuration, control_plane, &join)
                .map_err(in_phase("preflight"))?;
            joining.check(machine, &join).await.map_err(in_phase("preflight"))?;
            joining
                .prepare(machine)
                .await
                .map_err(in_phase("control-plane-prepare"))?;
            Box::pin(joining.check_etcd(machine))
                .await
                .map_err(in_phase("check-etcd"))?;
            Some(joining)
        }
    };

    machine.status.phase("kubeadm join: starting the kubelet");
    let failed = in_phase("kubelet-start");
    let configuration = config_map(machine, &api, "kubelet-config", "kubelet")
        .await
        .map_err(&failed)?;
    let configuration = patched(machine, &patches, &configuration).map_err(&failed)?;
    let bootstrap = Credentials {
        server: master.as_ref().map_or(bootstrap.server, JoiningMaster::kubelet_server),
        ..bootstrap
    };
    prepare_kubelet(machine, &join, &bootstrap, &configuration).map_err(&failed)?;
    machine.takes(START_KUBELET).await;
    say(machine, "[kubelet-start] Starting the kubelet");
    machine.kubelet.restart();
    if let Some(master) = &master {
        master.join_etcd(machine).await.map_err(in_phase("etcd-join"))?;
    }

    machine.status.phase("kubeadm join: TLS bootstrap");
    say(
        machine,
        "[kubelet-start] Waiting for the kubelet to perform the TLS Bootstrap",
    );
    let node = node_name(machine, &join.node_registration);
    wait_for_node(machine, &join, &node).await.map_err(&failed)?;
    machine
        .disk
        .remove(kubelet::BOOTSTRAP_KUBECONFIG)
        .map_err(in_phase("kubelet-start"))?;
    if let Some(master) = &master {
        master
            .finish(machine, &join)
            .await
            .map_err(in_phase("control-plane-join"))?;
    }
    say(machine, "This node has joined the cluster:");
    say(
        machine,
        "* Certificate signing request was sent to apiserver and a response was received.",
    );
    say(
        machine,
        "* The Kubelet was informed of the new secure connection details.",
    );
    Ok(())
}

/// Finds the cluster and makes sure that it is the pinned one.
async fn discover(machine: &Machine, join: &JoinConfiguration, token: &TokenDiscovery) -> Result<Credentials, String> {
    if token.ca_certificate_hashes.is_empty() && !token.skip_verification {
        return Err(
            "discovery.bootstrapToken.caCertHashes: Invalid value: \"\": using token-based discovery without \
             caCertHashes can be unsafe. Set unsafeSkipCAVerification as true to continue"
                .to_owned(),
        );
    }
    if token
        .token
        .split_once('.')
        .is_none_or(|(id, secret)| id.len() != 6 || secret.len() != 16)
    {
        return Err("the bootstrap token is not of the form \"[a-z0-9]{6}.[a-z0-9]{16}\"".to_owned());
    }
    let given = join.timeouts.discovery.as_deref().or(join.discovery.timeout.as_deref());
    let patience = match given {
        None => Duration::from_mins(5),
        Some(text) => go_duration(text).ok_or_else(|| format!("timeout {text:?} is not a duration"))?,
    };
    let attempts = Attempts::within(machine, patience);
    let server = format!("https://{}", token.api_server_endpoint);
    let anybody = Credentials {
        server: server.clone(),
        authority: None,
        client: None,
        token: None,
    };
    let unverified = Api::new(machine, &anybody).map_err(|error| error.to_string())?;
    let kubeconfig = cluster_info(&attempts, &unverified).await?;
    let published = Credentials::parse(&kubeconfig, &machine.disk).map_err(|error| format!("cluster-info: {error}"))?;
    let authority = published
        .authority
        .clone()
        .ok_or("cluster-info holds no certificate authority")?;
    if !token.skip_verification {
        verify_pin(&authority, &token.ca_certificate_hashes)?;
    }
    say(
        machine,
        "[discovery] Cluster info signature and contents are valid and the pinned CA matches",
    );
    // Ask again over a connection that only that authority's server can answer.
    let verified = Credentials {
        authority: Some(authority),
        ..anybody
    };
    let api = Api::new(machine, &verified).map_err(|error| error.to_string())?;
    if cluster_info(&attempts, &api).await? != kubeconfig {
        return Err("the second kubeconfig from the cluster-info ConfigMap does not match the first".to_owned());
    }
    Ok(published)
}

async fn cluster_info(attempts: &Attempts<'_>, api: &Api) -> Result<String, String> {
    let mut said = String::new();
    loop {
        let problem = match api.get(CLUSTER_INFO).await {
            Ok(map) => match map["data"]["kubeconfig"].as_str() {
                Some(text) => return Ok(text.to_owned()),
                None => "there is no kubeconfig in the cluster-info ConfigMap".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        let message = format!(
            "couldn't validate the identity of the API Server: failed to request the cluster-info ConfigMap: {problem}"
        );
        if attempts.are_over() {
            return Err(message);
        }
        if said != message {
            say(attempts.machine, format!("[discovery] {message}"));
            said = message;
        }
        tokio::time::sleep(attempts.machine.interval(5 * POLL, LEAST_POLL)).await;
    }
}

/// kubeadm's pin: the SHA-256 of the authority's public key info.
fn verify_pin(authority: &str, hashes: &[String]) -> Result<(), String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("cluster CA: {error}"))?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|error| format!("cluster CA: {error}"))?;
        let digest = Sha256::digest(parsed.public_key().raw);
        found.push(format!("sha256:{}", hex(&digest)));
    }
    if found
        .iter()
        .any(|hash| hashes.iter().any(|pinned| pinned.eq_ignore_ascii_case(hash)))
    {
        return Ok(());
    }
    Err(format!(
        "cluster CA found in cluster-info ConfigMap is invalid: none of the public keys {found:?} are pinned"
    ))
}

async fn cluster_configuration(machine: &Machine, api: &Api) -> Result<String, String> {
    say(
        machine,
        "[preflight] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...",
    );
    config_map(machine, api, "kubeadm-config", "ClusterConfiguration").await
}

/// The cluster's kubelet configuration with this machine's patches.
fn patched(machine: &Machine, patches: &Patches, configuration: &str) -> Result<String, String> {
    let read: Value = serde_saphyr::from_str(configuration).map_err(|error| format!("kubelet-config: {error}"))?;
    yaml(&patches.apply(machine, "kubeletconfiguration", read)?)
}

fn check_version(
    machine: &Machine,
    join: &JoinConfiguration,
    configuration: &str,
    kubeadm: Version,
) -> Result<(), String> {
    let cluster: Value = serde_saphyr::from_str(configuration).map_err(|error| format!("kubeadm-config: {error}"))?;
    let version: Version = cluster["kubernetesVersion"].as_str().unwrap_or_default().parse()?;
    check_cluster(kubeadm, version)?;
    let findings = preflight::machine_findings(machine, &join.node_registration, Some(version));
    preflight::judge(machine, findings, &[])
}

/// One value of a map.  What may pass is waited for as long as kubeadm does, which is not long.
async fn config_map(machine: &Machine, api: &Api, name: &str, key: &str) -> Result<String, String> {
    let problem = |reason: String| format!("unable to fetch the {name} ConfigMap: failed to get config map: {reason}");
    let deadline = Instant::now() + machine.interval(SHORT_RETRY, LEAST_SHORT_RETRY);
    let path = format!("{}/configmaps/{name}", objects::KUBE_SYSTEM);
    let map = loop {
        match api.get(&path).await {
            Ok(map) => break map,
            Err(error) if error.is_transient() && Instant::now() < deadline => {}
            Err(error) => return Err(problem(error.to_string())),
        }
        tokio::time::sleep(LEAST_POLL).await;
    };
    map["data"][key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| problem(format!("it has no key {key}")))
}

fn prepare_kubelet(
    machine: &Machine,
    join: &JoinConfiguration,
    bootstrap: &Credentials,
    configuration: &str,
) -> Result<(), String> {
    let kubeconfig = bootstrap
        .to_kubeconfig("kubernetes", "tls-bootstrap-token-user")
        .map_err(|error| error.to_string())?;
    let disk = &machine.disk;
    disk.write(kubelet::BOOTSTRAP_KUBECONFIG, kubeconfig, 0o600)
        .map_err(|error| error.to_string())?;
    let default = format!("{PKI}/ca.crt");
    let path = join.ca_certificate_path.as_ref().unwrap_or(&default);
    disk.write(path, bootstrap.authority.as_deref().unwrap_or_default(), 0o644)
        .map_err(|error| error.to_string())?;
    let default = [default_taint()];
    let taints = match &join.node_registration.taints {
        None if join.control_plane.is_some() => &default,
        given => given.as_deref().unwrap_or_default(),
    };
    write_kubelet_settings(machine, &join.node_registration, configuration, taints)
}

/// Waits until the kubelet has its certificate and its Node exists, and notes the container runtime on it.
async fn wait_for_node(machine: &Machine, join: &JoinConfiguration, node: &str) -> Result<(), String> {
    let patience = match join.timeouts.tls_bootstrap.as_deref() {
        None => Duration::from_mins(5),
        Some(text) => go_duration(text).ok_or_else(|| format!("timeout {text:?} is not a duration"))?,
    };
    let attempts = Attempts::within(machine, patience);
    let patch = json!({"metadata": {"annotations": {
        "kubeadm.alpha.kubernetes.io/cri-socket": preflight::socket(&join.node_registration),
    }}});
    let mut problem = "the kubelet has not got a certificate".to_owned();
    while !attempts.are_over() {
        if machine.disk.exists(kubelet::KUBECONFIG) {
            match annotate(machine, node, &patch).await {
                Ok(()) => return Ok(()),
                Err(error) => problem = error,
            }
        }
        attempts.pause().await;
    }
    Err(format!(
        "timed out waiting for the condition: {problem}. The HTTP call equal to 'journalctl -xeu kubelet' says: {}",
        machine.kubelet_problem()
    ))
}

async fn annotate(machine: &Machine, node: &str, patch: &Value) -> Result<(), String> {
    let credentials = Credentials::load(&machine.disk, kubelet::KUBECONFIG).map_err(|error| error.to_string())?;
    let api = Api::new(machine, &credentials).map_err(|error: ApiError| error.to_string())?;
    let patched = api.patch(&format!("/api/v1/nodes/{node}"), Patch::Merge, patch).await;
    patched.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pinned_authority_is_believed() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new())
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let digest = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key));
        let hash = hex(&digest);
        assert_eq!(verify_pin(&certificate.pem(), &[format!("sha256:{hash}")]), Ok(()));
        let refused = verify_pin(&certificate.pem(), &["sha256:00".to_owned()]).unwrap_err();
        assert!(refused.contains("none of the public keys"), "{refused}");
    }
}
