//! `/readyz`, `/livez`, `/healthz` and `/version`.

use http::{Response, StatusCode};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::body::{ResponseBody, respond};
use super::request::Query;
use crate::objects::Api;

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

/// What only `/readyz` checks.
const READINESS: &[&str] = &["etcd-readiness", "shutdown"];

/// The checks that fail while etcd does not answer.
const ASK_ETCD: &[&str] = &["etcd", "etcd-readiness"];

pub(super) async fn document(
    path: &str,
    query: &Query,
    api: &Api,
    stopping: &CancellationToken,
) -> Option<Response<ResponseBody>> {
    let path = path.trim_end_matches('/');
    if path == "/version" {
        return Some(super::json(StatusCode::OK, &version(&api.settings.kubernetes_version)));
    }
    let (probe, check) = ["/readyz", "/livez", "/healthz"].iter().find_map(|probe| {
        let rest = path.strip_prefix(probe)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| (&probe[1..], rest.trim_start_matches('/')))
    })?;
    let text = |code, text: String| Some(respond(code, "text/plain; charset=utf-8", text));
    let asks_etcd = check.is_empty() || ASK_ETCD.contains(&check);
    let etcd_answers = !asks_etcd || api.store.etcd().check().await.is_ok();
    // A server that goes asks to be left alone, as long as it still answers.
    let stays = probe != "readyz" || !stopping.is_cancelled();
    let is_well = |check: &str| match check {
        "shutdown" => stays,
        _ => etcd_answers || !ASK_ETCD.contains(&check),
    };
    if !check.is_empty() {
        if !checks(probe).any(|one| one == check) {
            return None;
        }
        return if is_well(check) {
            text(StatusCode::OK, "ok".to_owned())
        } else {
            let why = format!("internal server error: {check} failed: reason withheld\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, why)
        };
    }
    let all_well = etcd_answers && stays;
    if all_well && !query.has("verbose") {
        return text(StatusCode::OK, "ok".to_owned());
    }
    let lines = checks(probe).map(|check| {
        if is_well(check) {
            format!("[+]{check} ok\n")
        } else {
            format!("[-]{check} failed: reason withheld\n")
        }
    });
    let lines: String = lines.collect();
    if all_well {
        text(StatusCode::OK, format!("{lines}{probe} check passed\n"))
    } else {
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{lines}{probe} check failed\n"),
        )
    }
}

fn checks(probe: &str) -> impl Iterator<Item = &'static str> {
    let ready: &[&str] = if probe == "readyz" { READINESS } else { &[] };
    CHECKS.iter().chain(ready).copied()
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
