//! User data as the provider renders it, written by hand.

use serde_json::{Value, json};

use super::{Region, SECRET, VERSION};

/// Path, mode, content.
type File<'a> = (&'a str, &'a str, String);

fn render(files: &[File<'_>], commands: &[Vec<&str>]) -> String {
    let files: Vec<Value> = files
        .iter()
        .map(|(path, mode, content)| json!({"path": path, "permissions": mode, "content": content}))
        .collect();
    // JSON is YAML.
    format!("#cloud-config\n{}\n", json!({"write_files": files, "runcmd": commands}))
}

fn prepared() -> (Vec<File<'static>>, Vec<Vec<&'static str>>) {
    let files = vec![
        ("/etc/modules-load.d/kubernetes.conf", "0644", "overlay\nbr_netfilter\n".to_owned()),
        (
            "/etc/sysctl.d/99-kubernetes.conf",
            "0644",
            "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n"
                .to_owned(),
        ),
        ("/usr/local/sbin/multizone-install-kubernetes", "0755", "#!/bin/bash\n".to_owned()),
    ];
    let commands = vec![
        vec!["swapoff", "-a"],
        vec!["sed", "-i", "-E", r"/\sswap\s/ s/^#*/#/", "/etc/fstab"],
        vec!["modprobe", "overlay"],
        vec!["modprobe", "br_netfilter"],
        vec!["sysctl", "--system"],
        vec!["/usr/local/sbin/multizone-install-kubernetes", "1.34", VERSION],
    ];
    (files, commands)
}

pub fn registration(zone: &str, name: &str, further: &str) -> Value {
    json!({
        "name": name,
        "criSocket": "unix:///run/containerd/containerd.sock",
        "kubeletExtraArgs": [
            {"name": "provider-id", "value": format!("gce://sandbox/{zone}/{name}")},
            {"name": "node-labels", "value": format!(
                "topology.kubernetes.io/region=us-central1,topology.kubernetes.io/zone={zone}{further}"
            )},
        ],
    })
}

pub fn master(region: &Region, zone: &str, name: &str) -> String {
    master_with(region, &registration(zone, name, ""))
}

pub fn master_with(region: &Region, registration: &Value) -> String {
    let endpoint = region.endpoint().to_string();
    let address = region.address(2).to_string();
    let init = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"description": "unused", "ttl": "1m0s"}],
        "localAPIEndpoint": {"bindPort": 6443, "advertiseAddress": address},
        "nodeRegistration": registration,
        "timeouts": {"controlPlaneComponentHealthCheck": "5m0s"},
    });
    let cluster = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "ClusterConfiguration",
        "clusterName": "demo",
        "kubernetesVersion": format!("v{VERSION}"),
        "controlPlaneEndpoint": format!("{endpoint}:6443"),
        "networking": {"dnsDomain": "cluster.local", "podSubnet": "10.244.0.0/16", "serviceSubnet": "10.96.0.0/12"},
        "apiServer": {
            "certSANs": [endpoint, address],
            "extraArgs": [{"name": "shutdown-delay-duration", "value": "10s"}],
        },
    });
    let kubelet = json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd"});
    let proxy = json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "clusterCIDR": "10.244.0.0/16"});
    let documents = [init, cluster, kubelet, proxy]
        .map(|document| document.to_string())
        .join("\n---\n");
    let (mut files, mut commands) = prepared();
    files.push((
        "/usr/local/sbin/multizone-fetch-pki",
        "0755",
        "#!/bin/bash\n".to_owned(),
    ));
    files.push(("/etc/kubernetes/kubeadm.yaml", "0600", documents));
    let prefix = format!("{endpoint}/32");
    commands.push(vec!["/usr/local/sbin/multizone-fetch-pki", SECRET]);
    commands.push(vec!["ip", "address", "add", &prefix, "dev", "lo"]);
    commands.push(vec!["kubeadm", "init", "--config", "/etc/kubernetes/kubeadm.yaml"]);
    commands.push(vec!["systemctl", "enable", "--now", "kubelet"]);
    render(&files, &commands)
}

/// A master that joins.
pub fn joining_master(region: &Region, zone: &str, name: &str, last: u8, token: &str, hash: &str) -> String {
    let endpoint = region.endpoint().to_string();
    let join = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "controlPlane": {"localAPIEndpoint": {"bindPort": 6443, "advertiseAddress": region.address(last).to_string()}},
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": format!("{endpoint}:6443"), "token": token, "caCertHashes": [hash],
        }},
        "nodeRegistration": registration(zone, name, ""),
    });
    let (mut files, mut commands) = prepared();
    files.push((
        "/usr/local/sbin/multizone-fetch-pki",
        "0755",
        "#!/bin/bash\n".to_owned(),
    ));
    files.push((
        "/usr/local/sbin/multizone-api-route",
        "0755",
        "#!/bin/bash\n".to_owned(),
    ));
    files.push((
        "/etc/systemd/system/multizone-api-route.service",
        "0644",
        format!("[Service]\nExecStart=/usr/local/sbin/multizone-api-route {endpoint}/32\n"),
    ));
    files.push(("/etc/kubernetes/kubeadm.yaml", "0600", join.to_string()));
    commands.push(vec!["/usr/local/sbin/multizone-fetch-pki", SECRET]);
    commands.push(vec!["kubeadm", "join", "--config", "/etc/kubernetes/kubeadm.yaml"]);
    commands.push(vec!["systemctl", "enable", "--now", "multizone-api-route"]);
    commands.push(vec!["systemctl", "enable", "--now", "kubelet"]);
    render(&files, &commands)
}

pub fn worker(region: &Region, zone: &str, name: &str, token: &str, hash: &str) -> String {
    worker_with(region, &registration(zone, name, ",team=web"), token, hash)
}

pub fn worker_with(region: &Region, registration: &Value, token: &str, hash: &str) -> String {
    let join = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": format!("{}:6443", region.endpoint()), "token": token, "caCertHashes": [hash],
        }},
        "nodeRegistration": registration,
        "timeouts": {"discovery": "5m0s", "tlsBootstrap": "5m0s"},
    });
    let (mut files, mut commands) = prepared();
    files.push(("/etc/kubernetes/kubeadm.yaml", "0600", join.to_string()));
    commands.push(vec!["kubeadm", "join", "--config", "/etc/kubernetes/kubeadm.yaml"]);
    commands.push(vec!["systemctl", "enable", "--now", "kubelet"]);
    render(&files, &commands)
}

/// A `DaemonSet` like a pod network's.
pub fn pod_network() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "pod-network", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"app": "pod-network"}},
            "template": {
                "metadata": {"labels": {"app": "pod-network"}},
                "spec": {
                    "hostNetwork": true,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "agent",
                        "image": "example.com/pod-network:1",
                        "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}],
                    }],
                    "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                },
            },
        },
    })
}
