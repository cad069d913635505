//! Times as Kubernetes writes them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};

/// `metav1.Time`: whole seconds, UTC.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.round(Unit::Second)
        .unwrap_or(at)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// The time written in an object, if it is one.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long ago, the way kubectl's AGE column has it (`5m`, `3d4h`).
pub(crate) fn age(since: &str, now: Timestamp) -> String {
    match parse(since) {
        Some(then) => human(now.duration_since(then)),
        None => "<unknown>".to_owned(),
    }
}

/// A duration in at most two units, coarser as it grows.
pub(crate) fn human(duration: SignedDuration) -> String {
    let total = duration.as_secs();
    if total < -1 {
        return "<invalid>".to_owned();
    }
    let total = total.max(0);
    let (minutes, hours, days) = (total / 60, total / 3600, total / 86400);
    let pair = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small}{small_unit}")
        }
    };
    match total {
        0..120 => format!("{total}s"),
        120..600 => pair(minutes, "m", total % 60, "s"),
        600..10800 => format!("{minutes}m"),
        10800..28800 => pair(hours, "h", minutes % 60, "m"),
        28800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// `duration` at the sandbox's speed: a pace of 60 turns a minute into a second.
pub(crate) fn paced(duration: Duration, pace: f64) -> Duration {
    if pace > 0.0 { duration.div_f64(pace) } else { duration }
}

/// A duration in whole seconds, rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_like_kubectl() {
        for (given, expected) in [
            (0, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (300, "5m"),
            (3600, "60m"),
            (10_800 + 300, "3h5m"),
            (30_000, "8h"),
            (200_000, "2d7h"),
            (700_000, "8d"),
        ] {
            assert_eq!(human(SignedDuration::from_secs(given)), expected);
        }
    }
}
