//! How long things usually take: constants of a cloud, never measurements, so that planning stays pure.

use std::time::Duration;

/// Usual durations of the actions that steps are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the call that makes a machine to a running operating system.
    pub create_machine: Duration,
    /// From a running operating system to a Ready node.
    pub join: Duration,
    /// From the call that deletes a machine to its absence.
    pub delete_machine: Duration,
    /// Drain of an ordinary node.
    pub drain: Duration,
}

/// What one call to the Kubernetes API takes, as far as an operator cares.
pub(crate) const API_CALL: Duration = Duration::from_secs(1);

/// A duration as an operator would say it: `~10 s`, `~3 min`.
pub fn approximately(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.5 {
        return "~1 s".to_owned();
    }
    if seconds < 95.0 {
        return format!("~{} s", duration.as_millis().div_ceil(1000));
    }
    format!("~{} min", (duration.as_secs() + 30) / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_an_operator_says_them() {
        assert_eq!(approximately(Duration::from_millis(5)), "~1 s");
        assert_eq!(approximately(Duration::from_millis(1600)), "~2 s");
        assert_eq!(approximately(Duration::from_secs(90)), "~90 s");
        assert_eq!(approximately(Duration::from_mins(3)), "~3 min");
    }
}
