//! Single API servers of a cluster with several: who is recorded as serving, and taking one out of service.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;
use tokio::time::Instant;

use super::patience::Patience;
use super::{AccessError, Cluster, READY_PAUSE, retry_pauses};

/// The static pod of a master's API server.
pub const API_SERVER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// The file whose presence on a master ends the hold before its time.
pub const RELEASE_FILE: &str = "/etc/kubernetes/multizone-release-api-server";

/// The name of the script in [`hold_pod`], as its process sees it.
pub const HOLD_SCRIPT_NAME: &str = "multizone-hold-api-server";

/// Takes the API server's manifest away, and puts it back when it is told to or when the time is over: a provider that
/// dies between this and the removal of the machine leaves nothing behind that does not heal by itself.
const HOLD_SCRIPT: &str = r#"
manifest=$1 release=$2 seconds=$3
aside=/etc/kubernetes/multizone-held-api-server.yaml
rm -f "$release"
if [ -e "$manifest" ]; then mv "$manifest" "$aside"; fi
while [ "$seconds" -gt 0 ] && [ ! -e "$release" ]; do sleep 1; seconds=$((seconds - 1)); done
if [ -e "$aside" ]; then mv "$aside" "$manifest"; fi
rm -f "$release"
"#;

/// An image with a shell, which the hold needs.
pub const SHELL_IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.36.1-1";

/// Where these pods are.
pub(super) const NAMESPACE: &str = "kube-system";

/// What the names of the pods that hold API servers begin with; the node's name follows.
const HOLD_PREFIX: &str = "multizone-hold-";

impl Cluster {
    /// The addresses of the API servers that are recorded as endpoints of the Service `kubernetes`. A server that was
    /// killed stays there until its lease has run out; one that was stopped gracefully does not.
    pub async fn api_server_endpoints(&self) -> Result<BTreeSet<IpAddr>, AccessError> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), "default");
        let slice = slices
            .get_opt("kubernetes")
            .await
            .map_err(|error| self.error("read the API servers' endpoint records", &error))?;
        let endpoints = slice.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
        Ok(endpoints
            .flat_map(|endpoint| endpoint.addresses)
            .filter_map(|address| address.parse().ok())
            .collect())
    }

    /// Stops the API server on a master gracefully, for `hold` at most, by a short-lived privileged pod that takes its
    /// static pod's manifest away. Returns when the pod runs, or when `gone` says that the server is
    /// gone: a kubelet that talks to its own API server alone (Kubernetes 1.33 and later) may have nobody left to tell
    /// that the pod runs. A pod that runs is no proof that the server is gone: that is for the caller to see.
    pub async fn hold_api_server(
        &self,
        node: &str,
        image: &str,
        hold: Duration,
        deadline: Instant,
        stop: impl Future<Output = ()>,
        gone: impl Future<Output = ()>,
    ) -> Result<(), AccessError> {
        let pods = self.pods();
        let pod = hold_pod(node, image, hold);
        let name = pod.metadata.name.clone().unwrap_or_default();
        let action = format!("run the pod {NAMESPACE}/{name}");
        let mut patience = Patience::new(deadline, stop);
        let what = format!("the pod {NAMESPACE}/{name} to start on {node}");
        let mut gone = std::pin::pin!(gone);
        loop {
            let begun = async {
                match pods.create(&PostParams::default(), &pod).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => return Err(self.error(action.clone(), &error)),
                }
                let found = pods
                    .get_opt(&name)
                    .await
                    .map_err(|error| self.error(action.clone(), &error))?;
                Ok(found.and_then(|pod| pod.status).and_then(|status| status.phase))
            };
            let begun = patience.within(begun).await;
            let made = matches!(begun, Ok(Ok(Some(_))));
            let last = match begun {
                Ok(Ok(Some(phase))) if phase == "Running" || phase == "Succeeded" => return Ok(()),
                Ok(Ok(Some(phase))) if phase == "Failed" => {
                    self.delete_hold(node).await?;
                    "it failed and is made again".to_owned()
                }
                Ok(Ok(phase)) => format!("it is {}", phase.as_deref().unwrap_or("not there yet")),
                Ok(Err(error)) if error.is_passing() => error.to_string(),
                Ok(Err(error)) => return Err(error),
                Err(interrupted) => return Err(self.interrupted(interrupted, &what, "it was not made yet")),
            };
            let pause = async {
                tokio::select! {
                    () = &mut gone, if made => true,
                    () = tokio::time::sleep(READY_PAUSE) => false,
                }
            };
            match patience.within(pause).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(interrupted) => return Err(self.interrupted(interrupted, &what, &last)),
            }
        }
    }

    /// Lets a held API server go on, by a second pod that writes [`RELEASE_FILE`]. A kubelet that talks to its own API
    /// server alone (Kubernetes 1.33 and later) does not hear of it: then the hold's own time ends it.
    pub async fn release_api_server(
        &self,
        node: &str,
        image: &str,
        deadline: Instant,
        stop: impl Future<Output = ()>,
    ) -> Result<(), AccessError> {
        let pods = self.pods();
        let pod = release_pod(node, image);
        let mut patience = Patience::new(deadline, stop);
        let action = format!("release the API server of {node}");
        let pauses = retry_pauses();
        loop {
            let made = patience.within(pods.create(&PostParams::default(), &pod)).await;
            let last = match made {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => return Ok(()),
                Ok(Err(error)) => {
                    let error = self.error(action.clone(), &error);
                    if !error.is_passing() {
                        return Err(error);
                    }
                    error.to_string()
                }
                Err(interrupted) => return Err(self.interrupted(interrupted, &action, "it was not tried")),
            };
            if let Err(interrupted) = patience.pause(pauses.next()).await {
                return Err(self.interrupted(interrupted, &action, &last));
            }
        }
    }

    /// The masters whose API server is being held, or will be in a moment: the pod of the hold is there and has not ended.
    /// Whether it runs may never be told ([`hold_api_server`](Self::hold_api_server)).
    pub async fn held_api_servers(&self) -> Result<BTreeSet<String>, AccessError> {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=multizone");
        let pods = self.pods().list(&ours).await;
        let pods = pods.map_err(|error| self.error("look for API servers that are held", &error))?;
        let held = pods.items.into_iter().filter_map(|pod| {
            let node = pod.metadata.name?.strip_prefix(HOLD_PREFIX)?.to_owned();
            let phase = pod.status.and_then(|status| status.phase);
            (!matches!(phase.as_deref(), Some("Succeeded" | "Failed"))).then_some(node)
        });
        Ok(held.collect())
    }

    /// Deletes the pods of a hold at once; absent is fine.
    pub async fn delete_hold(&self, node: &str) -> Result<(), AccessError> {
        for name in [hold_name(node), release_name(node)] {
            let parameters = DeleteParams {
                grace_period_seconds: Some(0),
                ..DeleteParams::default()
            };
            match self.pods().delete(&name, &parameters).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(self.error(format!("delete the pod {NAMESPACE}/{name}"), &error)),
            }
        }
        Ok(())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

/// The pod that holds a master's API server.
pub(super) fn hold_name(node: &str) -> String {
    format!("{HOLD_PREFIX}{node}")
}

/// The pod that ends that.
pub(super) fn release_name(node: &str) -> String {
    format!("multizone-release-{node}")
}

fn hold_pod(node: &str, image: &str, hold: Duration) -> Pod {
    let seconds = hold.as_secs().to_string();
    let command = [
        "sh",
        "-c",
        HOLD_SCRIPT,
        HOLD_SCRIPT_NAME,
        API_SERVER_MANIFEST,
        RELEASE_FILE,
        &seconds,
    ];
    pod(&hold_name(node), node, image, &command)
}

fn release_pod(node: &str, image: &str) -> Pod {
    pod(&release_name(node), node, image, &["touch", RELEASE_FILE])
}

/// A pod of the highest rank that is bound to the node, so that neither the scheduler nor a taint is in its way, and
/// that sees /etc/kubernetes of the machine.
fn pod(name: &str, node: &str, image: &str, command: &[&str]) -> Pod {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app.kubernetes.io/managed-by": "multizone" } },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "hostNetwork": true,
            "automountServiceAccountToken": false,
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{
                "name": "multizone",
                "image": image,
                "command": command,
                "securityContext": { "privileged": true },
                "volumeMounts": [{ "name": "kubernetes", "mountPath": "/etc/kubernetes" }],
            }],
            "volumes": [{ "name": "kubernetes", "hostPath": { "path": "/etc/kubernetes", "type": "Directory" } }],
        },
    });
    serde_json::from_value(pod).expect("a pod written here is a pod")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The script with the paths of a scratch directory.
    fn script(directory: &std::path::Path) -> String {
        HOLD_SCRIPT.replace("/etc/kubernetes", directory.to_str().unwrap_or_default())
    }

    fn run(directory: &std::path::Path, seconds: &str) -> std::process::Child {
        Command::new("sh")
            .args(["-c", &script(directory), HOLD_SCRIPT_NAME])
            .args([directory.join("api.yaml"), directory.join("release")])
            .arg(seconds)
            .spawn()
            .unwrap()
    }

    #[test]
    fn the_pod_is_bound_to_its_node_and_to_nothing_else() {
        let pod = hold_pod("demo-master-b", SHELL_IMAGE, Duration::from_mins(10));
        insta::assert_json_snapshot!(pod);
    }

    #[test]
    fn rule_a_hold_that_nobody_ends_ends_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("api.yaml");
        std::fs::write(&manifest, "pod").unwrap();
        let mut held = run(directory.path(), "1");
        assert!(held.wait().unwrap().success());
        assert_eq!(std::fs::read_to_string(&manifest).unwrap(), "pod");
    }

    #[test]
    fn a_hold_takes_the_manifest_away_until_it_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("api.yaml");
        std::fs::write(&manifest, "pod").unwrap();
        let mut held = run(directory.path(), "600");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while manifest.exists() {
            assert!(std::time::Instant::now() < deadline, "the manifest stays");
            std::thread::yield_now();
        }
        std::fs::write(directory.path().join("release"), "").unwrap();
        assert!(held.wait().unwrap().success());
        assert!(manifest.exists());
    }
}
