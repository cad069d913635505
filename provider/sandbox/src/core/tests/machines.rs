//! Machines: their states, what is refused, outages and halts.

use super::*;

#[test]
fn a_machine_goes_through_its_states_and_its_operation_with_it() {
    let mut bench = Bench::new();
    let operation = bench.ask(|it| it.insert_instance(machine(A, "m"))).unwrap();
    assert_eq!((operation.status, operation.progress()), (OperationStatus::Pending, 0));
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Provisioning);
    bench.pass(5);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Running
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Staging);
    assert!(!bench.core.state().instances()["us-central1-a/m"].powered);
    bench.pass(7);
    assert_eq!(
        bench.core.state().operations()[&operation.name].status,
        OperationStatus::Done
    );
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);

    bench.ask(|it| it.stop_instance(A, "m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Stopping);
    bench.pass(25);
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Terminated);
    assert_eq!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address,
        None
    );
    bench.done(|it| it.start_instance(A, "m"));
    assert!(
        bench.core.state().instances()["us-central1-a/m"]
            .interface
            .access
            .as_ref()
            .unwrap()
            .address
            .is_some()
    );

    bench.ask(|it| it.delete_instance(A, "m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Stopping);
    bench.pass(30);
    assert!(bench.core.state().instances().is_empty());
    assert!(
        bench.core.state().disks().is_empty(),
        "the boot disk goes with its machine"
    );
}

#[test]
fn a_reset_takes_the_power_for_a_moment() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.ask(|it| it.reset_instance(A, "m")).unwrap();
    bench.pass(1);
    assert!(!bench.core.state().instances()["us-central1-a/m"].powered);
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    bench.pass(4);
    assert!(bench.core.state().instances()["us-central1-a/m"].powered);
}

#[test]
fn names_zones_types_and_images_are_checked() {
    let mut bench = Bench::new();
    let refusal = bench.refused(|it| it.insert_instance(machine(A, "Bad_Name")));
    assert_eq!((refusal.status, refusal.reason), (400, "invalid"));
    assert!(refusal.message.contains("Must be a match of regex"), "{refusal}");
    let refusal = bench.refused(|it| it.insert_instance(machine("us-central1-z", "m")));
    assert!(refusal.message.contains("Unknown zone"), "{refusal}");
    let refusal = bench.refused(|it| it.insert_instance(machine("europe-west1-b", "m")));
    assert!(refusal.message.contains("europe-west1"), "{refusal}");

    let mut new = machine(A, "m");
    new.machine_type = (None, "n9-huge".to_owned());
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("does not exist in zone")
    );
    let mut new = machine(A, "m");
    new.machine_type = (Some(B.to_owned()), "n1-standard-1".to_owned());
    assert!(
        bench
            .refused(|it| it.insert_instance(new))
            .message
            .contains("must be in the instance's zone")
    );

    let mut new = disk(A, "d");
    new.source = DiskSource::Image {
        project: "ubuntu-os-cloud".to_owned(),
        name: "nope".to_owned(),
        family: false,
    };
    let refusal = bench.refused(|it| it.insert_disk(&new));
    assert_eq!((refusal.status, refusal.reason), (404, "notFound"));
    let mut new = disk(A, "d");
    new.disk_type = Some("pd-imaginary".to_owned());
    assert_eq!(bench.refused(|it| it.insert_disk(&new)).reason, "invalid");
    let mut new = disk(A, "d");
    new.labels = labels("Team", "web");
    assert_eq!(bench.refused(|it| it.insert_disk(&new)).reason, "invalid");
}

#[test]
fn protection_and_the_machine_type_of_running_machines_hold() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    let wanted = (None, "n1-standard-4".to_owned());
    assert!(
        bench
            .refused(|it| it.set_machine_type(A, "m", &wanted))
            .message
            .contains("must be stopped")
    );
    bench.done(|it| it.stop_instance(A, "m"));
    bench.done(|it| it.set_machine_type(A, "m", &wanted));
    bench.done(|it| it.set_deletion_protection(A, "m", true));
    assert!(
        bench
            .refused(|it| it.delete_instance(A, "m"))
            .message
            .contains("protected")
    );
    bench.done(|it| it.set_deletion_protection(A, "m", false));
    bench.done(|it| it.delete_instance(A, "m"));
}

#[test]
fn in_a_zone_that_is_out_nothing_starts_and_nothing_changes() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.machine(B, "other");
    bench.ask(|it| it.insert_instance(machine(A, "starting"))).unwrap();
    bench.pass(1);
    bench.ask(|it| it.take_zone_out(A)).unwrap();
    assert!(
        !bench.core.state().instances().contains_key("us-central1-a/starting"),
        "what was starting is gone"
    );
    assert!(
        !bench.core.state().disks().contains_key("us-central1-a/starting"),
        "with its disk"
    );
    assert!(view::topology(bench.core.state()).outages.contains(A));

    let failed = bench.ask(|it| it.insert_instance(machine(A, "n"))).unwrap();
    let error = failed.error.unwrap();
    assert_eq!(
        (failed.status, error.code.as_str(), error.http_status),
        (OperationStatus::Done, "ZONE_RESOURCE_POOL_EXHAUSTED", 503)
    );
    assert!(!bench.core.state().instances().contains_key("us-central1-a/n"));
    for refusal in [
        bench.refused(|it| it.delete_instance(A, "m")),
        bench.refused(|it| it.insert_disk(&disk(A, "d"))),
        bench.refused(|it| it.set_instance_labels(A, "m", labels("a", "b"), None)),
    ] {
        assert_eq!(refusal.status, 503);
    }
    bench.done(|it| it.stop_instance(B, "other"));
    assert!(bench.ask(|it| it.take_zone_out(A)).is_err());
    bench.ask(|it| it.restore_zone(A)).unwrap();
    bench.done(|it| it.delete_instance(A, "m"));
}

#[test]
fn a_halted_machine_boots_again() {
    let mut bench = Bench::new();
    bench.machine(A, "m");
    bench.ask(|it| it.halt("m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Terminated);
    assert!(!view::topology(bench.core.state()).machines["us-central1-a/m"].running);
    assert!(bench.ask(|it| it.halt("m")).is_err());
    bench.ask(|it| it.boot("us-central1-a/m")).unwrap();
    assert_eq!(bench.status("us-central1-a/m"), InstanceStatus::Running);
    assert!(bench.ask(|it| it.boot("m")).is_err());
    bench.machine(B, "m");
    assert!(
        bench
            .ask(|it| it.halt("m"))
            .unwrap_err()
            .message
            .contains("several machines")
    );
    assert_eq!(bench.ask(|it| it.halt("nope")).unwrap_err().status, 404);
}
