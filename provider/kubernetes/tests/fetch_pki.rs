//! Runs the scripts that fetch a master's certificate authorities, with bash, against a server that plays the metadata
//! server and Secret Manager, or those of AWS.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use multizone_kubernetes::pki::ClusterPki;
use multizone_kubernetes::user_data::{FETCH_PKI_COMMAND, MasterStart, MasterUserData, PkiLocation};

const SECRET_PATH: &str = "/v1/projects/project/secrets/demo-pki/versions/latest:access";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const AWS_TOKEN_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const KEY_PATH: &str = "/latest/meta-data/iam/security-credentials/masters";
const AWS_SECRET_PATH: &str = "/";

/// Serves tokens at once and the secret only after some refusals, and notes every request line.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(secret: Vec<u8>, refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut refusals = refusals;
            for stream in listener.incoming() {
                answer(&stream.unwrap(), &secret, &mut refusals, &seen);
            }
        });
        Self { url, requests }
    }
}

fn answer(stream: &TcpStream, secret: &[u8], refusals: &mut usize, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let lines = reader.by_ref().lines().map(Result::unwrap);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let value = |name: &str| {
        let values = head.iter().filter_map(|line| line.split_once(": "));
        let mut found = values.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let mut body = vec![0; value("Content-Length").parse().unwrap_or_default()];
    reader.read_exact(&mut body).unwrap();
    let asked = String::from_utf8(body).unwrap();
    let path = head[0].split(' ').nth(1).unwrap().to_owned();
    let has = |header: &str| head.iter().any(|line| line.eq_ignore_ascii_case(header));
    seen.lock().unwrap().push(path.clone());
    let (status, body) = match path.as_str() {
        TOKEN_PATH if has("Metadata-Flavor: Google") => ("200 OK", r#"{"access_token":"token"}"#.to_owned()),
        SECRET_PATH if *refusals > 0 => {
            *refusals -= 1;
            ("403 Forbidden", "{}".to_owned())
        }
        SECRET_PATH if has("Authorization: Bearer token") => {
            let data = STANDARD.encode(secret);
            ("200 OK", format!(r#"{{"name":"x","payload":{{"data":"{data}"}}}}"#))
        }
        AWS_TOKEN_PATH if head[0].starts_with("PUT ") => ("200 OK", "session".to_owned()),
        ROLE_PATH if has("X-aws-ec2-metadata-token: session") => ("200 OK", "masters".to_owned()),
        KEY_PATH if has("X-aws-ec2-metadata-token: session") => {
            let key = r#"{"AccessKeyId": "AKIA", "SecretAccessKey": "a/b+c=", "Token": "session=="}"#;
            ("200 OK", key.to_owned())
        }
        AWS_SECRET_PATH if *refusals > 0 => {
            *refusals -= 1;
            ("400 Bad Request", r#"{"__type": "AccessDeniedException"}"#.to_owned())
        }
        AWS_SECRET_PATH
            if value("Authorization").contains("/us-west-2/secretsmanager/aws4_request")
                && value("X-Amz-Security-Token") == "session=="
                && value("X-Amz-Target") == "secretsmanager.GetSecretValue"
                && asked == r#"{"SecretId": "demo-pki"}"# =>
        {
            let data = STANDARD.encode(secret);
            ("200 OK", format!(r#"{{"Name": "demo-pki", "SecretBinary": "{data}"}}"#))
        }
        _ => ("404 Not Found", "{}".to_owned()),
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

fn secret_manager(url: &str) -> PkiLocation {
    PkiLocation::SecretManager {
        url: url.to_owned(),
        project: "project".into(),
        secret: "demo-pki".into(),
    }
}

fn secrets_manager(url: &str) -> PkiLocation {
    PkiLocation::SecretsManager {
        url: url.to_owned(),
        region: "us-west-2".into(),
        secret: "demo-pki".into(),
    }
}

/// The script as the user data writes it.
fn script(pki: PkiLocation) -> String {
    let user_data = MasterUserData {
        version: "1.34.1".parse().unwrap(),
        start: MasterStart::Init,
        kubeadm_configuration: "kind: Example\n".into(),
        pki,
        endpoint_address: None,
        endpoint_name: None,
        patches: std::collections::BTreeMap::new(),
    };
    let parsed: serde_json::Value = serde_saphyr::from_str(&user_data.render().unwrap()).unwrap();
    let files = parsed["write_files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == FETCH_PKI_COMMAND).unwrap();
    file["content"].as_str().unwrap().to_owned()
}

fn run(server: &Server, pki: PkiLocation, directory: &Path) -> Output {
    let path = directory.join("fetch-pki");
    std::fs::write(&path, script(pki).replace("{1..120}", "{1..3}")).unwrap();
    Command::new("bash")
        .arg(&path)
        // The project, or the region, and the secret store's address are the script's own.
        .args(["demo-pki", "", "", &server.url])
        .arg(directory.join("pki"))
        .env("MULTIZONE_RETRY_SECONDS", "0")
        .output()
        .unwrap()
}

fn tools_are_there() -> bool {
    let missing: Vec<_> = ["bash", "curl", "python3"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    if !missing.is_empty() {
        println!(
            "SKIPPED: {} is not installed, so the script did not run",
            missing.join(", ")
        );
    }
    missing.is_empty()
}

#[test]
fn the_script_tries_until_it_may_read_the_secret_and_writes_each_file() {
    fetches(secret_manager, &[TOKEN_PATH, SECRET_PATH]);
}

#[test]
fn the_script_for_aws_does_so_with_signed_requests() {
    fetches(secrets_manager, &[AWS_TOKEN_PATH, ROLE_PATH, KEY_PATH, AWS_SECRET_PATH]);
}

fn fetches(location: fn(&str) -> PkiLocation, requests: &[&str]) {
    if !tools_are_there() {
        return;
    }
    let pki = ClusterPki::generate("2026-01-02T03:04:05Z".parse().unwrap()).unwrap();
    let server = Server::start(pki.to_secret(), 2);
    let directory = tempfile::tempdir().unwrap();
    let output = run(&server, location(&server.url), directory.path());
    assert!(output.status.success(), "{output:?}");
    for (name, pem) in pki.files() {
        let path = directory.path().join("pki").join(name);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), pem, "{name}");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o077,
            0,
            "{name} is for root only"
        );
    }
    assert_eq!(*server.requests.lock().unwrap(), requests.repeat(3));
}

#[test]
fn rule_without_the_authorities_kubeadm_finds_something_it_refuses() {
    if !tools_are_there() {
        return;
    }
    let server = Server::start(Vec::new(), usize::MAX);
    let directory = tempfile::tempdir().unwrap();
    let output = run(&server, secret_manager(&server.url), directory.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let left = std::fs::read_to_string(directory.path().join("pki/ca.crt")).unwrap();
    assert!(
        !left.contains("BEGIN"),
        "a file that is no certificate stops kubeadm from making an authority of its own"
    );
}
