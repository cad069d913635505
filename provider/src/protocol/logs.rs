//! Logs as Terraform reads them: one JSON object per line on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Where levels are looked up, the most specific first.
const LEVEL_VARIABLES: [&str; 3] = ["TF_LOG_PROVIDER_MULTIZONE", "TF_LOG_PROVIDER", "TF_LOG"];

/// The level that Terraform's variables ask for; warnings when they say nothing.
///
/// Our own messages come at that level, those of the libraries below only when they warn, or when everything is asked
/// for.
pub fn filter(variable: impl Fn(&str) -> Option<String>) -> Targets {
    let asked = LEVEL_VARIABLES
        .iter()
        .filter_map(|name| variable(name))
        .find(|value| !value.is_empty());
    let level = match asked.as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("OFF") => LevelFilter::OFF,
        Some("ERROR") => LevelFilter::ERROR,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        Some("TRACE" | "JSON") => LevelFilter::TRACE,
        _ => LevelFilter::WARN,
    };
    let libraries = match level {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        other => other.min(LevelFilter::WARN),
    };
    Targets::new().with_default(libraries).with_target("multizone", level)
}

/// Sends this process' events to standard error, as JSON lines at the levels of `filter`.
pub fn install(filter: Targets) {
    // Fails when something is installed already; then that one stays.
    let _ = tracing_subscriber::registry()
        .with(JsonLines::new(io::stderr(), Timestamp::now).with_filter(filter))
        .try_init();
}

/// Makes panics log lines as well. Whoever runs the operation turns the panic into an answer.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!(location, %backtrace, "panic: {message}");
        } else {
            tracing::error!(location, "panic: {message}");
        }
    }));
}

/// Writes events as the JSON lines of Terraform's own log library.
pub struct JsonLines<W> {
    output: Mutex<W>,
    now: fn() -> Timestamp,
}

impl<W: Write + Send + 'static> JsonLines<W> {
    /// Lines to `output`, with the time that `now` tells.
    pub fn new(output: W, now: fn() -> Timestamp) -> Self {
        Self {
            output: Mutex::new(output),
            now,
        }
    }
}

impl<W> fmt::Debug for JsonLines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").finish_non_exhaustive()
    }
}

/// The fields of a span, kept with it.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Write + Send + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(SpanFields(fields.0));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(kept)) = span.extensions_mut().get_mut()
        {
            let mut fields = Fields::default();
            values.record(&mut fields);
            kept.extend(fields.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_else(|| json!(""));
        line.extend(fields.0);
        let metadata = event.metadata();
        line.insert("@level".into(), json!(level_name(*metadata.level())));
        line.insert("@message".into(), message);
        line.insert("@module".into(), json!(metadata.target().replace("::", ".")));
        line.insert(
            "@timestamp".into(),
            json!((self.now)().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
        );
        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        // One write per line, so that lines of several threads stay whole. There is nowhere to report a failure to.
        let _ = self
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&bytes);
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "trace",
        Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

/// Fields as JSON.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn noon() -> Timestamp {
        "2026-11-21T12:00:00.25Z".parse().unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_the_fields_of_its_spans() {
        let output = Shared::default();
        let layer = JsonLines::new(output.clone(), noon);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let _span = tracing::info_span!("apply", resource = "multizone_disk").entered();
            tracing::warn!(target: "multizone_provider::disk", size = 5_i64, "too\nsmall");
        });
        let written = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        let line: Value = serde_json::from_str(&written).unwrap();
        let expected = json!({
            "@level": "warn",
            "@message": "too\nsmall",
            "@module": "multizone_provider.disk",
            "@timestamp": "2026-11-21T12:00:00.250000Z",
            "resource": "multizone_disk",
            "size": 5,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_most_specific_variable_decides() {
        let filter_of = |pairs: &[(&str, &str)]| {
            filter(|name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        let quiet = filter_of(&[]);
        assert!(quiet.would_enable("multizone_provider", &Level::WARN));
        assert!(!quiet.would_enable("multizone_provider", &Level::INFO));
        let specific = filter_of(&[("TF_LOG", "error"), ("TF_LOG_PROVIDER", "debug")]);
        assert!(specific.would_enable("multizone_provider", &Level::DEBUG));
        assert!(!specific.would_enable("h2", &Level::INFO));
        let json = filter_of(&[("TF_LOG", "json")]);
        assert!(json.would_enable("multizone_cloud", &Level::TRACE));
        assert!(!filter_of(&[("TF_LOG", "off")]).would_enable("multizone_cloud", &Level::ERROR));
    }
}
