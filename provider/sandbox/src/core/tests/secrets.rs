//! Secrets and who reads them.

use super::*;

#[test]
fn a_secret_is_read_by_machines_that_were_granted_it() {
    let mut bench = Bench::new();
    let default = bench.core.settings().default_service_account();
    let account = |scope: &str| MachineIdentity {
        email: "default".to_owned(),
        scopes: vec![scope.to_owned()],
    };
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    for (name, accounts) in [
        ("none", vec![]),
        ("narrow", vec![account("https://www.googleapis.com/auth/compute")]),
        ("wide", vec![account(scope)]),
    ] {
        bench.done(|it| {
            it.insert_instance(NewInstance {
                service_accounts: accounts,
                ..machine(A, name)
            })
        });
    }
    bench
        .ask(|it| {
            it.create_secret(
                "ca",
                Labels::new(),
                BTreeMap::new(),
                serde_json::json!({ "automatic": {} }),
            )
        })
        .unwrap();
    bench.ask(|it| it.add_secret_version("ca", b"key", None)).unwrap();
    let read =
        |bench: &mut Bench, name: &str| bench.ask(|it| it.access_secret_from_machine(&format!("{A}/{name}"), "ca"));
    assert_eq!(
        read(&mut bench, "wide").unwrap_err().status,
        403,
        "nobody is granted it yet"
    );
    let policy = vec![Binding {
        role: crate::core::secrets::ACCESSOR.to_owned(),
        members: BTreeSet::from([format!("serviceAccount:{default}")]),
    }];
    bench.ask(|it| it.set_secret_policy("ca", policy, None)).unwrap();
    assert_eq!(read(&mut bench, "wide").unwrap(), b"key");
    assert!(read(&mut bench, "narrow").unwrap_err().message.contains("scopes"));
    assert!(
        read(&mut bench, "none")
            .unwrap_err()
            .message
            .contains("no service account")
    );
    let stranger = vec![Binding {
        role: crate::core::secrets::ACCESSOR.to_owned(),
        members: BTreeSet::from(["serviceAccount:nobody@sandbox.iam.gserviceaccount.com".to_owned()]),
    }];
    assert!(bench.ask(|it| it.set_secret_policy("ca", stranger, None)).is_err());
}

#[test]
fn versions_of_a_secret_come_and_go() {
    let mut bench = Bench::new();
    let make = |it: &mut Transaction<'_>, name: &str| {
        it.create_secret(
            name,
            Labels::new(),
            BTreeMap::new(),
            serde_json::json!({ "automatic": {} }),
        )
    };
    bench.ask(|it| make(it, "s")).unwrap();
    assert_eq!(bench.ask(|it| make(it, "s")).err().unwrap().status, 409);
    assert_eq!(bench.ask(|it| make(it, "no good")).err().unwrap().status, 400);
    assert_eq!(
        bench
            .ask(|it| it.access_secret_version("s", "latest"))
            .unwrap_err()
            .status,
        404
    );
    bench.ask(|it| it.add_secret_version("s", b"one", None)).unwrap();
    assert!(
        bench.ask(|it| it.add_secret_version("s", b"two", Some(1))).is_err(),
        "the checksum is wrong"
    );
    bench
        .ask(|it| it.add_secret_version("s", b"two", Some(crate::core::secrets::crc32c(b"two"))))
        .unwrap();
    assert_eq!(
        bench.ask(|it| it.access_secret_version("s", "latest")).unwrap(),
        (2, b"two".to_vec())
    );
    assert_eq!(
        bench.ask(|it| it.access_secret_version("s", "1")).unwrap(),
        (1, b"one".to_vec())
    );
    bench.ask(|it| it.destroy_secret_version("s", "2")).unwrap();
    assert!(
        bench
            .ask(|it| it.access_secret_version("s", "latest"))
            .unwrap_err()
            .message
            .contains("DESTROYED")
    );
    assert!(
        bench
            .ask(|it| it.add_secret_version("s", &vec![0; 65537], None))
            .is_err()
    );
    bench.ask(|it| it.delete_secret("s", None)).unwrap();
    assert_eq!(bench.ask(|it| it.secret("s")).err().unwrap().status, 404);
}
