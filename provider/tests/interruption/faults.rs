//! The points at which an operation can be interrupted, and interrupting it there.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use tracing::{
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// A call that an operation makes, and which of its kind.
pub(crate) type Call = (String, usize);

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The provider is killed before the call.
    KilledBefore,
    /// The provider is killed after the call: what it did stays.
    KilledAfter,
    /// The call is made, its reply never arrives, and the provider is told so.
    ReplyLost,
    /// The sandbox is killed and started again just before the call.
    SandboxRestarted,
}

/// One interruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) call: Call,
    pub(crate) moment: Moment,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} #{}", self.moment, self.call.0, self.call.1)
    }
}

/// What an operation does, call by call, and where it is interrupted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    armed: Option<Point>,
    hit: bool,
    cut: bool,
    seen: BTreeMap<String, usize>,
    calls: Vec<Call>,
}

impl Faults {
    /// Interrupts at this point, once.
    pub(crate) fn at(point: Option<Point>) -> Arc<Self> {
        let inner = Inner {
            armed: point,
            ..Inner::default()
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Counts a call that is about to be made; the answer is what is to happen at it.
    pub(crate) fn call(&self, name: &str) -> Option<Moment> {
        let mut inner = self.inner.lock().unwrap();
        let count = inner.seen.entry(name.to_owned()).or_default();
        *count += 1;
        let call = (name.to_owned(), *count);
        inner.calls.push(call.clone());
        let moment = inner.armed.as_ref().filter(|point| point.call == call)?.moment;
        inner.hit = true;
        Some(moment)
    }

    /// Kills the provider: see [`until_killed`].
    pub(crate) fn kill(&self) {
        self.inner.lock().unwrap().cut = true;
    }

    fn killed(&self) -> bool {
        self.inner.lock().unwrap().cut
    }

    /// Whether the point was reached.
    pub(crate) fn hit(&self) -> bool {
        self.inner.lock().unwrap().hit
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.lock().unwrap().calls.clone()
    }
}

/// Runs an operation until it ends or its provider is killed, which drops it where it is.
pub(crate) async fn until_killed<T>(faults: &Faults, operation: impl Future<Output = T>) -> Option<T> {
    let mut operation = pin!(operation);
    poll_fn(|context| {
        if faults.killed() {
            return Poll::Ready(None);
        }
        match operation.as_mut().poll(context) {
            _ if faults.killed() => Poll::Ready(None),
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Sees the calls to the Kubernetes API: the client opens a span around each.
pub(crate) struct KubernetesCalls {
    pub(crate) faults: Arc<Faults>,
}

/// The moment of the call in a span.
struct KillAtReply;

#[derive(Default)]
struct Request {
    method: String,
    url: String,
}

impl Visit for Request {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "http.method" => self.method = format!("{value:?}"),
            "http.url" => self.url = format!("{value:?}"),
            _ => {}
        }
    }
}

impl Request {
    /// Method and path, without what differs from run to run.
    fn name(&self) -> String {
        let path = self.url.split('?').next().unwrap_or_default();
        let path = path.splitn(4, '/').nth(3).unwrap_or_default();
        let path = path.split("bootstrap-token-").next().unwrap_or_default();
        // A dry run is a look.
        let method = if self.url.contains("dryRun=All") {
            "GET"
        } else {
            &self.method
        };
        format!("{method} /{path}")
    }
}

impl<S> Layer<S> for KubernetesCalls
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if attributes.metadata().name() != "HTTP" || !attributes.metadata().target().starts_with("kube_client") {
            return;
        }
        let mut request = Request::default();
        attributes.record(&mut request);
        match self.faults.call(&request.name()) {
            Some(Moment::KilledBefore) => self.faults.kill(),
            Some(Moment::KilledAfter) => {
                if let Some(span) = context.span(id) {
                    span.extensions_mut().insert(KillAtReply);
                }
            }
            _ => {}
        }
    }

    fn on_record(&self, id: &span::Id, _values: &span::Record<'_>, context: Context<'_, S>) {
        let answered = context
            .span(id)
            .is_some_and(|span| span.extensions().get::<KillAtReply>().is_some());
        if answered {
            self.faults.kill();
        }
    }
}
