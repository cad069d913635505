//! The region's HTTP face: the Compute Engine API (`/compute/v1`), the Secret Manager API and a little IAM (`/v1`), and
//! the operator's API (`/sandbox/v1`).

mod batch;
mod call;
mod compute;
mod control;
mod filter;
mod identity;
mod lists;
mod references;
mod secret_manager;

pub use call::Call;
pub use control::{Control, StopSignal};

use crate::core::Refusal;
use crate::region::Region;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The answer to a call.
pub type Answer = Result<Value, Refusal>;

/// What the handlers share.
#[derive(Clone)]
pub struct Face {
    /// The region.
    pub region: Arc<Region>,
    /// What the operator's API needs besides.
    pub control: Arc<Control>,
}

/// The region's HTTP service.
pub fn router(face: Face) -> axum::Router {
    axum::Router::new().fallback(answer).with_state(face)
}

/// What every answer but a batch's is.
const JSON: &str = "application/json; charset=UTF-8";

/// An answer as it goes out: the status and the JSON text.
type Rendered = (StatusCode, String);

async fn answer(State(face): State<Face>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (status, text) = if uri.path() == batch::PATH {
        match batch::answer(&face, &method, &headers, &body).await {
            Ok(reply) => return ([(header::CONTENT_TYPE, batch::CONTENT_TYPE)], reply).into_response(),
            Err(refusal) => render(Err(refusal), true),
        }
    } else {
        single(&face, &method, &uri, &headers, &body).await
    };
    (status, [(header::CONTENT_TYPE, JSON)], text).into_response()
}

/// Answers one call, alone or from a batch.
async fn single(face: &Face, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Rendered {
    let call = match Call::parse(method, uri, headers, body) {
        Ok(call) => call,
        Err(refusal) => return render(Err(refusal), true),
    };
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    if segments.first() != Some(&"sandbox") {
        face.control.requests.fetch_add(1, Ordering::Relaxed);
    }
    let (answer, legacy) = match segments.as_slice() {
        ["compute", "v1", "projects", project, rest @ ..] => {
            (compute::answer(&face.region, &call, project, rest).await, true)
        }
        ["v1", "projects", project, "secrets", rest @ ..] => {
            (secret_manager::answer(&face.region, &call, project, rest), false)
        }
        ["v1", "projects", project, "serviceAccounts", rest @ ..] => {
            (identity::answer(&face.region, &call, project, rest), false)
        }
        ["sandbox", "v1", rest @ ..] => (control::answer(face, &call, rest).await, false),
        _ => (Err(call.unknown()), true),
    };
    if let Err(refusal) = &answer {
        tracing::debug!(method = %call.method, path = %call.path, status = refusal.status, %refusal, "refused");
    }
    render(answer, legacy)
}

/// Compute Engine's errors carry a list of reasons besides Google's common shape.
fn render(answer: Answer, legacy: bool) -> Rendered {
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let mut error = json!({
                "code": refusal.status,
                "message": refusal.message,
                "status": refusal.canonical_status(),
            });
            if legacy {
                error["errors"] = json!([{ "message": refusal.message, "domain": "global", "reason": refusal.reason }]);
            }
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, json!({ "error": error }))
        }
    };
    (status, serde_json::to_string_pretty(&body).unwrap_or_default())
}
