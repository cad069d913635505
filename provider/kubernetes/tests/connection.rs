//! How connections fail, and what is said then, against a server that answers from a list.
#![allow(clippy::unwrap_used)]

mod tls;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use multizone_kubernetes::cluster_access::{
    AccessError, Cluster, ClusterAddress, DrainError, DrainOptions, NodeState, Obstacle,
};
use multizone_kubernetes::pki::ClusterPki;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_hours(1);

type Answers = Arc<Mutex<VecDeque<(&'static str, u16, serde_json::Value)>>>;

/// Answers each request with the next answer whose path fits; 404 when none is left.
struct Server {
    pki: ClusterPki,
    address: ClusterAddress,
    answers: Answers,
}

impl Server {
    async fn start(answers: Vec<(&'static str, u16, serde_json::Value)>) -> Self {
        let pki = ClusterPki::generate(Timestamp::now()).unwrap();
        let (listener, acceptor) = tls::listen(&pki, "127.0.0.1", Timestamp::now()).await;
        let address = ClusterAddress {
            url: format!("https://{}", listener.local_addr().unwrap()),
            ca_certificate_pem: pki.ca.certificate_pem.clone(),
            server_name: None,
        };
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let queue = Arc::clone(&answers);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, queue) = (acceptor.clone(), Arc::clone(&queue));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = serve(BufReader::new(stream), &queue).await;
                    }
                });
            }
        });
        Self { pki, address, answers }
    }

    fn cluster(&self) -> Cluster {
        let credential = self.pki.operator_credential(Timestamp::now(), HOUR).unwrap();
        Cluster::connect(&self.address, &credential).unwrap()
    }
}

async fn serve<S>(mut stream: BufReader<S>, answers: &Answers) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        let (mut first, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if first.is_empty() {
                first = line;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let (status, body) = {
            let mut answers = answers.lock().unwrap();
            let position = answers.iter().position(|(request, ..)| first.starts_with(request));
            let answer = position.and_then(|position| answers.remove(position));
            answer.map_or(
                (404, json!({ "code": 404, "message": "nothing here" })),
                |(_, status, body)| (status, body),
            )
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        stream.flush().await?;
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn status(code: u16, message: &str) -> serde_json::Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message })
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let mut server = Server::start(Vec::new()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    server.address.url = format!("https://{closed}");
    let error = server.cluster().ready().await.unwrap_err();
    assert!(
        matches!(&error, AccessError::Unreachable { url, .. } if *url == server.address.url),
        "{error}"
    );
    assert!(error.is_passing());
}

#[tokio::test]
async fn rule_only_the_clusters_own_authority_is_trusted() {
    let mut server = Server::start(Vec::new()).await;
    server.address.ca_certificate_pem = ClusterPki::generate(Timestamp::now()).unwrap().ca.certificate_pem;
    let error = server.cluster().ready().await.unwrap_err();
    assert!(matches!(error, AccessError::Untrusted { .. }), "{error}");
    let error = server.cluster().wait_ready(soon(), pending()).await.unwrap_err();
    assert!(
        matches!(error, AccessError::Untrusted { .. }),
        "no use in waiting: {error}"
    );
}

#[tokio::test]
async fn refusals_are_told_apart_and_carry_the_servers_words() {
    let path = "GET /api/v1/nodes/n";
    let server = Server::start(vec![
        (path, 401, status(401, "Unauthorized")),
        (
            path,
            403,
            status(403, "nodes \"n\" is forbidden: User \"x\" cannot get"),
        ),
        (path, 500, status(500, "etcd is leaderless")),
    ])
    .await;
    let cluster = server.cluster();
    assert!(matches!(cluster.node("n").await, Err(AccessError::Unauthorised { .. })));
    let error = cluster.node("n").await.unwrap_err();
    assert!(
        matches!(error, AccessError::Forbidden { .. }) && error.to_string().contains("User \"x\""),
        "{error}"
    );
    let error = cluster.node("n").await.unwrap_err();
    assert!(
        matches!(error, AccessError::Refused { code: 500, .. }) && error.is_passing(),
        "{error}"
    );
    assert_eq!(cluster.node("n").await.unwrap(), None, "404 is an answer");
}

#[tokio::test]
async fn readiness_is_waited_for_until_the_server_is_ready() {
    let server = Server::start(vec![
        ("GET /readyz", 500, json!("[-]etcd failed")),
        ("GET /readyz", 401, status(401, "Unauthorized")),
        ("GET /readyz", 200, json!("ok")),
    ])
    .await;
    server.cluster().wait_ready(soon(), pending()).await.unwrap();
    assert!(server.answers.lock().unwrap().is_empty(), "each answer was asked for");
}

#[tokio::test]
async fn a_wait_that_ends_says_how_it_stood() {
    let list = json!({ "metadata": { "resourceVersion": "1" }, "items": [] });
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(("GET /api/v1/nodes? ", 200, list.clone()));
        answers.push((
            "GET /api/v1/nodes?&watch",
            200,
            json!({ "type": "ADDED", "object": {
            "metadata": { "name": "n" }, "status": { "conditions": [
                { "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "no pod network" },
            ] },
        } }),
        ));
    }
    let server = Server::start(answers).await;
    let names = ["n".to_owned()];
    let deadline = Instant::now() + Duration::from_millis(300);
    let error = server
        .cluster()
        .wait_for_nodes(&names, NodeState::Ready, deadline, pending())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, AccessError::TimedOut { last, .. } if last.contains("no pod network")),
        "{error}"
    );
    let error = server
        .cluster()
        .wait_for_nodes(&names, NodeState::Ready, soon(), async {})
        .await
        .unwrap_err();
    assert!(matches!(error, AccessError::Stopped { .. }), "{error}");
}

#[tokio::test]
async fn rule_a_drain_that_cannot_finish_fails_closed_and_names_pod_and_budget() {
    let pods = json!({ "metadata": {}, "items": [{
        "metadata": { "namespace": "shop", "name": "web-1", "uid": "u", "ownerReferences": [
            { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true },
        ] },
        "spec": { "containers": [] },
    }] });
    let mut refused = status(429, "Cannot evict pod as it would violate the pod's disruption budget.");
    refused["details"] = json!({ "causes": [
        { "reason": "DisruptionBudget", "message": "The disruption budget web needs 2 healthy pods and has 2" },
    ] });
    let mut answers = vec![("PATCH /api/v1/nodes/n", 200, json!({ "metadata": { "name": "n" } }))];
    answers.extend(vec![("GET /api/v1/pods", 200, pods); 50]);
    answers.extend(vec![
        ("POST /api/v1/namespaces/shop/pods/web-1/eviction", 429, refused);
        50
    ]);
    let server = Server::start(answers).await;
    let options = DrainOptions {
        timeout: Duration::from_millis(1500),
        ..DrainOptions::default()
    };
    let error = server.cluster().drain("n", &options, pending()).await.unwrap_err();
    let DrainError::TimedOut { pods, .. } = &error else {
        panic!("{error}")
    };
    assert!(matches!(&pods[0].obstacle, Obstacle::DisruptionBudget(message) if message.contains("budget web")));
    let text = error.to_string();
    assert!(
        text.contains("shop/web-1: its disruption budget forbids it: The disruption budget web needs 2"),
        "{text}"
    );
    assert!(text.contains("cordoned"), "{text}");
}
