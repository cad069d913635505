//! The first line, and what comes instead of it.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use multizone_provider::protocol::handshake::{MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;

use crate::host::{DEADLINE, Start, connect};
use crate::identity::TERRAFORM;

#[tokio::test]
async fn the_line_leads_to_a_private_socket() {
    let plugin = Start::by_terraform(&TERRAFORM).start().await;
    let fields = plugin.fields();
    assert_eq!(fields.len(), 6, "{}", plugin.line);
    assert_eq!([fields[0], fields[1], fields[2], fields[4]], ["1", "6", "unix", "grpc"]);
    assert!(!fields[5].ends_with('='));
    assert_eq!(plugin.certificate()[0], 0x30, "DER starts with a sequence");
    let socket = plugin.socket();
    assert!(socket.starts_with(plugin.temporary.path()));
    assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());
    let directory = std::fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn sharing_connections_is_declined_when_asked_for() {
    let mut start = Start::by_terraform(&TERRAFORM);
    start.variables.push(("PLUGIN_MULTIPLEX_GRPC", "true".to_owned()));
    assert_eq!(start.start().await.fields()[6..], ["false"]);
}

#[tokio::test]
async fn a_long_directory_for_temporary_files_does_no_harm() {
    let start = Start::by_terraform(&TERRAFORM);
    let long = start.temporary.path().join("long".repeat(30));
    std::fs::create_dir(&long).unwrap();
    let mut start = start;
    start.variables.push(("TMPDIR", long.to_string_lossy().into_owned()));
    let plugin = start.start().await;
    assert!(plugin.socket().as_os_str().len() < 108);
    drop(plugin.provider(&TERRAFORM).await);
    plugin.ended_without_traces().await;
}

#[tokio::test]
async fn without_a_client_certificate_there_is_no_tls() {
    let plugin = Start::with(vec![(MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE.to_owned())])
        .start()
        .await;
    assert_eq!(plugin.fields()[5], "");
    connect(&plugin.socket(), None).await.unwrap();
}

async fn refused(start: Start) -> (i32, String) {
    let output = start
        .command()
        .stderr(std::process::Stdio::piped())
        .output()
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "",
        "standard output is for the line alone"
    );
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn somebody_who_starts_it_by_hand_is_told_what_it_is() {
    let (code, said) = refused(Start::with(Vec::new())).await;
    assert_eq!(code, 1);
    assert!(said.contains("Terraform starts it by itself"), "{said}");
    assert!(said.contains("docs"), "{said}");
}

#[tokio::test]
async fn a_host_of_another_age_is_told_so() {
    let cookie = (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE.to_owned());
    let (code, said) = refused(Start::with(vec![cookie, ("PLUGIN_PROTOCOL_VERSIONS", "4".to_owned())])).await;
    assert_eq!(code, 1);
    assert!(said.contains("this provider speaks version 6"), "{said}");
}

#[tokio::test]
async fn an_unreadable_client_certificate_never_means_no_tls() {
    let cookie = (MAGIC_COOKIE_KEY, MAGIC_COOKIE_VALUE.to_owned());
    let (code, said) = refused(Start::with(vec![cookie, ("PLUGIN_CLIENT_CERT", "?".to_owned())])).await;
    assert_eq!(code, 1);
    assert!(said.contains("PLUGIN_CLIENT_CERT"), "{said}");
}

#[tokio::test]
async fn logs_are_json_lines_on_standard_error() {
    let mut start = Start::by_terraform(&TERRAFORM);
    start.variables.push(("TF_LOG", "trace".to_owned()));
    let mut child = start.command().stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).await.unwrap();
    let socket = line.split('|').nth(3).unwrap();
    // A client that does not speak TLS is worth a warning; that it closes makes nothing end.
    drop(UnixStream::connect(socket).await.unwrap());
    let mut logs = BufReader::new(child.stderr.take().unwrap()).lines();
    let warning = async {
        loop {
            let line = logs.next_line().await.unwrap().expect("the plugin logs");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for field in ["@level", "@message", "@module", "@timestamp"] {
                assert!(line[field].is_string(), "{line}");
            }
            if line["@level"] == "warn" {
                return line["@message"].as_str().unwrap().to_owned();
            }
        }
    };
    assert_eq!(
        tokio::time::timeout(DEADLINE, warning).await.unwrap(),
        "refused a connection"
    );
}
