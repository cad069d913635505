//! The points at which an operation can be interrupted, and interrupting it there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
};

use crate::{region::Region, terraform::in_one_line};

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
    /// A zone goes dark just before the call, and stays dark.
    Outage(&'static str),
    /// The call is made, then a zone goes dark, and the provider is killed.
    KilledInOutage(&'static str),
    /// The call to the cloud is made, or one to the Kubernetes API is about to be, or a step; and somebody does this
    /// (`halt`, say) to that machine, `ZONE/NAME`.  For `tests/errors`.
    #[allow(dead_code)]
    Meddled(&'static str, &'static str),
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

/// What an operation does, call by call and step by step, and where it is interrupted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    armed: Armed,
    struck: Vec<Place>,
    cut: bool,
    seen: BTreeMap<String, usize>,
    calls: Vec<Call>,
    planned: Vec<String>,
    executed: Vec<(jiff::Timestamp, String)>,
}

/// Where it is interrupted.
#[derive(Debug, Default)]
enum Armed {
    /// Nowhere.
    #[default]
    Nowhere,
    /// Here.
    At(Point),
    /// At the first call that changes something and is at none of these places, after so many that are let pass.
    AtAnother(Vec<Moment>, BTreeSet<Place>, usize),
}

/// Where a change was interrupted: at which call of which step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) moment: Moment,
    pub(crate) call: String,
    pub(crate) step: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moment, call, step } = self;
        write!(f, "{moment:?} {call} ({step})")
    }
}

impl Armed {
    fn moment(&self, call: &Call, step: &str) -> Option<Moment> {
        match self {
            Self::Nowhere => None,
            Self::At(point) => (point.call == *call).then_some(point.moment),
            Self::AtAnother(wanted, but, _) => {
                let is_new = |moment: &&Moment| {
                    !but.iter()
                        .any(|place| place.moment == **moment && place.call == call.0 && place.step == step)
                };
                let fits = |moment: &&Moment| can_happen(&call.0, **moment);
                wanted
                    .iter()
                    .filter(|_| changes(&call.0, step))
                    .filter(fits)
                    .find(is_new)
                    .copied()
            }
        }
    }

    /// Whether this place is one of those that are let pass; then it is one of those that are known from now on.
    fn lets_pass(&mut self, place: &Place) -> bool {
        match self {
            Self::AtAnother(_, but, passing) if *passing > 0 => {
                *passing -= 1;
                but.insert(place.clone());
                true
            }
            _ => false,
        }
    }
}

/// The call by which Terraform keeps what an operation has come to.
pub(crate) const SAVE: &str = "save the state";
/// Before the text of a step that begins.
pub(crate) const STEP: &str = "step";

/// Whether a call changes something.  That the turn is renewed while a step goes on is no change.
fn changes(name: &str, step: &str) -> bool {
    !name.starts_with("GET") && (step.is_empty() || !name.contains("/leases/"))
}

/// Whether that can happen at a call of that name.
fn can_happen(name: &str, moment: Moment) -> bool {
    match moment {
        // What only deletes or patches in the API is the first call of its step: the step's own beginning is the same place.
        Moment::Outage(_) => !["save", "DELETE", "PATCH"].iter().any(|kind| name.starts_with(kind)),
        other => moments(name).contains(&other),
    }
}

/// What is tried at a call of that name; the announcement of a step counts as one, too.
pub(crate) fn moments(name: &str) -> &'static [Moment] {
    match name.split(' ').next().unwrap_or_default() {
        "save" | "GET" | STEP => &[Moment::KilledBefore],
        "POST" | "PUT" | "PATCH" | "DELETE" => &[Moment::KilledBefore, Moment::KilledAfter],
        _ => &[
            Moment::KilledBefore,
            Moment::KilledAfter,
            Moment::ReplyLost,
            Moment::SandboxRestarted,
        ],
    }
}

impl Faults {
    fn armed(armed: Armed) -> Arc<Self> {
        let inner = Inner {
            armed,
            ..Inner::default()
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Interrupts at this point, once.
    pub(crate) fn at(point: Option<Point>) -> Arc<Self> {
        Self::armed(point.map_or(Armed::Nowhere, Armed::At))
    }

    /// Interrupts at the first call that changes something and is at none of these places, once: in the first of these
    /// ways that was not tried there.  Where the sandbox is started again the operation goes on, and the next call counts.
    pub(crate) fn at_another(moments: &[Moment], but: &BTreeSet<Place>) -> Arc<Self> {
        Self::at_another_after(moments, but, 0)
    }

    /// The same after so many others, for a sample.  [`Faults::passed`] says which these were.
    pub(crate) fn at_another_after(moments: &[Moment], but: &BTreeSet<Place>, passing: usize) -> Arc<Self> {
        Self::armed(Armed::AtAnother(moments.to_vec(), but.clone(), passing))
    }

    /// Counts a call that is about to be made; the answer is what is to happen at it.
    pub(crate) fn call(&self, name: &str) -> Option<Moment> {
        let mut inner = self.inner.lock().unwrap();
        let count = inner.seen.entry(name.to_owned()).or_default();
        *count += 1;
        let call = (name.to_owned(), *count);
        inner.calls.push(call.clone());
        let step = inner.executed.last().map(|(_, step)| step.clone()).unwrap_or_default();
        let moment = inner.armed.moment(&call, &step)?;
        let goes_on = |struck: &Place| struck.moment == Moment::SandboxRestarted && struck.call != call.0;
        if !inner.struck.iter().all(goes_on) {
            return None;
        }
        let place = Place {
            moment,
            call: call.0,
            step,
        };
        if inner.armed.lets_pass(&place) {
            return None;
        }
        inner.struck.push(place);
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
        !self.struck().is_empty()
    }

    /// Where it was interrupted.
    pub(crate) fn struck(&self) -> Vec<Place> {
        self.inner.lock().unwrap().struck.clone()
    }

    /// The places that were known before, and those that were let pass.
    pub(crate) fn passed(&self) -> BTreeSet<Place> {
        match &self.inner.lock().unwrap().armed {
            Armed::AtAnother(_, but, _) => but.clone(),
            _ => BTreeSet::new(),
        }
    }

    /// Keeps the steps that a plan shows.
    pub(crate) fn plan(&self, steps: Vec<String>) {
        if !steps.is_empty() {
            self.inner.lock().unwrap().planned = steps;
        }
    }

    /// The steps that the last plan showed.
    pub(crate) fn planned(&self) -> Vec<String> {
        self.inner.lock().unwrap().planned.clone()
    }

    /// The control plane's steps that were carried out.
    pub(crate) fn executed(&self) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        inner.executed.iter().map(|(_, step)| step.clone()).collect()
    }

    /// The step that was carried out at that time.
    pub(crate) fn step_at(&self, time: jiff::Timestamp) -> String {
        let inner = self.inner.lock().unwrap();
        let begun = inner.executed.iter().rfind(|(began, _)| *began <= time);
        begun.map(|(_, step)| step.clone()).unwrap_or_default()
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

/// Sees the calls to the Kubernetes API: the client opens a span around each; and the steps that the log has.
pub(crate) struct KubernetesCalls {
    pub(crate) faults: Arc<Faults>,
    pub(crate) region: Arc<Mutex<Region>>,
}

impl KubernetesCalls {
    fn begins(&self, call: &str) -> Option<Moment> {
        let moment = self.faults.call(call);
        match moment {
            Some(Moment::KilledBefore) => self.faults.kill(),
            Some(Moment::Outage(zone)) => self.region.lock().unwrap().operate("outage", zone),
            Some(Moment::KilledInOutage(zone)) => {
                self.region.lock().unwrap().operate("outage", zone);
                self.faults.kill();
            }
            Some(Moment::Meddled(verb, machine)) => self.region.lock().unwrap().operate(verb, machine),
            _ => {}
        }
        moment
    }
}

/// The moment of the call in a span.
struct KillAtReply;

/// What an event of the log says.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

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
        let mut path = path.split("bootstrap-token-").next().unwrap_or_default().to_owned();
        if let Some((pods, pod)) = path.rsplit_once("/pods/")
            && pod.ends_with("/eviction")
        {
            path = format!("{pods}/pods/NAME/eviction");
        }
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
        if self.begins(&request.name()) == Some(Moment::KilledAfter)
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(KillAtReply);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        if !event.metadata().target().contains("control_plane") {
            return;
        }
        let mut message = Message::default();
        event.record(&mut message);
        let step = message.0.strip_prefix("step ").and_then(|text| text.split_once(": "));
        if let Some((_, step)) = step {
            let step = in_one_line(step);
            self.faults
                .inner
                .lock()
                .unwrap()
                .executed
                .push((jiff::Timestamp::now(), step.clone()));
            self.begins(&format!("{STEP} {step}"));
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
