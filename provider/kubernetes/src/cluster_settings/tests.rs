#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::endpoint::ControlPlaneEndpoint;
use crate::kubeadm::{
    Component, ComponentSettings, HostVolume, InitSettings, NodeRegistration, init_configuration,
    kube_proxy_configuration, kubelet_configuration,
};

fn settings(version: &str, customisation: Customisation) -> ClusterSettings {
    ClusterSettings {
        version: version.parse().unwrap(),
        customisation,
    }
}

fn document(content: Value) -> Document {
    Document {
        content,
        applied: None,
        rollout: None,
    }
}

/// What kubeadm init leaves of a configuration.
fn initialised(version: &str, customisation: &Customisation) -> Found {
    let text = init_configuration(&InitSettings {
        version: version.parse().unwrap(),
        cluster_name: "demo".into(),
        endpoint: ControlPlaneEndpoint::new("203.0.113.10"),
        advertise_address: None,
        certificate_names: Vec::new(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        node: NodeRegistration::default(),
        customisation: customisation.clone(),
    });
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let repository = customisation.image_repository.as_deref();
    let mut cluster = documents[1].clone();
    cluster["imageRepository"] = Value::from(repository.unwrap_or(DEFAULT_IMAGE_REPOSITORY));
    cluster["etcd"]["local"]["dataDir"] = Value::from("/var/lib/etcd");
    Found {
        cluster: document(cluster),
        kubelet: Some(document(documents[2].clone())),
        kube_proxy: Some(KubeProxy {
            configuration: document(documents[3].clone()),
            image: Some(format!(
                "{}/kube-proxy:v{version}",
                repository.unwrap_or(DEFAULT_IMAGE_REPOSITORY)
            )),
            rollout: None,
        }),
        core_dns: Some(match repository {
            None => "registry.k8s.io/coredns/coredns:v1.12.1".to_owned(),
            Some(repository) => format!("{repository}/coredns:v1.12.1"),
        }),
    }
}

/// The cluster after the first `count` changes.
fn after(mut found: Found, changes: &[Change]) -> Found {
    for change in changes {
        match change.clone() {
            Change::Document {
                name,
                text,
                applied,
                rollout,
                ..
            } => {
                let written = Document {
                    content: serde_saphyr::from_str(&text).unwrap(),
                    applied: Some(applied),
                    rollout,
                };
                match name {
                    KUBEADM_CONFIG => found.cluster = written,
                    KUBELET_CONFIG => found.kubelet = Some(written),
                    _ => found.kube_proxy.as_mut().unwrap().configuration = written,
                }
            }
            Change::KubeProxy { image, rollout } => {
                let kube_proxy = found.kube_proxy.as_mut().unwrap();
                kube_proxy.image = Some(image);
                kube_proxy.rollout = rollout;
            }
            Change::CoreDns { image } => found.core_dns = Some(image),
        }
    }
    found
}

fn applied(found: &Found, settings: &ClusterSettings) -> Found {
    [Part::Settings, Part::Addons]
        .into_iter()
        .fold(found.clone(), |found, part| applied_in(part, &found, settings))
}

fn applied_in(part: Part, found: &Found, settings: &ClusterSettings) -> Found {
    let after = after(found.clone(), &settings.changes(found, part).unwrap());
    assert_eq!(
        settings.changes(&after, part).unwrap(),
        [],
        "applying again changes nothing"
    );
    after
}

fn customised() -> Customisation {
    let audit = HostVolume {
        host_path: "/etc/audit".into(),
        mount_path: "/etc/audit".into(),
        read_only: true,
        path_type: None,
    };
    let api_server = ComponentSettings {
        arguments: BTreeMap::from([("profiling".to_owned(), vec!["false".to_owned()])]),
        volumes: BTreeMap::from([("audit".to_owned(), audit)]),
    };
    let etcd = ComponentSettings {
        arguments: BTreeMap::from([("quota-backend-bytes".to_owned(), vec!["4294967296".to_owned()])]),
        volumes: BTreeMap::new(),
    };
    Customisation {
        components: BTreeMap::from([(Component::ApiServer, api_server), (Component::Etcd, etcd)]),
        kubelet: kubelet_configuration("maxPods: 200\nsyncFrequency: 90s").unwrap(),
        kube_proxy: kube_proxy_configuration("mode: nftables").unwrap(),
        image_repository: Some("mirror.example.com/k8s".into()),
        ..Customisation::default()
    }
}

#[test]
fn what_init_has_left_is_in_place() {
    for customisation in [Customisation::default(), customised()] {
        let found = initialised("1.34.1", &customisation);
        let wanted = settings("1.34.1", customisation.clone());
        assert!(wanted.are_in(&found).unwrap() && wanted.addons_are_in(&found).unwrap());
        applied(&found, &settings("1.34.1", customisation));
    }
}

#[test]
fn rule_upgrade_starts_with_settings_and_the_addons_follow() {
    let found = initialised("1.34.1", &Customisation::default());
    let wanted = settings("1.35.2", Customisation::default());
    let before = applied_in(Part::Settings, &found, &wanted);
    assert_eq!(before.version().unwrap(), "1.35.2".parse().unwrap());
    assert!(wanted.are_in(&before).unwrap() && !wanted.addons_are_in(&before).unwrap());
    assert_eq!(before.kube_proxy_version(), Some("1.34.1".parse().unwrap()));
    assert_eq!(before.core_dns, found.core_dns);
    let after = applied_in(Part::Addons, &before, &wanted);
    assert!(wanted.addons_are_in(&after).unwrap());
    assert_eq!(
        after.kube_proxy.unwrap().image.as_deref(),
        Some("registry.k8s.io/kube-proxy:v1.35.2")
    );
    assert_eq!(
        after.core_dns.as_deref(),
        Some("registry.k8s.io/coredns/coredns:v1.13.1")
    );
    assert_eq!(after.cluster.content["networking"], found.cluster.content["networking"]);
}

#[test]
fn rule_the_document_becomes_what_the_new_kubeadm_reads() {
    let found = initialised("1.30.4", &customised());
    assert!(found.cluster.content["apiServer"]["extraArgs"].is_object());
    let after = applied(&found, &settings("1.31.0", customised()));
    let cluster = &after.cluster.content;
    assert_eq!(cluster["apiVersion"], "kubeadm.k8s.io/v1beta4");
    assert_eq!(
        cluster["apiServer"]["extraArgs"],
        json!([
            { "name": "profiling", "value": "false" },
            { "name": "shutdown-delay-duration", "value": "10s" },
        ])
    );
    assert!(cluster["apiServer"]["timeoutForControlPlane"].is_null());
    assert_eq!(cluster["etcd"]["local"]["dataDir"], "/var/lib/etcd");
}

#[test]
fn an_interrupted_change_is_seen_to_be_unfinished_after_every_step() {
    let found = initialised("1.34.1", &Customisation::default());
    let wanted = settings("1.35.0", customised());
    let changes = wanted.changes(&found, Part::Settings).unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
    for done in 0..changes.len() {
        let halfway = after(found.clone(), &changes[..done]);
        assert_eq!(halfway.version().unwrap(), "1.34.1".parse().unwrap());
        assert!(!wanted.are_in(&halfway).unwrap(), "after {done} changes");
        let finished = applied_in(Part::Settings, &halfway, &wanted);
        assert!(wanted.are_in(&finished).unwrap());
        assert_eq!(finished, after(found.clone(), &changes));
    }
    let found = after(found, &changes);
    let changes = wanted.changes(&found, Part::Addons).unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
    for done in 0..changes.len() {
        let halfway = after(found.clone(), &changes[..done]);
        assert!(!wanted.addons_are_in(&halfway).unwrap(), "after {done} changes");
        let finished = applied_in(Part::Addons, &halfway, &wanted);
        assert!(wanted.addons_are_in(&finished).unwrap());
        assert_eq!(finished, after(found.clone(), &changes));
    }
}

#[test]
fn what_is_chosen_no_longer_goes_and_what_others_wrote_stays() {
    let mut found = applied(&initialised("1.34.1", &customised()), &settings("1.34.1", customised()));
    found.cluster.content["apiServer"]["extraArgs"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "v", "value": "4" }));
    found.kubelet.as_mut().unwrap().content["imageGCHighThresholdPercent"] = json!(70);
    let after = applied(&found, &settings("1.34.1", Customisation::default()));
    assert_eq!(
        after.cluster.content["apiServer"],
        json!({
            "certSANs": ["203.0.113.10"],
            "extraArgs": [
                { "name": "shutdown-delay-duration", "value": "10s" },
                { "name": "v", "value": "4" },
            ],
        })
    );
    assert_eq!(after.cluster.content["imageRepository"], DEFAULT_IMAGE_REPOSITORY);
    assert_eq!(
        after.cluster.content["etcd"]["local"],
        json!({ "dataDir": "/var/lib/etcd" })
    );
    let kubelet = &after.kubelet.unwrap().content;
    assert_eq!(kubelet["imageGCHighThresholdPercent"], 70);
    assert!(kubelet["maxPods"].is_null(), "{kubelet}");
    assert!(after.kube_proxy.unwrap().configuration.content["mode"].is_null());
}

#[test]
fn another_configuration_of_kube_proxy_makes_its_pods_anew() {
    let found = initialised("1.34.1", &Customisation::default());
    let chosen = Customisation {
        kube_proxy: kube_proxy_configuration("mode: nftables").unwrap(),
        ..Customisation::default()
    };
    let after = applied(&found, &settings("1.34.1", chosen));
    let kube_proxy = after.kube_proxy.unwrap();
    assert_eq!(kube_proxy.configuration.content["mode"], "nftables");
    assert!(kube_proxy.rollout.is_some() && kube_proxy.rollout == kube_proxy.configuration.rollout);
    assert_eq!(kube_proxy.image, found.kube_proxy.unwrap().image);
}

#[test]
fn what_others_run_in_place_of_kubeadms_stays() {
    let mut found = initialised("1.34.1", &Customisation::default());
    found.kube_proxy = None;
    found.core_dns = Some("vendor.example.com/dns:v9.9.9".into());
    let after = applied(&found, &settings("1.35.0", Customisation::default()));
    assert_eq!(after.kube_proxy, None);
    assert_eq!(after.core_dns, found.core_dns);
}

#[test]
fn rule_local_and_external_etcd_are_not_swapped() {
    let mut found = initialised("1.34.1", &Customisation::default());
    found.cluster.content["etcd"] = json!({ "external": { "endpoints": ["https://10.0.0.9:2379"] } });
    assert_eq!(
        settings("1.34.2", Customisation::default()).changes(&found, Part::Settings),
        Err(SettingsError::ExternalEtcd)
    );
}
