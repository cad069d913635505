//! Errors of the provider block.

use multizone_provider::protocol::catalog::Catalog;
use multizone_schema::Diagnostics;
use serde_json::{Value, json};

use crate::{read, terraform::value};

fn block() -> Value {
    json!({ "sandbox": null, "compute_engine": null, "aws": null, "destroy": null })
}

fn with(name: &str, argument: Value) -> Value {
    let mut block = block();
    block[name] = argument;
    block
}

/// A region of Compute Engine, with one argument of it changed.
fn compute_engine(name: &str, argument: impl Into<Value>) -> Value {
    let mut arguments = json!({
        "project": "my-project-1",
        "region": "us-central1",
        "endpoint": null,
        "secret_manager_endpoint": null,
        "credentials": null,
        "anonymous": null,
    });
    arguments[name] = argument.into();
    with("compute_engine", arguments)
}

/// A region of AWS, with one argument of it changed.
fn aws(name: &str, argument: impl Into<Value>) -> Value {
    let mut arguments = json!({
        "region": "us-west-2",
        "profile": null,
        "assume_role": null,
        "endpoint_url": null,
        "default_tags": null,
    });
    arguments[name] = argument.into();
    with("aws", arguments)
}

fn sandbox(name: &str, argument: impl Into<Value>) -> Value {
    let mut arguments = json!({ "region": "us-central1", "directory": null, "speed": null });
    arguments[name] = argument.into();
    with("sandbox", arguments)
}

/// What validating it says.
fn check(block: &Value) -> Diagnostics {
    let provider = Catalog::multizone().provider;
    provider.object.check(&value(&provider.schema, block))
}

/// What using it says.
async fn configure(block: &Value) -> Diagnostics {
    let provider = Catalog::multizone().provider;
    let block = value(&provider.schema, block);
    provider.object.configure(&block, "1.11.4").await.1
}

#[test]
fn one_cloud() {
    read!("no_cloud", check(&block()));
    let mut both = sandbox("speed", 60);
    both["compute_engine"] = compute_engine("anonymous", true)["compute_engine"].take();
    read!("two_clouds", check(&both));
}

#[test]
fn what_calls_are_made_to() {
    let project = |id: &str| check(&compute_engine("project", id));
    read!("project_empty", project(""));
    read!("project_number", project("123456789012"));
    read!("project_name", project("My Project"));
    read!("project_too_long", project(&"p".repeat(31)));
    read!("project_ends_wrong", project("my-project-"));
    let region = |name: &str| check(&compute_engine("region", name));
    read!("region_is_a_zone", region("us-central1-a"));
    read!("region_malformed", region("US Central"));
    let endpoint = |url: &str| check(&compute_engine("endpoint", url));
    read!("endpoint_without_scheme", endpoint("compute.example.com"));
    read!("endpoint_of_another_scheme", endpoint("ftp://compute.example.com"));
    read!("endpoint_with_a_query", endpoint("https://compute.example.com/?a=b"));
    read!("endpoint_with_a_user", endpoint("https://me@compute.example.com"));
    read!("endpoint_unreadable", endpoint("http://compute example"));
    read!("sandbox_speed", check(&sandbox("speed", 0)));
    read!(
        "drain_timeout",
        check(&with("destroy", json!({ "drain_timeout": "soon", "force": null })))
    );
}

#[test]
fn what_aws_is_told() {
    let region = |name: &str| check(&aws("region", name));
    read!("aws_region_is_a_zone", region("us-west-2a"));
    read!("aws_region_malformed", region("us-central1"));
    read!(
        "aws_endpoint_without_scheme",
        check(&aws("endpoint_url", "aws.example.com"))
    );
    read!("aws_profile_empty", check(&aws("profile", "")));
    let user = "arn:aws:iam::123456789012:user/me";
    read!("aws_role_of_a_user", check(&aws("assume_role", user)));
    let tags = json!({ "": "x", "aws:x": "x", "Name": "x", "long": "x".repeat(257) });
    read!("aws_default_tags", check(&aws("default_tags", tags)));
}

#[test]
fn who_calls() {
    let credentials = |text: &str| check(&compute_engine("credentials", text));
    read!("credentials_are_a_path", credentials("/home/me/key.json"));
    let mut both = compute_engine("credentials", "{}");
    both["compute_engine"]["anonymous"] = true.into();
    read!("credentials_and_anonymous", check(&both));
}

#[tokio::test]
async fn what_cannot_be_used() {
    read!("sandbox_region", configure(&sandbox("region", "us-east1")).await);
    let nowhere = sandbox("directory", "/dev/null/region");
    read!("sandbox_does_not_start", configure(&nowhere).await);
    let credentials = |text: &str| compute_engine("credentials", text);
    read!("credentials_not_json", configure(&credentials("{\"type\": x}")).await);
    read!(
        "credentials_of_another_kind",
        configure(&credentials("{\"type\": \"key\"}")).await
    );
    read!("credentials_of_no_kind", configure(&credentials("{}")).await);
    let incomplete = credentials("{\"type\": \"service_account\", \"project_id\": \"my-project-1\"}");
    read!("credentials_incomplete", configure(&incomplete).await);
}
