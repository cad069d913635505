//! Which zone each of some replicas goes to.
//!
//! No zone gets two more than another.  Where replicas are already, as many as that rule allows stay where they are: a
//! replica that changes its zone is a new machine, and a membership change of etcd.

use std::collections::{BTreeMap, BTreeSet};

/// The zone of each of `count` replicas, going round the zones in the order given; nothing when there are none.
pub fn round<Z: Clone>(count: usize, zones: &[Z]) -> Vec<Z> {
    zones.iter().cycle().take(count).cloned().collect()
}

/// `count` replicas over `zones`, by key, moving as few as possible of those that are there.
///
/// A replica that must move keeps its key and changes its zone; when there are to be fewer, those with the last keys go
/// first.  New replicas get the first letters that are free.  Nothing when there are no zones.
pub fn spread(now: &BTreeMap<String, String>, count: usize, zones: &BTreeSet<String>) -> BTreeMap<String, String> {
    let here = |zone: &str| now.values().filter(|other| *other == zone).count();
    // A zone with more replicas comes first: where not all get the same number, it keeps one more.
    let mut order: Vec<&str> = zones.iter().map(String::as_str).collect();
    order.sort_by_key(|zone| std::cmp::Reverse(here(zone)));
    let mut places = round(count, &order);
    let mut spread = BTreeMap::new();
    let mut without_a_place = Vec::new();
    for (key, zone) in now {
        match places.iter().position(|place| place == zone) {
            Some(place) => {
                places.remove(place);
                spread.insert(key.clone(), zone.clone());
            }
            None => without_a_place.push(key.clone()),
        }
    }
    let new = keys().filter(|key| !now.contains_key(key));
    for (place, key) in places.into_iter().zip(without_a_place.into_iter().chain(new)) {
        spread.insert(key, place.to_owned());
    }
    spread
}

/// `a` to `z`, then `a1` to `z1`, and so on.
fn keys() -> impl Iterator<Item = String> {
    (0_usize..).flat_map(|round| {
        ('a'..='z').map(move |letter| match round {
            0 => letter.to_string(),
            _ => format!("{letter}{round}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn replicas(written: &str) -> BTreeMap<String, String> {
        let one = |part: &str| {
            let (key, zone) = part.split_once('=').unwrap();
            (key.to_owned(), zone.to_owned())
        };
        written.split_whitespace().map(one).collect()
    }

    fn spread_over(now: &str, count: usize, zones: &str) -> BTreeMap<String, String> {
        let zones = zones.split_whitespace().map(str::to_owned).collect();
        spread(&replicas(now), count, &zones)
    }

    #[test]
    fn the_first_replicas_go_round_the_zones() {
        assert_eq!(spread_over("", 3, "x y z"), replicas("a=x b=y c=z"));
        assert_eq!(spread_over("", 5, "x y z"), replicas("a=x b=y c=z d=x e=y"));
        assert_eq!(spread_over("", 3, ""), replicas(""));
    }

    #[test]
    fn growing_keeps_every_replica_and_shrinking_those_that_stay() {
        assert_eq!(spread_over("a=x", 3, "x y z"), replicas("a=x b=y c=z"));
        assert_eq!(spread_over("a=y", 3, "x y z"), replicas("a=y b=x c=z"));
        assert_eq!(spread_over("a=x b=y c=z", 1, "x y z"), replicas("a=x"));
        assert_eq!(spread_over("b=y c=z", 3, "x y z"), replicas("b=y c=z a=x"));
    }

    #[test]
    fn only_replicas_of_a_zone_that_goes_move_and_keep_their_keys() {
        assert_eq!(spread_over("a=x b=y c=z", 3, "x y w"), replicas("a=x b=y c=w"));
        assert_eq!(spread_over("a=x b=y c=z", 3, "x y"), replicas("a=x b=y c=x"));
        assert_eq!(spread_over("a=x b=y c=x", 3, "x y z"), replicas("a=x b=y c=z"));
        // The zone that has two keeps them.
        assert_eq!(spread_over("a=y b=y c=x", 3, "x y"), replicas("a=y b=y c=x"));
    }

    fn zone() -> impl Strategy<Value = String> {
        (0..5_usize).prop_map(|zone| ["v", "w", "x", "y", "z"][zone].to_owned())
    }

    fn situation() -> impl Strategy<Value = (BTreeMap<String, String>, usize, BTreeSet<String>)> {
        (
            collection::btree_map("[a-h]", zone(), 0..=7),
            0..=9_usize,
            collection::btree_set(zone(), 1..=5),
        )
    }

    /// The most replicas that any even spread leaves where they are, by trying all.
    fn most_that_can_stay(now: &BTreeMap<String, String>, count: usize, zones: &BTreeSet<String>) -> usize {
        let here: Vec<usize> = zones
            .iter()
            .map(|zone| now.values().filter(|other| *other == zone).count())
            .collect();
        let (base, more) = (count / here.len(), count % here.len());
        let stays = |chosen: u32| {
            let kept = |(index, here): (usize, &usize)| (*here).min(base + usize::from(chosen >> index & 1 == 1));
            here.iter().enumerate().map(kept).sum()
        };
        let choices = (0..1_u32 << here.len()).filter(|chosen| chosen.count_ones() as usize == more);
        choices.map(stays).max().unwrap_or_default()
    }

    proptest! {
        #[test]
        fn an_even_spread_that_moves_as_few_as_any((now, count, zones) in situation()) {
            let spread = spread(&now, count, &zones);
            prop_assert_eq!(spread.len(), count);
            let per_zone = zones.iter().map(|zone| spread.values().filter(|other| *other == zone).count());
            let per_zone: Vec<usize> = per_zone.collect();
            prop_assert_eq!(per_zone.iter().sum::<usize>(), count);
            prop_assert!(per_zone.iter().max().unwrap() - per_zone.iter().min().unwrap() <= 1);
            let stayed = spread.iter().filter(|(key, zone)| now.get(*key) == Some(*zone)).count();
            prop_assert_eq!(stayed, most_that_can_stay(&now, count, &zones));
        }

        #[test]
        fn what_is_spread_stays((now, count, zones) in situation()) {
            let once = spread(&now, count, &zones);
            prop_assert_eq!(spread(&once, count, &zones), once);
        }

        #[test]
        fn a_key_is_kept_for_as_long_as_there_is_a_place((now, count, zones) in situation()) {
            let spread = spread(&now, count, &zones);
            let kept = now.keys().filter(|key| spread.contains_key(*key)).count();
            prop_assert_eq!(kept, now.len().min(count));
        }
    }
}
