//! The words of a plan: for an operator at 3 a.m.

use std::{collections::BTreeSet, time::Duration};

use crate::approximately;

/// How wide the text of a step may be for the durations to line up behind it; that of a wider one stands where it ends.
const WIDTH: usize = 100;
/// How many names a line lists in full.
const NAMES: usize = 4;

/// One step of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewedStep {
    /// What is done, in words.
    pub text: String,
    /// What must be true before.
    pub gate: &'static str,
    /// How long it usually takes.
    pub expected: Duration,
}

/// A preview as the numbered lines that `terraform plan` shows.
pub fn lines(steps: &[PreviewedStep]) -> Vec<String> {
    let digits = steps.len().to_string().len();
    let last = |step: &PreviewedStep| step.text.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let width = steps
        .iter()
        .map(last)
        .filter(|width| *width <= WIDTH)
        .max()
        .unwrap_or(0);
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let number = index + 1;
            let duration = approximately(step.expected);
            // The duration stands behind the last line of a text.
            match step.text.rsplit_once('\n') {
                None => format!("{number:>digits$}. {:<width$} {duration}", step.text),
                Some((first, last)) => {
                    let indent = " ".repeat(digits + 2);
                    let first = first.replace('\n', &format!("\n{indent}"));
                    format!("{number:>digits$}. {first}\n{indent}{last:<width$} {duration}")
                }
            }
        })
        .collect()
}

/// `a`, `a and b`, `a, b and c`, `a, b, c, d and 5 more`; `pool-{a, b, c}` when all have the same beginning.
pub(crate) fn listed(names: &BTreeSet<String>) -> String {
    let beginning = common_beginning(names);
    let more = names.len().saturating_sub(NAMES);
    let shown: Vec<&str> = names.iter().take(NAMES).map(|name| &name[beginning.len()..]).collect();
    let listed = match (shown.split_last(), more) {
        (None, _) => "nothing".to_owned(),
        (Some((last, [])), 0) => (*last).to_owned(),
        (Some(_), 0) if !beginning.is_empty() => shown.join(", "),
        (Some((last, first)), 0) => format!("{} and {last}", first.join(", ")),
        (Some(_), more) => format!("{} and {more} more", shown.join(", ")),
    };
    if beginning.is_empty() {
        listed
    } else {
        format!("{beginning}{{{listed}}}")
    }
}

/// What several names have in common, up to a hyphen.
fn common_beginning(names: &BTreeSet<String>) -> &str {
    match (names.first(), names.last()) {
        (Some(first), Some(last)) if first != last => {
            // Names are sorted, so what the first and the last share, all share.
            let shared = first
                .bytes()
                .zip(last.bytes())
                .take_while(|(one, other)| one == other)
                .count();
            let end = first[..shared].rfind('-').map_or(0, |hyphen| hyphen + 1);
            &first[..end]
        }
        _ => "",
    }
}

/// `worker x`, `workers x and y`.
pub(crate) fn workers(names: &BTreeSet<String>) -> String {
    let noun = if names.len() == 1 { "worker" } else { "workers" };
    format!("{noun} {}", listed(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> BTreeSet<String> {
        (0..count).map(|index| format!("n{index}")).collect()
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(&names(1)), "n0");
        assert_eq!(listed(&names(2)), "n0 and n1");
        assert_eq!(listed(&names(4)), "n0, n1, n2 and n3");
        assert_eq!(listed(&names(9)), "n0, n1, n2, n3 and 5 more");
        assert_eq!(workers(&names(1)), "worker n0");
    }

    #[test]
    fn a_common_beginning_is_said_once() {
        let names = |suffixes: &[&str]| suffixes.iter().map(|suffix| format!("demo-pool-{suffix}")).collect();
        assert_eq!(listed(&names(&["a1"])), "demo-pool-a1");
        assert_eq!(listed(&names(&["a1", "a2"])), "demo-pool-{a1, a2}");
        assert_eq!(
            listed(&names(&["a", "b", "c", "d", "e"])),
            "demo-pool-{a, b, c, d and 1 more}"
        );
    }

    #[test]
    fn numbers_and_durations_line_up() {
        let step = |text: &str, seconds| PreviewedStep {
            text: text.to_owned(),
            gate: "",
            expected: Duration::from_secs(seconds),
        };
        let long = format!(
            "apply again: {}",
            "ConfigMap kube-flannel/flannel was changed, ".repeat(3)
        );
        let shown = lines(&[step("create worker x", 40), step("wait", 180), step(&long, 1)]);
        assert_eq!(shown[0].find("~40 s"), shown[1].find("~3 min"));
        assert_eq!(shown[0], "1. create worker x ~40 s", "no wider than it need be");
        assert_eq!(shown[2], format!("3. {long} ~1 s"));
    }
}
