//! Several calls in one request (`POST /batch/compute/v1`, multipart/mixed), which gcloud makes whenever a command is
//! about more than one object.

use super::{Face, Rendered, single};
use crate::core::Refusal;
use axum::http::{HeaderMap, Method, Uri, header};

/// Where Compute Engine takes batches.
pub(super) const PATH: &str = "/batch/compute/v1";

/// What a batch's reply is.
pub(super) const CONTENT_TYPE: &str = "multipart/mixed; boundary=batch_reply";

/// No line of a reply can begin with it: JSON escapes the line ends in strings.
const REPLY_BOUNDARY: &str = "batch_reply";

/// Compute Engine's limit.
const MOST_CALLS: usize = 1000;

/// One call of a batch.
#[derive(Debug, PartialEq)]
struct Part<'a> {
    id: &'a str,
    method: &'a str,
    target: &'a str,
    body: &'a str,
}

/// Answers every call of the batch, in its order.
pub(super) async fn answer(face: &Face, method: &Method, headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    if method != Method::POST {
        return Err(Refusal::bad_request("A batch is a POST."));
    }
    let boundary = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok())
        .and_then(boundary)
        .ok_or_else(|| Refusal::bad_request("Missing or invalid boundary in the content type of a batch."))?;
    let text =
        std::str::from_utf8(body).map_err(|_| Refusal::bad_request("Failed to parse batch request: not UTF-8."))?;
    let parts = parts(text, boundary)?;
    let mut reply = String::new();
    for part in &parts {
        let rendered = carry_out(face, headers, part).await;
        reply.push_str(&render(part.id, &rendered));
    }
    Ok(format!("{reply}--{REPLY_BOUNDARY}--\r\n"))
}

async fn carry_out(face: &Face, headers: &HeaderMap, part: &Part<'_>) -> Rendered {
    let (method, target) = (
        Method::from_bytes(part.method.as_bytes()).ok(),
        part.target.parse::<Uri>().ok(),
    );
    match (method, target) {
        (Some(method), Some(target)) => single(face, &method, &target, headers, part.body.as_bytes()).await,
        _ => super::render(
            Err(Refusal::bad_request(format!(
                "Failed to parse batch request: '{} {}' is not a request line.",
                part.method, part.target
            ))),
            true,
        ),
    }
}

fn render(id: &str, (status, body): &Rendered) -> String {
    let reason = status.canonical_reason().unwrap_or("");
    // The ID is the request's with "response-" in front, within its angle brackets.
    let id = id.trim_start_matches('<').trim_end_matches('>');
    format!(
        "--{REPLY_BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n\
         HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{body}\r\n",
        status.as_u16(),
        super::JSON,
        body.len(),
    )
}

/// The boundary that a content type names.
fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    parameters
        .split(';')
        .filter_map(|it| it.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"'))
        .filter(|it| !it.is_empty())
}

/// Takes a batch apart.
fn parts<'a>(text: &'a str, boundary: &str) -> Result<Vec<Part<'a>>, Refusal> {
    let delimiter = format!("--{boundary}");
    let mut pieces = text.split(delimiter.as_str());
    // What stands before the first delimiter is no part.
    pieces.next();
    let mut parts = Vec::new();
    let mut closed = false;
    for piece in pieces {
        if piece.starts_with("--") {
            closed = true;
            break;
        }
        parts.push(part(piece)?);
        if parts.len() > MOST_CALLS {
            return Err(Refusal::bad_request(format!(
                "The batch has more than {MOST_CALLS} requests."
            )));
        }
    }
    if closed && !parts.is_empty() {
        Ok(parts)
    } else {
        Err(Refusal::bad_request(
            "Failed to parse batch request: no parts, or no closing boundary.",
        ))
    }
}

fn part(piece: &str) -> Result<Part<'_>, Refusal> {
    let malformed = || Refusal::bad_request("Failed to parse batch request: a part is no HTTP request.");
    let piece = piece.trim_start_matches([' ', '\t']);
    let (outer, inner) = head_and_body(strip_line_end(piece)).ok_or_else(malformed)?;
    let id = field(outer, "Content-ID").ok_or_else(malformed)?;
    // A request without a body may end with its head.
    let (head, body) = head_and_body(inner).unwrap_or((inner, ""));
    let mut line = head.lines().next().unwrap_or("").split_whitespace();
    let (Some(method), Some(target)) = (line.next(), line.next()) else {
        return Err(malformed());
    };
    Ok(Part {
        id,
        method,
        target,
        body: body.trim(),
    })
}

fn strip_line_end(text: &str) -> &str {
    text.strip_prefix("\r\n").or(text.strip_prefix('\n')).unwrap_or(text)
}

/// Splits at the first empty line; clients end lines with or without a carriage return.
fn head_and_body(text: &str) -> Option<(&str, &str)> {
    let at = |pattern: &str| text.find(pattern).map(|at| (at, at + pattern.len()));
    let (end, begin) = match (at("\r\n\r\n"), at("\n\n")) {
        (Some(one), Some(other)) => one.min(other),
        (one, other) => one.or(other)?,
    };
    Some((&text[..end], &text[begin..]))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(it, _)| it.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    const BATCH: &str = "--===1==\n\
        Content-Type: application/http\nMIME-Version: 1.0\nContent-ID: <a+0>\n\n\
        DELETE /compute/v1/projects/p/zones/z/disks/d?alt=json HTTP/1.1\ncontent-length: 0\n\n\n\
        --===1==\r\n\
        Content-Type: application/http\r\nContent-ID: <a+1>\r\n\r\n\
        POST /compute/v1/x HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"name\": \"n\"}\r\n\
        --===1==--\n";

    #[test]
    fn a_batch_is_taken_apart_with_either_line_end() {
        let found = parts(BATCH, "===1==").unwrap();
        assert_eq!(
            found,
            [
                Part {
                    id: "<a+0>",
                    method: "DELETE",
                    target: "/compute/v1/projects/p/zones/z/disks/d?alt=json",
                    body: "",
                },
                Part {
                    id: "<a+1>",
                    method: "POST",
                    target: "/compute/v1/x",
                    body: "{\"name\": \"n\"}",
                },
            ]
        );
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for text in [
            "",
            "--b--",
            "--b\n\nGET / HTTP/1.1\n",
            "--b\nContent-ID: <1>\n\n--b--",
            "--b\nno head\n--b--",
        ] {
            assert!(parts(text, "b").is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        assert_eq!(boundary("multipart/mixed; boundary=\"===1==\""), Some("===1=="));
        assert_eq!(boundary("Multipart/Mixed; charset=utf-8; boundary=b"), Some("b"));
        assert_eq!(boundary("application/json"), None);
        assert_eq!(boundary("multipart/form-data; boundary=b"), None);
    }

    #[test]
    fn a_reply_names_the_request_it_answers() {
        let text = render("<a+1>", &(StatusCode::NOT_FOUND, "{}".to_owned()));
        assert_eq!(
            text,
            "--batch_reply\r\nContent-Type: application/http\r\nContent-ID: <response-a+1>\r\n\r\n\
             HTTP/1.1 404 Not Found\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 2\r\n\r\n{}\r\n"
        );
    }
}
