#![allow(clippy::unwrap_used)]

use std::process::Command;

use super::*;

fn master() -> MasterUserData {
    MasterUserData {
        version: "1.34.1".parse().unwrap(),
        start: MasterStart::Init,
        kubeadm_configuration: "apiVersion: v1\nkind: Example\n".into(),
        pki: PkiLocation::SecretManager {
            url: SECRET_MANAGER.into(),
            project: "project".into(),
            secret: "demo-pki".into(),
        },
        endpoint_address: Some("203.0.113.10".parse().unwrap()),
        endpoint_name: None,
        patches: BTreeMap::new(),
    }
}

/// A master where the endpoint is a name, and the machine's ID is known to itself only.
fn named_master() -> MasterUserData {
    MasterUserData {
        kubeadm_configuration: format!("providerID: aws:///us-west-2a/{INSTANCE_ID}\n"),
        pki: PkiLocation::SecretsManager {
            url: "https://secretsmanager.us-west-2.amazonaws.com".into(),
            region: "us-west-2".into(),
            secret: "demo-pki".into(),
        },
        endpoint_address: None,
        endpoint_name: Some("demo.elb.us-west-2.amazonaws.com".into()),
        ..master()
    }
}

fn joining_master() -> MasterUserData {
    MasterUserData {
        start: MasterStart::Join,
        ..master()
    }
}

fn worker() -> WorkerUserData {
    WorkerUserData {
        version: "1.34.1".parse().unwrap(),
        kubeadm: "1.34.1".parse().unwrap(),
        kubeadm_configuration: "apiVersion: v1\nkind: Example\n".into(),
    }
}

fn commands(user_data: &str) -> Vec<Vec<String>> {
    let parsed: serde_json::Value = serde_saphyr::from_str(user_data).unwrap();
    serde_json::from_value(parsed["runcmd"].clone()).unwrap()
}

fn available(command: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {command}")])
        .output()
        .unwrap()
        .status
        .success();
    if !found {
        println!("SKIPPED: {command} is not installed, so this check did not run");
    }
    found
}

#[test]
fn user_data_of_a_master() {
    insta::assert_snapshot!(master().render().unwrap());
}

#[test]
fn user_data_of_a_joining_master() {
    insta::assert_snapshot!(joining_master().render().unwrap());
}

#[test]
fn rule_a_joiner_reaches_the_endpoint_elsewhere_until_it_serves() {
    let commands = commands(&joining_master().render().unwrap());
    assert!(commands.iter().all(|command| command[0] != "ip"), "{commands:?}");
    let position = |words: &str| {
        let found = commands.iter().position(|command| command.join(" ").starts_with(words));
        found.unwrap()
    };
    assert!(
        position(JOIN_COMMAND) < position("systemctl enable --now multizone-api-route"),
        "{commands:?}"
    );
}

#[test]
fn rule_the_first_master_has_the_endpoints_name_itself_while_it_initialises() {
    let told = commands(&named_master().render().unwrap());
    let position = |words: &str| told.iter().position(|command| command.join(" ").starts_with(words));
    let order = [
        position("sh -c sed -i \"s/@INSTANCE_ID@/$(cloud-init query instance_id)/g\" /etc/kubernetes/kubeadm.yaml"),
        position("sed -i $ a 127.0.0.1 demo.elb.us-west-2.amazonaws.com"),
        position("kubeadm init"),
        position("sed -i / # kubeadm init$/ d /etc/hosts"),
    ];
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{order:?} {told:?}"
    );
    let joining = MasterUserData {
        start: MasterStart::Join,
        ..named_master()
    };
    let told = commands(&joining.render().unwrap());
    assert!(!told.concat().contains(&"/etc/hosts".to_owned()), "{told:?}");
}

#[test]
fn user_data_of_a_worker() {
    insta::assert_snapshot!(worker().render().unwrap());
}

#[test]
fn rule_kubeadm_is_of_the_clusters_minor_version_and_the_kubelet_may_be_older() {
    let worker = WorkerUserData {
        version: "1.32.4".parse().unwrap(),
        ..worker()
    };
    let commands = commands(&worker.render().unwrap());
    let install = commands.iter().find(|command| command[0] == INSTALL_COMMAND).unwrap();
    assert_eq!(install[1..], ["1.32", "1.32.4", "1.34", "1.34.1"]);
}

#[test]
fn rule_prerequisites_come_before_the_packages_and_these_before_kubeadm() {
    let commands = commands(&master().render().unwrap());
    let position = |start: &[&str]| {
        commands
            .iter()
            .position(|command| command.starts_with(&start.iter().map(ToString::to_string).collect::<Vec<_>>()))
    };
    let order = [
        position(&["swapoff", "-a"]),
        position(&["modprobe", "br_netfilter"]),
        position(&["sysctl", "--system"]),
        position(&[INSTALL_COMMAND, "1.34", "1.34.1"]),
        position(&[FETCH_PKI_COMMAND, "demo-pki"]),
        position(&["ip", "address", "add", "203.0.113.10/32", "dev", "lo"]),
        position(&["kubeadm", "init", "--config", KUBEADM_CONFIGURATION]),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
}

#[test]
fn a_worker_fetches_no_authorities() {
    let text = worker().render().unwrap();
    assert!(!text.contains("fetch-pki") && !text.contains("secretmanager"), "{text}");
    assert!(commands(&text).contains(&vec![
        "kubeadm".into(),
        "join".into(),
        "--config".into(),
        KUBEADM_CONFIGURATION.into()
    ]));
}

#[test]
fn files_are_written_byte_for_byte() {
    let parsed: serde_json::Value = serde_saphyr::from_str(&master().render().unwrap()).unwrap();
    let file = |path: &str| {
        let files = parsed["write_files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap().clone()
    };
    assert_eq!(file(INSTALL_COMMAND)["content"], include_str!("install-kubernetes.sh"));
    assert_eq!(file(KUBEADM_CONFIGURATION)["content"], master().kubeadm_configuration);
    assert_eq!(file(KUBEADM_CONFIGURATION)["permissions"], "0600");
}

#[test]
fn patches_are_files_of_their_own() {
    let mut master = master();
    master.patches = BTreeMap::from([
        ("etcd+merge.yaml".to_owned(), "spec:\n  priority: 1\n".to_owned()),
        ("etcd1.yaml".to_owned(), "  spec:\n\tpriority: 1\r\n".to_owned()),
    ]);
    let parsed: serde_json::Value = serde_saphyr::from_str(&master.render().unwrap()).unwrap();
    let files = parsed["write_files"].as_array().unwrap();
    let content = |name: &str| {
        let path = format!("/etc/kubernetes/patches/{name}");
        let file = files.iter().find(|file| file["path"] == path.as_str());
        file.unwrap()["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(content("etcd+merge.yaml"), "spec:\n  priority: 1\n");
    assert_eq!(content("etcd1.yaml"), "  spec:\n\tpriority: 1\r\n", "byte for byte");
}

#[test]
fn rule_user_data_is_under_16_kib() {
    let mut user_data = worker();
    assert!(
        master().render().unwrap().len() < MAXIMUM_SIZE / 2,
        "there is room for long settings"
    );
    user_data.kubeadm_configuration = "#".repeat(MAXIMUM_SIZE);
    assert!(user_data.render().is_err());
}

#[test]
fn cloud_init_accepts_the_user_data() {
    if !available("cloud-init") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("master", master().render().unwrap()),
        ("master with a name", named_master().render().unwrap()),
        ("joining master", joining_master().render().unwrap()),
        ("worker", worker().render().unwrap()),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = Command::new("cloud-init")
            .args(["schema", "--config-file"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn shellcheck_accepts_the_scripts() {
    if !available("shellcheck") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("install", include_str!("install-kubernetes.sh").to_owned()),
        ("fetch", master().fetch_script()),
        ("fetch on AWS", named_master().fetch_script()),
        ("api-route", include_str!("api-route.sh").to_owned()),
        ("join", include_str!("join-control-plane.sh").to_owned()),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = Command::new("shellcheck").arg(&path).output().unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
