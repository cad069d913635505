//! When a request is tried again.

use std::time::Duration;

/// How often to try a request that the cloud is too busy for, or that gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Delay after the first failure; it doubles with each further one.  A random half of it is waited or more.
    pub first_delay: Duration,
    /// The delay's upper bound.
    pub longest_delay: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_delay: Duration::from_millis(250),
            longest_delay: Duration::from_secs(20),
        }
    }
}

impl Retries {
    /// The delay after that many failures: doubled each time, between half of it and all of it as `chance` (0 to 1) says,
    /// and never shorter than the cloud asks for within the bound.
    pub fn delay(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let full = self
            .first_delay
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(self.longest_delay);
        let jittered = full.mul_f64(0.5 + chance / 2.0);
        jittered.max(asked.unwrap_or_default().min(self.longest_delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(first: u64, longest: u64) -> Retries {
        Retries {
            attempts: 3,
            first_delay: Duration::from_millis(first),
            longest_delay: Duration::from_millis(longest),
        }
    }

    #[test]
    fn delays_double_up_to_their_bound() {
        let retries = retries(2, 5);
        assert_eq!(retries.delay(1, None, 1.0), Duration::from_millis(2));
        assert_eq!(retries.delay(2, None, 0.0), Duration::from_millis(2));
        assert_eq!(retries.delay(9, None, 1.0), Duration::from_millis(5));
    }

    #[test]
    fn delays_double_up_to_their_bound_and_honour_the_cloud() {
        let retries = retries(100, 1000);
        assert_eq!(retries.delay(1, None, 1.0), Duration::from_millis(100));
        assert_eq!(retries.delay(1, None, 0.0), Duration::from_millis(50));
        assert_eq!(retries.delay(3, None, 1.0), Duration::from_millis(400));
        assert_eq!(retries.delay(40, None, 1.0), Duration::from_secs(1));
        assert_eq!(
            retries.delay(1, Some(Duration::from_millis(700)), 1.0),
            Duration::from_millis(700)
        );
        assert_eq!(
            retries.delay(1, Some(Duration::from_hours(1)), 1.0),
            Duration::from_secs(1)
        );
    }
}
