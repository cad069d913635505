//! A server that plays scripted replies and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::Response,
};
use futures::stream;
use multizone_cloud_compute_engine::{ComputeEngine, Credentials, Retries, Settings, Timeouts};
use serde_json::{Value, json};

/// What the server answers.
pub(crate) enum Reply {
    /// A status and a document.
    Json(u16, Value),
    /// A status, a `Retry-After` header and a document.
    Later(u16, u64, Value),
    /// A status and a page for people, as a gateway or a proxy sends it.
    Page(u16, &'static str),
    /// The request is carried out, the reply never arrives.
    Lost,
}

/// One request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `METHOD path`.
    pub(crate) call: String,
    /// Query parameters, not decoded.
    pub(crate) query: BTreeMap<String, String>,
    /// The body.
    pub(crate) body: Value,
}

struct Step {
    call: String,
    reply: Reply,
}

/// The script, and what became of it.
#[derive(Default)]
struct Play {
    steps: Vec<Step>,
    seen: Vec<Seen>,
    unexpected: Vec<String>,
}

/// A server with a script.
pub(crate) struct Server {
    play: Arc<Mutex<Play>>,
    /// The client under test.
    pub(crate) cloud: ComputeEngine,
}

impl Server {
    /// Starts a server.  Each step is `METHOD end-of-path` and its reply, where a last segment `*` is any; of the steps that
    /// fit a request the first is played, once.
    pub(crate) async fn start(steps: Vec<(&str, Reply)>) -> Self {
        let steps = steps
            .into_iter()
            .map(|(call, reply)| Step {
                call: call.to_owned(),
                reply,
            })
            .collect();
        let play = Arc::new(Mutex::new(Play {
            steps,
            ..Play::default()
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(play.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            play,
            cloud: connect(endpoint).await,
        }
    }

    /// What was asked, whether it was in the script or not.
    #[allow(dead_code)]
    pub(crate) fn asked(&self) -> Vec<Seen> {
        self.play.lock().unwrap().seen.clone()
    }

    /// What was asked, once the whole script was played and nothing else was asked.
    pub(crate) fn finish(&self) -> Vec<Seen> {
        let play = self.play.lock().unwrap();
        assert!(
            play.unexpected.is_empty(),
            "unexpected requests: {:#?}",
            play.unexpected
        );
        let left: Vec<_> = play.steps.iter().map(|step| &step.call).collect();
        assert!(left.is_empty(), "requests that were not made: {left:#?}");
        play.seen.clone()
    }
}

/// A client that waits and retries as little as a test needs.
pub(crate) async fn connect(endpoint: String) -> ComputeEngine {
    ComputeEngine::connect(Settings {
        endpoint: Some(endpoint),
        credentials: Credentials::Anonymous,
        timeouts: Timeouts {
            request: Duration::from_secs(10),
            operation: Duration::from_millis(300),
            poll_interval: Duration::from_millis(5),
        },
        retries: Retries {
            attempts: 3,
            first_delay: Duration::from_millis(2),
            longest_delay: Duration::from_millis(20),
        },
        ..Settings::new("p", "us-central1")
    })
    .await
    .unwrap()
}

async fn answer(State(play): State<Arc<Mutex<Play>>>, method: Method, uri: Uri, _: HeaderMap, body: Bytes) -> Response {
    let call = format!("{method} {}", uri.path());
    let query = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut play = play.lock().unwrap();
    play.seen.push(Seen {
        call: call.clone(),
        query,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    });
    let fits = |step: &Step| {
        let (wanted_method, end) = step.call.split_once(' ').unwrap();
        let parent = uri.path().rsplit_once('/').map_or("", |(parent, _)| parent);
        let found = match end.strip_suffix("/*") {
            Some(end) => parent.ends_with(end),
            None => uri.path().ends_with(end),
        };
        wanted_method == method.as_str() && found
    };
    let Some(position) = play.steps.iter().position(fits) else {
        play.unexpected.push(call);
        return json_reply(
            418,
            None,
            &json!({ "error": { "code": 418, "message": "not in the script" } }),
        );
    };
    match play.steps.remove(position).reply {
        Reply::Json(status, document) => json_reply(status, None, &document),
        Reply::Later(status, seconds, document) => json_reply(status, Some(seconds), &document),
        Reply::Page(status, page) => {
            let mut reply = Response::new(Body::from(page));
            *reply.status_mut() = StatusCode::from_u16(status).unwrap();
            reply
        }
        Reply::Lost => {
            let cut = stream::iter([Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))]);
            Response::new(Body::from_stream(cut))
        }
    }
}

fn json_reply(status: u16, retry_after: Option<u64>, document: &Value) -> Response {
    let mut reply = Response::new(Body::from(document.to_string()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    if let Some(seconds) = retry_after {
        reply.headers_mut().insert("retry-after", seconds.into());
    }
    reply
}

/// A refusal in Compute Engine's form.
pub(crate) fn refusal(status: u16, reason: &str, message: &str) -> Reply {
    let errors = json!([{ "reason": reason, "message": message, "domain": "global" }]);
    Reply::Json(
        status,
        json!({ "error": { "code": status, "message": message, "errors": errors } }),
    )
}

/// `notFound`.
pub(crate) fn absent() -> Reply {
    refusal(404, "notFound", "The resource was not found")
}

/// `alreadyExists`.
pub(crate) fn exists() -> Reply {
    refusal(409, "alreadyExists", "The resource already exists")
}

/// An operation in a zone.
pub(crate) fn operation(status: &str) -> Reply {
    let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
    Reply::Json(200, json!({ "name": "operation-1", "status": status, "zone": zone }))
}

/// An operation that ran and failed.
pub(crate) fn failed_operation(code: &str, message: &str) -> Reply {
    let error = json!({ "errors": [{ "code": code, "message": message }] });
    Reply::Json(200, json!({ "name": "operation-1", "status": "DONE", "error": error }))
}
