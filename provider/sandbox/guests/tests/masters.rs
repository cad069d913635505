//! Several masters: joins, a halt, a zone's outage; on real etcd where it is installed, and on the stand-in.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use multizone_etcd_api::cluster_client::ClusterClient;
use multizone_etcd_api::{Member, MemberListRequest, channel};
use multizone_sandbox_etcd::Kind;
use serde_json::json;
use support::{Region, node_is, until};

const A: &str = "us-central1-a/master";
const B: &str = "us-central1-b/master-b";
const C: &str = "us-central1-c/master-c";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The installed etcd, or nothing where there is none.
fn installed() -> Option<Kind> {
    match Kind::choose(None, std::env::var_os("PATH").as_deref()).unwrap() {
        Kind::StandIn => {
            println!("SKIPPED: etcd is not installed, so several masters ran on the stand-in only");
            None
        }
        process @ Kind::Process(_) => Some(process),
    }
}

/// Each situation, on both kinds of etcd.
macro_rules! situations {
    ($($situation:ident),* $(,)?) => {
        mod on_etcd {
            $(#[tokio::test]
            async fn $situation() {
                if let Some(etcd) = super::installed() {
                    super::$situation(super::three_masters(etcd).await).await;
                }
            })*
        }
        mod on_the_stand_in {
            $(#[tokio::test]
            async fn $situation() {
                super::$situation(super::three_masters(super::Kind::StandIn).await).await;
            })*
        }
    };
}

situations! {
    rule_a_replica_joins_etcd_as_a_learner_and_votes_before_it_serves,
    halting_one_master_leaves_the_cluster_working_and_it_rejoins,
    with_two_of_three_masters_dead_writes_are_refused_until_one_is_back,
    a_zone_outage_stops_its_member_and_nothing_else,
}

async fn members(region: &Region, last: u8) -> Option<Vec<Member>> {
    let endpoint = format!("https://{}:2379", region.address(last));
    let channel = channel(&[endpoint], Some(&region.etcd_credentials(A))).unwrap();
    let answer = ClusterClient::new(channel)
        .member_list(MemberListRequest { linearizable: true })
        .await;
    Some(answer.ok()?.into_inner().members)
}

async fn three_masters(etcd: Kind) -> Region {
    let mut region = Region::with_etcd(etcd).started().await;
    region.further_master("us-central1-b", "master-b", 3).await;
    region.phase(B, |phase| phase == "running").await;
    region.further_master("us-central1-c", "master-c", 4).await;
    region.phase(C, |phase| phase == "running").await;
    region
}

async fn write(region: &Region, last: u8, name: &str) -> Option<()> {
    let map = json!({"metadata": {"name": name}, "data": {"by": last.to_string()}});
    region.admin_of(last).try_create(CONFIG_MAPS, &map).await
}

async fn rule_a_replica_joins_etcd_as_a_learner_and_votes_before_it_serves(region: Region) {
    let found = members(&region, 2).await.unwrap();
    let mut names: Vec<_> = found.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["master", "master-b", "master-c"]);
    assert!(found.iter().all(|member| !member.is_learner), "{found:?}");
    for (last, name) in [(2, "master"), (3, "master-b"), (4, "master-c")] {
        write(&region, last, &format!("written-by-{name}")).await.unwrap();
        let node = node_is(&region.admin_of(last), name, "True").await;
        assert_eq!(node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"], "");
    }
    for last in [2, 3, 4] {
        let list = region.admin_of(last).get(CONFIG_MAPS).await.unwrap();
        let by_hand = list["items"].as_array().unwrap().iter();
        let count = by_hand.filter(|map| map["metadata"]["name"].as_str().unwrap().starts_with("written-by"));
        assert_eq!(count.count(), 3, "every server shows every write");
    }
    region.guests.stop().await;
}

async fn halting_one_master_leaves_the_cluster_working_and_it_rejoins(mut region: Region) {
    region.power(B, false);
    until("writes without the halted master", || write(&region, 2, "without-b")).await;
    node_is(&region.admin_of(4), "master-b", "Unknown").await;
    region.power(B, true);
    until("writes through the master that came back", || {
        write(&region, 3, "with-b")
    })
    .await;
    node_is(&region.admin_of(2), "master-b", "True").await;
    assert_eq!(members(&region, 2).await.unwrap().len(), 3);
    region.guests.stop().await;
}

async fn with_two_of_three_masters_dead_writes_are_refused_until_one_is_back(mut region: Region) {
    region.power(B, false);
    region.power(C, false);
    until("the API to say that it is not ready", || async {
        (!region.admin_of(2).ready().await).then_some(())
    })
    .await;
    assert!(write(&region, 2, "without-quorum").await.is_none());
    region.power(C, true);
    until("writes after one is back", || write(&region, 2, "with-quorum")).await;
    region.guests.stop().await;
}

async fn a_zone_outage_stops_its_member_and_nothing_else(mut region: Region) {
    region.outage("us-central1-c", true);
    until("writes during the outage", || write(&region, 3, "during")).await;
    region.outage("us-central1-c", false);
    until("writes through the zone that came back", || write(&region, 4, "after")).await;
    region.guests.stop().await;
}
