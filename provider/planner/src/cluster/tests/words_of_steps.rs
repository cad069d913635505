//! The words of every step and of every reason to stop, in one place to be read.

use super::{wording::timing, *};
use crate::approximately;

fn every_step() -> Vec<Step> {
    let name = || "m-a".to_owned();
    let zone = || "z1".to_owned();
    let holder = || Holder::Machine("m-a".to_owned());
    let new = NewMachine {
        name: "m-d".to_owned(),
        replica: "d".to_owned(),
        zone: zone(),
        specification: "s1".to_owned(),
        version: V,
    };
    vec![
        Step::BackUp,
        Step::Init(new.clone()),
        Step::Join(new),
        Step::AwaitJoin(name()),
        Step::StartMachine(name()),
        Step::AwaitHealthy(name()),
        Step::ApplySettings(V, "k1".to_owned()),
        Step::ApplyAddons(V, "p1".to_owned()),
        Step::InstallAccess,
        Step::ApplyPodNetwork("calico".to_owned()),
        Step::AwaitNode(name()),
        Step::Register(name()),
        Step::Deregister(name()),
        Step::HandOver(holder(), Holder::Balancer),
        Step::HandOver(Holder::Nobody, Holder::Balancer),
        Step::RollBack(Holder::Balancer, holder()),
        Step::AwaitAnswer(holder()),
        Step::Release(holder()),
        Step::Cordon(name()),
        Step::Uncordon(name()),
        Step::Drain(name()),
        Step::AwaitDetached(name()),
        Step::MarkOutOfService(name()),
        Step::MoveLeader(name(), "m-b".to_owned()),
        Step::StopApiServer(name()),
        Step::StartApiServer(name()),
        Step::RemoveMember(1, Some(name())),
        Step::RemoveMember(0x1f, None),
        Step::StopMachine(name()),
        Step::DeleteMachine(name()),
        Step::DeleteNode(name()),
        Step::AwaitEndpointGone(name()),
        Step::ReleaseDisk(name()),
        Step::CreateBalancer,
        Step::Span(zone()),
        Step::Unspan(zone()),
        Step::DeleteBalancer,
        Step::AddZone(zone()),
        Step::MarkLeaving(zone()),
        Step::RemoveZone(zone()),
    ]
}

/// Each step as it reads, what must be true before it, and how long it takes; where something happens on a machine, by
/// what means.
///
/// Rules: preview-in-words, no-shell-on-machines, one-holder
#[test]
fn every_step_in_words_with_its_gate() {
    let mut desired = desired("abcd");
    desired.backup = Some("s3://backups/demo".to_owned());
    let operation = Operation::ControlPlane(desired);
    let mut table = Vec::new();
    for step in every_step() {
        let preview = Preview {
            steps: vec![step],
            end: Next::Done,
            warnings: Vec::new(),
        };
        let described = preview.describe(&running("abc"), &operation, &timing()).remove(0);
        assert!(!described.gate.is_empty());
        let duration = approximately(described.expected);
        table.push(format!("{} ({duration})\n    when {}", described.text, described.gate));
    }
    insta::assert_snapshot!(table.join("\n"));
}

/// Rules: preview-in-words
#[test]
fn every_reason_to_stop_says_what_to_do_next() {
    let zone_out = |writes| Blocked::ZoneOut {
        zone: "z1".to_owned(),
        what: "master m-a".to_owned(),
        writes,
    };
    let not_in = |leaving| Blocked::NotInThisZone {
        replica: "a".to_owned(),
        zone: "z1".to_owned(),
        leaving,
    };
    let blocked = [
        Blocked::NoQuorum {
            gone: vec!["m-b".to_owned(), "m-c".to_owned()],
            left: vec!["m-a".to_owned()],
            majority: 2,
        },
        Blocked::NoQuorum {
            gone: vec!["m-a".to_owned()],
            left: Vec::new(),
            majority: 1,
        },
        Blocked::EverythingLost,
        zone_out(true),
        zone_out(false),
        Blocked::OutOfReach {
            zone: "z1".to_owned(),
            what: "master m-a".to_owned(),
        },
        not_in(true),
        not_in(false),
        Blocked::NoSubnet {
            replica: "a".to_owned(),
            zone: "z1".to_owned(),
        },
        Blocked::WouldLoseQuorum {
            machine: "m-a".to_owned(),
            healthy: 1,
            voters: 2,
        },
        Blocked::NobodyElseServes("m-a".to_owned()),
        Blocked::MembershipUnknown,
        Blocked::HandoverFailed(Holder::Balancer),
        Blocked::OnlyServingTarget("z1".to_owned()),
        Blocked::ZoneInUse("z1".to_owned()),
        Blocked::NoEnd,
    ];
    let refused = [
        Violation::Downgrade {
            from: V,
            to: Version::new(1, 33, 0),
        },
        Violation::SkipsAMinor {
            from: V,
            to: Version::new(1, 36, 0),
        },
        Violation::WorkersTooOld {
            worker: Version::new(1, 30, 0),
            to: V,
        },
        Violation::EtcdTooOld {
            etcd: Version::new(3, 5, 15),
        },
        Violation::CutsOffTheApi,
    ];
    let warnings = [
        Warning::EvenCount(2),
        Warning::EvenCount(4),
        Warning::ZoneStopsWrites {
            zone: "z1".to_owned(),
            masters: 2,
            of: 3,
        },
        Warning::SingleMaster,
        Warning::NoBalancer,
        Warning::BalancerMissesZone("z3".to_owned()),
        Warning::FragileBetween { first: 3, last: 5 },
        Warning::NoBackUp,
    ];
    let blocked = blocked.iter().map(|reason| format!("blocked: {reason}"));
    let refused = refused.iter().map(|reason| format!("refused: {reason}"));
    let warnings = warnings.iter().map(|reason| format!("warning: {reason}"));
    let all: Vec<String> = blocked.chain(refused).chain(warnings).collect();
    insta::assert_snapshot!(all.join("\n"));
}
