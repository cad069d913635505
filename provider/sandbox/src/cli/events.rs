//! `sandbox events`.

use super::{CliError, Which, print};
use serde_json::Value;

pub(super) fn show(which: &Which, after: u64, follow: bool, json: bool) -> Result<(), CliError> {
    let client = which.client()?;
    let mut after = after;
    loop {
        let wait = if follow { "&wait=20" } else { "" };
        let answer = client.get(&format!("/sandbox/v1/events?after={after}{wait}"))?;
        let events = answer
            .get("events")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        for event in &events {
            after = event.get("sequence").and_then(Value::as_u64).unwrap_or(after);
            print(&if json { format!("{event}\n") } else { line(event) })?;
        }
        if events.is_empty() && !follow {
            return Ok(());
        }
    }
}

fn line(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = event.get("sequence").and_then(Value::as_u64).unwrap_or_default();
    let at = text("at").split('.').next().unwrap_or_default();
    let detail = match text("detail") {
        "" => String::new(),
        detail => format!("  ({detail})"),
    };
    format!(
        "{number:>6}  {at}  {:<9} {:<24} {}{detail}\n",
        text("actor"),
        text("verb"),
        text("object")
    )
}
