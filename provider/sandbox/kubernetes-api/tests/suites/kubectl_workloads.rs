//! The real kubectl applies workloads and volumes, and drains nodes under a disruption budget.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::fixture::{Cluster, Kubectl, eventually, kubectl_is_there, node, run_kubelets};

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        ports:
        - containerPort: 80
        resources:
          requests: {cpu: 100m, memory: 64Mi}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - port: 80
";

const POD_NETWORK: &str = r"
apiVersion: v1
kind: Namespace
metadata:
  name: kube-flannel
  labels:
    pod-security.kubernetes.io/enforce: privileged
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: flannel
  namespace: kube-flannel
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: flannel
rules:
- apiGroups: ['']
  resources: [pods]
  verbs: [get]
- apiGroups: ['']
  resources: [nodes]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: flannel
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: flannel
subjects:
- kind: ServiceAccount
  name: flannel
  namespace: kube-flannel
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: kube-flannel-cfg
  namespace: kube-flannel
data:
  net-conf.json: |
    {'Network': '10.244.0.0/16', 'Backend': {'Type': 'vxlan'}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: kube-flannel-ds
  namespace: kube-flannel
  labels: {app: flannel}
spec:
  selector:
    matchLabels: {app: flannel}
  template:
    metadata:
      labels: {app: flannel}
    spec:
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions:
              - {key: kubernetes.io/os, operator: In, values: [linux]}
      hostNetwork: true
      priorityClassName: system-node-critical
      tolerations:
      - operator: Exists
        effect: NoSchedule
      serviceAccountName: flannel
      containers:
      - name: kube-flannel
        image: flannel/flannel:v0.27.0
        env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        volumeMounts:
        - {name: run, mountPath: /run/flannel}
      volumes:
      - name: run
        hostPath: {path: /run/flannel}
";

const VOLUME: &str = r"
apiVersion: v1
kind: PersistentVolume
metadata:
  name: data
  labels:
    topology.kubernetes.io/zone: us-central1-a
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ''
  gcePersistentDisk: {pdName: data, fsType: ext4}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - {key: topology.kubernetes.io/zone, operator: In, values: [us-central1-a]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
spec:
  storageClassName: ''
  volumeName: data
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 5Gi}}
---
apiVersion: v1
kind: Pod
metadata:
  name: database
spec:
  containers:
  - {name: database, image: 'postgres:17', volumeMounts: [{name: data, mountPath: /data}]}
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data}}
";

async fn cluster_with_nodes(nodes: &[(&str, &str)]) -> (Cluster, Kubectl) {
    let cluster = Cluster::start().await;
    let kubectl = cluster.kubectl();
    for (name, zone) in nodes {
        kubectl
            .apply_with(&["create", "-f", "-"], &node(name, zone).to_string())
            .await;
    }
    run_kubelets(cluster.client(&cluster.admin()).await);
    (cluster, kubectl)
}

const THREE: &[(&str, &str)] = &[
    ("a1", "us-central1-a"),
    ("b1", "us-central1-b"),
    ("f1", "us-central1-f"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_spreads_rolls_and_is_drained_only_as_its_budget_allows() {
    if !kubectl_is_there() {
        return;
    }
    let (_cluster, kubectl) = cluster_with_nodes(THREE).await;
    println!("{}", kubectl.apply(DEPLOYMENT).await);
    println!(
        "{}",
        kubectl
            .run(&["rollout", "status", "deployment/web", "--timeout=30s"])
            .await
    );
    let pods = kubectl.run(&["get", "pods", "-o", "wide"]).await;
    println!("{pods}");
    let nodes = kubectl
        .run(&["get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"])
        .await;
    let mut nodes: Vec<&str> = nodes.split_whitespace().collect();
    nodes.dedup();
    assert_eq!(nodes.len(), 2, "spread over zones");

    // Nothing changes on a second apply; a changed image rolls.
    assert!(
        kubectl
            .apply(DEPLOYMENT)
            .await
            .contains("deployment.apps/web unchanged")
    );
    assert!(
        kubectl
            .apply(&DEPLOYMENT.replace("1.27", "1.28"))
            .await
            .contains("deployment.apps/web configured")
    );
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=30s"])
        .await;
    assert!(kubectl.run(&["get", "rs", "-o", "wide"]).await.contains("nginx:1.28"));

    // Both pods on one node, and one must always serve: the drain waits for the replacement of each.
    let budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\n\
                  spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}\n";
    kubectl.apply(budget).await;
    let allowed = async || {
        kubectl
            .run(&["get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}"])
            .await
    };
    eventually("the budget's status", async || (allowed().await == "0").then_some(())).await;
    let victim = kubectl
        .run(&[
            "get",
            "pods",
            "-l",
            "app=web",
            "-o",
            "jsonpath={.items[0].spec.nodeName}",
        ])
        .await;
    let refused = kubectl
        .try_with(&["drain", &victim, "--ignore-daemonsets", "--timeout=2s"], "")
        .await;
    println!("{}", refused.err);
    assert!(!refused.ok);
    assert!(
        refused
            .err
            .contains("Cannot evict pod as it would violate the pod's disruption budget.")
    );
    assert!(
        kubectl
            .run(&["get", "node", &victim])
            .await
            .contains("SchedulingDisabled")
    );

    kubectl.run(&["scale", "deployment/web", "--replicas=3"]).await;
    kubectl
        .run(&["rollout", "status", "deployment/web", "--timeout=30s"])
        .await;
    eventually("room in the budget", async || (allowed().await == "1").then_some(())).await;
    println!("{}", kubectl.run(&["get", "pdb"]).await);
    let drained = kubectl
        .run(&["drain", &victim, "--ignore-daemonsets", "--timeout=30s"])
        .await;
    assert!(drained.contains(&format!("node/{victim} drained")));
    let selector = format!("spec.nodeName={victim}");
    assert_eq!(
        kubectl
            .run(&["get", "pods", "--field-selector", &selector, "-o", "name"])
            .await,
        ""
    );
    kubectl.run(&["uncordon", &victim]).await;

    let events = kubectl.run(&["get", "events"]).await;
    println!("{events}");
    assert!(events.contains("ScalingReplicaSet") && events.contains("Successfully assigned"));
    kubectl.run(&["delete", "deployment", "web", "--timeout=30s"]).await;
    eventually("the pods to go", async || {
        kubectl
            .run(&["get", "pods", "-o", "name"])
            .await
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_network_runs_on_every_node_and_its_namespace_can_go() {
    if !kubectl_is_there() {
        return;
    }
    let (_cluster, kubectl) = cluster_with_nodes(THREE).await;
    kubectl
        .run(&[
            "taint",
            "node",
            "f1",
            "node-role.kubernetes.io/control-plane:NoSchedule",
        ])
        .await;
    println!("{}", kubectl.apply(POD_NETWORK).await);
    println!(
        "{}",
        kubectl
            .run(&[
                "rollout",
                "status",
                "-n",
                "kube-flannel",
                "ds/kube-flannel-ds",
                "--timeout=30s"
            ])
            .await
    );
    let sets = kubectl.run(&["get", "ds", "-A"]).await;
    println!("{sets}");
    let row: Vec<&str> = sets.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&row[1..7], ["kube-flannel-ds", "3", "3", "3", "3", "3"]);
    let again = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let again = kubectl.apply_with(&again, POD_NETWORK).await;
    assert!(again.contains("daemonset.apps/kube-flannel-ds serverside-applied"));
    kubectl
        .run(&["delete", "namespace", "kube-flannel", "--timeout=30s"])
        .await;
    assert!(!kubectl.run(&["get", "ns"]).await.contains("kube-flannel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zonal_volume_keeps_its_pod_in_its_zone() {
    if !kubectl_is_there() {
        return;
    }
    let (_cluster, kubectl) = cluster_with_nodes(&[("b1", "us-central1-b")]).await;
    kubectl.apply(VOLUME).await;
    let pending = async || kubectl.run(&["describe", "pod", "database"]).await;
    eventually("the scheduler's word", async || {
        pending().await.contains("volume node affinity conflict").then_some(())
    })
    .await;
    kubectl
        .apply_with(&["create", "-f", "-"], &node("a1", "us-central1-a").to_string())
        .await;
    let placed = async || {
        kubectl
            .run(&["get", "pod", "database", "-o", "jsonpath={.spec.nodeName}"])
            .await
    };
    eventually("the pod's node", async || (placed().await == "a1").then_some(())).await;
    let volumes = kubectl.run(&["get", "pv,pvc"]).await;
    println!("{volumes}");
    assert!(volumes.contains("Bound") && volumes.contains("default/data") && volumes.contains("RWO"));
    let refused = kubectl
        .try_with(&["apply", "-f", "-"], &VOLUME.replace("pdName: data", "pdName: other"))
        .await;
    assert!(
        refused
            .err
            .contains("spec.persistentvolumesource is immutable after creation"),
        "{}",
        refused.err
    );
    let strict = kubectl
        .try_with(&["apply", "-f", "-"], &VOLUME.replace("capacity:", "kapacity:"))
        .await;
    assert!(strict.err.contains("unknown field \"spec.kapacity\""), "{}", strict.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_w_follows_changes() {
    if !kubectl_is_there() {
        return;
    }
    let (_cluster, kubectl) = cluster_with_nodes(&[("a1", "us-central1-a")]).await;
    let mut watching = kubectl
        .command(&["get", "nodes", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let (header, first) =
        tokio::task::block_in_place(|| (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap()));
    assert!(header.starts_with("NAME") && first.starts_with("a1"));
    kubectl.run(&["cordon", "a1"]).await;
    let changed = tokio::task::block_in_place(|| {
        lines
            .map(Result::unwrap)
            .inspect(|line| println!("{line}"))
            .find(|line| line.contains("SchedulingDisabled"))
    });
    assert!(changed.unwrap().starts_with("a1"));
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn server_side_apply_explains_conflicts_and_dry_runs_change_nothing() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = Cluster::start().await;
    let kubectl = cluster.kubectl();
    let map = |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: '{value}'}}\n");
    kubectl
        .apply_with(&["apply", "--server-side", "--field-manager=one", "-f", "-"], &map("1"))
        .await;
    let other = ["apply", "--server-side", "--field-manager=two", "-f", "-"];
    let refused = kubectl.try_with(&other, &map("2")).await;
    println!("{}", refused.err);
    assert!(refused.err.contains("conflict with \"one\": .data.a"));
    let forced = [&other[..], &["--force-conflicts"]].concat();
    kubectl.apply_with(&forced, &map("2")).await;
    kubectl
        .apply_with(&["apply", "--dry-run=server", "-f", "-"], &map("3"))
        .await;
    assert_eq!(kubectl.run(&["get", "cm", "m", "-o", "jsonpath={.data.a}"]).await, "2");
    let resources = kubectl.run(&["api-resources"]).await;
    assert!(resources.contains("poddisruptionbudgets") && resources.contains("csr"));
    println!(
        "{}",
        kubectl
            .run(&["get", "all,cm,sa,secrets,leases,csr,sc,pdb,ep", "-A"])
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_creates_what_it_sends_as_protobuf() {
    if !kubectl_is_there() {
        return;
    }
    let (_cluster, kubectl) = cluster_with_nodes(&[("a1", "us-central1-a")]).await;
    for command in [
        "create namespace shop",
        "create serviceaccount clerk -n shop",
        "create configmap settings -n shop --from-literal=colour=red",
        "create secret generic key -n shop --from-literal=password=x",
        "create deployment web -n shop --image=nginx:1.27 --replicas=2 --port=80",
        "create poddisruptionbudget web -n shop --selector=app=web --min-available=1",
        "create service clusterip web -n shop --tcp=80:8080",
        "create service nodeport outside -n shop --tcp=80",
        "create role reader -n shop --verb=get --resource=pods",
        "create rolebinding reader -n shop --role=reader --user=jane",
        "run single -n shop --image=busybox:1.36 -- sleep 1d",
        "expose deployment web -n shop --name=web2 --port=80",
        "set image deployment/web -n shop nginx=nginx:1.28",
        "annotate deployment/web -n shop note=x",
        "rollout restart deployment/web -n shop",
        "rollout status deployment/web -n shop --timeout=30s",
    ] {
        let args: Vec<&str> = command.split(' ').collect();
        println!("$ kubectl {command}\n{}", kubectl.run(&args).await);
    }
    assert_eq!(
        kubectl
            .run(&["get", "cm", "-n", "shop", "settings", "-o", "jsonpath={.data.colour}"])
            .await,
        "red"
    );
    let all = kubectl.run(&["get", "all,pdb,ep", "-n", "shop", "-o", "wide"]).await;
    println!("{all}");
    println!(
        "{}",
        kubectl.run(&["describe", "deployment", "web", "-n", "shop"]).await
    );
    println!(
        "{}",
        kubectl
            .run(&["rollout", "history", "deployment", "web", "-n", "shop"])
            .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_of_a_pod_network_are_established() {
    if !kubectl_is_there() {
        return;
    }
    let cluster = Cluster::start().await;
    let kubectl = cluster.kubectl();
    let definition = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: felixconfigurations.crd.projectcalico.org
spec:
  group: crd.projectcalico.org
  names: {kind: FelixConfiguration, listKind: FelixConfigurationList, plural: felixconfigurations, singular: felixconfiguration}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-preserve-unknown-fields: true
        properties:
          limits: {type: integer, minimum: 0, default: 3}
";
    kubectl.apply(definition).await;
    assert!(kubectl.apply(definition).await.contains("unchanged"));
    kubectl
        .run(&[
            "wait",
            "--for=condition=established",
            "--timeout=10s",
            "crd/felixconfigurations.crd.projectcalico.org",
        ])
        .await;
}
