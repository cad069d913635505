//! Short-lived privileged pods, by which things are done on machines that nobody can log in to.

use crate::fixture::{Cluster, eventually, node};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn pod(name: &str) -> Pod {
    typed(json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": "m1", "restartPolicy": "Never", "hostPID": true, "hostNetwork": true,
            "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0,
            "priorityClassName": "system-node-critical",
            "containers": [{
                "name": "move", "image": "busybox",
                "command": ["mv", "/manifests/kube-apiserver.yaml", "/kept/kube-apiserver.yaml"],
                "securityContext": {"privileged": true, "runAsUser": 0},
                "volumeMounts": [
                    {"name": "manifests", "mountPath": "/manifests"},
                    {"name": "kept", "mountPath": "/kept"},
                    {"name": "config", "mountPath": "/admin.conf", "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "manifests", "hostPath": {"path": "/etc/kubernetes/manifests", "type": "Directory"}},
                {"name": "kept", "hostPath": {"path": "/etc/kubernetes", "type": "DirectoryOrCreate"}},
                {"name": "config", "hostPath": {"path": "/etc/kubernetes/admin.conf", "type": "File"}},
            ],
        },
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_pod_is_bound_runs_once_and_reports_how_it_ended() {
    let cluster = Cluster::start().await;
    let client = cluster.client(&cluster.admin()).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let mut master = node("m1", "us-central1-a");
    master["spec"]["taints"] = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    nodes.create(&PostParams::default(), &typed(master)).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "kube-system");
    let kubelet = cluster
        .client(&cluster.ca.client("system:node:m1", &["system:nodes"]))
        .await;
    let own: Api<Pod> = Api::namespaced(kubelet, "kube-system");
    for (name, phase, code) in [("works", "Succeeded", 0), ("fails", "Failed", 1)] {
        let made = eventually("the default ServiceAccount", async || {
            pods.create(&PostParams::default(), &pod(name)).await.ok()
        })
        .await;
        let spec = made.spec.unwrap();
        assert_eq!(spec.node_name.as_deref(), Some("m1"));
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(
            spec.containers[0].security_context.as_ref().unwrap().privileged,
            Some(true)
        );
        let volumes = spec.volumes.unwrap();
        let kinds: Vec<_> = volumes
            .iter()
            .map(|one| one.host_path.as_ref().unwrap().type_.as_deref().unwrap())
            .collect();
        assert_eq!(kinds, ["Directory", "DirectoryOrCreate", "File"]);
        let state = json!({"terminated": {"exitCode": code, "reason": "Done", "message": "mv: it is gone"}});
        let status = json!({"status": {
            "phase": phase,
            "containerStatuses": [{
                "name": "move", "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }],
        }});
        own.patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
            .await
            .unwrap();
        let status = pods.get(name).await.unwrap().status.unwrap();
        assert_eq!(status.phase.as_deref(), Some(phase));
        let container = &status.container_statuses.unwrap()[0];
        let ended = container.state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert_eq!(
            (ended.exit_code, ended.message.as_deref()),
            (code, Some("mv: it is gone"))
        );
        // It is over: nobody has to end it, so deleting it takes no kubelet.
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        assert!(pods.get_opt(name).await.unwrap().is_none());
    }
}
