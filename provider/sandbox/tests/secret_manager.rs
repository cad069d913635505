//! The Secret Manager face and service accounts over HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::Method;
use serde_json::json;
use support::TestRegion;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_lives_and_dies() {
    let region = TestRegion::start().await;
    let secrets = "/v1/projects/sandbox/secrets";
    let body = json!({ "replication": { "automatic": {} }, "labels": { "cluster": "demo" } });
    let (status, secret) = region
        .call(Method::POST, &format!("{secrets}?secretId=ca"), Some(body.clone()))
        .await;
    assert_eq!(
        (status, &secret["name"]),
        (200, &json!("projects/100000000001/secrets/ca"))
    );
    let (status, again) = region
        .call(Method::POST, &format!("{secrets}?secretId=ca"), Some(body))
        .await;
    assert_eq!((status, &again["error"]["status"]), (409, &json!("ALREADY_EXISTS")));
    assert!(
        again["error"].get("errors").is_none(),
        "Secret Manager's errors have no list"
    );
    let (status, _) = region
        .call(Method::GET, &format!("{secrets}/ca/versions/latest:access"), None)
        .await;
    assert_eq!(status, 404);

    let payload = json!({ "payload": { "data": "aGVsbG8=" } });
    let (status, version) = region
        .call(Method::POST, &format!("{secrets}/ca:addVersion"), Some(payload))
        .await;
    assert_eq!((status, &version["state"]), (200, &json!("ENABLED")));
    // The project's number is as good as its ID.
    let by_number = "/v1/projects/100000000001/secrets/ca/versions/latest:access";
    let (_, content) = region.call(Method::GET, by_number, None).await;
    assert_eq!(
        content["payload"],
        json!({ "data": "aGVsbG8=", "dataCrc32c": "2591144780" })
    );
    assert_eq!(content["name"], "projects/100000000001/secrets/ca/versions/1");

    let (_, list) = region
        .call(Method::GET, &format!("{secrets}?filter=labels.cluster%3Ddemo"), None)
        .await;
    assert_eq!(list["secrets"].as_array().unwrap().len(), 1);
    let (_, list) = region
        .call(Method::GET, &format!("{secrets}?filter=labels.cluster%3Dother"), None)
        .await;
    assert!(list.get("secrets").is_none());
    let patch = json!({ "labels": { "cluster": "other" } });
    let (_, patched) = region
        .call(Method::PATCH, &format!("{secrets}/ca?updateMask=labels"), Some(patch))
        .await;
    assert_eq!(patched["labels"]["cluster"], "other");

    let (_, policy) = region
        .call(Method::GET, &format!("{secrets}/ca:getIamPolicy"), None)
        .await;
    let account = "serviceAccount:100000000001-compute@developer.gserviceaccount.com";
    let binding = json!([{ "role": "roles/secretmanager.secretAccessor", "members": [account] }]);
    let wanted = json!({ "policy": { "bindings": binding, "etag": policy["etag"] } });
    let (status, set) = region
        .call(
            Method::POST,
            &format!("{secrets}/ca:setIamPolicy"),
            Some(wanted.clone()),
        )
        .await;
    assert_eq!((status, &set["bindings"]), (200, &binding));
    let (status, _) = region
        .call(Method::POST, &format!("{secrets}/ca:setIamPolicy"), Some(wanted))
        .await;
    assert_eq!(status, 409, "the etag is stale");

    region
        .call(Method::POST, &format!("{secrets}/ca/versions/1:destroy"), None)
        .await;
    let (status, gone) = region
        .call(Method::GET, &format!("{secrets}/ca/versions/1:access"), None)
        .await;
    assert_eq!((status, &gone["error"]["status"]), (400, &json!("FAILED_PRECONDITION")));
    assert_eq!(region.status().await["secrets"], json!(["ca"]));
    assert_eq!(region.call(Method::DELETE, &format!("{secrets}/ca"), None).await.0, 200);
    assert_eq!(region.call(Method::DELETE, &format!("{secrets}/ca"), None).await.0, 404);
    region.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_are_there_before_machines_have_them() {
    let region = TestRegion::start().await;
    let accounts = "/v1/projects/sandbox/serviceAccounts";
    let email = "masters@sandbox.iam.gserviceaccount.com";
    let instances = format!("/zones/{}/instances", support::ZONE);
    let mut body = support::machine("m");
    body["serviceAccounts"] = json!([{ "email": email, "scopes": ["https://www.googleapis.com/auth/cloud-platform"] }]);
    let (status, _, message) = region.refused(Method::POST, &instances, Some(body.clone())).await;
    assert_eq!(status, 404);
    assert!(message.contains("of type 'serviceAccount' was not found"), "{message}");
    let (status, made) = region
        .call(Method::POST, accounts, Some(json!({ "accountId": "masters" })))
        .await;
    assert_eq!((status, &made["email"]), (200, &json!(email)));
    region.post(&instances, body).await;
    assert_eq!(
        region.call(Method::GET, &format!("{accounts}/{email}"), None).await.0,
        200
    );
    assert_eq!(
        region
            .call(Method::DELETE, &format!("{accounts}/{email}"), None)
            .await
            .0,
        200
    );
    region.stop().await;
}
