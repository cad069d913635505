//! Bodies in and out.

use std::convert::Infallible;

use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use serde_json::Value;

use crate::status::ApiError;

/// A response's body: whole, or a watch's stream.
pub(crate) type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// As much as etcd takes, and some for the way.
const LIMIT: usize = 3 * 1024 * 1024;

/// Reads a JSON or YAML body; an empty one is null.
pub(super) async fn read(incoming: hyper::body::Incoming, content_type: &str) -> Result<Value, ApiError> {
    let bytes = Limited::new(incoming, LIMIT)
        .collect()
        .await
        .map_err(|error| {
            let message = format!("Request entity too large or broken off: {error}");
            ApiError::new(413, "RequestEntityTooLarge", message)
        })?
        .to_bytes();
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media.ends_with("yaml") {
        let text = String::from_utf8_lossy(&bytes);
        return serde_saphyr::from_str(&text)
            .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")));
    }
    if media.contains("protobuf") {
        return crate::protobuf::decode(&bytes).map_err(|error| {
            let message = format!(
                "the body of the request was in an unknown format ({error}) - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            );
            ApiError::new(415, "UnsupportedMediaType", message)
        });
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::bad_request(format!("error decoding JSON: {error}")))
}

pub(super) fn respond(code: StatusCode, content_type: &str, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(text.into()).boxed_unsync());
    *response.status_mut() = code;
    let content_type = header::HeaderValue::from_str(content_type);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or(header::HeaderValue::from_static("application/json")),
    );
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// The answer to a refused request.
pub(crate) fn failure(error: &ApiError) -> Response<ResponseBody> {
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(code, "application/json", error.to_status().to_string())
}

/// Adds warnings, which kubectl prints.
pub(super) fn warn(response: &mut Response<ResponseBody>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}
