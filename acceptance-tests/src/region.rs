//! Changes made behind Terraform's back: requests to the region's Compute Engine face.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::Workspace;

/// How long the region may take to answer, and an operation to be done.
const PATIENCE: Duration = Duration::from_mins(1);

/// A sandbox region as somebody with the cloud's own tools sees it.
#[derive(Debug)]
pub struct Region {
    address: SocketAddr,
}

impl Region {
    /// The region of a workspace.
    ///
    /// # Panics
    /// When the sandbox does not say where it answers.
    pub fn of(workspace: &Workspace) -> Self {
        let status = workspace.status();
        let endpoint = status["endpoint"].as_str().unwrap_or_default();
        let address = endpoint
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok());
        Self {
            address: address.unwrap_or_else(|| panic!("no endpoint in {status}")),
        }
    }

    /// An object below the project, such as `zones/us-central1-a/disks/data`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.request("GET", &compute(path), &Value::Null)
    }

    /// Deletes an object and waits until it is gone.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        let operation = self.request("DELETE", &compute(path), &Value::Null);
        self.done(operation);
    }

    /// Asks for a change, and waits until it is made.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) {
        let operation = self.request("POST", &compute(path), body);
        self.done(operation);
    }

    /// Changes fields of an object.
    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) {
        let operation = self.request("PATCH", &compute(path), body);
        self.done(operation);
    }

    /// Changes the labels of an object; a null takes one away.
    #[track_caller]
    pub fn label(&self, path: &str, changes: &[(&str, Option<&str>)]) {
        let found = self.get(path);
        let mut labels = found["labels"].as_object().cloned().unwrap_or_default();
        for (key, value) in changes {
            match value {
                Some(value) => labels.insert((*key).to_owned(), json!(value)),
                None => labels.remove(*key),
            };
        }
        let body = json!({ "labels": labels, "labelFingerprint": found["labelFingerprint"] });
        self.post(&format!("{path}/setLabels"), &body);
    }

    /// Deletes a secret.
    #[track_caller]
    pub fn delete_secret(&self, name: &str) {
        let _ = self.request("DELETE", &format!("/v1/projects/sandbox/secrets/{name}"), &Value::Null);
    }

    fn done(&self, mut operation: Value) {
        let deadline = Instant::now() + PATIENCE;
        while operation["status"] != "DONE" {
            assert!(Instant::now() < deadline, "still not done: {operation}");
            std::thread::sleep(Duration::from_millis(20));
            let link = operation["selfLink"].as_str().unwrap_or_default();
            let path = link.find("/compute/").map_or(link, |at| &link[at..]).to_owned();
            operation = self.request("GET", &path, &Value::Null);
        }
        assert!(operation["error"].is_null(), "{operation}");
    }

    #[track_caller]
    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).expect("the region answers");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        // HTTP/1.0 keeps the answer free of chunks.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("the region reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).expect("the region answers");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(head.contains(" 200 "), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

fn compute(path: &str) -> String {
    format!("/compute/v1/projects/sandbox/{path}")
}
