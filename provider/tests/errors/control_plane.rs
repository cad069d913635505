//! Errors of control planes.

use std::collections::BTreeSet;

use multizone_cloud::{AddressHolder, CloudError, ClusterName, Labels, Outage, Role, label};
use multizone_provider::configuration::{Configured, Destroy};
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{
    cluster::{CLUSTER, cluster},
    memory_cloud::{Fault, machine},
    node_group::applied,
    read,
    run::{Run, check},
    world::Snapshot,
};

pub(crate) const CONTROL_PLANE: &str = "multizone_control_plane";

pub(crate) fn control_plane() -> Value {
    json!({
        "cluster": "demo",
        "kubernetes_version": "1.34.1",
        "machine_type": "n1-standard-2",
        "replicas": { "a": { "zone": "us-central1-a" } },
    })
}

pub(crate) fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut config = control_plane();
    config[name] = value.into();
    config
}

/// So many masters instead of some with keys.
fn counted(count: impl Into<Value>) -> Value {
    let mut config = with("replica_count", count);
    config["replicas"] = Value::Null;
    config
}

/// A region with a cluster at whose address nobody answers.
pub(crate) async fn region() -> Run {
    let run = Run::with(&[(CLUSTER, &cluster())]).await;
    run.cloud
        .tamper(|inventory| inventory.addresses[0].address = [127, 255, 255, 254].into());
    run
}

fn master(run: &Run, mark: Option<&str>) {
    let mut labels = Labels::from([(label::ROLE.to_owned(), Role::Master.as_str().to_owned())]);
    labels.extend(mark.map(|mark| (label::CREATING.to_owned(), mark.to_owned())));
    run.cloud.tamper(|inventory| {
        inventory
            .machines
            .push(machine("us-central1-a", "demo-master-b", labels));
    });
}

/// The control plane in Terraform's state, with what was last seen of it.
pub(crate) fn state(run: &mut Run, specification: &str, drift: &Value) {
    state_until(run, specification, drift, None);
}

/// The same, with the end of the master's certificates.
fn state_until(run: &mut Run, specification: &str, drift: &Value, certificates: Option<&str>) {
    let mut saved = control_plane();
    saved["id"] = "us-central1/demo".into();
    saved["endpoint"] = "https://127.255.255.254:6443".into();
    saved["boot_disk_gb"] = 30.into();
    saved["legacy_zone_labels"] = false.into();
    saved["deletion_protection"] = false.into();
    let node = json!({
        "replica": "a", "zone": "us-central1-a", "address": "10.0.0.2", "provider_id": "x", "state": "ready",
        "certificate_expires_at": certificates,
    });
    saved["nodes"] = json!({ "demo-master-a": node });
    saved["rollout"] = json!([]);
    let version = json!({ "major": 1, "minor": 34, "patch": 1 });
    let machine = json!({
        "replica": "a", "zone": "us-central1-a", "specification": specification, "version": version, "power": "On",
        "joining": false, "api": "Serving",
    });
    let member = json!({
        "machine": "demo-master-a", "learner": false, "started": true, "healthy": true,
        "version": { "major": 3, "minor": 6, "patch": 0 },
    });
    let node = json!({ "joined": true, "leaving": false, "pods": true, "volumes": false, "out_of_service": false });
    let world = json!({
        "cloud": { "endpoint": "Address", "zonal_subnets": false },
        "initialised": true,
        "address": { "holder": { "Machine": "demo-master-a" }, "answers": true, "failed": null },
        "machines": { "demo-master-a": machine },
        "membership_known": true,
        "members": { "1": member },
        "leader": 1,
        "balancer": null,
        "nodes": { "demo-master-a": node },
        "endpoints": ["demo-master-a"],
        "disks": {},
        "settings": { "version": version, "fingerprint": "" },
        "access": true,
        "pod_network": null,
        "zones": {},
        "oldest_worker": null,
        "backed_up": false,
    });
    run.put(CONTROL_PLANE, &saved, &json!({ "world": world, "drift": drift }));
}

/// The private data of the control plane in the state, changed.
pub(crate) fn seen_otherwise(run: &mut Run, change: impl FnOnce(&mut Value)) {
    let saved = run.state.get_mut(CONTROL_PLANE).unwrap();
    let mut seen: Value = serde_json::from_slice(&saved.private).unwrap();
    change(&mut seen);
    saved.private = seen.to_string().into_bytes();
}

/// What the master was made from.
pub(crate) fn made() -> String {
    let parts = ["us-central1-a", "n1-standard-2", "", "30", ""];
    format!("{:016x}", multizone_planner::fingerprint(&parts))
}

#[test]
fn choices_of_kubeadm_that_are_refused() {
    let refused = |kubeadm: Value| check(CONTROL_PLANE, &with("kubeadm", kubeadm));
    let arguments = |name: &str, value: &str| json!({ "api_server": { "extra_args": { name: [value] } } });
    read!("anonymous_auth", refused(arguments("anonymous-auth", "false")));
    read!(
        "argument_given",
        refused(arguments("etcd-servers", "https://10.0.0.9:2379"))
    );
    let mut old = with("kubernetes_version", "1.30.4");
    let issuers = ["https://a.example.com", "https://b.example.com"];
    old["kubeadm"] = json!({ "api_server": { "extra_args": { "service-account-issuer": issuers } } });
    read!("argument_repeated", check(CONTROL_PLANE, &old));
    let volume = |name: &str, host_path: &str, mount_path: &str, kind: &str| {
        let volume = json!({ "host_path": host_path, "mount_path": mount_path, "path_type": kind });
        refused(json!({ "scheduler": { "extra_volumes": { name: volume } } }))
    };
    read!("volume_name", volume("Audit", "/etc/audit", "/etc/audit", "File"));
    read!("volume_taken", volume("k8s-certs", "/etc/audit", "/etc/audit", "File"));
    read!("volume_path", volume("audit", "etc/audit", "/etc/ssl/certs", "Folder"));
    read!("patch", refused(json!({ "patches": { "apiserver.yaml": "spec: {}" } })));
    read!(
        "kubelet",
        refused(json!({ "kubelet_configuration": "cgroupDriver: cgroupfs" }))
    );
    read!(
        "kube_proxy",
        refused(json!({ "kube_proxy_configuration": "clusterCIDR: 10.0.0.0/8" }))
    );
    read!(
        "image_repository",
        refused(json!({ "image_repository": "https://mirror.example.com/" }))
    );
    read!("cri_socket", refused(json!({ "cri_socket": "/run/crio/crio.sock" })));
    let large = "# ".to_owned() + &"x".repeat(20_000);
    read!("user_data", refused(json!({ "patches": { "etcd.yaml": large } })));
}

#[test]
fn configurations_that_are_refused() {
    read!("no_master", check(CONTROL_PLANE, &with("replicas", json!({}))));
    read!(
        "neither_replicas_nor_their_number",
        check(CONTROL_PLANE, &counted(Value::Null))
    );
    read!(
        "replicas_and_their_number",
        check(CONTROL_PLANE, &with("replica_count", 3))
    );
    read!("too_many_replicas", check(CONTROL_PLANE, &counted(8)));
    let two = json!({ "a": { "zone": "us-central1-a" }, "b": { "zone": "us-central1-b" } });
    let mut fragile = with("replicas", two);
    fragile["tolerate_zone_loss"] = json!(true);
    read!("zone_loss", check(CONTROL_PLANE, &fragile));
    let key = json!({ "A b": { "zone": "us-central1-a" } });
    read!("replica_key", check(CONTROL_PLANE, &with("replicas", key)));
    read!("version", check(CONTROL_PLANE, &with("kubernetes_version", "v1.34")));
    read!(
        "version_from_the_future",
        check(CONTROL_PLANE, &with("kubernetes_version", "1.99.0"))
    );
    read!("boot_disk", check(CONTROL_PLANE, &with("boot_disk_gb", 1)));
    let manifest = |text: &str| check(CONTROL_PLANE, &with("pod_network_manifest", text));
    read!("manifest_no_object", manifest("just text"));
    read!("manifest_no_kind", manifest("apiVersion: v1\nmetadata: { name: x }\n"));
    read!("manifest_no_yaml", manifest("a: ["));
}

#[tokio::test]
async fn plans_that_are_refused() {
    let mut run = Run::new();
    let mut plan = async |config: Value| run.plan(CONTROL_PLANE, Some(&config)).await;
    read!("too_few_cpus", plan(with("machine_type", "n1-standard-1")).await);
    read!("too_little_memory", plan(with("machine_type", "e2-micro")).await);
    read!("machine_type", plan(with("machine_type", "q9-huge")).await);
    let elsewhere = json!({ "a": { "zone": "europe-west1-b" } });
    read!("zone", plan(with("replicas", elsewhere)).await);
}

#[tokio::test]
async fn balancers_that_are_not_the_clusters_or_not_everywhere() {
    let mut run = region().await;
    read!(
        "other_balancer",
        run.plan(CONTROL_PLANE, Some(&with("load_balancer", "front"))).await
    );
    let zones = BTreeSet::from(["us-central1-b".to_owned()]);
    run.provider
        .plan_balancer(&ClusterName::new("demo"), "api", Some(zones));
    read!(
        "balancer_misses_a_zone",
        run.plan(CONTROL_PLANE, Some(&with("load_balancer", "api"))).await
    );
}

#[tokio::test]
async fn replicas_that_cannot_be_spread() {
    let mut run = region().await;
    let mut fragile = counted(3);
    fragile["tolerate_zone_loss"] = json!(true);
    read!(
        "number_that_loses_a_zone",
        run.plan(CONTROL_PLANE, Some(&fragile)).await
    );
    let run = region().await;
    let settings = json!({ "format": 1, "pod_cidr": "", "service_cidr": "", "ca_certificate": "" }).to_string();
    let name = "multizone-us-central1-demo-settings";
    run.cloud.tamper_with_secret(name, Some(settings.as_bytes()));
    // Another process, which did not plan the cluster.
    let mut run = Run {
        provider: Configured::new(run.cloud.clone(), Destroy::default()),
        ..run
    };
    read!("zones_not_kept", run.apply(CONTROL_PLANE, Some(&counted(3))).await);

    // The masters name the cluster, which is planned after them, by a literal.
    let mut run = Run::new();
    read!(
        "planned_before_their_cluster",
        run.plan(CONTROL_PLANE, Some(&counted(3))).await
    );
    run.cloud.hide(Some(CloudError::Forbidden {
        object: format!("secret {name}"),
        reason: "secretmanager.versions.access is missing".into(),
    }));
    let said = run.plan(CONTROL_PLANE, Some(&counted(3))).await;
    read!("zones_that_cannot_be_asked_for", said);

    // The masters name the cluster, which is planned to span another zone, by a literal.
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    run.amend(CONTROL_PLANE, "replica_count", &json!(1));
    let demo = ClusterName::new("demo");
    run.provider = Configured::new(run.cloud.clone(), Destroy::default());
    run.provider.read_counted(&demo);
    run.provider
        .plan_zones(&demo, BTreeSet::from(["us-central1-b".to_owned()]));
    read!("zones_not_waited_for", run.plan(CONTROL_PLANE, Some(&counted(1))).await);

    // Nothing was read: -refresh=false.
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    run.amend(CONTROL_PLANE, "replica_count", &json!(1));
    run.provider = Configured::new(run.cloud.clone(), Destroy::default());
    run.provider
        .plan_zones(&demo, BTreeSet::from(["us-central1-b".to_owned()]));
    read!(
        "zones_without_a_refresh",
        run.plan(CONTROL_PLANE, Some(&counted(1))).await
    );
}

#[tokio::test]
async fn changes_that_are_refused_or_warned_of() {
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    let mut plan = async |config: Value| run.plan(CONTROL_PLANE, Some(&config)).await;
    read!("version_back", plan(with("kubernetes_version", "1.33.9")).await);
    read!("two_minors", plan(with("kubernetes_version", "1.36.0")).await);
    read!("replaces_the_only_master", plan(with("image", "other")).await);
    read!(
        "machine_type_of_a_change",
        plan(with("machine_type", "n1-standard-1")).await
    );
    let spread = json!({ "a": { "zone": "us-central1-a" }, "b": { "zone": "us-central1-a" } });
    read!("two_masters", plan(with("replicas", spread)).await);

    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    run.amend(CONTROL_PLANE, "load_balancer", &json!("api"));
    seen_otherwise(&mut run, |seen| {
        let world = &mut seen["world"];
        world["cloud"]["endpoint"] = "DnsName".into();
        world["balancer"] = json!({ "zones": ["us-central1-a"], "targets": { "demo-master-a": "Serving" } });
    });
    read!(
        "without_the_balancer_that_is_the_endpoint",
        run.plan(CONTROL_PLANE, Some(&control_plane())).await
    );
}

#[tokio::test]
async fn what_plans_warn_of() {
    let mut run = region().await;
    let config = with("pod_network_manifest", Value::Null);
    let reason = "the Kubernetes API at https://127.255.255.254:6443 does not answer (to ask whether it is ready)";
    let since = "since 2026-01-02T03:04:05Z: KubeletNotReady: PLEG is not healthy";
    state(&mut run, &made(), &json!({ "silence": reason }));
    read!("silent", run.plan(CONTROL_PLANE, Some(&config)).await);
    state(&mut run, &made(), &json!({ "not_ready": { "demo-master-a": since } }));
    read!("not_ready", run.plan(CONTROL_PLANE, Some(&config)).await);
    state(&mut run, &format!("{}, now n1-standard-8", made()), &json!({}));
    read!("retyped", run.plan(CONTROL_PLANE, Some(&config)).await);
    state(&mut run, &made(), &json!({ "unlabelled": "demo-master-a" }));
    read!("unlabelled", run.plan(CONTROL_PLANE, Some(&config)).await);
    state(&mut run, &made(), &json!({}));
    read!("destroy_loses_etcd", run.plan(CONTROL_PLANE, None).await);
    run.amend(CONTROL_PLANE, "deletion_protection", &json!(true));
    read!("protected", run.plan(CONTROL_PLANE, None).await);
    state_until(&mut run, &made(), &json!({}), Some("2020-01-01T00:00:00Z"));
    let change = with("image", "other");
    read!("certificates", run.plan(CONTROL_PLANE, Some(&change)).await);
}

#[tokio::test]
async fn creates_that_fail() {
    let impatient = with("timeouts", json!({ "create": "0s", "update": null, "delete": null }));
    let mut run = Run::new();
    read!("no_cluster", run.apply(CONTROL_PLANE, Some(&control_plane())).await);
    let mut run = region().await;
    master(&run, None);
    run.read(CLUSTER).await;
    read!("exists", run.apply(CONTROL_PLANE, Some(&control_plane())).await);
    let mut run = region().await;
    master(&run, Some("true"));
    read!("unfinished", run.apply(CONTROL_PLANE, Some(&impatient)).await);
    let mut run = region().await;
    // The first call takes the cluster's turn.
    run.cloud.fail(1, Fault::Before);
    read!("create_lost", run.apply(CONTROL_PLANE, Some(&control_plane())).await);
    let mut run = region().await;
    run.stop.request();
    read!("stopped", run.apply(CONTROL_PLANE, Some(&control_plane())).await);
    let mut run = region().await;
    let patient = with("timeouts", json!({ "create": "600ms", "update": null, "delete": null }));
    read!("never_serves", run.apply(CONTROL_PLANE, Some(&patient)).await);
    let mut run = region().await;
    read!("no_time", run.apply(CONTROL_PLANE, Some(&impatient)).await);
}

#[tokio::test]
async fn updates_and_destroys_that_fail() {
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    let legacy = with("legacy_zone_labels", true);
    read!("machine_gone", run.apply(CONTROL_PLANE, Some(&legacy)).await);
    run.cloud.tamper(|inventory| {
        inventory.addresses[0].holder = Some(AddressHolder::Machine {
            zone: "us-central1-a".into(),
            name: "demo-master-a".into(),
        });
    });
    read!("destroy_unlabelled", run.apply(CONTROL_PLANE, None).await);
}

const KEYS: &str = "multizone-us-central1-demo-keys";
const SETTINGS: &str = "multizone-us-central1-demo-settings";

/// A control plane that stands, with its master.
pub(crate) async fn standing() -> Run {
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    let labels = Labels::from([(label::ROLE.to_owned(), Role::Master.as_str().to_owned())]);
    let master = machine("us-central1-a", "demo-master-a", labels);
    run.cloud.tamper(|inventory| inventory.machines.push(master));
    run
}

/// What a destroy says that stops before it has deleted anything.
async fn stops(run: &mut Run) -> Diagnostics {
    let before = run.cloud.all();
    let said = run.apply(CONTROL_PLANE, None).await;
    assert!(said.has_errors(), "the destroy stops");
    assert_eq!(run.cloud.all(), before, "nothing was deleted");
    assert!(run.state.contains_key(CONTROL_PLANE), "it stays in Terraform's state");
    said
}

#[tokio::test]
async fn destroys_that_cannot_look_at_the_clusters_keys_stop() {
    let failing = |name: &str| CloudError::Unavailable {
        object: format!("secret {name}"),
        outage: Outage::Failing,
        attempts: 8,
        reason: "503 Service Unavailable: The service is currently unavailable".to_owned(),
    };
    let forbidden = |name: &str| CloudError::Forbidden {
        object: format!("secret {name}"),
        reason: "Permission 'secretmanager.versions.access' denied".to_owned(),
    };
    let mut run = standing().await;
    run.cloud.keep_back(KEYS, Some(failing(KEYS)));
    read!("destroy_without_an_answer_about_the_keys", stops(&mut run).await);
    run.cloud.keep_back(KEYS, Some(forbidden(KEYS)));
    read!("destroy_that_may_not_see_the_keys", stops(&mut run).await);
    run.cloud.keep_back(KEYS, None);
    run.cloud.keep_back(SETTINGS, Some(failing(SETTINGS)));
    read!("destroy_without_an_answer_about_the_settings", stops(&mut run).await);
    run.cloud.keep_back(KEYS, Some(forbidden(KEYS)));
    stops(&mut run).await;
    run.cloud.keep_back(SETTINGS, None);
    run.cloud.keep_back(KEYS, None);
    run.cloud.tamper_with_secret(KEYS, Some(b"{\"format\":2}"));
    read!("destroy_with_keys_of_a_later_release", stops(&mut run).await);
    run.cloud.tamper_with_secret(SETTINGS, Some(b"{\"format\":2}"));
    read!("destroy_with_settings_of_a_later_release", stops(&mut run).await);
    // The masters can be asked, and an apply of the cluster writes them anew.
    run.cloud.tamper_with_secret(SETTINGS, None);
    read!("destroy_without_settings", stops(&mut run).await);
    // Once the keys are gone for good, nobody can be asked any more.
    run.cloud.tamper_with_secret(KEYS, None);
    goes_on(run).await;
}

async fn goes_on(mut run: Run) {
    let said = run.apply(CONTROL_PLANE, None).await;
    assert!(!said.has_errors(), "{said}");
    assert_eq!(run.cloud.all().machines, [], "the master went as it was");
    assert!(!run.state.contains_key(CONTROL_PLANE));
}

#[tokio::test]
async fn destroys_go_on_where_the_clusters_keys_are_provably_gone() {
    let run = standing().await;
    run.cloud.tamper_with_secret(KEYS, None);
    goes_on(run).await;
    let run = standing().await;
    run.cloud.tamper(|inventory| inventory.addresses.clear());
    goes_on(run).await;
}

#[tokio::test]
async fn reads_that_fail() {
    let mut run = region().await;
    state(&mut run, &made(), &json!({}));
    run.cloud.hide(Some(CloudError::Forbidden {
        object: "the machines".into(),
        reason: "compute.instances.list is missing".into(),
    }));
    read!("read_forbidden", run.read(CONTROL_PLANE).await);
    run.cloud.hide(None);
    run.amend(CONTROL_PLANE, "kubernetes_version", &json!("old"));
    read!("state_that_is_none", run.read(CONTROL_PLANE).await);
}

#[tokio::test]
async fn imports_that_fail() {
    let run = region().await;
    read!("import_malformed", run.import(CONTROL_PLANE, "demo").await);
    read!(
        "import_other_region",
        run.import(CONTROL_PLANE, "asia-east1/demo").await
    );
    read!("import_nothing", run.import(CONTROL_PLANE, "us-central1/demo").await);
}

#[tokio::test]
async fn what_a_cluster_does_not_take() {
    let unknown = "apiVersion: example.com/v1\nkind: Pool\nmetadata: { name: x }\n";
    let nothing = Snapshot::of_an_empty_region().await.with(CLUSTER, &cluster()).await;
    let config = with("pod_network_manifest", unknown);
    read!(
        "manifest_of_unknown_kind",
        applied(&nothing, CONTROL_PLANE, config).await
    );
    let wrong = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: X_1, namespace: default }\n";
    let config = with("pod_network_manifest", wrong);
    read!("manifest_refused", applied(&nothing, CONTROL_PLANE, config).await);
    // A pod network that is none: the master never becomes Ready.
    let mut config = with(
        "pod_network_manifest",
        "apiVersion: v1\nkind: Namespace\nmetadata: { name: x }\n",
    );
    config["timeouts"] = json!({ "create": "20s", "update": null, "delete": null });
    read!("never_ready", applied(&nothing, CONTROL_PLANE, config).await);
}
