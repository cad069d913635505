//! One HTTP request, taken apart.

use crate::core::Refusal;
use crate::core::names::fingerprint;
use axum::http::{HeaderMap, Method, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// One HTTP request.
pub struct Call {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Path, split and decoded.
    pub segments: Vec<String>,
    /// Query parameters; of a repeated one the last.
    pub query: BTreeMap<String, String>,
    /// Body; null when there is none.
    pub body: Value,
    /// The client's name for itself.
    pub agent: String,
}

/// Parameters that say how to answer, not what to do.
const PRESENTATION: &[&str] = &[
    "alt",
    "$alt",
    "$apiVersion",
    "prettyPrint",
    "$prettyPrint",
    "fields",
    "$fields",
    "key",
    "quotaUser",
    "requestId",
];

impl Call {
    /// Takes a request apart.
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let segments = uri.path().split('/').filter(|it| !it.is_empty()).map(decode).collect();
        let query = uri
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
            })
            .collect();
        let body = if body.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            serde_json::from_slice(body)
                .map_err(|error| Refusal::bad_request(format!("Invalid JSON payload received. {error}")))?
        };
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|it| it.to_str().ok())
            .unwrap_or("")
            .to_owned();
        Ok(Self {
            method: method.to_string(),
            path: uri.path().to_owned(),
            segments,
            query,
            body,
            agent,
        })
    }

    /// A query parameter, if it is there and not empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A query parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.parameter(name).ok_or_else(|| Refusal::required(name))
    }

    /// A parameter that is true or false; Python clients write `True` and `False`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.parameter(name) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(Refusal::invalid(name, text, "Must be true or false")),
        }
    }

    /// The body as `T`.
    pub fn body_as<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body = if self.body.is_null() {
            Value::Object(serde_json::Map::new())
        } else {
            self.body.clone()
        };
        serde_json::from_value(body)
            .map_err(|error| Refusal::bad_request(format!("Invalid JSON payload received. {error}")))
    }

    /// The idempotency token.
    pub fn token(&self) -> Option<&str> {
        self.parameter("requestId")
    }

    /// What makes two requests the same: method, path, parameters, body.
    pub fn fingerprint(&self) -> String {
        let parameters: BTreeMap<_, _> = self
            .query
            .iter()
            .filter(|(name, _)| !PRESENTATION.contains(&name.as_str()))
            .collect();
        fingerprint(&(&self.method, &self.path, parameters, &self.body))
    }

    /// The refusal of a method or path that the region does not know.
    pub fn unknown(&self) -> Refusal {
        Refusal {
            status: 404,
            reason: "notFound",
            message: format!("The sandbox does not serve {} {}", self.method, self.path),
        }
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let pair = [*high, *low];
                std::str::from_utf8(&pair)
                    .ok()
                    .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            }
            _ => None,
        };
        if let Some(byte) = decoded {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
