//! How fast the region's time runs.

use std::time::Duration;

/// The speed of everything that takes time in the region: 1 is real time, 60 makes a minute a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many times faster than real time; always finite and positive.
    pub speed: f64,
}

impl Pace {
    /// Real time.
    pub const REAL: Self = Self { speed: 1.0 };

    /// `speed` times faster than real time. A speed that is not a positive number is taken as real time.
    pub fn new(speed: f64) -> Self {
        if speed.is_finite() && speed > 0.0 {
            Self { speed }
        } else {
            Self::REAL
        }
    }

    /// How long something lasts here that lasts `real` in a real region.
    pub fn scaled(&self, real: Duration) -> Duration {
        let seconds = real.as_secs_f64() / Self::new(self.speed).speed;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::REAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_shrink_by_the_speed() {
        assert_eq!(Pace::new(60.0).scaled(Duration::from_mins(1)), Duration::from_secs(1));
        assert_eq!(Pace::REAL.scaled(Duration::from_mins(1)), Duration::from_mins(1));
    }

    #[test]
    fn a_speed_that_is_no_speed_is_real_time() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Pace { speed }.scaled(Duration::from_secs(2)), Duration::from_secs(2));
        }
    }
}
