//! Events, as `kubectl get events` and `kubectl describe` show them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::object::ObjectExt as _;
use crate::objects::Api;
use crate::random;
use crate::time;

impl Api {
    /// Records an event about an object.  One that cannot be recorded is logged: nothing depends on it.
    #[expect(clippy::too_many_arguments, reason = "the fields of an event")]
    pub(super) async fn record(
        &self,
        about: &Value,
        api_version: &str,
        kind: &str,
        severity: &str,
        reason: &str,
        message: &str,
        component: &str,
    ) {
        let now = time::seconds(Timestamp::now());
        let namespace = if about.namespace().is_empty() {
            "default"
        } else {
            about.namespace()
        };
        let event = json!({
            "metadata": {"name": format!("{}.{}", about.name(), random::suffix())},
            "involvedObject": {
                "kind": kind, "apiVersion": api_version, "namespace": about.namespace(), "name": about.name(),
                "uid": about.uid(), "resourceVersion": about.text("/metadata/resourceVersion"),
            },
            "type": severity, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
        });
        if let Err(error) = self.add("events", namespace, event).await {
            tracing::debug!(%error, reason, "event not recorded");
        }
    }
}
