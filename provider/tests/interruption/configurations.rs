//! No false drift: random valid configurations, each applied to a region of its own and followed by two empty plans, the
//! second from a fresh look.  The same ones every time.

use serde_json::{Value, json};

use crate::{CLUSTER, CONTROL_PLANE, DISK, ZONES, of_a_cluster, operation, world::Snapshot};

/// Chooses, the same way every time.
struct Chance(u64);

impl Chance {
    /// A number below `bound` (Knuth's MMIX generator; its upper bits are the good ones).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = self.below(u64::try_from(choices.len()).unwrap());
        choices[usize::try_from(index).unwrap()].clone()
    }

    /// Sets an attribute, or leaves it to its default.
    fn perhaps(&mut self, config: &mut Value, name: &str, choices: &[Value]) {
        if self.flip() {
            config[name] = self.one_of(choices);
        }
    }

    fn labels(&mut self) -> Value {
        let mut labels = serde_json::Map::new();
        for key in ["team", "tier", "x-1", "a_b"] {
            if self.flip() {
                labels.insert(
                    key.to_owned(),
                    self.one_of(&[json!("web"), json!(""), json!("0-9"), json!("a_b")]),
                );
            }
        }
        labels.into()
    }

    fn disk(&mut self) -> Value {
        let mut config = json!({ "cluster": "demo", "zone": self.one_of(&ZONES), "size_gb": 10 + self.below(500) });
        config["name"] = self.one_of(&[json!("data"), json!("d"), json!("a-rather-long-name")]);
        let labels = self.labels();
        self.perhaps(&mut config, "labels", &[labels, json!({})]);
        let types = ["pd-standard", "pd-balanced", "pd-ssd"].map(Value::from);
        self.perhaps(&mut config, "disk_type", &types);
        self.perhaps(&mut config, "filesystem", &[json!("ext4"), json!("xfs")]);
        self.perhaps(&mut config, "storage_class", &[json!(""), json!("fast")]);
        for flag in ["legacy_zone_labels", "deletion_protection"] {
            self.perhaps(&mut config, flag, &[json!(true), json!(false)]);
        }
        self.perhaps(&mut config, "timeouts", &[json!({ "create": "5m" }), json!({})]);
        config
    }

    fn cluster(&mut self) -> Value {
        let mut zones = serde_json::Map::new();
        zones.insert(self.one_of(&ZONES).to_owned(), json!({ "subnet_cidr": null }));
        for zone in ZONES {
            if self.flip() {
                zones.insert(zone.to_owned(), json!({ "subnet_cidr": null }));
            }
        }
        let mut config = json!({ "name": self.one_of(&["demo", "d", "demo-3"]), "zones": zones });
        self.perhaps(
            &mut config,
            "pod_cidr",
            &[json!("10.244.0.0/16"), json!("192.168.0.0/16")],
        );
        self.perhaps(
            &mut config,
            "service_cidr",
            &[json!("10.96.0.0/12"), json!("172.20.0.0/16")],
        );
        self.perhaps(&mut config, "deletion_protection", &[json!(true), json!(false)]);
        config
    }

    fn control_plane(&mut self) -> Value {
        let zone = self.one_of(&ZONES);
        let mut config = json!({
            "cluster": "demo",
            "kubernetes_version": self.one_of(&["1.34.1", "1.33.5", "1.29.0"]),
            "machine_type": self.one_of(&["n1-standard-2", "e2-standard-4"]),
            "replicas": { self.one_of(&["a", "first", "0"]): { "zone": zone } },
        });
        let manifest = include_str!("../../../examples/multi-zone/pod-network.yaml");
        self.perhaps(&mut config, "pod_network_manifest", &[json!(manifest)]);
        self.perhaps(&mut config, "boot_disk_gb", &[json!(30), json!(41)]);
        for flag in ["legacy_zone_labels", "deletion_protection"] {
            self.perhaps(&mut config, flag, &[json!(true), json!(false)]);
        }
        config
    }
}

/// Applies each to a region of its own and finds two plans after it empty.
async fn quiet(before: &Snapshot, type_name: &'static str, count: usize, mut next: impl FnMut() -> Value) {
    for number in 0..count {
        let config = next();
        let apply = operation("apply it", type_name, Some(config.clone()));
        if let Err(trouble) = before.thaw().try_to_converge(&apply).await {
            panic!("configuration {number} of {count}, {config}: {trouble}");
        }
    }
}

#[tokio::test]
async fn disks_show_no_false_drift() {
    let mut chance = Chance(1);
    quiet(&of_a_cluster().await, DISK, 90, || chance.disk()).await;
}

#[tokio::test]
async fn clusters_show_no_false_drift() {
    let mut chance = Chance(2);
    let empty = Snapshot::of_an_empty_region().await;
    quiet(&empty, CLUSTER, 50, || chance.cluster()).await;
}

#[tokio::test]
async fn control_planes_show_no_false_drift() {
    let mut chance = Chance(3);
    quiet(&of_a_cluster().await, CONTROL_PLANE, 20, || chance.control_plane()).await;
}
