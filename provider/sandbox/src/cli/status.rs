//! `sandbox status` as a table.

use serde_json::Value;
use std::fmt::Write as _;

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Columns as wide as their widest cell.
fn columns(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("  {}\n", padded.join("  ").trim_end())
    };
    let mut table = line(&mut heading.iter().copied());
    for row in rows {
        table.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    table
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}

/// The whole status for people.
pub(super) fn table(status: &Value) -> String {
    let speed = status.get("speed").and_then(Value::as_f64).unwrap_or(1.0);
    let mut out = format!(
        "region {} at {}, {speed}x real time, state in {}\n",
        text(status, "region"),
        text(status, "endpoint"),
        text(status, "directory")
    );
    let zones: Vec<String> = list(status, "zones")
        .iter()
        .map(|it| format!("{} {}", text(it, "name"), text(it, "status").to_lowercase()))
        .collect();
    let _ = writeln!(out, "zones: {}", zones.join(", "));
    let running = status.get("operations_running").and_then(Value::as_u64).unwrap_or(0);
    if running > 0 {
        let _ = writeln!(out, "operations under way: {running}");
    }
    let before = out.len();
    section(
        &mut out,
        "machines",
        &["ZONE", "NAME", "TYPE", "STATE", "ADDRESS", "EXTERNAL", "NODE", "PHASE"],
        &machines(status),
    );
    for machine in list(status, "machines") {
        for warning in list(machine, "warnings").iter().filter_map(Value::as_str) {
            let _ = writeln!(out, "  warning: {}: {warning}", text(machine, "name"));
        }
    }
    let (boot_disks, disks): (Vec<&Value>, Vec<&Value>) = list(status, "disks")
        .iter()
        .partition(|it| it.get("boot").and_then(Value::as_bool) == Some(true));
    let disks: Vec<Vec<String>> = disks.into_iter().map(disk).collect();
    section(
        &mut out,
        "disks",
        &["ZONE", "NAME", "SIZE", "TYPE", "STATE", "MACHINE"],
        &disks,
    );
    if !boot_disks.is_empty() {
        let _ = writeln!(out, "\nboot disks: {}, one in each machine", boot_disks.len());
    }
    let addresses = list(status, "addresses")
        .iter()
        .map(|it| vec![text(it, "name").to_owned(), text(it, "address").to_owned(), holder(it)]);
    section(
        &mut out,
        "addresses",
        &["NAME", "ADDRESS", "HELD BY"],
        &addresses.collect::<Vec<_>>(),
    );
    section(
        &mut out,
        "balancers",
        &["NAME", "ADDRESS", "TARGET", "ZONE", "HEALTH"],
        &list(status, "balancers").iter().flat_map(balancer).collect::<Vec<_>>(),
    );
    let networks = list(status, "networks").iter().map(|it| {
        let ranges: Vec<String> = list(it, "subnetworks")
            .iter()
            .map(|it| format!("{} {}", text(it, "name"), text(it, "range")))
            .collect();
        let rules: Vec<&str> = list(it, "firewall_rules").iter().filter_map(Value::as_str).collect();
        vec![
            text(it, "name").to_owned(),
            or_dash(&ranges.join(", ")),
            or_dash(&rules.join(", ")),
        ]
    });
    section(
        &mut out,
        "networks",
        &["NAME", "SUBNETWORKS", "FIREWALL RULES"],
        &networks.collect::<Vec<_>>(),
    );
    for (name, title) in [
        ("snapshots", "snapshots"),
        ("secrets", "secrets"),
        ("service_accounts", "service accounts"),
    ] {
        let names: Vec<&str> = list(status, name).iter().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            let _ = writeln!(out, "\n{title}: {}", names.join(", "));
        }
    }
    if out.len() == before {
        out.push_str("nothing here\n");
    }
    out
}

/// Who holds an address: names of machines carry their zone, those of balancers are marked as such.
fn holder(it: &Value) -> String {
    match (text(it, "machine"), text(it, "balancer")) {
        ("", "") => "-".to_owned(),
        ("", rule) => format!("balancer {}", rule.rsplit('/').next().unwrap_or(rule)),
        (machine, _) => machine.to_owned(),
    }
}

/// A line for each target.
fn balancer(it: &Value) -> Vec<Vec<String>> {
    let address = match (text(it, "address"), it.get("active").and_then(Value::as_bool)) {
        ("", _) => "-".to_owned(),
        (address, Some(true)) => address.to_owned(),
        (address, _) => format!("{address} (not yet)"),
    };
    let line = |target: &Value| {
        vec![
            text(it, "name").to_owned(),
            address.clone(),
            or_dash(text(target, "machine")),
            or_dash(text(target, "zone")),
            or_dash(text(target, "health")),
        ]
    };
    match list(it, "targets") {
        [] => vec![line(&Value::Null)],
        targets => targets.iter().map(line).collect(),
    }
}

fn disk(it: &Value) -> Vec<String> {
    let name = |name: &str| text(it, name).to_owned();
    let size = it.get("size_gb").and_then(Value::as_u64).unwrap_or(0);
    vec![
        name("zone"),
        name("name"),
        format!("{size} GB"),
        name("type"),
        name("status"),
        or_dash(text(it, "machine")),
    ]
}

fn section(out: &mut String, title: &str, heading: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        let _ = write!(out, "\n{title}\n{}", columns(heading, rows));
    }
}

fn machines(status: &Value) -> Vec<Vec<String>> {
    let out: Vec<&str> = list(status, "zones")
        .iter()
        .filter(|it| text(it, "status") == "OUT")
        .map(|it| text(it, "name"))
        .collect();
    let row = |it: &Value| {
        // What a kubelet in a zone that is out last said means nothing now.
        let node = match it.get("node_ready").and_then(Value::as_bool) {
            Some(_) if out.contains(&text(it, "zone")) => "Unreachable",
            Some(true) => "Ready",
            Some(false) => "NotReady",
            None => "-",
        };
        let cut = if out.contains(&text(it, "zone")) {
            " (zone out)"
        } else {
            ""
        };
        vec![
            text(it, "zone").to_owned(),
            text(it, "name").to_owned(),
            text(it, "type").to_owned(),
            format!("{}{cut}", text(it, "status")),
            text(it, "address").to_owned(),
            or_dash(text(it, "external_address")),
            node.to_owned(),
            or_dash(text(it, "phase")),
        ]
    };
    list(status, "machines").iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::table;
    use serde_json::json;

    #[test]
    fn an_empty_region_says_so() {
        let status = json!({
            "region": "us-central1", "endpoint": "http://127.9.0.1:1", "speed": 60.0, "directory": "/d",
            "zones": [{ "name": "us-central1-a", "status": "UP" }],
            "machines": [], "disks": [], "addresses": [], "networks": [], "secrets": [],
        });
        assert_eq!(
            table(&status),
            "region us-central1 at http://127.9.0.1:1, 60x real time, state in /d\nzones: us-central1-a up\nnothing here\n"
        );
    }

    #[test]
    fn balancers_show_their_targets_and_addresses_their_holders() {
        let status = json!({
            "zones": [],
            "addresses": [
                { "name": "api", "address": "127.9.240.2", "machine": null, "balancer": "r/lb" },
                { "name": "old", "address": "127.9.240.3", "machine": "z/m", "balancer": null },
                { "name": "new", "address": "127.9.240.4", "machine": null, "balancer": null },
            ],
            "balancers": [
                { "name": "lb", "address": "127.9.240.2", "active": true, "targets": [
                    { "zone": "z", "machine": "m", "health": "SERVING" },
                    { "zone": "y", "machine": "n", "health": "DRAINING" },
                ] },
                { "name": "idle", "address": null, "active": false, "targets": [] },
            ],
        });
        let shown = table(&status);
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        for expected in [
            vec!["api", "127.9.240.2", "balancer", "lb"],
            vec!["old", "127.9.240.3", "z/m"],
            vec!["new", "127.9.240.4", "-"],
            vec!["lb", "127.9.240.2", "m", "z", "SERVING"],
            vec!["lb", "127.9.240.2", "n", "y", "DRAINING"],
            vec!["idle", "-", "-", "-", "-"],
        ] {
            assert!(lines.contains(&expected), "{expected:?} in\n{shown}");
        }
    }

    #[test]
    fn machines_of_a_zone_that_is_out_are_marked() {
        let status = json!({
            "zones": [{ "name": "z", "status": "OUT" }],
            "machines": [{ "zone": "z", "name": "m", "status": "RUNNING", "type": "t", "address": "127.9.16.2", "node_ready": false, "phase": "running" }],
        });
        let shown = table(&status);
        assert!(shown.contains("RUNNING (zone out)"), "{shown}");
        assert!(shown.contains("Unreachable"), "{shown}");
        assert!(!shown.contains("nothing here"), "{shown}");
    }
}
