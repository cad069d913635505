//! What time ends: bootstrap tokens, events, decided certificate requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Controller;
use crate::access::{TOKEN_TYPE, token_field};
use crate::object::ObjectExt as _;
use crate::objects::{Api, DeleteOptions};
use crate::status::ApiError;
use crate::store::Event;
use crate::time;

/// Removes what has expired.
pub(super) struct Expiry;

const EVENTS: SignedDuration = SignedDuration::from_hours(1);

#[async_trait::async_trait]
impl Controller for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn cares(&self, event: &Event) -> bool {
        matches!(
            event.key.resource.as_str(),
            "secrets" | "certificatesigningrequests.certificates.k8s.io"
        )
    }

    async fn reconcile(&mut self, api: &Api) -> Result<Option<Duration>, ApiError> {
        let now = Timestamp::now();
        let mut next = Duration::from_mins(10);
        let mut due = Vec::new();
        for secret in api.store.list("secrets", Some("kube-system")).0 {
            if secret.text("/type") == TOKEN_TYPE {
                due.push(("secrets", time::parse(&token_field(&secret, "expiration")), secret));
            }
        }
        for id in ["events", "events.events.k8s.io"] {
            due.extend(
                api.store
                    .all(id)
                    .into_iter()
                    .map(|event| (id, last_seen(&event), event)),
            );
        }
        for request in api.store.all("certificatesigningrequests.certificates.k8s.io") {
            let hours = if request.items("/status/conditions").is_empty() {
                24
            } else {
                1
            };
            let made = time::parse(request.text("/metadata/creationTimestamp"));
            let end = made.map(|made| made + SignedDuration::from_hours(hours));
            due.push(("certificatesigningrequests.certificates.k8s.io", end, request));
        }
        for (id, end, object) in due {
            let Some(end) = end else { continue };
            if end <= now {
                api.remove(id, &object, DeleteOptions::now()).await?;
            } else {
                next = next.min(end.duration_since(now).unsigned_abs());
            }
        }
        Ok(Some(next))
    }
}

fn last_seen(event: &Value) -> Option<Timestamp> {
    let fields = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    fields
        .iter()
        .find_map(|field| time::parse(event.text(field)))
        .map(|seen| seen + EVENTS)
}
