//! Members come and go.

use multizone_etcd_api::{MemberPromoteRequest, MemberRemoveRequest, Refusal};
use multizone_sandbox_etcd::Kind;

use crate::fixture::{Machine, Place, assert_refused, until};

/// Adds a machine as kubeadm does: a learner is added, started, and promoted.
async fn grow(machines: &[&Machine], joiner: &mut Machine) -> u64 {
    let first = &machines[0].client;
    let added = first.add(joiner, true).await.expect("added");
    assert!(added.is_learner && added.name.is_empty(), "{added:?}");
    joiner.join(machines);
    joiner.start().await;
    first.promote(added.id).await;
    joiner.client.serving().await;
    added.id
}

pub(crate) async fn from_one_to_three_and_one_is_lost(kind: Kind) {
    let place = Place::new(kind);
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| place.machine(name));
    a.start().await;
    a.client.serving().await;
    a.client.put("before", "growing").await.expect("written");

    let learner = a.client.add(&b, true).await.expect("added");
    assert_refused(a.client.add(&c, true).await, Refusal::TooManyLearners);
    let twice = a.client.add(&b, true).await.expect_err("its URL is taken");
    let taken = [Some(Refusal::PeerUrlExists), Some(Refusal::MemberIdExists)];
    assert!(taken.contains(&Refusal::of(&twice)), "{twice}");
    let promote = MemberPromoteRequest { id: learner.id };
    assert_refused(
        a.client.cluster().member_promote(promote).await,
        Refusal::LearnerNotReady,
    );
    b.join(&[&a]);
    b.start().await;
    // A learner has the data but answers only for itself.
    until("the learner's copy", async || {
        (b.client.get("before", true).await.ok()?.as_deref() == Some("growing")).then_some(())
    })
    .await;
    assert_refused(b.client.get("before", false).await, Refusal::NotSupportedForLearner);
    assert_refused(b.client.put("by", "learner").await, Refusal::NotSupportedForLearner);
    let status = b.client.status().await.expect("a learner has a status");
    assert!(status.is_learner);
    a.client.promote(learner.id).await;
    assert_refused(
        a.client.cluster().member_promote(promote).await,
        Refusal::MemberNotLearner,
    );
    b.client.serving().await;
    assert!(!b.client.status().await.expect("a status").is_learner);

    let third = grow(&[&a, &b], &mut c).await;
    let members = until("all names", async || {
        let members = a.client.members().await;
        members.iter().all(|member| !member.name.is_empty()).then_some(members)
    })
    .await;
    assert_eq!(members.len(), 3);
    for (machine, id) in [(&b, learner.id), (&c, third)] {
        assert_eq!(machine.client.id().await, id);
        let member = members.iter().find(|member| member.id == id).expect("listed");
        assert_eq!(member.name, machine.config.name);
        assert_eq!(member.peer_urls.join(","), machine.config.advertise_peer);
        assert_eq!(member.client_urls, [machine.config.advertise_client()]);
        assert!(!member.is_learner);
    }

    // One of three is lost: the other two go on, and it has everything after its return.
    let leader = a.client.status().await.expect("a status").leader;
    let (lost, others) = if leader == a.client.id().await {
        (&mut a, [&b, &c])
    } else {
        (&mut b, [&a, &c])
    };
    lost.member().kill().await;
    until("a write without it", async || {
        others[0].client.put("while", "lost").await.ok()
    })
    .await;
    assert_eq!(
        others[1].client.get("while", false).await.expect("read").as_deref(),
        Some("lost")
    );
    lost.start().await;
    lost.client.serving().await;
    assert_eq!(
        lost.client.get("while", false).await.expect("read").as_deref(),
        Some("lost")
    );
    assert_eq!(
        lost.client.get("before", false).await.expect("read").as_deref(),
        Some("growing")
    );
}

pub(crate) async fn unstarted_learners_go_by_id(kind: Kind) {
    let place = Place::new(kind);
    let [mut a, b] = ["a", "b"].map(|name| place.machine(name));
    a.start().await;
    a.client.serving().await;
    let learner = a.client.add(&b, true).await.expect("added");
    let listed = a.client.members().await;
    let unstarted: Vec<_> = listed.iter().filter(|member| member.name.is_empty()).collect();
    assert_eq!(unstarted.len(), 1);
    assert_eq!((unstarted[0].id, unstarted[0].is_learner), (learner.id, true));
    assert!(unstarted[0].client_urls.is_empty());
    a.client.put("a learner", "does not count").await.expect("written");

    let remove = MemberRemoveRequest { id: learner.id };
    let left = a
        .client
        .cluster()
        .member_remove(remove)
        .await
        .expect("removed")
        .into_inner()
        .members;
    assert_eq!(left.len(), 1);
    assert_refused(a.client.cluster().member_remove(remove).await, Refusal::MemberNotFound);
    let unknown = MemberPromoteRequest { id: learner.id };
    assert_refused(
        a.client.cluster().member_promote(unknown).await,
        Refusal::MemberNotFound,
    );
    // Within the same second etcd would give it the ID that was removed, and refuses.
    let again = until("another ID", async || a.client.add(&b, true).await.ok()).await;
    assert_ne!(again.id, learner.id, "an ID is used once");
}

pub(crate) async fn removals_that_cost_the_quorum_are_refused(kind: Kind) {
    let place = Place::new(kind);
    let [mut alone, fourth] = ["alone", "fourth"].map(|name| place.machine(name));
    alone.start().await;
    alone.client.serving().await;
    let last = MemberRemoveRequest {
        id: alone.client.id().await,
    };
    assert_refused(
        alone.client.cluster().member_remove(last).await,
        Refusal::NotEnoughStartedMembers,
    );

    let [a, b, c] = place.cluster_of_three().await;
    let [in_a, in_b, in_c] = [a.client.id().await, b.client.id().await, c.client.id().await];
    c.member().kill().await;
    until("a leader", async || a.client.put("c", "is dead").await.ok()).await;
    let living = MemberRemoveRequest { id: in_b };
    // Asked of itself: to another it counts as down, and may go, in the moment in which the two connect anew.
    assert_refused(b.client.cluster().member_remove(living).await, Refusal::Unhealthy);
    a.client.remove(in_c).await.expect("the dead one is no loss");
    let ids: Vec<_> = a.client.members().await.iter().map(|member| member.id).collect();
    assert!(ids.len() == 2 && ids.contains(&in_a) && ids.contains(&in_b));
    a.client.put("two", "are left").await.expect("written");

    let added = a.client.add(&fourth, false).await.expect("a voter that never starts");
    // Of the two that would be left only one is started.
    assert_refused(
        a.client.cluster().member_remove(living).await,
        Refusal::NotEnoughStartedMembers,
    );
    a.client.remove(added.id).await.expect("it is no loss");
    a.client.put("two", "are left again").await.expect("written");
}

pub(crate) async fn a_removed_member_ends_and_stays_out(kind: Kind) {
    let place = Place::new(kind);
    let [a, b, mut c] = place.cluster_of_three().await;
    a.client.remove(c.client.id().await).await.expect("removed");
    c.member().exited().await;

    c.start().await;
    let exit = c.member().exited().await;
    assert!(
        exit.said.contains("removed from the cluster") || c.log().contains("removed from the cluster"),
        "{exit:?}"
    );

    // A change that is proposed while nobody leads is waited for in vain.
    until("a leader", async || a.client.put("c", "is gone").await.ok()).await;
    // Added anew, it has to begin with an empty directory.
    let added = until("another ID", async || a.client.add(&c, true).await.ok()).await;
    c.join(&[&a, &b]);
    c.start().await;
    c.member().exited().await;
    std::fs::remove_dir_all(&c.config.data_directory).expect("emptied");
    c.start().await;
    a.client.promote(added.id).await;
    c.client.serving().await;
    assert_eq!(c.client.id().await, added.id);
}

pub(crate) async fn joiners_must_know_the_cluster(kind: Kind) {
    let place = Place::new(kind);
    let [mut a, mut b] = ["a", "b"].map(|name| place.machine(name));
    a.start().await;
    a.client.serving().await;
    b.join(&[&a]);
    b.start().await;
    let exit = b.member().exited().await;
    assert!(
        exit.said.contains("member count is unequal"),
        "it was not added: {exit:?}"
    );

    let mut c = place.machine("c");
    c.join(&[&b]);
    c.start().await;
    let exit = c.member().exited().await;
    assert!(
        exit.said.contains("cannot fetch cluster info from peer urls"),
        "nobody answers: {exit:?}"
    );

    let mut d = place.machine("d");
    "other".clone_into(&mut d.config.name);
    d.start().await;
    let exit = d.member().exited().await;
    assert!(exit.said.contains("couldn't find local name"), "{exit:?}");
}
