//! Lists: filtered, in pages, over one place or all.

use super::call::Call;
use super::filter::Filter;
use super::references::link;
use crate::core::Refusal;
use base64::Engine as _;
use serde_json::{Map, Value, json};

/// Compute Engine's largest page.
const LARGEST_PAGE: usize = 500;

/// Items with their keys, and the token of the next page.
type Page = (Vec<(String, Value)>, Option<String>);

/// The part of `items` that the call asks for, and the token of the next page.  The key of an item is its position; it
/// is shown only when it is looked at.
pub(super) fn page<F: FnOnce() -> Value>(
    call: &Call,
    size_parameter: &str,
    largest: usize,
    items: impl IntoIterator<Item = (String, F)>,
) -> Result<Page, Refusal> {
    let filter = call.parameter("filter").map(Filter::parse).transpose()?;
    let size = match call.parameter(size_parameter) {
        None => largest,
        Some(text) => match text.parse::<usize>() {
            Ok(0) => largest,
            Ok(size) if size <= largest => size,
            _ => {
                return Err(Refusal::invalid(
                    size_parameter,
                    text,
                    format!("Must be between 0 and {largest}"),
                ));
            }
        },
    };
    let after = call.parameter("pageToken").map(decode_token).transpose()?;
    let mut items = items
        .into_iter()
        .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
        .map(|(key, show)| (key, show()))
        .filter(|(_, item)| filter.as_ref().is_none_or(|filter| filter.matches(item)));
    let page: Vec<_> = items.by_ref().take(size).collect();
    let token = match (items.next(), page.last()) {
        (Some(_), Some((last, _))) => Some(base64::engine::general_purpose::URL_SAFE.encode(last)),
        _ => None,
    };
    Ok((page, token))
}

fn decode_token(token: &str) -> Result<String, Refusal> {
    base64::engine::general_purpose::URL_SAFE
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Refusal::invalid("pageToken", token, "The token is not one of this list"))
}

/// A list of one place.  `items` are in the order of their keys.
pub(super) fn list<F: FnOnce() -> Value>(
    call: &Call,
    kind: &str,
    path: &str,
    items: impl IntoIterator<Item = (String, F)>,
) -> Result<Value, Refusal> {
    let (page, token) = page(call, "maxResults", LARGEST_PAGE, items)?;
    let mut body = json!({ "kind": kind, "id": path, "selfLink": link(path) });
    if !page.is_empty() {
        body["items"] = page.into_iter().map(|(_, item)| item).collect();
    }
    if let Some(token) = token {
        body["nextPageToken"] = token.into();
    }
    Ok(body)
}

/// A list that is always empty.
pub(super) fn empty(call: &Call, kind: &str, path: &str) -> Result<Value, Refusal> {
    list(call, kind, path, std::iter::empty::<(String, fn() -> Value)>())
}

/// A list over places (`zones/...`, `regions/...`, `global`).  `items` are `(place, key, item)`.
pub(super) fn aggregated<F: FnOnce() -> Value>(
    call: &Call,
    kind: &str,
    path: &str,
    collection: &str,
    places: &[String],
    items: impl IntoIterator<Item = (String, String, F)>,
) -> Result<Value, Refusal> {
    let mut items: Vec<(String, F)> = items
        .into_iter()
        .map(|(place, key, item)| (format!("{place}\n{key}"), item))
        .collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let (page, token) = page(call, "maxResults", LARGEST_PAGE, items)?;
    let mut scopes = Map::new();
    for place in places {
        let of_place: Vec<Value> = page
            .iter()
            .filter(|(key, _)| key.split_once('\n').is_some_and(|(it, _)| it == place))
            .map(|(_, item)| item.clone())
            .collect();
        let scope = if of_place.is_empty() {
            json!({ "warning": {
                "code": "NO_RESULTS_ON_PAGE",
                "message": format!("There are no results for scope '{place}' on this page."),
                "data": [{ "key": "scope", "value": place }],
            }})
        } else {
            json!({ collection: of_place })
        };
        scopes.insert(place.clone(), scope);
    }
    let mut body = json!({ "kind": kind, "id": path, "selfLink": link(path), "items": scopes });
    if let Some(token) = token {
        body["nextPageToken"] = token.into();
    }
    Ok(body)
}
