//! What a joining machine does: anonymous discovery, a bootstrap token, a certificate request, its own node.

use crate::fixture::{Ca, Cluster, Credential, Kubectl, eventually, kubectl_is_there, node};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

fn typed<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn client(cluster: &Cluster, user: serde_json::Value, name: &str) -> kube::Client {
    let path = cluster.kubeconfig(name, &user);
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::config::Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

fn token_secret(id: &str, expiration: &str) -> Secret {
    typed(json!({
        "metadata": {"name": format!("bootstrap-token-{id}")}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id, "token-secret": "0123456789abcdef", "expiration": expiration,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }))
}

fn code<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> (u16, String) {
    match answer {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_with_a_bootstrap_token_and_may_only_touch_its_own_node() {
    let cluster = Cluster::start().await;
    let admin = cluster.client(&cluster.admin()).await;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "kube-system");
    secrets
        .create(&PostParams::default(), &token_secret("abcdef", "2999-01-01T00:00:00Z"))
        .await
        .unwrap();
    let info = json!({"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": "the kubeconfig"}});
    let public: Api<ConfigMap> = Api::namespaced(admin.clone(), "kube-public");
    public.create(&PostParams::default(), &typed(info)).await.unwrap();

    // Anonymous: the signed cluster-info and nothing else.
    let nobody = client(&cluster, json!({}), "nobody").await;
    let info: Api<ConfigMap> = Api::namespaced(nobody.clone(), "kube-public");
    let signature = eventually("the signature", async || {
        info.get("cluster-info")
            .await
            .unwrap()
            .data?
            .get("jws-kubeconfig-abcdef")
            .cloned()
    })
    .await;
    assert!(signature.contains(".."));
    for path in ["/readyz", "/livez", "/healthz", "/version"] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        assert!(!nobody.request_text(request).await.unwrap().is_empty());
    }
    let (status, message) = code(Api::<Node>::all(nobody).list(&ListParams::default()).await);
    assert_eq!(status, 403);
    assert_eq!(
        message,
        "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
    );

    // With the token: a certificate request, approved and signed without anyone's help.
    let joiner = client(&cluster, json!({"token": "abcdef.0123456789abcdef"}), "joiner").await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, "system:node:n1");
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let requests: Api<CertificateSigningRequest> = Api::all(joiner.clone());
    let request = json!({
        "metadata": {"generateName": "node-csr-"},
        "spec": {
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "request": STANDARD.encode(request),
            "usages": ["digital signature", "client auth"],
        },
    });
    let request = requests.create(&PostParams::default(), &typed(request)).await.unwrap();
    assert_eq!(request.spec.username.as_deref(), Some("system:bootstrap:abcdef"));
    let name = request.metadata.name.unwrap();
    let certificate = eventually("the certificate", async || {
        requests.get(&name).await.unwrap().status?.certificate
    })
    .await;
    assert_eq!(
        code(Api::<Secret>::namespaced(joiner, "kube-system").get("x").await).0,
        403
    );

    // As the node.
    let credential = Credential {
        certificate_pem: String::from_utf8(certificate.0).unwrap(),
        key_pem: key.serialize_pem(),
    };
    let kubelet = cluster.client(&credential).await;
    let nodes: Api<Node> = Api::all(kubelet.clone());
    nodes
        .create(&PostParams::default(), &typed(node("n1", "us-central1-a")))
        .await
        .unwrap();
    let (status, message) = code(
        nodes
            .create(&PostParams::default(), &typed(node("n2", "us-central1-a")))
            .await,
    );
    assert_eq!(status, 403);
    assert!(
        message.contains("node \"n1\" is not allowed to modify node \"n2\""),
        "{message}"
    );
    let label = json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
    let (status, message) = code(nodes.patch("n1", &PatchParams::default(), &Patch::Merge(&label)).await);
    assert_eq!(status, 403);
    assert!(
        message.contains("is not allowed to modify labels: node-role.kubernetes.io/control-plane"),
        "{message}"
    );
    assert_eq!(code(nodes.delete("n1", &DeleteParams::default()).await).0, 403);
    let heartbeat = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
    nodes
        .patch_status("n1", &PatchParams::default(), &Patch::Strategic(&heartbeat))
        .await
        .unwrap();
    let block = eventually("the pods' block", async || {
        nodes.get("n1").await.unwrap().spec?.pod_cidr
    })
    .await;
    assert_eq!(block, "10.244.0.0/24");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_unknown_and_foreign_credentials_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.client(&cluster.admin()).await;
    let secrets: Api<Secret> = Api::namespaced(admin, "kube-system");
    secrets
        .create(&PostParams::default(), &token_secret("old123", "2020-01-01T00:00:00Z"))
        .await
        .unwrap();
    for token in ["old123.0123456789abcdef", "absent.0123456789abcdef", "nonsense"] {
        let joiner = client(&cluster, json!({"token": token}), "refused").await;
        let answer = Api::<Node>::all(joiner).list(&ListParams::default()).await;
        assert_eq!(code(answer), (401, "Unauthorized".to_owned()), "{token}");
    }
    eventually("the expired token to go", async || {
        secrets
            .get_opt("bootstrap-token-old123")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    let stranger = Ca::new().client("kubernetes-admin", &["system:masters"]);
    let stranger = cluster.client(&stranger).await;
    assert!(Api::<Node>::all(stranger).list(&ListParams::default()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_asks_who_may_do_what() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = Cluster::start().await;
    let kubectl = cluster.kubectl();
    assert_eq!(kubectl.run(&["auth", "can-i", "*", "*"]).await, "yes\n");
    println!("{}", kubectl.run(&["auth", "whoami"]).await);
    let credential = cluster.ca.client("jane", &["web"]);
    let config = cluster.kubeconfig("jane", &Cluster::certificate_user(&credential));
    let jane = Kubectl::with(config, &cluster);
    assert_eq!(jane.try_with(&["auth", "can-i", "list", "nodes"], "").await.out, "no\n");
    let refused = jane.try_with(&["get", "pods"], "").await;
    assert!(refused.err.contains(
        "Error from server (Forbidden): pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    ));
    kubectl
        .run(&["create", "rolebinding", "web", "--clusterrole=view", "--group=web"])
        .await;
    assert_eq!(jane.run(&["auth", "can-i", "list", "pods"]).await, "yes\n");
    assert_eq!(
        kubectl
            .try_with(&["auth", "can-i", "create", "pods", "--as=jane", "--as-group=web"], "")
            .await
            .out,
        "no\n"
    );
    println!("{}", jane.run(&["auth", "can-i", "--list"]).await);
    for path in ["/readyz?verbose", "/livez", "/healthz", "/version"] {
        println!("{}", kubectl.run(&["get", "--raw", path]).await);
    }
}
