//! Random valid configurations of each resource, in JSON: the same ones every time.

use serde_json::{Value, json};

/// The region's zones.
pub(crate) const ZONES: [&str; 4] = ["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"];

/// Chooses, the same way every time.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `bound` (Knuth's MMIX generator; its upper bits are the good ones).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
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

    pub(crate) fn disk(&mut self) -> Value {
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

    pub(crate) fn cluster(&mut self) -> Value {
        let mut zones = serde_json::Map::new();
        zones.insert(
            self.one_of(&ZONES).to_owned(),
            json!({ "subnet_cidr": null, "existing_subnet": null }),
        );
        for zone in ZONES {
            if self.flip() {
                zones.insert(zone.to_owned(), json!({ "subnet_cidr": null, "existing_subnet": null }));
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

    pub(crate) fn control_plane(&mut self) -> Value {
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
        let arguments = |value: &str| json!({ "extra_args": { "audit-log-maxage": [value] } });
        let audit = json!({ "host_path": "/etc/audit", "mount_path": "/etc/audit" });
        let kubeadm = [
            json!({}),
            json!({ "api_server": arguments("7"), "control_plane_taint": self.flip() }),
            json!({ "controller_manager": { "extra_volumes": { "audit": audit } }, "etcd": { "extra_args": {} } }),
            json!({
                "scheduler": { "extra_args": { "v": ["2"] } },
                "patches": { "kube-scheduler+merge.yaml": "spec:\n  priority: 7\n" },
                "exclude_from_external_load_balancers": self.flip(),
            }),
            json!({
                "kubelet_configuration": "maxPods: 200\nsyncFrequency: 90s\n",
                "kube_proxy_configuration": "mode: nftables\n",
                "image_repository": "mirror.example.com/k8s",
            }),
        ];
        self.perhaps(&mut config, "kubeadm", &kubeadm);
        config
    }

    pub(crate) fn node_group(&mut self) -> Value {
        let name = self.one_of(&["pool", "p", "a-rather-long-name-of-a-group"]);
        let zone = self.one_of(&ZONES);
        json!({ "control_plane": "us-central1/demo", "name": name, "zone": zone })
    }

    /// Everything of a node group that can change while it lives.
    pub(crate) fn workers(&mut self, group: &Value) -> Value {
        let mut config = group.clone();
        config["kubernetes_version"] = self.one_of(&["1.34.1", "1.34.0", "1.33.5", "1.31.2"]).into();
        config["machine_type"] = self.one_of(&["n1-standard-1", "n1-standard-2", "e2-standard-4"]).into();
        config["size"] = self.one_of(&[0, 1, 1, 2, 2, 3]).into();
        let labels = self.node_labels();
        self.perhaps(&mut config, "labels", &[labels, json!({})]);
        let taints = self.taints();
        self.perhaps(&mut config, "taints", &[taints.clone(), taints, json!([])]);
        let (surge, unavailable) = self.one_of(&[(1, 0), (2, 0), (0, 1), (1, 1), (0, 3)]);
        config["max_surge"] = surge.into();
        config["max_unavailable"] = unavailable.into();
        self.perhaps(
            &mut config,
            "drain_timeout",
            &[json!("15m"), json!("1h30m"), json!("90s")],
        );
        self.perhaps(&mut config, "boot_disk_gb", &[json!(30), json!(41)]);
        self.perhaps(&mut config, "legacy_zone_labels", &[json!(true), json!(false)]);
        self.perhaps(&mut config, "timeouts", &[json!({ "update": "20m" }), json!({})]);
        config
    }

    fn node_labels(&mut self) -> Value {
        let mut labels = serde_json::Map::new();
        for key in ["team", "example.com/tier", "node.kubernetes.io/pool", "X.y_z"] {
            if self.flip() {
                labels.insert(
                    key.to_owned(),
                    self.one_of(&[json!("web"), json!(""), json!("A_b.c-9")]),
                );
            }
        }
        labels.into()
    }

    fn taints(&mut self) -> Value {
        let mut taints = Vec::new();
        for key in ["dedicated", "example.com/gpu"] {
            for effect in ["NoSchedule", "PreferNoSchedule", "NoExecute"] {
                if self.below(3) == 0 {
                    let mut taint = json!({ "key": key, "effect": effect });
                    self.perhaps(&mut taint, "value", &[json!("web"), json!("")]);
                    taints.push(taint);
                }
            }
        }
        // The order in which they are written means nothing to a Node.
        if self.flip() {
            taints.reverse();
        }
        taints.into()
    }
}
