//! Errors of Kubernetes, of etcd and of what is made for them: every one, within a diagnostic.
//!
//! No cluster gives each of them at will, so they are made by hand, with what servers say in operation.

use std::{io, time::Duration};

use multizone_kubernetes::{
    bootstrap_token::BootstrapToken,
    cluster_access::{AccessError, AppliedObject, ApplyError, DrainError, Obstacle, PodInTheWay, TokenError},
    cluster_settings::SettingsError,
    etcd::{ChannelError, EtcdError, Refusal},
    kubeadm::{
        Component, check_argument, check_patch, check_repeated, kube_proxy_configuration, kubelet_configuration,
    },
    labels::LabelError,
    pki::{ClusterPki, PkiError},
    user_data::TooLarge,
    version::{KubernetesVersion, SkewViolation},
};
use multizone_provider::resources::trouble::{CONTINUED, Situation};
use multizone_schema::Diagnostics;

use crate::read;

const SERVES: &str = "Apply again once the API serves.";
const CORRECT: &str = "Correct what it names, then apply again.";

/// Each error in the words of an operation on a control plane.
fn said(errors: impl IntoIterator<Item = impl std::fmt::Display>, next: &str) -> Diagnostics {
    let situation = Situation {
        doing: "update the control plane of cluster demo",
        left: CONTINUED,
    };
    let mut all = Diagnostics::new();
    for error in errors {
        all.extend(situation.error(&format!("{error}."), next));
    }
    all
}

/// The same with the advice that belongs to each.
fn advised<E: std::fmt::Display>(errors: impl IntoIterator<Item = E>, advice: fn(&E) -> &'static str) -> Diagnostics {
    let mut all = Diagnostics::new();
    for error in errors {
        let next = advice(&error);
        all.extend(said([error], next));
    }
    all
}

fn version(text: &str) -> KubernetesVersion {
    text.parse().unwrap()
}

fn url() -> String {
    "https://203.0.113.10:6443".into()
}

fn unreachable() -> AccessError {
    AccessError::Unreachable {
        url: url(),
        action: "cordon node demo-pool-x7k2".into(),
        reason: "Connection refused (os error 111)".into(),
    }
}

#[test]
fn access() {
    let (url, node) = (url(), || "read node demo-master-a".to_owned());
    let errors = [
        unreachable(),
        AccessError::Untrusted {
            url: url.clone(),
            action: node(),
            reason: "invalid peer certificate: UnknownIssuer".into(),
        },
        AccessError::Unauthorised {
            url: url.clone(),
            action: node(),
            message: "Unauthorized".into(),
        },
        AccessError::Forbidden {
            url: url.clone(),
            action: "make bootstrap token x7k2ab".into(),
            message:
                "secrets is forbidden: User \"multizone\" cannot create resource \"secrets\" in API group \"\" in \
                      the namespace \"kube-system\""
                    .into(),
        },
        AccessError::NotFound {
            url: url.clone(),
            action: "change the labels and taints of node demo-pool-x7k2".into(),
            message: "nodes \"demo-pool-x7k2\" not found".into(),
        },
        AccessError::Conflict {
            url: url.clone(),
            action: "take the turn to change the masters".into(),
            message: "Operation cannot be fulfilled on leases \"multizone-rollout\": the object has been modified"
                .into(),
        },
        AccessError::Refused {
            url: url.clone(),
            action: "delete node demo-pool-x7k2".into(),
            code: 500,
            message: "etcdserver: request timed out".into(),
        },
        AccessError::Refused {
            url: url.clone(),
            action: "change the labels and taints of node demo-pool-x7k2".into(),
            code: 422,
            message: "Node \"demo-pool-x7k2\" is invalid: metadata.labels: Invalid value: \"a b\"".into(),
        },
        AccessError::Unexpected {
            url: url.clone(),
            action: "ask for its version".into(),
            reason: "expected value at line 1 column 1".into(),
        },
        AccessError::Unusable {
            url: url.clone(),
            what: "the cluster's certificate authority".into(),
            reason: "it holds no certificate".into(),
        },
        AccessError::TimedOut {
            url: url.clone(),
            what: "the turn to change the masters".into(),
            last: "build-7/4711/2026-01-02T03:04:05Z has it".into(),
        },
        AccessError::TimedOut {
            url,
            what: "nodes to be ready".into(),
            last: "demo-pool-x7k2 is not ready (KubeletNotReady: no network); demo-pool-b9d1 has not registered".into(),
        },
        AccessError::Stopped {
            what: "the API server to be ready".into(),
            last: "it says that it is not ready yet".into(),
        },
    ];
    read!("access", advised(errors, AccessError::advice));
    let long = TokenError::LivesTooLong(Duration::from_hours(1));
    let errors = [long, TokenError::Access(unreachable())];
    read!("tokens", advised(errors, TokenError::advice));
}

#[test]
fn manifests() {
    let object = || AppliedObject {
        api_version: "apps/v1".into(),
        kind: "DaemonSet".into(),
        namespace: Some("kube-flannel".into()),
        name: "kube-flannel-ds".into(),
    };
    let errors = [
        ApplyError::NotYaml {
            reason: "did not find expected ',' or ']' at line 3 column 1".into(),
        },
        ApplyError::NotAnObject {
            document: 2,
            reason: "kind is missing".into(),
        },
        ApplyError::UnknownKind { object: object() },
        ApplyError::Access {
            object: object(),
            source: Box::new(AccessError::Refused {
                url: url(),
                action: "apply it".into(),
                code: 422,
                message: "DaemonSet.apps \"kube-flannel-ds\" is invalid: spec.selector: Required value".into(),
            }),
        },
        ApplyError::TimedOut {
            object: object(),
            last: "its kind is defined by the manifest, but not served yet".into(),
        },
        ApplyError::Stopped { object: object() },
    ];
    read!("manifests", said(errors, CORRECT));
}

#[test]
fn drains() {
    let node = || "demo-pool-x7k2".to_owned();
    let pod = |name: &str, obstacle| PodInTheWay {
        namespace: "default".into(),
        name: name.into(),
        obstacle,
    };
    let budget = "The disruption budget web needs 2 healthy pods and has 2 currently";
    let errors = [
        DrainError::NotAllowed {
            node: node(),
            pods: vec![pod("bare", Obstacle::Unmanaged), pod("cache-0", Obstacle::LocalData)],
        },
        DrainError::TimedOut {
            node: node(),
            timeout: Duration::from_mins(15),
            pods: vec![
                pod("web-1", Obstacle::DisruptionBudget(budget.into())),
                pod(
                    "db-0",
                    Obstacle::Refused("admission webhook \"db.example.com\" denied the request".into()),
                ),
                pod("slow", Obstacle::Stopping),
            ],
        },
        DrainError::Stopped {
            node: node(),
            pods: vec![pod("web-1", Obstacle::NotAsked)],
        },
        DrainError::Access {
            node: node(),
            source: Box::new(unreachable()),
        },
    ];
    read!("drains", said(errors, "Then apply again: the drain continues."));
}

#[test]
fn etcd() {
    let (member, action) = (
        || "demo-master-b".to_owned(),
        || "remove member 8e9e05c52164694d".to_owned(),
    );
    let errors = [
        EtcdError::NoEndpoint,
        EtcdError::Unreachable {
            member: member(),
            action: action(),
            reason: "Connection refused (os error 111)".into(),
        },
        EtcdError::NoAnswer {
            member: member(),
            action: action(),
            seconds: 10,
        },
        EtcdError::NoQuorum {
            member: member(),
            action: action(),
            said: Refusal::NoLeader.text().into(),
        },
        EtcdError::UnknownMember {
            id: 0x8e9e_05c5_2164_694d,
            action: "move the leadership".into(),
        },
        EtcdError::Refused {
            action: action(),
            refusal: Refusal::ALL[0],
        },
        EtcdError::Failed {
            member: member(),
            action: action(),
            said: Refusal::Stopped.text().into(),
        },
        EtcdError::Channel(ChannelError::Certificate {
            what: "client certificate",
            reason: "it holds no PEM block".into(),
        }),
        EtcdError::Write(io::Error::from(io::ErrorKind::StorageFull)),
        EtcdError::Damaged {
            member: member(),
            reason: "its digest is not that of its data".into(),
        },
    ];
    read!("etcd", said(errors, SERVES));
}

#[test]
fn versions() {
    let (old, new) = (version("1.30.2"), version("1.34.1"));
    let errors = [
        SkewViolation::KubeletNewer {
            kubelet: new,
            api_server: old,
        },
        SkewViolation::KubeletTooOld {
            kubelet: old,
            api_server: new,
        },
        SkewViolation::ApiServersApart {
            oldest: old,
            newest: new,
        },
        SkewViolation::KubeadmDiffers {
            kubeadm: new,
            control_plane: old,
        },
        SkewViolation::Downgrade { from: new, to: old },
        SkewViolation::MinorSkipped { from: old, to: new },
    ];
    read!("versions", said(errors, CORRECT));
    let asked = [
        "v1.34.1",
        "1.34.1-rc.1",
        "1.34",
        "1.34.x",
        "1.034.1",
        "1.99999.0",
        "1.20.0",
        "2.0.0",
    ];
    let errors = asked.map(|asked| KubernetesVersion::parse(asked).unwrap_err());
    read!("versions_that_are_none", said(errors, CORRECT));
}

#[test]
fn settings_of_a_cluster() {
    let settings = [
        SettingsError::Absent("kubeadm-config"),
        SettingsError::Unreadable {
            name: "kubelet-config",
            key: "kubelet",
            reason: "it is no map of fields".into(),
        },
        SettingsError::Version("1.34".parse::<KubernetesVersion>().unwrap_err()),
        SettingsError::ExternalEtcd,
    ];
    read!("settings", said(settings, CORRECT));
}

#[test]
fn what_machines_are_given() {
    let argument = |component: Component, name: &str, value: &str| {
        check_argument(component, name, &[value.to_owned()]).unwrap_err()
    };
    let api_server = |name: &str, value: &str| argument(Component::ApiServer, name, value);
    let issuers = ["https://a.example.com", "https://b.example.com"].map(str::to_owned);
    let old: KubernetesVersion = "1.30.0".parse().unwrap();
    let errors = [
        api_server("anonymous-auth", "false"),
        api_server("shutdown-delay-duration", "soon"),
        api_server("shutdown-delay-duration", "5m"),
        api_server("advertise-address", "10.0.0.9"),
        api_server("--v", "4"),
        api_server("authorization-mode", "RBAC"),
        argument(Component::Scheduler, "leader-elect", "false"),
        check_argument(Component::ApiServer, "profiling", &[]).unwrap_err(),
        check_repeated(Component::ApiServer, "service-account-issuer", &issuers, old).unwrap_err(),
    ];
    read!("arguments", said(errors, CORRECT));
    let patches = [
        check_patch("apiserver.yaml", "").unwrap_err(),
        check_patch("etcd.json", "spec: {}").unwrap_err(),
    ];
    read!("patches", said(patches, CORRECT));
    let configurations = [
        kubelet_configuration("- a").unwrap_err(),
        kubelet_configuration("kind: KubeProxyConfiguration").unwrap_err(),
        kubelet_configuration("staticPodPath: /etc/pods").unwrap_err(),
        kubelet_configuration("cgroupDriver: cgroupfs").unwrap_err(),
        kubelet_configuration("shutdownGracePeriodCriticalPods: 10s").unwrap_err(),
        kube_proxy_configuration("clusterCIDR: 10.0.0.0/8").unwrap_err(),
    ];
    read!("component_configurations", said(configurations, CORRECT));
    read!("user_data", said([TooLarge { size: 300_000 }], CORRECT));
    let malformed = BootstrapToken::parse("ABC.def").unwrap_err();
    read!("bootstrap_token", said([malformed], CORRECT));
    let labels = [
        LabelError::Key {
            key: "-x".into(),
            reason: "it must begin with a letter or digit",
        },
        LabelError::Value {
            key: "team".into(),
            value: "a b".into(),
            reason: "it has a blank",
        },
        LabelError::Restricted {
            key: "node-role.kubernetes.io/web".into(),
        },
        LabelError::Given {
            key: "topology.kubernetes.io/zone".into(),
        },
        LabelError::Effect { effect: "Never".into() },
    ];
    read!("labels", said(labels, CORRECT));
}

#[test]
fn certificates() {
    let newer = br#"{"format":2,"files":{}}"#;
    let (newer, garbage, incomplete) = (newer.as_slice(), b"garbage".as_slice(), br#"{"format":1,"files":{}}"#);
    let mut errors: Vec<PkiError> = [newer, garbage, incomplete]
        .map(|secret| ClusterPki::from_secret(secret).unwrap_err())
        .into();
    errors.push(PkiError::Generate {
        what: "a certificate for demo-master-a".into(),
        source: rcgen::Error::CouldNotParseCertificate,
    });
    read!(
        "certificates",
        said(errors, "Restore the secret's last version, then apply again.")
    );
}
