//! Who answers, and who leads.

use std::time::Duration;

use multizone_etcd_api::{MemberRemoveRequest, MoveLeaderRequest, Refusal};
use multizone_sandbox_etcd::Kind;

use crate::fixture::{Client, Place, assert_refused, assert_timed_out, until};

pub(crate) async fn two_of_three_dead(kind: Kind) {
    let place = Place::new(kind);
    let [a, mut b, c] = place.cluster_of_three().await;
    a.client.put("acknowledged", "kept").await.expect("written");
    let in_c = c.client.id().await;
    b.member().kill().await;
    c.member().kill().await;

    assert_timed_out(a.client.put("lost", "quorum").await);
    assert_timed_out(a.client.get("acknowledged", false).await);
    assert_eq!(
        a.client.get("acknowledged", true).await.expect("its own").as_deref(),
        Some("kept")
    );
    assert_eq!(a.client.members().await.len(), 3);
    let status = until("a status without leader", async || {
        a.client.status().await.ok().filter(|status| status.leader == 0)
    })
    .await;
    assert!(!status.version.is_empty());
    assert!(!status.errors.is_empty(), "it says that there is no leader");
    // A change of the membership waits for a quorum as long as the client does.
    let mut cluster = a.client.cluster();
    let remove = cluster.member_remove(MemberRemoveRequest { id: in_c });
    tokio::time::timeout(Duration::from_secs(1), remove)
        .await
        .expect_err("nobody agrees");
    assert_eq!(a.client.members().await.len(), 3);

    b.start().await;
    until("a write", async || a.client.put("two", "again").await.ok()).await;
    assert_eq!(
        b.client.get("acknowledged", false).await.expect("read").as_deref(),
        Some("kept")
    );
}

pub(crate) async fn two_of_three_paused(kind: Kind) {
    let place = Place::new(kind);
    let [a, b, c] = place.cluster_of_three().await;
    for machine in [&b, &c] {
        machine.member().pause().await;
        assert!(machine.member().is_running());
    }
    assert_timed_out(a.client.put("lost", "quorum").await);
    let silent = tokio::time::timeout(Duration::from_millis(300), b.client.status()).await;
    assert!(silent.is_err(), "a paused member does not answer: {silent:?}");
    b.member().resume().await;
    until("a write", async || a.client.put("two", "again").await.ok()).await;
    assert_eq!(
        b.client.get("two", false).await.expect("read").as_deref(),
        Some("again")
    );
    // A paused member can be ended.
    c.member().stop().await;
    assert!(!c.member().is_running());
}

fn leader_first(leader: u64, ids: &[u64]) -> [usize; 3] {
    let first = ids.iter().position(|id| *id == leader).expect("one of them");
    [first, (first + 1) % 3, (first + 2) % 3]
}

pub(crate) async fn leadership_moves(kind: Kind) {
    let place = Place::new(kind);
    let machines = place.cluster_of_three().await;
    let mut ids = Vec::new();
    for machine in &machines {
        ids.push(machine.client.id().await);
    }
    let leader = machines[0].client.status().await.expect("a status").leader;
    let [first, second, third] = leader_first(leader, &ids);
    let leads = async |client: &Client, id: u64| {
        until("a leader", async || {
            let status = client.status().await.expect("a status");
            (status.leader == id).then_some(status)
        })
        .await
    };
    for machine in &machines {
        leads(&machine.client, leader).await;
    }
    let term = machines[0].client.status().await.expect("a status").raft_term;

    let to = |target_id| MoveLeaderRequest { target_id };
    let by = |machine: usize| machines[machine].client.maintenance();
    assert_refused(by(second).move_leader(to(ids[third])).await, Refusal::NotLeader);
    assert_refused(by(first).move_leader(to(1)).await, Refusal::BadLeaderTransferee);
    by(first).move_leader(to(ids[first])).await.expect("it leads already");
    by(first).move_leader(to(ids[second])).await.expect("moved");
    let status = leads(&machines[third].client, ids[second]).await;
    assert!(status.raft_term > term);
    machines[first].client.put("after", "the move").await.expect("written");

    // The next leader dies: one of the others leads.
    machines[second].member().kill().await;
    until("a new leader", async || {
        machines[first].client.put("after", "its death").await.ok()
    })
    .await;
    let status = machines[first].client.status().await.expect("a status");
    assert!([ids[first], ids[third]].contains(&status.leader));
}

pub(crate) async fn restart_keeps_everything(kind: Kind) {
    let place = Place::new(kind);
    let mut machines = place.cluster_of_three().await;
    let mut revision = 0;
    for round in 0..20 {
        let written = machines[round % 3]
            .client
            .put(&format!("key-{round}"), "kept")
            .await
            .expect("written");
        revision = written.header.expect("a header").revision;
    }
    let before = machines[0].client.members().await;
    for machine in &machines {
        machine.member().stop().await;
    }
    for machine in &mut machines {
        machine.start().await;
    }
    for machine in &machines {
        machine.client.serving().await;
        for round in 0..20 {
            let value = machine.client.get(&format!("key-{round}"), false).await.expect("read");
            assert_eq!(value.as_deref(), Some("kept"), "key-{round}");
        }
        let mut after = machine.client.members().await;
        let mut before = before.clone();
        before.sort_by_key(|member| member.id);
        after.sort_by_key(|member| member.id);
        assert_eq!(after, before);
    }
    let written = machines[0].client.put("another", "value").await.expect("written");
    assert_eq!(written.header.expect("a header").revision, revision + 1);
}

pub(crate) async fn strangers_are_refused(kind: Kind) {
    let place = Place::new(kind.clone());
    let mut a = place.machine("a");
    a.start().await;
    a.client.serving().await;
    let without = Client::new(a.config.listen_client, Some(place.tls_client(false)));
    without.status().await.expect_err("no certificate");
    let elsewhere = Place::new(kind);
    // Its own authority signed this certificate, and it trusts no other.
    let other = Client::new(a.config.listen_client, Some(elsewhere.tls_client(true)));
    other.status().await.expect_err("another authority's certificate");
    a.client.status().await.expect("the right certificate");
}
