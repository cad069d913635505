//! Until when the masters' certificates are valid: kubeadm's leaf certificates live one year, and all of a master's are
//! made at the same moment.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use multizone_schema::{Diagnostic, Diagnostics};
use tracing::debug;

use super::{ControlPlane, observe::Observation};
use crate::resources::world;

/// From when on a plan warns.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// When the certificates end with which the API servers serve, by master; those that could not be read are left out.
pub(super) async fn of_masters(asks: &world::Api, observation: &Observation) -> BTreeMap<String, String> {
    let serving = world::masters(&observation.inventory).filter(|machine| observation.world.serves(&machine.name));
    let looks = serving.map(|machine| async {
        match asks.certificate(machine).await {
            Ok(facts) => Some((machine.name.clone(), facts.not_after.to_string())),
            Err(error) => {
                debug!(machine = %machine.name, %error, "its certificate cannot be read");
                None
            }
        }
    });
    join_all(looks).await.into_iter().flatten().collect()
}

/// What the state showed before, for masters that cannot be asked now.
pub(super) fn known(state: &ControlPlane) -> BTreeMap<String, String> {
    let nodes = state.nodes.iter();
    nodes
        .filter_map(|(name, node)| Some((name.clone(), node.certificate_expires_at.clone()?)))
        .collect()
}

/// What a plan says of certificates that end soon.
pub(super) fn warnings(prior: &ControlPlane, now: Timestamp) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for (name, node) in &prior.nodes {
        let Some(end) = node
            .certificate_expires_at
            .as_deref()
            .and_then(|end| end.parse::<Timestamp>().ok())
        else {
            continue;
        };
        if end.duration_since(now) >= SOON {
            continue;
        }
        let what = format!(
            "They are valid until {end}; after that nobody talks to it any more. A master is renewed by replacing its machine: \
             go to another Kubernetes version, or give replica {} another key in replicas, which makes a new master and \
             removes this one.",
            node.replica
        );
        let summary = format!("The certificates of master {name} end soon");
        diagnostics.push(Diagnostic::warning(summary, what).at("replicas"));
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::control_plane::{MasterNode, plan::blank};

    fn state(end: Option<&str>) -> ControlPlane {
        let node = MasterNode {
            replica: "a".to_owned(),
            zone: String::new(),
            address: String::new(),
            provider_id: String::new(),
            state: "ready".to_owned(),
            certificate_expires_at: end.map(str::to_owned),
        };
        ControlPlane {
            nodes: BTreeMap::from([("demo-master-a".to_owned(), node)]),
            ..blank()
        }
    }

    fn said(end: Option<&str>) -> String {
        warnings(&state(end), "2026-06-01T00:00:00Z".parse().unwrap()).to_string()
    }

    #[test]
    fn certificates_that_end_within_thirty_days_are_told() {
        assert_eq!(said(None), "");
        assert_eq!(said(Some("2027-05-31T00:00:00Z")), "");
        assert_eq!(said(Some("2026-07-01T00:00:00Z")), "", "thirty days are enough");
        let soon = said(Some("2026-06-15T12:00:00Z"));
        assert!(soon.contains("until 2026-06-15T12:00:00Z"), "{soon}");
        assert!(soon.contains("another key in replicas"), "{soon}");
        assert!(said(Some("2026-05-15T12:00:00Z")).contains("until 2026-05-15"));
    }
}
