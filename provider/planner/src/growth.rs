//! How many machines more there are while steps are taken, and after them.

/// By how many machines something grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    now: i64,
    most: i64,
}

impl Growth {
    pub(crate) fn make(&mut self, machines: usize) {
        self.now = self.now.saturating_add(i64::try_from(machines).unwrap_or(i64::MAX));
        self.most = self.most.max(self.now);
    }

    pub(crate) fn delete(&mut self, machines: usize) {
        self.now = self.now.saturating_sub(i64::try_from(machines).unwrap_or(i64::MAX));
    }

    /// Machines that there are more in the end.
    pub fn staying(self) -> u64 {
        u64::try_from(self.now).unwrap_or_default()
    }

    /// Machines that there are for a while beside those, at the most.
    pub fn passing(self) -> u64 {
        u64::try_from(self.most).unwrap_or_default() - self.staying()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_before_something_goes_is_there_for_a_while() {
        let mut growth = Growth::default();
        growth.make(1);
        growth.delete(1);
        assert_eq!((growth.staying(), growth.passing()), (0, 1));
        growth.make(3);
        growth.delete(1);
        assert_eq!((growth.staying(), growth.passing()), (2, 1));
        growth.delete(5);
        assert_eq!((growth.staying(), growth.passing()), (0, 3));
    }

    #[test]
    fn what_goes_first_makes_room() {
        let mut growth = Growth::default();
        growth.delete(1);
        growth.make(1);
        assert_eq!(growth, Growth::default());
    }
}
