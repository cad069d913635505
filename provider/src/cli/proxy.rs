//! Proxies of the environment are for the world outside: calls to this machine go past them.
//!
//! The sandbox region, its Kubernetes APIs and endpoints given for tests are on loopback addresses, which a proxy on
//! another machine cannot reach and one on this machine need not.  Google's client reads the proxies from the environment
//! and takes no other word on them, so the word is put there: the program runs itself again with `NO_PROXY` extended.

use std::{ffi::OsString, io, os::unix::process::CommandExt as _, process::Command};

/// What is on this machine.
const LOOPBACK: &str = "127.0.0.0/8,::1,localhost";
/// Where clients look for a proxy.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];
/// Where they look for what needs none, most trusted first.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// When the environment has a proxy that loopback calls would go through, starts this program again, in this process,
/// with an environment in which they do not.  Returns only when there is nothing to do, or with why it cannot.
pub fn except_loopback() -> Result<(), io::Error> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(exceptions) = exceptions(variable) else {
        return Ok(());
    };
    let mut arguments = std::env::args_os();
    let name = arguments
        .next()
        .unwrap_or_else(|| OsString::from("terraform-provider-multizone"));
    Err(Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments)
        .envs(EXCEPTIONS.map(|name| (name, &exceptions)))
        .exec())
}

/// What needs no proxy once this machine is among it; `None` when it is already, or when there is no proxy.
fn exceptions(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    PROXIES.iter().find_map(|name| variable(name))?;
    match EXCEPTIONS.iter().find_map(|name| variable(name)) {
        Some(known) if known.split(',').any(|it| it.trim() == "127.0.0.0/8") => None,
        Some(known) => Some(format!("{known},{LOOPBACK}")),
        None => Some(LOOPBACK.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: &[(&str, &str)]) -> Option<String> {
        exceptions(|name| {
            let found = environment.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_proxy_nothing_changes() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("NO_PROXY", "intra.example")]), None);
    }

    #[test]
    fn this_machine_joins_what_needs_no_proxy() {
        assert_eq!(
            of(&[("HTTPS_PROXY", "http://proxy.example:3128")]).as_deref(),
            Some(LOOPBACK)
        );
        let both = of(&[
            ("http_proxy", "http://proxy.example:3128"),
            ("no_proxy", "intra.example"),
        ]);
        assert_eq!(both, Some(format!("intra.example,{LOOPBACK}")));
    }

    #[test]
    fn the_second_start_finds_nothing_to_do() {
        let first = of(&[("ALL_PROXY", "http://proxy.example:3128"), ("NO_PROXY", "a")]).expect("a proxy is set");
        assert_eq!(
            of(&[("ALL_PROXY", "http://proxy.example:3128"), ("NO_PROXY", &first)]),
            None
        );
    }
}
