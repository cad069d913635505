//! How long operations may take.

use std::time::Duration;

use multizone_schema::{Diagnostics, Nested, Path, Planned, Value};
use tokio::time::Instant;

/// How long operations may take, each as a duration such as `90s`, `30m` or `1h30m`.
#[derive(Nested, Clone, Debug, PartialEq, Default)]
pub struct Timeouts {
    /// For creating it.
    #[attribute(optional, validate = some_time)]
    pub create: Option<String>,
    /// For changing it.
    #[attribute(optional, validate = some_time)]
    pub update: Option<String>,
    /// For deleting it.
    #[attribute(optional, validate = some_time)]
    pub delete: Option<String>,
}

/// The deadline of an operation whose timeout is this, or else the default.
pub fn deadline(timeout: Option<&String>, default: Duration) -> Instant {
    let timeout = timeout.and_then(|text| parse(text)).unwrap_or(default);
    Instant::now() + timeout
}

/// What is left until a deadline.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A duration for people: `45 s`, `12 min`, `1 h 30 min`.
pub fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// One of the planned timeouts.
pub fn planned(
    timeouts: &Planned<TimeoutsPlanned>,
    which: impl Fn(&TimeoutsPlanned) -> &Planned<String>,
) -> Option<String> {
    timeouts.known().and_then(|timeouts| which(timeouts).known().cloned())
}

/// Reads `1h30m`, `90s`, `500ms`: numbers with units, largest first by custom.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let units = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(units);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    Some(total)
}

/// Refuses what is no duration.
pub fn duration(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if let Some(text) = value.as_str().filter(|text| parse(text).is_none()) {
        diagnostics.error(
            path.clone(),
            "Malformed duration",
            format!("{text:?} is no duration: write numbers with units, for example 90s, 30m or 1h30m."),
        );
    }
}

/// Refuses what is no duration, and no time at all.
pub fn some_time(value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    duration(value, path, diagnostics);
    if let Some(text) = value.as_str().filter(|text| parse(text) == Some(Duration::ZERO)) {
        diagnostics.error(
            path.clone(),
            "Malformed duration",
            format!("{path} is {text}: nothing can be done in no time. Leave it out for the default."),
        );
    }
}

/// Writes a duration as it is read, to the second: `1h30m`.
pub fn written(duration: Duration) -> String {
    let seconds = (duration + Duration::from_millis(500)).as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, unit)| format!("{number}{unit}")).collect();
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words_leave_out_what_does_not_matter() {
        let cases = [
            (45, "45 s"),
            (60, "1 min"),
            (750, "12 min"),
            (3600, "1 h"),
            (5400, "1 h 30 min"),
        ];
        for (seconds, text) in cases {
            assert_eq!(words(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse("3s"), Some(Duration::from_secs(3)));
        assert_eq!(parse("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1.5m"), Some(Duration::from_secs(90)));
        for wrong in ["", "5", "m", "5 m", "-5m", "5d", "..s", "99999999999999999999999h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["3s", "1h30m", "20m", "1h1s"] {
            assert_eq!(parse(text).map(written).as_deref(), Some(text));
        }
        assert_eq!(written(Duration::from_millis(400)), "0s");
        assert_eq!(written(Duration::from_millis(1_199_990)), "20m");
    }
}
