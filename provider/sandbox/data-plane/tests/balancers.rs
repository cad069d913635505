//! What the network promises about balanced addresses and health checks, over real sockets.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use multizone_sandbox_data_plane::{Balancer, FirewallRule, HEALTH_CHECK_SOURCE, Stream, TargetState};
use support::{DEADLINE, Region, from_host, from_machine, is_reset, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_millis(200);

/// The external address is a balancer's, with these targets.
fn balanced(targets: &[(&str, TargetState)]) -> Region {
    let mut region = Region::new();
    region.topology.external_addresses.clear();
    set(&mut region, targets);
    region
}

fn set(region: &mut Region, targets: &[(&str, TargetState)]) {
    let balancer = Balancer {
        ports: vec![(6443, 6443)],
        targets: targets.iter().map(|(key, state)| ((*key).to_owned(), *state)).collect(),
    };
    let address = region.address(200);
    region.topology.balancers = BTreeMap::from([(address, balancer)]);
    region.apply();
}

async fn both(region: &Region) {
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    serve(region.network.bind("b/other", 6443).await.unwrap(), "other!");
    // The balancer's own socket is opened beside the machines'.
    let attempts = async {
        while TcpStream::connect(region.external()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, attempts).await.unwrap();
}

/// Who answers a good number of connections of the host.
async fn answers(region: &Region) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        seen.extend(from_host(region.external()).await.ok().map(|(_, name)| name));
    }
    seen
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn echoes<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
}

#[tokio::test]
async fn connections_spread_over_targets_that_serve_and_only_those() {
    use TargetState::{Serving, Unhealthy};
    let mut region = balanced(&[("a/master", Serving), ("b/other", Serving)]);
    both(&region).await;
    assert_eq!(answers(&region).await, names(&["master", "other!"]));
    set(&mut region, &[("a/master", Unhealthy), ("b/other", Serving)]);
    assert_eq!(answers(&region).await, names(&["other!"]));
}

#[tokio::test]
async fn without_a_target_that_serves_all_get_connections() {
    use TargetState::Unhealthy;
    let region = balanced(&[("a/master", Unhealthy), ("b/other", Unhealthy)]);
    both(&region).await;
    assert_eq!(answers(&region).await, names(&["master", "other!"]));
}

#[tokio::test]
async fn a_target_sees_the_client_and_the_balanced_address() {
    let region = balanced(&[("a/master", TargetState::Serving)]);
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let _client: Stream = region.network.connect("b/node", region.external()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), region.address(3));
    assert_eq!(stream.local_addr().unwrap(), region.external());
}

#[tokio::test]
async fn a_connection_outlives_its_targets_health_and_its_draining_but_not_its_removal() {
    use TargetState::{Draining, Serving, Unhealthy};
    let mut region = balanced(&[("a/master", Serving)]);
    both(&region).await;
    let (mut host, _) = from_host(region.external()).await.unwrap();
    let (mut node, _) = from_machine(&region, "b/node", region.external()).await.unwrap();
    for state in [Unhealthy, Draining] {
        set(&mut region, &[("a/master", state), ("b/other", Serving)]);
        assert!(echoes(&mut host).await && echoes(&mut node).await);
        assert_eq!(answers(&region).await, names(&["other!"]));
    }
    // What is being answered when it goes is answered, whatever the pace; then nothing is.
    set(&mut region, &[("b/other", Serving)]);
    assert!(echoes(&mut host).await && echoes(&mut node).await);
    assert_eq!(answers(&region).await, names(&["other!"]));
    assert!(is_reset(&mut host).await);
    assert!(is_reset(&mut node).await);
}

#[tokio::test]
async fn connections_are_cut_when_the_address_leaves_the_balancer() {
    let mut region = balanced(&[("a/master", TargetState::Serving)]);
    both(&region).await;
    let (mut host, _) = from_host(region.external()).await.unwrap();
    region.topology.balancers.clear();
    region.apply();
    assert!(is_reset(&mut host).await);
    let error = region.network.connect("b/node", region.external()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // Handed to a machine, it serves again.
    region
        .topology
        .external_addresses
        .insert(region.address(200), "b/other".to_owned());
    region.apply();
    support::served_by(region.external(), "other!").await;
}

#[tokio::test]
async fn an_outage_cuts_what_goes_through_the_balancer_to_that_zone() {
    use TargetState::Serving;
    let mut region = balanced(&[("a/master", Serving), ("b/other", Serving)]);
    both(&region).await;
    let mut streams = Vec::new();
    while streams.len() < 20
        || !["master", "other!"]
            .iter()
            .all(|it| streams.iter().any(|(_, name)| name == it))
    {
        streams.push(from_host(region.external()).await.unwrap());
    }
    region.topology.outages.insert("a".to_owned());
    region.apply();
    for (mut stream, name) in streams {
        if name == "master" {
            assert!(is_reset(&mut stream).await);
        } else {
            assert!(echoes(&mut stream).await);
        }
    }
}

#[tokio::test]
async fn a_target_reaches_itself_while_the_address_is_on_lo_and_the_balancer_otherwise() {
    let region = balanced(&[("a/master", TargetState::Serving), ("b/other", TargetState::Unhealthy)]);
    both(&region).await;
    let asked = async || from_machine(&region, "b/other", region.external()).await.unwrap().1;
    assert_eq!(asked().await, "master");
    region
        .network
        .add_local_address("b/other", region.address(200))
        .unwrap();
    assert_eq!(asked().await, "other!");
    region
        .network
        .remove_local_address("b/other", region.address(200))
        .unwrap();
    assert_eq!(asked().await, "master");
    let again = region.network.remove_local_address("b/other", region.address(200));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn health_checks_come_from_their_own_range_and_the_firewall_has_its_say() {
    let mut region = Region::new();
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let rule = |range: &str| FirewallRule {
        network: "demo".to_owned(),
        source_ranges: vec![range.parse().unwrap()],
        ports: vec![(6443, 6443)],
        ..FirewallRule::default()
    };
    region.topology.firewall_rules = vec![rule("127.0.0.0/8")];
    region.apply();
    let error = region.network.probe("a/master", 6443, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    region.topology.firewall_rules = vec![rule("35.191.0.0/16")];
    region.apply();
    let _probe = region.network.probe("a/master", 6443, DEADLINE).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1.ip(), HEALTH_CHECK_SOURCE);
    // What the range admits is the checks, not the host.
    assert!(from_host(region.master()).await.is_err());
}

#[tokio::test]
async fn health_checks_fail_where_nobody_listens_runs_or_is_reached() {
    let mut region = Region::new();
    let error = region.network.probe("a/master", 6443, DEADLINE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let _listener = region.network.bind("a/master", 6443).await.unwrap();
    let mut probe = region.network.probe("a/master", 6443, DEADLINE).await.unwrap();
    region.topology.outages.insert("a".to_owned());
    region.apply();
    assert!(is_reset(&mut probe).await);
    let error = region.network.probe("a/master", 6443, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    region.topology.outages.clear();
    region.machine("a/master").running = false;
    region.apply();
    let error = region.network.probe("a/master", 6443, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
