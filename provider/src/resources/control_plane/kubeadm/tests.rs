#![allow(clippy::unwrap_used)]

use multizone_schema::{Field as _, Validator, Value};

use super::*;

fn said(check: Validator, value: &Value) -> Vec<String> {
    let mut diagnostics = multizone_schema::Diagnostics::new();
    check(value, &multizone_schema::Path::from("x"), &mut diagnostics);
    diagnostics.iter().map(ToString::to_string).collect()
}

fn component(name: &str, values: &[&str]) -> KubeadmComponent {
    let values = values.iter().map(ToString::to_string).collect();
    KubeadmComponent {
        extra_args: Some(BTreeMap::from([(name.to_owned(), values)])),
        extra_volumes: None,
    }
}

fn volume(mount_path: &str) -> KubeadmVolume {
    KubeadmVolume {
        host_path: "/etc/audit".to_owned(),
        mount_path: mount_path.to_owned(),
        read_only: true,
        path_type: None,
    }
}

#[test]
fn what_would_break_the_cluster_is_refused_at_its_argument() {
    let wrong = component("anonymous-auth", &["false"]).encode();
    let said_of = said(checks::api_server, &wrong);
    assert_eq!(said_of.len(), 1);
    assert!(said_of[0].contains("x.extra_args[\"anonymous-auth\"]"), "{said_of:?}");
    assert!(said_of[0].contains("/readyz answer 401"), "{said_of:?}");
    assert_eq!(
        said(checks::controller_manager, &wrong),
        [""; 0],
        "it has another meaning there"
    );
    for (check, name) in [
        (checks::api_server as Validator, "etcd-servers"),
        (checks::controller_manager, "cluster-cidr"),
        (checks::scheduler, "kubeconfig"),
        (checks::etcd, "initial-cluster"),
    ] {
        let said = said(check, &component(name, &["x"]).encode());
        assert!(said[0].contains("set by the provider"), "{name}: {said:?}");
    }
}

#[test]
fn volumes_have_names_and_paths_of_their_own() {
    let with = |name: &str, mount_path: &str| {
        let volumes = BTreeMap::from([(name.to_owned(), volume(mount_path))]);
        KubeadmComponent {
            extra_args: None,
            extra_volumes: Some(volumes),
        }
        .encode()
    };
    assert_eq!(said(checks::api_server, &with("audit", "/etc/audit")), [""; 0]);
    assert!(said(checks::api_server, &with("k8s-certs", "/etc/audit"))[0].contains("itself"));
    assert!(said(checks::api_server, &with("Audit", "/etc/audit"))[0].contains("lower-case"));
    let taken = said(checks::api_server, &with("audit", "/etc/kubernetes/pki/"));
    assert!(taken[0].contains("x.extra_volumes[\"audit\"].mount_path"), "{taken:?}");
    assert_eq!(said(checks::absolute, &"etc".into()).len(), 1);
    assert_eq!(said(checks::path_type, &"Folder".into()).len(), 1);
}

#[test]
fn a_repository_is_a_host_and_a_path() {
    for right in [
        "registry.k8s.io",
        "mirror.example.com:5000/k8s",
        "europe-docker.pkg.dev/p/k8s",
    ] {
        assert_eq!(said(checks::image_repository, &right.into()), [""; 0], "{right}");
    }
    for wrong in [
        "",
        "https://registry.k8s.io",
        "registry.k8s.io/",
        "mirror/k8s:v1",
        "Mirror",
        "a//b",
    ] {
        assert_eq!(said(checks::image_repository, &wrong.into()).len(), 1, "{wrong}");
    }
    assert_eq!(said(checks::cri_socket, &"/run/crio/crio.sock".into()).len(), 1);
}

#[test]
fn a_patch_is_refused_by_its_name_and_its_content() {
    let patches = |name: &str, content: Value| Value::map([(name, content)]);
    assert_eq!(said(checks::patches, &patches("etcd.yaml", "spec: {}".into())), [""; 0]);
    assert!(said(checks::patches, &patches("api.yaml", Value::Unknown))[0].contains("kube-apiserver0+merge.yaml"));
    assert!(said(checks::patches, &patches("etcd.json", "spec: {}".into()))[0].contains("not JSON"));
}

fn checked(kubeadm: Kubeadm, version: &str) -> Vec<String> {
    let diagnostics = check_with_version(&Some(kubeadm).into_planned(), version);
    diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn rule_a_repeated_argument_needs_v1beta4() {
    let kubeadm = Kubeadm {
        api_server: Some(component("service-account-issuer", &["a", "b"])),
        ..Kubeadm::default()
    };
    assert_eq!(checked(kubeadm.clone(), "1.31.0"), [""; 0]);
    let refused = checked(kubeadm, "1.30.4");
    assert!(
        refused[0].contains("kubeadm.api_server.extra_args[\"service-account-issuer\"]"),
        "{refused:?}"
    );
}

#[test]
fn rule_user_data_that_no_cloud_takes_is_refused_at_plan() {
    let kubeadm = |length: usize| Kubeadm {
        patches: Some(BTreeMap::from([(
            "kube-apiserver.yaml".to_owned(),
            format!("# {}\n", "x".repeat(length)),
        )])),
        ..Kubeadm::default()
    };
    assert_eq!(checked(kubeadm(4000), "1.34.1"), [""; 0]);
    let refused = checked(kubeadm(16_000), "1.34.1");
    assert!(
        refused[0].contains("too large") && refused[0].contains("kubeadm"),
        "{refused:?}"
    );
}

#[test]
fn nothing_chosen_is_nothing_rendered() {
    let nothing = Kubeadm {
        api_server: Some(KubeadmComponent::default()),
        etcd: Some(KubeadmEtcd::default()),
        ..Kubeadm::default()
    };
    assert_eq!(nothing.customisation().unwrap().text(), "");
    assert_eq!(
        Kubeadm::planned(&multizone_schema::Planned::Null).unwrap(),
        Kubeadm::default()
    );
    assert!(Kubeadm::planned(&multizone_schema::Planned::Unknown).is_err());
}

#[test]
fn a_choice_is_kept_for_imports_as_it_was_written() {
    let kubeadm = Kubeadm {
        api_server: Some(KubeadmComponent {
            extra_volumes: Some(BTreeMap::from([("audit".to_owned(), volume("/etc/audit"))])),
            ..component("v", &["4"])
        }),
        kubelet_configuration: Some("maxPods: 200\n".to_owned()),
        control_plane_taint: false,
        ..Kubeadm::default()
    };
    let kept = serde_json::to_string(&kubeadm).unwrap();
    assert_eq!(serde_json::from_str::<Kubeadm>(&kept).unwrap(), kubeadm);
}
