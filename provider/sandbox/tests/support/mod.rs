//! A region in the test's own process, and a client for it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use multizone_sandbox::process::{Description, Place, RunSettings, run};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub const ZONE: &str = "us-central1-a";
pub const OTHER_ZONE: &str = "us-central1-b";
pub const REGION: &str = "us-central1";
const PATIENCE: Duration = Duration::from_mins(1);

/// A region that runs until the test ends.
pub struct TestRegion {
    pub endpoint: String,
    pub directory: TempDir,
    client: reqwest::Client,
    task: JoinHandle<()>,
}

impl TestRegion {
    /// A new region, so fast that nothing takes noticeable time.
    pub async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), 5000.0).await
    }

    pub async fn start_in(directory: TempDir, speed: f64) -> Self {
        // Whatever the client is used for, reqwest wants a provider of cryptography.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = Place::of(Some(directory.path()), REGION).unwrap();
        let settings = RunSettings {
            place: place.clone(),
            region: Some(REGION.to_owned()),
            speed: Some(speed),
            etcd: None,
        };
        let task = tokio::spawn(async move { run(settings).await.unwrap() });
        let endpoint = until("the region runs", || Description::read(&place).map(|it| it.endpoint)).await;
        Self {
            endpoint,
            directory,
            client: reqwest::Client::new(),
            task,
        }
    }

    /// Stops the region and gives its directory back.
    pub async fn stop(self) -> TempDir {
        self.call(Method::POST, "/sandbox/v1/stop", None).await;
        self.task.await.unwrap();
        self.directory
    }

    /// Calls, and returns status and body.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.endpoint));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, &compute(path), None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Makes a change of Compute Engine and waits for its operation.
    pub async fn change(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, operation) = self.call(method.clone(), &compute(path), Some(body)).await;
        assert_eq!(status, 200, "{method} {path}: {operation}");
        assert_eq!(operation["kind"], "compute#operation");
        self.done(&operation).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.change(Method::POST, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Value {
        self.change(Method::DELETE, path, Value::Null).await
    }

    /// Waits for an operation.
    pub async fn done(&self, operation: &Value) -> Value {
        let link = operation["selfLink"].as_str().unwrap();
        let path = link.split_once("/compute/v1/").unwrap().1;
        let (status, done) = self.call(Method::POST, &format!("/compute/v1/{path}/wait"), None).await;
        assert_eq!((status, &done["status"]), (200, &json!("DONE")), "{done}");
        assert!(done.get("error").is_none(), "{done}");
        done
    }

    /// Asks for what must be refused; returns status, reason and message.
    pub async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String, String) {
        let (status, answer) = self.call(method, &compute(path), body).await;
        let error = &answer["error"];
        assert_eq!(error["code"], json!(status), "{answer}");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(error["errors"][0]["domain"], "global");
        assert!(error["status"].is_string(), "{answer}");
        (status, text(&error["errors"][0]["reason"]), text(&error["message"]))
    }

    pub async fn status(&self) -> Value {
        self.call(Method::GET, "/sandbox/v1/status", None).await.1
    }
}

fn compute(path: &str) -> String {
    format!("/compute/v1/projects/sandbox{path}")
}

/// The body of a machine with a boot disk in the default network.
pub fn machine(name: &str) -> Value {
    json!({
        "name": name,
        "machineType": format!("zones/{ZONE}/machineTypes/n1-standard-2"),
        "disks": [{
            "boot": true,
            "autoDelete": true,
            "initializeParams": {
                "sourceImage": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
                "diskSizeGb": "20",
            },
        }],
        "networkInterfaces": [{ "network": "global/networks/default", "accessConfigs": [{ "type": "ONE_TO_ONE_NAT" }] }],
    })
}

/// Looks until there is something to see.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a directory is empty or absent.
pub fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}
