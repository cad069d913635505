//! How long to wait between two looks at something that takes its time.

use std::time::Duration;

use tokio::time::Instant;

/// Pauses that are a twentieth of the time waited so far, within bounds.
///
/// What takes a moment is seen after a moment, what takes minutes is not asked for all the time, and no wait becomes much
/// more than a twentieth longer than it has to be.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    began: Instant,
    shortest: Duration,
    longest: Duration,
}

impl Pauses {
    /// For a wait that begins now.
    pub fn between(shortest: Duration, longest: Duration) -> Self {
        Self {
            began: Instant::now(),
            shortest,
            longest,
        }
    }

    /// The pause before the next look.
    pub fn next(&self) -> Duration {
        self.after(self.began.elapsed())
    }

    fn after(&self, waited: Duration) -> Duration {
        (waited / 20).clamp(self.shortest, self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses() -> Pauses {
        Pauses::between(Duration::from_millis(100), Duration::from_secs(2))
    }

    #[test]
    fn a_pause_is_a_twentieth_of_the_wait_within_bounds() {
        for (waited, pause) in [(0, 100), (1, 100), (10, 500), (30, 1500), (3600, 2000)] {
            let after = pauses().after(Duration::from_secs(waited));
            assert_eq!(after, Duration::from_millis(pause), "{waited} s");
        }
    }

    #[test]
    fn a_minute_takes_a_few_dozen_looks() {
        let (mut waited, mut looks) = (Duration::ZERO, 0);
        while waited < Duration::from_mins(1) {
            waited += pauses().after(waited);
            looks += 1;
        }
        assert!((60..120).contains(&looks), "{looks}");
    }
}
