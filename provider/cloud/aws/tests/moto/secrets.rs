//! Secrets, who may read them, and notices.

use multizone_cloud::{Cloud as _, CloudError, ClusterName, Notice, SecretSpec};
use serde_json::Value;

use super::{Account, labels};

fn spec(cluster: &ClusterName, content: &[u8]) -> SecretSpec {
    SecretSpec {
        cluster: cluster.clone(),
        name: format!("{cluster}-keys"),
        content: content.to_vec(),
        labels: labels(cluster),
    }
}

pub(super) async fn a_secret_is_stored_once_and_read_by_the_masters_alone(account: &Account) {
    let (aws, cluster) = (&account.aws, ClusterName::new("demo"));
    assert_eq!(aws.secret("demo-keys").await.unwrap(), None);
    assert_eq!(aws.ensure_secret(&spec(&cluster, b"one")).await.unwrap(), b"one");
    assert_eq!(aws.ensure_secret(&spec(&cluster, b"two")).await.unwrap(), b"one");
    aws.replace_secret(&spec(&cluster, b"two")).await.unwrap();
    assert_eq!(aws.secret("demo-keys").await.unwrap().unwrap(), b"two");
    assert_eq!(aws.inventory(&cluster).await.unwrap().secrets, ["demo-keys"]);
    let other = SecretSpec {
        cluster: ClusterName::new("other"),
        ..spec(&cluster, b"x")
    };
    assert!(matches!(
        aws.ensure_secret(&other).await,
        Err(CloudError::NotOurs { .. })
    ));

    let profile = aws.default_machine_identity(&cluster).await.unwrap();
    assert_eq!(aws.default_machine_identity(&cluster).await.unwrap(), profile);
    aws.grant_secret("demo-keys", &profile).await.unwrap();
    aws.grant_secret("demo-keys", &profile).await.unwrap();
    let policy = account.boto3(
        "import json\n\
         answer = json.loads(secretsmanager.get_resource_policy(SecretId='demo-keys')['ResourcePolicy'])['Statement']",
    );
    let readers = policy[0]["Principal"]["AWS"].as_array().cloned().unwrap();
    assert_eq!((policy.as_array().unwrap().len(), readers.len()), (1, 1), "{policy}");
    assert!(
        readers[0].as_str().unwrap().ends_with(":role/multizone-us-west-2-demo"),
        "{policy}"
    );

    let refused = aws.delete_secret(&ClusterName::new("demo-2"), "demo-keys").await;
    assert!(matches!(refused, Err(CloudError::NotOurs { .. })), "{refused:?}");
    aws.delete_secret(&cluster, "demo-keys").await.unwrap();
    aws.delete_secret(&cluster, "demo-keys").await.unwrap();
    assert_eq!(
        aws.ensure_secret(&spec(&cluster, b"new")).await.unwrap(),
        b"new",
        "its name is free at once"
    );
    aws.delete_secret(&cluster, "demo-keys").await.unwrap();
    account.finish(&cluster).await;
}

pub(super) async fn of_several_who_change_a_notice_one_does(account: &Account) {
    let (aws, cluster) = (&account.aws, ClusterName::new("demo"));
    let post = |text: &'static str, over: Option<Notice>| {
        let (aws, cluster) = (aws.clone(), cluster.clone());
        async move {
            aws.post_notice(&cluster, "demo-turn", text, over.as_ref())
                .await
                .unwrap()
        }
    };
    assert_eq!(aws.notice(&cluster, "demo-turn").await.unwrap(), None);
    let first = post("one", None).await.unwrap();
    assert_eq!(post("two", None).await, None, "there is one already");
    assert_eq!(aws.notice(&cluster, "demo-turn").await.unwrap().as_ref(), Some(&first));

    // More rounds than the ring of versions has, so that each is used again.
    let mut current = first.clone();
    for _ in 0..6 {
        let rivals = futures::future::join_all(["a", "b", "c"].map(|text| post(text, Some(current.clone())))).await;
        let mut won = rivals.into_iter().flatten();
        let winner = won.next().unwrap();
        assert_eq!(won.next(), None);
        assert_ne!(winner.version, current.version);
        assert_eq!(aws.notice(&cluster, "demo-turn").await.unwrap().as_ref(), Some(&winner));
        current = winner;
    }
    assert_eq!(post("late", Some(first.clone())).await, None);
    let versions = account.boto3(
        "answer = len(secretsmanager.list_secret_version_ids(SecretId='demo-turn', IncludeDeprecated=True)['Versions'])",
    );
    assert!(versions.as_u64().unwrap() <= 5, "{versions}");
    assert_eq!(aws.inventory(&cluster).await.unwrap().secrets, ["demo-turn"]);

    aws.remove_notice(&cluster, "demo-turn", &first).await.unwrap();
    assert!(
        aws.notice(&cluster, "demo-turn").await.unwrap().is_some(),
        "it is another by now"
    );
    aws.remove_notice(&cluster, "demo-turn", &current).await.unwrap();
    assert_eq!(aws.notice(&cluster, "demo-turn").await.unwrap(), None);
    assert_eq!(account.moto.left(), Value::Object(serde_json::Map::new()));
}
