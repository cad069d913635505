//! What holds for every request: fingerprints, tokens, operations, restarts.

use super::*;

#[test]
fn fingerprints_guard_labels_tags_and_metadata() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.done(|it| it.set_instance_labels(A, "m", labels("a", "1"), Some(&fingerprint(&Labels::new()))));
    for stale in [None, Some("stale")] {
        let refusal = bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "2"), stale));
        assert_eq!((refusal.status, refusal.reason), (412, "conditionNotMet"));
    }
    bench.done(|it| it.set_instance_labels(A, "m", labels("a", "2"), Some(&fingerprint(&labels("a", "1")))));
    let tags = BTreeSet::from(["web".to_owned()]);
    assert_eq!(bench.refused(|it| it.set_tags(A, "m", tags.clone(), None)).status, 412);
    bench.done(|it| it.set_tags(A, "m", tags, Some(&fingerprint(&BTreeSet::<String>::new()))));
    let metadata = labels("user-data", "#cloud-config");
    assert_eq!(
        bench
            .refused(|it| it.set_metadata(A, "m", metadata.clone(), Some("x")))
            .status,
        412
    );
    bench.done(|it| it.set_metadata(A, "m", metadata, Some(&fingerprint(&Labels::new()))));
}

#[test]
fn a_token_is_answered_once() {
    let mut bench = Bench::new();
    let token = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4c");
    let new = disk(A, "d");
    let first = bench.ask(|it| it.once(token, "r1", |it| it.insert_disk(&new))).unwrap();
    bench.pass(60);
    let again = bench.ask(|it| it.once(token, "r1", |it| it.insert_disk(&new))).unwrap();
    assert_eq!(
        (first.name.as_str(), again.status),
        (again.name.as_str(), OperationStatus::Done)
    );
    assert_eq!(bench.core.state().disks().len(), 1);
    let refusal = bench.refused(|it| it.once(token, "r2", |it| it.delete_disk(A, "d")));
    assert!(refusal.message.contains("other parameters"), "{refusal}");
    for bad in ["x", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(
            bench
                .refused(|it| it.once(Some(bad), "r", |it| it.delete_disk(A, "d")))
                .reason,
            "invalid"
        );
    }
    // A refused request leaves its token free.
    let other = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4d");
    bench.refused(|it| it.once(other, "r1", |it| it.insert_disk(&new)));
    bench.done(|it| it.once(other, "r3", |it| it.delete_disk(A, "d")));
}

#[test]
fn an_object_under_change_is_not_ready() {
    let mut bench = Bench::new();
    bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    for refusal in [
        bench.refused(|it| it.delete_instance(A, "m")),
        bench.refused(|it| it.stop_instance(A, "m")),
        bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "b"), None)),
    ] {
        assert_eq!((refusal.status, refusal.reason), (400, "resourceNotReady"));
    }
    bench.ask(|it| it.insert_network(network("n"))).unwrap();
    assert_eq!(
        bench
            .refused(|it| it.insert_subnetwork(subnetwork("n", "s", "127.9.64.0/20")))
            .reason,
        "resourceNotReady"
    );
    let new = disk(A, "d");
    bench.ask(|it| it.insert_disk(&new)).unwrap();
    assert_eq!(bench.refused(|it| it.delete_disk(A, "d")).reason, "resourceNotReady");
}

#[test]
fn a_restart_keeps_everything_and_finishes_what_was_under_way() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("region.sqlite");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    bench.disk(A, "d");
    let operation = bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    let before = bench.snapshot();
    drop(bench.core);

    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now: bench.now,
    };
    assert_eq!(before, bench.snapshot());
    bench.pass(60);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    let events = bench.core.events(0, 100).unwrap();
    assert_eq!(
        events.iter().map(|it| it.sequence).collect::<Vec<_>>(),
        (1..=events.len() as u64).collect::<Vec<_>>()
    );
    let verbs: Vec<&str> = events.iter().map(|it| it.verb.as_str()).collect();
    assert_eq!(
        verbs,
        ["disks.insert", "operation.done", "instances.insert", "operation.done"]
    );
    assert_eq!(bench.core.state().event_count(), events.len() as u64);
}

#[test]
fn operations_are_forgotten_after_two_weeks() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("region.sqlite");
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut bench = Bench {
        core: Core::open(settings(), Store::open(&file).unwrap(), now).unwrap(),
        now,
    };
    let token = Some("8a4fb5d0-0f1e-4f6e-9d6a-5f3f1f2e3d4c");
    let operation = bench.done(|it| it.once(token, "r", |it| it.insert_disk(&disk(A, "d"))));
    drop(bench.core);
    for (days, kept) in [(13, true), (15, false)] {
        let later = now + SignedDuration::from_hours(days * 24);
        let core = Core::open(settings(), Store::open(&file).unwrap(), later).unwrap();
        assert_eq!(
            core.state().operations().contains_key(&operation.name),
            kept,
            "{days} days"
        );
        assert!(core.state().disks().contains_key("us-central1-a/d"));
    }
}
