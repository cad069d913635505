//! The model check: bounded for every run of the tests, longer under `make model-check`
//! (`MULTIZONE_MODEL_CHECK_DISTURBANCES`, `MULTIZONE_MODEL_CHECK_SECONDS`).

use std::{
    env,
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model};

use super::situations::named;

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

/// Checks a situation with up to so many disturbances, unless the environment says how many.
fn check(name: &str, disturbances: u8) {
    let mut situation = named(name);
    let asked = setting("MULTIZONE_MODEL_CHECK_DISTURBANCES").and_then(|asked| u8::try_from(asked).ok());
    situation.disturbances = asked.unwrap_or(disturbances);
    let limit = Duration::from_secs(setting("MULTIZONE_MODEL_CHECK_SECONDS").unwrap_or(20));
    let disturbances = situation.disturbances;
    let proven = situation.proven.clone();
    let begun = Instant::now();
    let checker = situation
        .checker()
        .threads(2)
        .timeout(limit)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} of them unique, up to {} steps deep, {disturbances} disturbances; all fair paths from {} \
         states followed to their end; {:.1} s{}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        proven.lock().unwrap().len(),
        begun.elapsed().as_secs_f64(),
        if begun.elapsed() < limit {
            ", exhausted"
        } else {
            ", cut short"
        },
    );
    let found: Vec<String> = checker
        .discoveries()
        .into_iter()
        .map(|(property, path)| {
            let end = path.last_state().clone();
            let astray = checker.model().astray(&end);
            format!("{property}:\n{:#?}\n{end:?}\n{astray:?}", path.into_actions())
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// One test for each situation, with the disturbances that every run can afford.
macro_rules! check {
    ($($test:ident: $name:literal, $disturbances:literal;)*) => {$(
        /// Rules: model-checked
        #[test]
        fn $test() {
            check($name, $disturbances);
        }
    )*};
}

check! {
    creating_three_masters: "create", 2;
    growing_from_one_to_three: "grow", 2;
    shrinking_from_three_to_one: "shrink", 1;
    between_five_and_three: "five", 1;
    dropping_a_zone: "drop zone", 1;
    changing_the_version: "upgrade", 1;
    replacing_the_only_master: "replace the only one", 2;
    destroying_the_control_plane: "destroy", 2;
    swapping_two_masters: "swap", 2;
    moving_out_of_the_balancers_zones: "out of the balancer's zones", 2;
    moving_out_of_the_zones_of_a_name: "out of the name's zones", 2;
    a_balancer_in_fewer_zones: "narrow balancer", 1;
    a_balancer_in_other_zones: "balancer elsewhere", 2;
    a_dns_name: "DNS name", 2;
    a_dns_name_and_a_zone_that_leaves: "DNS name, drop zone", 1;
    an_address_that_is_shared: "shared address", 2;
    five_with_two_dead: "two of five dead", 1;
    three_with_one_dead_and_one_replaced: "one of three dead, one replaced", 1;
    whatever_disagrees: "disagreement", 1;
    replacing_workers_with_a_surge: "workers with a surge", 2;
    replacing_workers_without_a_surge: "workers without a surge", 2;
    a_zone_that_leaves_with_its_workers: "zone with workers", 1;
    everything_that_comes_at_once: "everything comes", 2;
    everything_that_goes_at_once: "everything goes", 1;
    changing_the_version_of_masters_and_workers: "upgrade with workers", 2;
}

/// Rules: model-checked
#[test]
fn every_situation_is_checked() {
    let source = include_str!("model_check.rs");
    for (name, _) in super::situations::all() {
        assert!(source.contains(&format!(": \"{name}\", ")), "{name} is not checked");
    }
}
