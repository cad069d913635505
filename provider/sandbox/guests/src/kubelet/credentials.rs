//! How a kubelet comes by its credentials: from kubelet.conf, or by TLS bootstrap with a token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use super::settings::Settings;
use super::{BOOTSTRAP_KUBECONFIG, KUBECONFIG, KubeletError};
use crate::api::{Api, ApiError};
use crate::kubeconfig::Credentials;
use crate::machine::Machine;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/// Certificate and key in one file, as the real kubelet keeps them.
const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const POLL: Duration = Duration::from_secs(1);
const LEAST_POLL: Duration = Duration::from_millis(100);

/// The kubelet's credentials; asks the cluster for a certificate as long as it takes.
pub(super) async fn obtain(machine: &Machine, settings: &Settings) -> Result<Credentials, KubeletError> {
    let run = |reason: String| KubeletError::Run(reason);
    if machine.disk.exists(KUBECONFIG) {
        return Credentials::load(&machine.disk, KUBECONFIG).map_err(|error| run(error.to_string()));
    }
    if !machine.disk.exists(BOOTSTRAP_KUBECONFIG) {
        return Err(run(format!(
            "unable to load bootstrap kubeconfig: stat {BOOTSTRAP_KUBECONFIG}: no such file or directory"
        )));
    }
    let bootstrap = Credentials::load(&machine.disk, BOOTSTRAP_KUBECONFIG).map_err(|error| run(error.to_string()))?;
    let api = Api::new(machine, &bootstrap)?;
    let (key, request) = signing_request(&settings.node_name).map_err(|error| run(error.to_string()))?;
    machine.console.say(
        "kubelet",
        "Client certificate is missing, requesting one with the bootstrap token",
    );
    let certificate = loop {
        match sign(machine, &api, &request).await {
            Ok(certificate) => break certificate,
            Err(error) => machine.set_kubelet_problem(&format!(
                "Failed while requesting a signed certificate from the control plane: {error}"
            )),
        }
        tokio::time::sleep(machine.interval(5 * POLL, 2 * LEAST_POLL)).await;
    };
    let write = || -> Result<Credentials, String> {
        let text = format!("{certificate}{key}");
        machine
            .disk
            .write(CERTIFICATE, &text, 0o600)
            .map_err(|error| error.to_string())?;
        let credentials = Credentials {
            token: None,
            client: Some((text.clone(), text)),
            ..bootstrap
        };
        let kubeconfig = credentials
            .to_kubeconfig_with_file(CERTIFICATE)
            .map_err(|error| error.to_string())?;
        machine
            .disk
            .write(KUBECONFIG, kubeconfig, 0o600)
            .map_err(|error| error.to_string())?;
        Ok(credentials)
    };
    write().map_err(run)
}

fn signing_request(node: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters
        .distinguished_name
        .push(DnType::OrganizationName, "system:nodes");
    parameters
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{node}"));
    let request = parameters.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

/// Sends the request and waits for its answer.
async fn sign(machine: &Machine, api: &Api, request: &str) -> Result<String, String> {
    let object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "node-csr-"},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        },
    });
    let text = |error: ApiError| error.to_string();
    let created = api.create(REQUESTS, &object).await.map_err(text)?;
    let name = created["metadata"]["name"]
        .as_str()
        .ok_or("the request came back without a name")?
        .to_owned();
    loop {
        let current = api.get(&format!("{REQUESTS}/{name}")).await.map_err(text)?;
        for condition in current["status"]["conditions"].as_array().into_iter().flatten() {
            if matches!(condition["type"].as_str(), Some("Denied" | "Failed")) {
                return Err(format!(
                    "certificate signing request {name} was not approved: {}",
                    condition["message"]
                ));
            }
        }
        if let Some(certificate) = current["status"]["certificate"].as_str() {
            let bytes = STANDARD.decode(certificate).map_err(|error| error.to_string())?;
            return String::from_utf8(bytes).map_err(|error| error.to_string());
        }
        tokio::time::sleep(machine.interval(POLL, LEAST_POLL)).await;
    }
}
