//! `kubectl auth can-i` and `kubectl auth whoami`: reviews are answered and not stored.

use http::StatusCode;
use serde_json::{Value, json};

use super::request::Target;
use super::{Answer, json as answer_json};
use crate::access::{Attributes, Identity, authenticate_token, authorize, rules_for};
use crate::object::ObjectExt as _;
use crate::status::ApiError;
use crate::store::Store;

pub(super) fn answer(store: &Store, who: &Identity, target: &Target, mut review: Value) -> Answer {
    if !review.is_object() {
        return Err(ApiError::bad_request("the body of the request is not a review"));
    }
    let status = match target.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": user_info(who)}),
        "tokenreviews" => match authenticate_token(store, review.text("/spec/token"), jiff::Timestamp::now()) {
            Some(found) => json!({"authenticated": true, "user": user_info(&found)}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        },
        "selfsubjectrulesreviews" => {
            let (resources, paths) = rules_for(store, who, review.text("/spec/namespace"));
            let paths: Vec<Value> = paths
                .into_iter()
                .map(|rule| json!({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}))
                .collect();
            json!({"incomplete": false, "resourceRules": resources, "nonResourceRules": paths})
        }
        "selfsubjectaccessreviews" => decision(store, who, &review),
        _ => {
            let groups: Vec<&str> = review.items("/spec/groups").iter().filter_map(Value::as_str).collect();
            decision(store, &Identity::new(review.text("/spec/user"), &groups), &review)
        }
    };
    review.put(&["status"], status);
    Ok(answer_json(StatusCode::CREATED, &review))
}

fn user_info(who: &Identity) -> Value {
    json!({"username": who.user, "groups": who.groups, "extra": who.extra})
}

fn decision(store: &Store, who: &Identity, review: &Value) -> Value {
    let text = |field: &str| review.text(&format!("/spec/resourceAttributes/{field}")).to_owned();
    let path = review
        .pointer("/spec/nonResourceAttributes/path")
        .and_then(Value::as_str);
    let wanted = match path {
        Some(path) => Attributes {
            verb: review.text("/spec/nonResourceAttributes/verb").to_owned(),
            path: Some(path.to_owned()),
            ..Attributes::default()
        },
        None => Attributes {
            verb: text("verb"),
            group: text("group"),
            resource: text("resource"),
            subresource: text("subresource"),
            namespace: text("namespace"),
            name: text("name"),
            path: None,
        },
    };
    json!({"allowed": authorize(store, who, &wanted).is_ok()})
}
