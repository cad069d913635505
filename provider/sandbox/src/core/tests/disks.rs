//! Disks and snapshots.

use super::*;

#[test]
fn what_exists_cannot_be_made_again_and_what_does_not_cannot_be_changed() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    let refusal = bench.refused(|it| it.insert_disk(&disk(A, "d")));
    assert_eq!((refusal.status, refusal.reason), (409, "alreadyExists"));
    assert_eq!(
        refusal.message,
        "The resource 'projects/sandbox/zones/us-central1-a/disks/d' already exists"
    );
    let refusal = bench.refused(|it| it.delete_disk(B, "d"));
    assert_eq!((refusal.status, refusal.reason), (404, "notFound"));
    assert_eq!(
        refusal.message,
        "The resource 'projects/sandbox/zones/us-central1-b/disks/d' was not found"
    );
    bench.disk(B, "d");
}

#[test]
fn disks_do_not_cross_zones_and_serve_one_machine() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    bench.machine(A, "m");
    bench.machine(B, "n");
    let attach = |zone: &str, name: &str| Attachment {
        disk: (zone.to_owned(), name.to_owned()),
        ..Attachment::default()
    };
    let refusal = bench.refused(|it| it.attach_disk(B, "n", attach(A, "d")));
    assert!(refusal.message.contains("same zone"), "{refusal}");
    let mut new = machine(B, "o");
    new.disks.push(existing(A, "d"));
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("same zone")
    );

    bench.done(|it| it.attach_disk(A, "m", attach(A, "d")));
    let mut new = machine(A, "o");
    new.disks.push(existing(A, "d"));
    assert_eq!(
        bench.refused(|it| it.insert_instance(new)).reason,
        "resourceInUseByAnotherResource"
    );
    let refusal = bench.refused(|it| it.delete_disk(A, "d"));
    assert_eq!(
        (refusal.status, refusal.reason),
        (400, "resourceInUseByAnotherResource")
    );

    assert_eq!(bench.refused(|it| it.detach_disk(A, "m", "nope")).reason, "invalid");
    assert!(
        bench
            .refused(|it| it.detach_disk(A, "m", "persistent-disk-0"))
            .message
            .contains("root disk")
    );
    bench.done(|it| it.detach_disk(A, "m", "persistent-disk-1"));
    bench.done(|it| it.delete_disk(A, "d"));
}

#[test]
fn disks_grow_only_and_are_no_smaller_than_their_source() {
    let mut bench = Bench::new();
    bench.disk(A, "d");
    for size in [10, 9] {
        let refusal = bench.refused(|it| it.resize_disk(A, "d", size));
        assert!(refusal.message.contains("greater than the current size"), "{refusal}");
    }
    bench.done(|it| it.resize_disk(A, "d", 20));
    assert_eq!(bench.core.state().disks()["us-central1-a/d"].size_gb, 20);
    bench.done(|it| it.insert_snapshot(A, "d", "s", "", Labels::new(), true));
    let from_snapshot = |zone: &str, size| NewDisk {
        size_gb: size,
        source: DiskSource::Snapshot("s".to_owned()),
        ..disk(zone, "copy")
    };
    assert!(
        bench
            .refused(|it| it.insert_disk(&from_snapshot(B, Some(5))))
            .message
            .contains("snapshot size")
    );
    bench.done(|it| it.insert_disk(&from_snapshot(B, None)));
    assert_eq!(bench.core.state().disks()["us-central1-b/copy"].size_gb, 20);
    bench.done(|it| it.delete_snapshot("s"));
}
