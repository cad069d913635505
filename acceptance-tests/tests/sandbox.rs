//! The sandbox region as a user meets it beside Terraform.

#![allow(clippy::unwrap_used)]

use multizone_acceptance_tests::{Run, Workspace, installed};

const ONE_ZONE: &[&str] = &[r#"-var=zones=["us-central1-a"]"#, "-var=nodes_per_zone=1"];

#[test]
fn the_provider_starts_the_sandbox_by_itself_and_it_outlives_the_provider() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.sandbox(&["stop"]).succeeded();
    let _ = workspace.apply(&["-target=multizone_cluster.demo", ONE_ZONE[0]]);
    assert_eq!(workspace.status()["region"], "us-central1");
    assert!(!workspace.status()["networks"].as_array().unwrap().is_empty());
}

#[test]
fn the_region_keeps_its_machines_over_a_restart() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(ONE_ZONE);
    let _ = workspace.sandbox(&["stop"]).succeeded();
    workspace.assert_empty_plan(ONE_ZONE);
}

#[test]
fn two_sandboxes_do_not_see_each_other() {
    if !installed("terraform") {
        return;
    }
    let one = Workspace::of_example("multi-zone");
    let two = Workspace::of_example("multi-zone");
    let _ = one.apply(ONE_ZONE);
    assert!(two.status()["machines"].as_array().unwrap().is_empty());
    let _ = two.apply(ONE_ZONE);
    let _ = one
        .terraform(&[&["destroy", "-auto-approve"], ONE_ZONE].concat())
        .succeeded();
    two.assert_empty_plan(ONE_ZONE);
}

#[test]
fn a_zone_that_is_out_shows_in_kubectl_and_comes_back() {
    if !installed("terraform") || !installed("kubectl") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let both = &[
        r#"-var=zones=["us-central1-a","us-central1-b"]"#,
        "-var=nodes_per_zone=1",
    ];
    let _ = workspace.apply(both);
    let _ = workspace.sandbox(&["outage", "us-central1-b"]).succeeded();
    let selector = "topology.kubernetes.io/zone=us-central1-b";
    let wait = |condition: &str| {
        workspace
            .kubectl("demo", &["wait", "node", "-l", selector, condition, "--timeout=120s"])
            .succeeded()
    };
    let _ = wait("--for=condition=Ready=Unknown");
    assert!(
        workspace
            .sandbox(&["status"])
            .succeeded()
            .text()
            .contains("us-central1-b out")
    );
    let _ = workspace.sandbox(&["restore", "us-central1-b"]).succeeded();
    let _ = wait("--for=condition=Ready");
}

#[test]
fn gcloud_lists_what_terraform_made() {
    if !installed("terraform") || !installed("gcloud") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    let _ = workspace.apply(ONE_ZONE);
    let endpoint = workspace.status()["endpoint"].as_str().unwrap().to_owned();
    let project = workspace.status()["project"].as_str().unwrap_or("sandbox").to_owned();
    let gcloud = |arguments: &[&str]| {
        Run::of(
            workspace
                .command("gcloud")
                .args(arguments)
                .args(["--project", &project, "--format=value(name)"])
                .env("CLOUDSDK_CONFIG", workspace.path().join("gcloud"))
                .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
                .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
                .env(
                    "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
                    format!("{endpoint}/compute/v1/"),
                ),
        )
        .succeeded()
        .stdout
    };
    assert_eq!(
        gcloud(&["compute", "instances", "list"]).lines().count(),
        2,
        "a master and a node"
    );
    assert!(gcloud(&["compute", "disks", "list", "--filter=name~data"]).contains("data"));
}

#[test]
fn proxies_of_the_environment_are_not_asked_for_what_is_on_this_machine() {
    if !installed("terraform") {
        return;
    }
    let workspace = Workspace::of_example("multi-zone");
    // Nobody answers there: whatever goes through it fails.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mut apply = workspace.terraform_command(&[&["apply", "-auto-approve"], ONE_ZONE].concat());
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        apply.env(name, &proxy);
    }
    let _ = Run::of(apply.env_remove("NO_PROXY").env_remove("no_proxy")).succeeded();
}
