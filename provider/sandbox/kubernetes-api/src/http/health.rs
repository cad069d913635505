//! `/readyz`, `/livez`, `/healthz` and `/version`.

use http::{Response, StatusCode};
use serde_json::json;

use super::body::{ResponseBody, respond};
use super::request::Query;
use crate::objects::Settings;

/// What a real server checks, as far as there is such a thing here.
const CHECKS: &[&str] = &[
    "ping",
    "log",
    "etcd",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/apiservice-discovery-controller",
];

pub(super) fn document(path: &str, query: &Query, settings: &Settings) -> Option<Response<ResponseBody>> {
    let path = path.trim_end_matches('/');
    if path == "/version" {
        return Some(super::json(StatusCode::OK, &version(&settings.kubernetes_version)));
    }
    let (probe, check) = ["/readyz", "/livez", "/healthz"].iter().find_map(|probe| {
        let rest = path.strip_prefix(probe)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| (&probe[1..], rest.trim_start_matches('/')))
    })?;
    let text = |text: String| Some(respond(StatusCode::OK, "text/plain; charset=utf-8", text));
    if !check.is_empty() {
        return if CHECKS.contains(&check) {
            text("ok".to_owned())
        } else {
            None
        };
    }
    if !query.has("verbose") {
        return text("ok".to_owned());
    }
    let mut lines: Vec<String> = CHECKS.iter().map(|check| format!("[+]{check} ok")).collect();
    if probe == "readyz" {
        lines.push("[+]shutdown ok".to_owned());
    }
    lines.push(format!("{probe} check passed\n"));
    text(lines.join("\n"))
}

fn version(text: &str) -> serde_json::Value {
    let text = text.trim_start_matches('v');
    let mut parts = text.split('.');
    json!({
        "major": parts.next().unwrap_or_default(),
        "minor": parts.next().unwrap_or_default(),
        "gitVersion": format!("v{text}"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "multizone-sandbox", "platform": "linux/amd64",
    })
}
