//! etcd's arithmetic (domain-rules.md, etcd).

use std::collections::BTreeMap;

use super::facts::{Member, World};

/// Voters, and how many of them are healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Members that vote.
    pub voters: usize,
    /// Those of them that answer.
    pub healthy: usize,
}

impl Quorum {
    /// Of a list of members.
    pub fn of<'a>(members: impl IntoIterator<Item = &'a Member>) -> Self {
        let mut quorum = Self { voters: 0, healthy: 0 };
        for member in members.into_iter().filter(|member| !member.learner) {
            quorum.voters += 1;
            quorum.healthy += usize::from(member.healthy);
        }
        quorum
    }

    /// How many voters make a majority.
    pub fn majority(self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether etcd can commit anything.
    pub fn is_there(self) -> bool {
        self.voters > 0 && self.healthy >= self.majority()
    }

    /// How many healthy voters may be lost before writes stop.
    pub fn margin(self) -> usize {
        self.healthy.saturating_sub(self.majority())
    }

    /// The voters without one of them.
    #[must_use]
    pub fn without(self, member: &Member) -> Self {
        if member.learner {
            return self;
        }
        Self {
            voters: self.voters.saturating_sub(1),
            healthy: self.healthy.saturating_sub(usize::from(member.healthy)),
        }
    }

    /// Whether a member may be removed: the removal itself needs a majority of the members now, and those that are left
    /// need a majority among themselves.  The last member is never removed.
    ///
    /// So going from two voters to one needs both healthy.
    pub fn may_remove(self, member: &Member) -> bool {
        let after = self.without(member);
        self.is_there() && after.is_there()
    }
}

/// What became of etcd's voters when too many of them are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Those whose machines are gone, by name, or by ID where there is none.
    pub gone: Vec<String>,
    /// Those whose machines are there.
    pub left: Vec<String>,
}

impl World {
    /// What became of the voters when those whose machines are there can never be a majority, whatever is started.
    pub fn lost_quorum(&self) -> Option<Lost> {
        let mut lost = Lost {
            gone: Vec::new(),
            left: Vec::new(),
        };
        for (id, member) in self.members.iter().filter(|(_, member)| !member.learner) {
            let there = |name: &String| member.healthy || self.machines.contains_key(name);
            match &member.machine {
                Some(name) if there(name) => lost.left.push(name.clone()),
                None if member.healthy => lost.left.push(format!("{id:x}")),
                gone => lost.gone.push(gone.clone().unwrap_or_else(|| format!("{id:x}"))),
            }
        }
        lost.gone.sort_unstable();
        lost.left.sort_unstable();
        let majority = self.quorum().majority();
        (!lost.gone.is_empty() && lost.left.len() < majority).then_some(lost)
    }

    /// The state of etcd's quorum.
    pub fn quorum(&self) -> Quorum {
        Quorum::of(self.members.values())
    }

    /// The zones whose loss, alone, would stop writes that are possible now.
    pub fn zones_that_stop_writes(&self) -> Vec<&str> {
        let quorum = self.quorum();
        if !quorum.is_there() {
            return Vec::new();
        }
        let mut healthy: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values().filter(|member| !member.learner && member.healthy) {
            let machine = member.machine.as_ref().and_then(|name| self.machines.get(name));
            if let Some(machine) = machine {
                *healthy.entry(&machine.zone).or_default() += 1;
            }
        }
        healthy
            .into_iter()
            .filter(|(_, lost)| quorum.healthy - lost < quorum.majority())
            .map(|(zone, _)| zone)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quorum(voters: usize, healthy: usize) -> Quorum {
        Quorum { voters, healthy }
    }

    fn voter(healthy: bool) -> Member {
        Member {
            machine: None,
            learner: false,
            started: true,
            healthy,
            version: crate::Version::new(3, 5, 26),
        }
    }

    /// Rules: etcd-quorum-to-remove, etcd-two-to-one, etcd-last-member
    #[test]
    fn a_removal_needs_a_majority_before_and_after() {
        assert!(quorum(3, 3).may_remove(&voter(true)));
        assert!(quorum(3, 2).may_remove(&voter(false)));
        assert!(
            !quorum(3, 2).may_remove(&voter(true)),
            "one of two would be left healthy"
        );
        assert!(!quorum(3, 1).may_remove(&voter(false)), "the removal could not commit");
        assert!(quorum(2, 2).may_remove(&voter(true)));
        assert!(!quorum(2, 1).may_remove(&voter(false)), "two to one needs both healthy");
        assert!(!quorum(1, 1).may_remove(&voter(true)), "the last member stays");
        assert!(quorum(5, 3).may_remove(&voter(false)));
        assert!(quorum(4, 3).may_remove(&voter(false)));
        assert!(!quorum(4, 2).may_remove(&voter(false)));
    }

    /// Rules: etcd-quorum-to-remove
    #[test]
    fn the_margin_is_what_may_still_be_lost() {
        assert_eq!(quorum(1, 1).margin(), 0);
        assert_eq!(quorum(2, 2).margin(), 0);
        assert_eq!(quorum(3, 3).margin(), 1);
        assert_eq!(quorum(4, 4).margin(), 1);
        assert_eq!(quorum(5, 5).margin(), 2);
        assert_eq!(quorum(5, 3).margin(), 0);
        assert_eq!(quorum(3, 1).margin(), 0);
    }
}
