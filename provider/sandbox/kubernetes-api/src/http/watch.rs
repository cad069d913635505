//! Watches: a list's future, line by line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::read::{Shape, metadata_only, scope, selector, table_options};
use super::{Answer, Call, Face, body};
use crate::object::ObjectExt as _;
use crate::resources::Resource;
use crate::selectors::Selector;
use crate::status::ApiError;
use crate::store::{Event, EventKind, Watcher};
use crate::table::{self, Columns};

/// How often a watcher that allows bookmarks hears of the revision.
const BOOKMARKS: Duration = Duration::from_secs(30);

struct Watching {
    watcher: Watcher,
    resource: &'static Resource,
    id: String,
    namespace: Option<String>,
    selector: Selector,
    shape: Shape,
    columns: Columns,
    table: table::Options,
    bookmarks: bool,
    waiting: VecDeque<Bytes>,
    deadline: Instant,
    next_bookmark: Instant,
    stopping: CancellationToken,
    over: bool,
}

impl Face {
    pub(super) fn watch(&self, call: &Call) -> Answer {
        let selector = selector(call)?;
        let wanted = call.query.get("resourceVersion");
        let bookmarks = call.query.is_true("allowWatchBookmarks");
        let send_initial = call.query.is_true("sendInitialEvents");
        let fresh = wanted.is_empty() || wanted == "0" || send_initial;
        let (initial, from) = if fresh {
            self.api.list(call.resource, scope(call), &selector)
        } else {
            let from = wanted
                .parse()
                .map_err(|_| ApiError::bad_request(format!("Invalid value: \"{wanted}\": invalid resource version")))?;
            (Vec::new(), from)
        };
        let Ok(watcher) = self.api.store.watch(from) else {
            // As in Kubernetes: an event of the watch, not a refused request.
            let message = format!("too old resource version: {from} ({})", self.api.store.revision());
            let error = ApiError {
                message,
                ..ApiError::gone()
            };
            return Ok(body::respond(
                StatusCode::OK,
                "application/json",
                line("ERROR", &error.to_status()),
            ));
        };
        let seconds: u64 = call.query.get("timeoutSeconds").parse().unwrap_or(3600);
        let now = Instant::now();
        let mut watching = Watching {
            watcher,
            resource: call.resource,
            id: call.resource.id(),
            namespace: scope(call).map(str::to_owned),
            selector,
            shape: Shape::of(&call.accept),
            columns: Columns::of(call.resource),
            table: table_options(call),
            bookmarks,
            waiting: VecDeque::new(),
            deadline: now + Duration::from_secs(seconds.max(1)),
            next_bookmark: now + BOOKMARKS,
            stopping: self.stopping.clone(),
            over: false,
        };
        for object in initial {
            watching.push("ADDED", &object);
        }
        if send_initial && bookmarks {
            watching.bookmark(from, true);
        }
        let stream = futures::stream::unfold(watching, |mut watching| async move {
            let bytes = watching.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), watching))
        });
        let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        Ok(response)
    }
}

impl Watching {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                events = self.watcher.next() => {
                    let Ok(events) = events else {
                        self.over = true;
                        return Some(line("ERROR", &ApiError::gone().to_status()));
                    };
                    for event in &events {
                        self.take(event);
                    }
                }
                () = tokio::time::sleep_until(self.deadline) => return None,
                () = tokio::time::sleep_until(self.next_bookmark) => {
                    self.next_bookmark = Instant::now() + BOOKMARKS;
                    if self.bookmarks {
                        self.bookmark(self.watcher.position(), false);
                    }
                }
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let here = event.key.resource == self.id
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == event.key.namespace);
        if !here {
            return;
        }
        let before = event
            .previous
            .as_ref()
            .is_some_and(|object| self.selector.matches(object));
        let after = event.kind != EventKind::Deleted && self.selector.matches(&event.object);
        match (before, after) {
            (false, true) => self.push("ADDED", &event.object),
            (true, true) => self.push("MODIFIED", &event.object),
            (true, false) => self.push("DELETED", &event.object),
            (false, false) => {}
        }
    }

    fn push(&mut self, kind: &str, object: &Arc<Value>) {
        let bytes = match self.shape {
            Shape::Whole => line(kind, object),
            Shape::Metadata => line(kind, &metadata_only(object)),
            Shape::Table => {
                let revision = object.text("/metadata/resourceVersion").to_owned();
                let shown = table::render(&self.columns, std::slice::from_ref(object), &self.table, &revision);
                // Only the first event says what the columns are.
                self.table.definitions = false;
                line(kind, &shown)
            }
        };
        self.waiting.push_back(bytes);
    }

    fn bookmark(&mut self, revision: u64, end_of_initial: bool) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.shape {
            Shape::Whole => {
                json!({"kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata})
            }
            Shape::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Shape::Table => return,
        };
        self.waiting.push_back(line("BOOKMARK", &object));
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": kind, "object": object}).to_string();
    text.push('\n');
    text.into()
}
