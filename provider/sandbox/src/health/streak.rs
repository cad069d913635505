//! When a health check has seen enough.

/// Answers in a row that agree.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    healthy_threshold: u32,
    unhealthy_threshold: u32,
    success: bool,
    length: u32,
}

impl Streak {
    /// Nothing seen yet; so many successes or failures in a row decide.
    pub fn new(healthy_threshold: u32, unhealthy_threshold: u32) -> Self {
        Self {
            healthy_threshold,
            unhealthy_threshold,
            success: false,
            length: 0,
        }
    }

    /// Takes one more answer; says whether the target is healthy as soon as enough agree.
    pub fn saw(&mut self, success: bool) -> Option<bool> {
        self.length = if success == self.success {
            self.length.saturating_add(1)
        } else {
            1
        };
        self.success = success;
        let enough = if success {
            self.healthy_threshold
        } else {
            self.unhealthy_threshold
        };
        (self.length >= enough).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_in_a_row_decide() {
        let mut streak = Streak::new(2, 3);
        let answers = [false, true, true, false, false, true, false, false, false];
        let found = answers.map(|answer| streak.saw(answer));
        assert_eq!(
            found,
            [None, None, Some(true), None, None, None, None, None, Some(false)]
        );
    }
}
