//! What the network promises, over real sockets.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use multizone_sandbox_data_plane::Network;
use support::{Region, from_host, from_machine, greeting, is_reset, serve, served_by};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn host_and_machines_reach_a_listener_and_are_seen_as_who_they_are() {
    let region = Region::new();
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let _host = TcpStream::connect(region.master()).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1.ip(), Ipv4Addr::LOCALHOST);
    let _node = region.network.connect("b/node", region.master()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), region.address(3));
    assert_eq!(stream.local_addr().unwrap(), region.master());
}

#[tokio::test]
async fn an_external_address_forwards_to_what_its_holder_listens_on() {
    let region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let mut stream = served_by(region.external(), "master").await;
    stream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
    assert_eq!(
        from_machine(&region, "b/node", region.external()).await.unwrap().1,
        "master"
    );
}

#[tokio::test]
async fn what_no_rule_admits_is_reset_for_the_host_and_times_out_between_machines() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut established, _) = from_host(region.master()).await.unwrap();
    region.topology.firewall_rules.clear();
    region.apply();
    assert!(from_host(region.master()).await.is_err());
    let error = region.network.connect("b/node", region.master()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // A machine is not firewalled from itself, and established connections outlive the rule.
    for own in [region.master(), (Ipv4Addr::LOCALHOST, 6443).into()] {
        assert_eq!(from_machine(&region, "a/master", own).await.unwrap().1, "master");
    }
    established.write_all(b"x").await.unwrap();
    assert_eq!(established.read(&mut [0]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_port_nobody_listens_on_refuses() {
    let region = Region::new();
    let error = region.network.connect("b/node", region.master()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(
        TcpStream::connect(region.master()).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn an_outage_aborts_both_ends_and_a_restore_lets_in_again() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut host, _) = from_host(region.master()).await.unwrap();
    let (mut external, _) = from_host(region.external()).await.unwrap();
    let (mut node, _) = from_machine(&region, "b/node", region.master()).await.unwrap();
    let (mut itself, _) = from_machine(&region, "a/master", region.master()).await.unwrap();
    region.topology.outages.insert("a".to_owned());
    region.apply();
    assert!(is_reset(&mut host).await);
    assert!(is_reset(&mut external).await);
    assert!(is_reset(&mut node).await);
    assert!(from_host(region.master()).await.is_err());
    assert_eq!(
        region
            .network
            .connect("b/node", region.master())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    itself.write_all(b"x").await.unwrap();
    assert_eq!(itself.read(&mut [0]).await.unwrap(), 1);
    region.topology.outages.clear();
    region.apply();
    assert_eq!(from_host(region.external()).await.unwrap().1, "master");
}

#[tokio::test]
async fn an_attempt_made_during_an_outage_succeeds_when_the_zone_returns_in_time() {
    let mut region = Region::new();
    region.network = Network::new();
    region.topology.outages.insert("b".to_owned());
    region.apply();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let network = region.network.clone();
    let master = region.master();
    let attempt = tokio::spawn(async move { network.connect("b/node", master).await });
    region.topology.outages.clear();
    region.apply();
    let mut stream = attempt.await.unwrap().unwrap();
    assert_eq!(greeting(&mut stream).await.unwrap(), "master");
}

#[tokio::test]
async fn a_stopped_machine_neither_listens_nor_connects() {
    let mut region = Region::new();
    let served = serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    let (mut host, _) = from_host(region.master()).await.unwrap();
    region.machine("a/master").running = false;
    region.apply();
    assert!(is_reset(&mut host).await);
    assert_eq!(
        region
            .network
            .connect("b/node", region.master())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
    for error in [
        region.network.connect("a/master", region.master()).await.unwrap_err(),
        region.network.bind("a/master", 1).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    }
    served.abort();
    assert!(served.await.unwrap_err().is_cancelled());
    region.machine("a/master").running = true;
    region.apply();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "reboot");
    served_by(region.external(), "reboot").await;
}

#[tokio::test]
async fn an_address_that_moves_serves_from_its_new_holder() {
    let mut region = Region::new();
    serve(region.network.bind("a/master", 6443).await.unwrap(), "master");
    serve(region.network.bind("b/other", 6443).await.unwrap(), "other!");
    let mut old = served_by(region.external(), "master").await;
    let (mut direct, _) = from_host(region.master()).await.unwrap();
    region
        .topology
        .external_addresses
        .insert(region.address(200), "b/other".to_owned());
    region.apply();
    assert!(is_reset(&mut old).await);
    served_by(region.external(), "other!").await;
    direct.write_all(b"x").await.unwrap();
    assert_eq!(direct.read(&mut [0]).await.unwrap(), 1);
    region.topology.external_addresses.clear();
    region.apply();
    assert_eq!(
        region
            .network
            .connect("b/node", region.external())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::TimedOut
    );
}

#[tokio::test]
async fn a_port_that_is_still_held_is_taken_over_when_it_is_free() {
    let region = Region::new();
    let held = TcpListener::bind(region.master()).await.unwrap();
    let network = region.network.clone();
    let bind = tokio::spawn(async move { network.bind("a/master", 6443).await });
    drop(held);
    serve(bind.await.unwrap().unwrap(), "master");
    assert_eq!(from_host(region.master()).await.unwrap().1, "master");
}

#[tokio::test]
async fn one_port_has_one_listener_and_dropping_it_frees_the_port() {
    let region = Region::new();
    let first = region.network.bind("a/master", 6443).await.unwrap();
    assert_eq!(
        region.network.bind("a/master", 6443).await.unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
    drop(first);
    serve(region.network.bind("a/master", 6443).await.unwrap(), "second");
    assert_eq!(from_host(region.master()).await.unwrap().1, "second");
}

#[tokio::test]
async fn an_address_on_lo_is_answered_by_the_machine_itself() {
    let mut region = Region::new();
    serve(region.network.bind("b/node", 6443).await.unwrap(), "itself");
    region.network.add_local_address("b/node", region.address(200)).unwrap();
    assert_eq!(
        from_machine(&region, "b/node", region.external()).await.unwrap().1,
        "itself"
    );
    region.machine("b/node").running = false;
    region.apply();
    region.machine("b/node").running = true;
    region.apply();
    let error = region.network.connect("b/node", region.external()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn closing_one_end_closes_the_other() {
    let region = Region::new();
    let mut listener = region.network.bind("a/master", 6443).await.unwrap();
    let client = region.network.connect("b/node", region.master()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}
