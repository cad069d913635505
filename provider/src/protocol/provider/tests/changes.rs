//! Planning and applying.

use multizone_schema::Value;

use super::{config, configured, state, unconfigured, with};

fn planned(name: &str) -> Value {
    let planned = with(&config(name), "size", 3);
    with(
        &with(&with(&planned, "token", Value::Null), "id", Value::Unknown),
        "revision",
        Value::Unknown,
    )
}

#[tokio::test]
async fn a_planned_create_has_defaults_unknowns_and_no_write_only_value() {
    let answer = configured().await.plan(Value::Null, config("a")).await;
    assert_eq!(answer.value, planned("a"));
    assert_eq!(answer.diagnostics, [""; 0]);
    assert!(answer.requires_replace.is_empty());
}

#[tokio::test]
async fn a_plan_without_a_change_is_the_state() {
    let served = configured().await;
    let answer = served.plan(state("a", 3), config("a")).await;
    assert_eq!(answer.value, state("a", 3));
    assert_eq!(answer.private, b"prior");
}

#[tokio::test]
async fn a_planned_update_keeps_what_is_kept() {
    let answer = configured()
        .await
        .plan(state("a", 3), with(&config("a"), "size", 5))
        .await;
    assert_eq!(
        answer.value,
        with(&with(&state("a", 3), "size", 5), "revision", Value::Unknown)
    );
    assert!(answer.requires_replace.is_empty());
}

#[tokio::test]
async fn paths_that_require_replacement_come_from_schema_and_resource() {
    let served = configured().await;
    let answer = served.plan(state("a", 3), with(&config("b"), "size", 1)).await;
    let names: Vec<_> = answer
        .requires_replace
        .iter()
        .map(|path| format!("{:?}", path.steps[0].selector))
        .collect();
    assert_eq!(
        names,
        [r#"Some(AttributeName("name"))"#, r#"Some(AttributeName("size"))"#]
    );
    assert_eq!(answer.diagnostics, ["W: Shrinking"]);
}

#[tokio::test]
async fn a_planned_destroy_is_null_and_may_be_refused() {
    let served = configured().await;
    let answer = served.plan(state("a", 3), Value::Null).await;
    assert_eq!((answer.value, answer.diagnostics.len()), (Value::Null, 0));
    let refused = served.plan(state("protected", 3), Value::Null).await;
    assert_eq!(refused.diagnostics, ["E: Cannot destroy"]);
}

#[tokio::test]
async fn a_create_sees_the_write_only_value_and_state_does_not() {
    let served = configured().await;
    let answer = served.apply(Value::Null, planned("a"), config("a")).await;
    assert_eq!(answer.value, state("a", 3));
    assert_eq!(answer.private, b"made");
    let token = served.world.things.lock().unwrap()["id-a"].1.clone();
    assert_eq!(token.as_deref(), Some("s3cret"));
}

#[tokio::test]
async fn an_object_that_differs_from_its_plan_is_not_tainted() {
    let answer = configured()
        .await
        .apply(Value::Null, planned("larger"), config("larger"))
        .await;
    assert_eq!(answer.value, state("larger", 3));
    assert_eq!(answer.diagnostics, ["W: Applied, but not as planned"]);
}

#[tokio::test]
async fn a_failed_create_leaves_no_state() {
    let answer = configured()
        .await
        .apply(Value::Null, planned("fail"), config("fail"))
        .await;
    assert_eq!(answer.value, Value::Null);
    assert_eq!(answer.diagnostics, ["E: Cannot create"]);
}

#[tokio::test]
async fn a_failed_update_leaves_the_state_it_reached() {
    let prior = state("fail", 3);
    let answer = configured()
        .await
        .apply(prior.clone(), with(&prior, "size", 9), config("fail"))
        .await;
    assert_eq!(answer.value, with(&with(&prior, "size", 8), "revision", 2));
    assert_eq!(answer.private, b"half");
    assert_eq!(answer.diagnostics, ["E: Cannot update"]);
}

#[tokio::test]
async fn an_update_keeps_its_private_bytes() {
    let prior = state("a", 3);
    let answer = configured()
        .await
        .apply(
            prior.clone(),
            with(&with(&prior, "size", 9), "revision", Value::Unknown),
            config("a"),
        )
        .await;
    assert_eq!(answer.value, with(&with(&prior, "size", 9), "revision", 2));
    assert_eq!(answer.private, b"planned");
}

#[tokio::test]
async fn a_deleted_object_is_gone_and_a_failed_delete_keeps_it() {
    let served = configured().await;
    let gone = served.apply(state("a", 3), Value::Null, Value::Null).await;
    assert_eq!((gone.value, gone.diagnostics.len()), (Value::Null, 0));
    let kept = served.apply(state("fail", 3), Value::Null, Value::Null).await;
    assert_eq!(kept.value, state("fail", 3));
    assert_eq!(kept.diagnostics, ["E: Cannot delete"]);
}

#[tokio::test]
async fn a_panic_is_a_diagnostic_and_loses_no_state() {
    let served = configured().await;
    let prior = state("panic", 3);
    let updated = served
        .apply(prior.clone(), with(&prior, "size", 9), config("panic"))
        .await;
    assert_eq!(updated.value, prior);
    assert_eq!(updated.diagnostics, ["E: The provider made an error of its own"]);
    let created = served.apply(Value::Null, planned("panic"), config("panic")).await;
    assert_eq!(created.value, Value::Null);
    assert_eq!(created.diagnostics, ["E: The provider made an error of its own"]);
    assert_eq!(
        served.apply(Value::Null, planned("a"), config("a")).await.value,
        state("a", 3)
    );
}

#[tokio::test]
async fn a_stop_reaches_the_operation_under_way() {
    let served = configured().await;
    let slow = served.world.slow.clone();
    let stopping = async {
        slow.notified().await;
        served.lifecycle.request_stop();
    };
    let (answer, ()) = tokio::join!(served.apply(Value::Null, planned("slow"), config("slow")), stopping);
    assert_eq!(answer.diagnostics, ["E: Cannot finish"]);
}

#[tokio::test]
async fn without_a_configuration_plans_come_from_the_schema_and_applies_are_refused() {
    let served = unconfigured();
    assert!(served.configure(Value::Unknown).await.is_empty());
    let answer = served.plan(Value::Null, config("a")).await;
    assert_eq!((answer.value, answer.diagnostics.len()), (planned("a"), 0));
    let refused = served.apply(state("a", 3), Value::Null, Value::Null).await;
    assert_eq!(refused.value, state("a", 3));
    assert_eq!(
        refused.diagnostics,
        ["E: The provider's configuration is not known yet"]
    );
}
