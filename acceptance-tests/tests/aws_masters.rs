//! The examples on AWS's code, with nothing but another provider block and other variables, by real `terraform` against
//! moto, whose instances are guests of the sandbox that boot from their user data: control planes really come up, behind
//! the load balancer's name, and every master runs a member of etcd.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use multizone_acceptance_tests::{Moto, Prober, Workspace, applied, documented_actions, installed, masters, planned};
use serde_json::json;

const ZONES: [&str; 3] = ["us-west-2a", "us-west-2b", "us-west-2c"];

/// What a plan says where an address is handed over, which never happens on AWS.
const HAND_OVER: [&str; 3] = ["hand over", "handover", "attach"];

/// What the policy allows besides what a walk-through without a disk and without damage calls.
const NOT_CALLED_HERE: [&[&str]; 3] = [
    // Disks, which tests/aws.rs has.
    &[
        "ec2:CreateSnapshot",
        "ec2:CreateVolume",
        "ec2:DeleteSnapshot",
        "ec2:DeleteVolume",
        "ec2:ModifyVolume",
    ],
    // What somebody has changed or stopped is mended with these.
    &[
        "ec2:DisassociateRouteTable",
        "ec2:ReplaceRoute",
        "ec2:StartInstances",
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:ModifyTargetGroup",
        "secretsmanager:UpdateSecret",
    ],
    // AWS asks for these when other calls are made.
    &[
        "iam:CreateServiceLinkedRole",
        "iam:PassRole",
        "iam:TagInstanceProfile",
        "iam:TagRole",
        "secretsmanager:TagResource",
    ],
];

/// Terminates the instance of this name as somebody else does.
const TERMINATE: &str = "for r in ec2.describe_instances(Filters=[{'Name': 'tag:multizone-name', 'Values': ['NAME']}])['Reservations']:\n\
    \x20   ec2.terminate_instances(InstanceIds=[i['InstanceId'] for i in r['Instances']])";

/// Takes the instance of this name off the load balancer as somebody else does.
const DEREGISTER: &str = "group = elbv2.describe_target_groups()['TargetGroups'][0]['TargetGroupArn']\n\
    for r in ec2.describe_instances(Filters=[{'Name': 'tag:multizone-name', 'Values': ['NAME']}])['Reservations']:\n\
    \x20   elbv2.deregister_targets(TargetGroupArn=group, Targets=[{'Id': i['InstanceId']} for i in r['Instances']])";

/// The zone and the state of every instance, and the zone of every volume.
const MACHINES: &str = "instances = [i for r in ec2.describe_instances()['Reservations'] for i in r['Instances']]\n\
    answer = [sorted([i['Placement']['AvailabilityZone'], i['State']['Name']] for i in instances),\n\
    \x20  sorted(v['AvailabilityZone'] for v in ec2.describe_volumes()['Volumes'])]";

/// An example in an account of its own.
struct Example {
    workspace: Workspace,
    moto: Moto,
    /// The variables that make it one of AWS.
    variables: Vec<String>,
}

impl Example {
    /// Says loudly which test is skipped when something is not installed.
    fn of(name: &str) -> Option<Self> {
        if !installed("terraform") || !installed("kubectl") {
            return None;
        }
        let moto = Moto::start_with_machines()?;
        let networks = moto.networks();
        // 127.N.64.0/18 has 127.N.64.0/24 and so on.
        let (network, _) = networks.split_once(".64.0/18").unwrap();
        let subnets = ZONES.iter().enumerate();
        let subnets = subnets.map(|(number, zone)| format!("\"{zone}\" = \"{network}.{}.0/24\"", 64 + number));
        let variables = vec![
            "-var-file=aws.tfvars".to_owned(),
            format!("-var=network_cidr={networks}"),
            format!("-var=subnet_cidrs={{{}}}", subnets.collect::<Vec<_>>().join(", ")),
        ];
        Some(Self {
            workspace: Workspace::of_example_on_aws(&moto, name),
            moto,
            variables,
        })
    }

    /// Arguments with which it spans as many zones, and these besides.
    fn arguments<'a>(&'a self, further: &[&'a str]) -> Vec<&'a str> {
        self.variables
            .iter()
            .map(String::as_str)
            .chain(further.iter().copied())
            .collect()
    }

    /// Applies what a plan says, which is nothing about an address, and asserts that the next one is empty.
    fn roll_out(&self, during: &str, further: &[&str]) -> Vec<String> {
        let arguments = self.arguments(further);
        let steps = planned(&self.workspace, &arguments);
        let text = steps.join("\n");
        assert!(
            !HAND_OVER.iter().any(|spoken| text.contains(spoken)),
            "{during}: {text}"
        );
        assert_eq!(applied(&self.workspace), steps, "{during}");
        self.workspace.assert_empty_plan(&arguments);
        steps
    }

    /// The same, while the API is asked all the time and always answers.
    fn roll_out_unnoticed(&self, during: &str, further: &[&str]) -> Vec<String> {
        let prober = Prober::start(&self.workspace);
        let steps = self.roll_out(during, further);
        prober.saw_no_failure(during, &steps);
        steps
    }

    /// The zone of every node, by Kubernetes.
    fn zones(&self) -> Vec<String> {
        self.of_each_node("metadata.labels.topology\\.kubernetes\\.io/zone")
    }

    /// The version of every node, by Kubernetes.
    fn versions(&self) -> Vec<String> {
        self.of_each_node("status.nodeInfo.kubeletVersion")
    }

    fn of_each_node(&self, field: &str) -> Vec<String> {
        let output = format!("jsonpath={{range .items[*]}}{{.{field}}}{{\"\\n\"}}{{end}}");
        let nodes = self
            .workspace
            .kubectl("demo", &["get", "nodes", "-o", &output])
            .succeeded();
        let mut values: Vec<_> = nodes.stdout.lines().map(str::to_owned).collect();
        values.sort();
        values
    }

    /// Does to the instance of this name what a program of boto3 says.
    fn harm(&self, program: &str, name: &str) {
        self.moto.boto3(&program.replace("NAME", name));
    }

    fn destroy(&self, further: &[&str]) {
        let arguments = self.arguments(further);
        let _ = self
            .workspace
            .terraform(&[&["destroy", "-auto-approve"], &arguments[..]].concat())
            .succeeded();
        assert_eq!(self.moto.left(), json!({}));
    }
}

#[test]
fn masters_grow_from_one_to_three_are_replaced_and_shrink_to_one_without_a_failed_request() {
    let Some(example) = Example::of("highly-available") else {
        return;
    };
    let workspace = &example.workspace;
    let one = r#"-var=masters=["us-west-2a"]"#;
    let one_zone = [r#"-var=zones=["us-west-2a"]"#, one];
    let _ = workspace.apply(&example.arguments(&one_zone));
    workspace.assert_empty_plan(&example.arguments(&one_zone));
    assert_eq!(example.zones(), ["us-west-2a"; 2], "a master and a worker");

    let steps = example.roll_out_unnoticed("from one to three, on AWS", &[]);
    assert_eq!(steps.len(), 4, "{steps:#?}");
    assert_eq!(masters(workspace), ["demo-master-a", "demo-master-b", "demo-master-c"]);
    let mut both: Vec<_> = ZONES.iter().chain(&ZONES).collect();
    both.sort();
    assert_eq!(example.zones().iter().collect::<Vec<_>>(), both);

    example.harm(DEREGISTER, "demo-master-c");
    let steps = example.roll_out_unnoticed("one of three is taken off the load balancer, on AWS", &[]);
    assert_eq!(steps, ["put master c behind balancer api, wait until it serves"]);

    // What it is just answering when it is terminated is lost, and nothing of what is asked once that is known.
    let prober = Prober::start(workspace);
    example.harm(TERMINATE, "demo-master-b");
    let steps = planned(workspace, &example.arguments(&[]));
    prober.saw_only_broken_connections("one of three is terminated, on AWS");
    let prober = Prober::start(workspace);
    assert_eq!(steps[0], "remove master b from etcd", "{steps:#?}");
    let done = applied(workspace);
    prober.saw_no_failure("one of three is made again, on AWS", &done);
    workspace.assert_empty_plan(&example.arguments(&[]));

    let newer = ["-var=master_machine_type=t3.large", "-var=kubernetes_version=1.34.2"];
    let steps = example.roll_out_unnoticed("each of three masters is replaced by a newer one, on AWS", &newer);
    assert_eq!(example.versions(), ["v1.34.2"; 6], "masters and workers");
    let joins = steps.iter().filter(|step| step.contains(" to replace master "));
    assert_eq!(joins.count(), 3, "{steps:#?}");
    let replaced = ["demo-master-a-2", "demo-master-b-2", "demo-master-c-2"];
    assert_eq!(masters(workspace), replaced);

    let one = [one, newer[0], newer[1]];
    let _ = example.roll_out_unnoticed("from three to one, on AWS", &one);
    assert_eq!(masters(workspace), ["demo-master-a-2"]);

    example.destroy(&one);
    let (called, documented) = (example.moto.actions(), documented_actions());
    let unpermitted: BTreeSet<_> = called.difference(&documented).collect();
    assert!(unpermitted.is_empty(), "the guide's policy lacks {unpermitted:?}");
    let expected = NOT_CALLED_HERE.concat().into_iter().map(str::to_owned).collect();
    let superfluous: BTreeSet<_> = &(&documented - &called) - &expected;
    assert!(superfluous.is_empty(), "nothing needs {superfluous:?}");
}

#[test]
fn the_balancer_stays_as_long_as_masters_do_and_all_goes_in_one_destroy() {
    let Some(example) = Example::of("highly-available") else {
        return;
    };
    let workspace = &example.workspace;
    let all = example.arguments(&[
        r#"-var=zones=["us-west-2a"]"#,
        r#"-var=masters=["us-west-2a"]"#,
        "-var=nodes_per_zone=0",
    ]);
    let without = [&all[..], &["-var=balancer=false"]].concat();
    let _ = workspace.apply(&all);

    // The control plane that is to do without says so.
    let _ = workspace
        .terraform(&[&["plan"], &without[..]].concat())
        .exited(1)
        .saying(&[
            "load_balancer was api and cannot be left out",
            "Keep the multizone_api_load_balancer",
        ]);

    // One that still names it has nothing to say in the plan: the balancer itself stays, and serves.
    let main = std::fs::read_to_string(workspace.path().join("main.tf")).unwrap();
    let reference = "one(multizone_api_load_balancer.api[*].name)";
    assert!(main.contains(reference), "{main}");
    workspace.write("main.tf", &main.replace(reference, "\"api\""));
    let prober = Prober::start(workspace);
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &without[..]].concat())
        .exited(1)
        .saying(&[
            "The API's endpoint is the balancer's name: without the balancer nothing reaches the masters",
            "Put the multizone_api_load_balancer back into the configuration",
            "multizone_api_load_balancer.NAME.name",
        ]);
    prober.saw_no_failure("the balancer is to go before its masters, on AWS", &[]);
    workspace.write("main.tf", &main);
    workspace.assert_empty_plan(&all);

    let _ = workspace
        .terraform(&[&["destroy", "-auto-approve", "-parallelism=1"], &all[..]].concat())
        .succeeded();
    assert_eq!(example.moto.left(), json!({}));
}

#[test]
fn the_multi_zone_example_runs_on_aws() {
    let Some(mut example) = Example::of("multi-zone") else {
        return;
    };
    let workspace = &example.workspace;
    let small = ["-var=nodes_per_zone=1", r#"-var=zones=["us-west-2a"]"#];
    let _ = workspace.apply(&example.arguments(&small));
    workspace.assert_empty_plan(&example.arguments(&small));
    assert_eq!(example.zones(), ["us-west-2a"; 2], "a master and a worker");

    two_more_zones_of_which_one_has_no_capacity(&mut example, &small[..1]);
    let workspace = &example.workspace;

    // Forgotten and imported, nothing is to be done.
    for (address, id) in [
        ("multizone_control_plane.demo", "us-west-2/demo"),
        (
            r#"multizone_node_group.pool["us-west-2a"]"#,
            "us-west-2/demo/pool-us-west-2a",
        ),
    ] {
        let _ = workspace.terraform(&["state", "rm", address]).succeeded();
        let _ = workspace
            .terraform(&[&["import"], &example.arguments(&small[..1])[..], &[address, id]].concat())
            .succeeded();
    }
    workspace.assert_empty_plan(&example.arguments(&small[..1]));

    // Somebody stops a worker: it is started, and has another public address then.
    example.moto.boto3(
        "for r in ec2.describe_instances(Filters=[{'Name': 'availability-zone', 'Values': ['us-west-2b']}])['Reservations']:\n\
         \x20   ec2.stop_instances(InstanceIds=[i['InstanceId'] for i in r['Instances']])",
    );
    let changes = workspace.planned_changes(&example.arguments(&small[..1]));
    let group = r#"multizone_node_group.pool["us-west-2b"]"#;
    assert_eq!(changes, [(group.to_owned(), "update".to_owned())]);
    let _ = workspace.apply(&example.arguments(&small[..1]));
    workspace.assert_empty_plan(&example.arguments(&small[..1]));

    let _ = workspace.apply(&example.arguments(&small));
    workspace.assert_empty_plan(&example.arguments(&small));
    assert_eq!(example.zones(), ["us-west-2a"; 2]);
    example.destroy(&small);
}

/// The zone's subnet exists, and no machine can be had in it: the other zones' groups come up, the error says what is missing
/// where, nothing is left of the attempt, and the next apply makes that group and nothing else.
fn two_more_zones_of_which_one_has_no_capacity(example: &mut Example, three_zones: &[&str]) {
    let cluster = [three_zones, &["-target=multizone_cluster.demo"]].concat();
    let _ = example.workspace.apply(&example.arguments(&cluster));
    let subnet = example.moto.boto3(
        "answer = [s['SubnetId'] for s in ec2.describe_subnets()['Subnets']\n\
         \x20  if s['AvailabilityZone'] == 'us-west-2b' and s.get('Tags')][0]",
    );
    let faults = example.moto.with_faults(&json!([{
        "service": "ec2",
        "operation": "RunInstances",
        "body": format!("\"NetworkInterface.1.SubnetId\" == '{}'", subnet.as_str().unwrap()),
        "error": {
            "code": "InsufficientInstanceCapacity",
            "status": 500,
            "message": "We currently do not have sufficient t3.medium capacity.",
        },
    }]));
    example.workspace.reach_aws_at(faults.endpoint());
    let arguments = example.arguments(three_zones);
    let workspace = &example.workspace;
    let _ = workspace
        .terraform(&[&["apply", "-auto-approve"], &arguments[..]].concat())
        .exited(1)
        .saying(&[
            "multizone_node_group.pool[\"us-west-2b\"]",
            "in us-west-2b: no capacity: We currently do not have sufficient t3.medium capacity \
             (InsufficientInstanceCapacity, request ",
            "t3.medium is on offer in us-west-2a, us-west-2c",
        ]);
    let asked = faults.asked("RunInstances");
    let refused = asked.iter().filter(|it| it["NetworkInterface.1.SubnetId"] == subnet);
    assert_eq!(refused.count(), 1, "asking again makes no capacity: {asked:?}");
    let running = |zones: &[&str]| zones.iter().map(|zone| json!([zone, "running"])).collect::<Vec<_>>();
    let of_others = ["us-west-2a", "us-west-2a", "us-west-2c"];
    let volumes = ["us-west-2a", "us-west-2a", "us-west-2a", "us-west-2c"];
    assert_eq!(example.moto.boto3(MACHINES), json!([running(&of_others), volumes]));
    assert_eq!(example.zones(), of_others);

    example.workspace.reach_aws_at(example.moto.endpoint());
    let arguments = example.arguments(three_zones);
    let workspace = &example.workspace;
    let group = r#"multizone_node_group.pool["us-west-2b"]"#;
    let changes = workspace.planned_changes(&arguments);
    assert_eq!(changes, [(group.to_owned(), "create".to_owned())]);
    let _ = workspace.apply(&arguments);
    workspace.assert_empty_plan(&arguments);
    let all = ["us-west-2a", "us-west-2a", "us-west-2b", "us-west-2c"];
    assert_eq!(example.zones(), all);
    let volumes = [&volumes[..3], &["us-west-2b", "us-west-2c"]].concat();
    assert_eq!(example.moto.boto3(MACHINES), json!([running(&all), volumes]));
}
