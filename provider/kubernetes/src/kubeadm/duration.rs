//! Durations as Go reads and writes them: `10s`, `1h30m`, `1m0s`.

use std::time::Duration;

/// Go's units, longer names before those that they begin with.
const UNITS: [(&str, f64); 7] = [
    ("ms", 1e-3),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ns", 1e-9),
    ("h", 3600.0),
    ("m", 60.0),
    ("s", 1.0),
];

/// Reads a duration that is not negative.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() || total == 0.0 {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, length) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * length;
        rest = &rest[unit.len()..];
        if rest.is_empty() {
            break;
        }
    }
    Duration::try_from_secs_f64(total).ok()
}

/// Whole seconds as Go writes them.
pub(crate) fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, seconds) in [
            ("10s", 10),
            ("5m", 300),
            ("1h30m", 5400),
            ("0", 0),
            ("0s", 0),
            ("1m0s", 60),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "5", "soon", "-1s", "s", "1x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        for (seconds, text) in [(30, "30s"), (60, "1m0s"), (3661, "1h1m1s"), (0, "0s")] {
            assert_eq!(format(Duration::from_secs(seconds)), text);
        }
    }
}
