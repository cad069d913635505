//! A handover whose new holder serves by itself and does not answer at the address is taken back.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{A, change::Change, of_masters, of_the_balancer, region};
use crate::{
    faults::{Faults, Moment, Point},
    world::World,
};
use multizone_sandbox::process::Etcd;

const RULES: &str = "regions/us-central1/forwardingRules";
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn an_address_whose_new_holder_does_not_answer_goes_back() {
    let before = region(&[A], false, Etcd::StandIn).await;
    let name = "from a single master onto a balancer that does not answer";
    let onto = Change {
        name,
        operations: vec![of_the_balancer(name, true), of_masters(name, &[A], true)],
    };
    let mut world = before.thaw();
    world.settled().await;
    let api = world.api().await;
    // The provider dies between the move and its proof, and somebody sends the balancer's connections elsewhere.
    let moved = Point {
        call: ("move_address api".to_owned(), 1),
        moment: Moment::KilledAfter,
    };
    let faults = Faults::at(Some(moved));
    assert!(world.run_all(&onto.operations, &faults).await.is_none(), "killed");
    let rule = rule(&world);
    listen_at(&world, &rule, "6444");
    assert!(api.write("nobody").await.is_err(), "nothing answers at the address");

    let masters = &onto.operations[1..];
    let faults = Faults::at(None);
    let Some(Err(refused)) = world.run_all(masters, &faults).await else {
        panic!("a handover that does not work is an error");
    };
    let steps = faults.executed();
    println!("{steps:#?}\n{refused}");
    assert!(
        steps
            .iter()
            .any(|step| step.starts_with("give back ") && step.contains("to master a")),
        "the address goes back: {steps:#?}"
    );
    let text = refused.to_string();
    for part in ["did not answer", "the balancer", "apply again"] {
        assert!(text.contains(part), "the error does not say {part:?}: {text}");
    }
    api.write("back").await.unwrap();

    // Once that is put right, the next apply tries again.
    let found = world.try_to_converge_all(&onto.operations).await;
    found.unwrap_or_else(|trouble| panic!("{trouble}"));
    api.accepts_writes("onto-the-balancer").await;
    let status = world.region.lock().unwrap().status();
    assert_eq!(status["balancers"][0]["active"], true, "{status:#}");
}

#[tokio::test]
async fn a_master_that_a_move_has_left_without_an_external_address_gets_one_again() {
    let before = region(&[A], true, Etcd::StandIn).await;
    let mut world = before.thaw();
    world.settled().await;
    // What a provider leaves that dies between the attaching and the old holder's own address.
    let machine = "zones/us-central1-a/instances/demo-master-a";
    let path = format!("{machine}/deleteAccessConfig?accessConfig=External%20NAT&networkInterface=nic0");
    request(&world, "POST", &path, &Value::Null);
    let access = |world: &World| {
        let found = request(world, "GET", machine, &Value::Null);
        found["networkInterfaces"][0]["accessConfigs"].clone()
    };
    let deadline = Instant::now() + PATIENCE;
    while access(&world).as_array().is_some_and(|all| !all.is_empty()) {
        assert!(Instant::now() < deadline, "the address is not taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    let again = of_masters("apply", &[A], true);
    let steps = world.planned(&again).await;
    assert_eq!(steps, ["give the machine of master a an external address again"]);
    let found = world.try_to_converge(&again).await;
    found.unwrap_or_else(|trouble| panic!("{trouble}"));
    let given = access(&world);
    assert_eq!(given.as_array().map(Vec::len), Some(1), "{given}");
    assert!(given[0]["natIP"].is_string(), "{given}");
}

/// The balancer's forwarding rule, as the cloud describes it.
fn rule(world: &World) -> Value {
    let list = request(world, "GET", RULES, &Value::Null);
    list["items"][0].clone()
}

/// Makes a forwarding rule anew with another port.
fn listen_at(world: &World, rule: &Value, port: &str) {
    let name = rule["name"].as_str().unwrap();
    request(world, "DELETE", &format!("{RULES}/{name}"), &Value::Null);
    let deadline = Instant::now() + PATIENCE;
    while request(world, "GET", RULES, &Value::Null)["items"]
        .as_array()
        .is_some_and(|rules| !rules.is_empty())
    {
        assert!(Instant::now() < deadline, "the rule is not deleted");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut other = json!({});
    for field in [
        "name",
        "description",
        "IPAddress",
        "IPProtocol",
        "loadBalancingScheme",
        "backendService",
        "labels",
        "networkTier",
    ] {
        if !rule[field].is_null() {
            other[field] = rule[field].clone();
        }
    }
    other["ports"] = json!([port]);
    request(world, "POST", RULES, &other);
    let deadline = Instant::now() + PATIENCE;
    while world.region.lock().unwrap().status()["balancers"][0]["active"] != true {
        assert!(Instant::now() < deadline, "the rule is not made");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn request(world: &World, method: &str, path: &str, body: &Value) -> Value {
    let status = world.region.lock().unwrap().status();
    let endpoint = status["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap();
    let address: SocketAddr = endpoint.parse().unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let path = format!("/compute/v1/projects/sandbox/{path}");
    let length = body.len();
    // The region may not wait for this thread's runtime.
    let answer = std::thread::spawn({
        let method = method.to_owned();
        move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // HTTP/1.0 keeps the answer free of chunks.
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        }
    });
    let answer = answer.join().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{method}: {answer}");
    serde_json::from_str(body).unwrap()
}
