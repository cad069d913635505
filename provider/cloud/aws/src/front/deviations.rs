//! What somebody has changed in front of the masters, in words.

use std::collections::BTreeSet;

use aws_sdk_elasticloadbalancingv2::types::{Listener, ProtocolEnum};

use super::{
    Front, HEALTH_PATH, PORT,
    settings::{DECIDE, INTERVAL, OF_LOAD_BALANCER, OF_TARGETS, WAIT},
};

impl Front {
    /// What is otherwise than it should be, but for the zones and the targets.
    pub(crate) fn deviations(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.listeners.iter().find(|listener| listener.port == Some(PORT)) {
            None => found.push(format!("its listener at port {PORT} is gone")),
            Some(listener) if !forwards(listener, self.group_arn()) => {
                found.push("its listener leads elsewhere".to_owned());
            }
            Some(_) => {}
        }
        if self.group.is_none() {
            found.push("its target group is gone".to_owned());
        }
        let (of_load_balancer, of_targets) = &self.attributes;
        let group = self.group.is_some().then_some((OF_TARGETS, of_targets, "its targets'"));
        let settings = [(OF_LOAD_BALANCER, of_load_balancer, "its")];
        for (wanted, is, whose) in settings.into_iter().chain(group) {
            for (key, wanted) in wanted {
                match is.get(*key) {
                    Some(is) if is == wanted => {}
                    Some(is) => found.push(format!("{whose} {key} is {is}, not {wanted}")),
                    None => found.push(format!("{whose} {key} is not {wanted}")),
                }
            }
        }
        found.extend(self.health_deviations());
        found
    }

    /// The zones, of these, that it does not span: where nobody has declared a balancer, it spans all of the cluster's.
    pub(crate) fn unspanned(&self, zones: &BTreeSet<String>) -> Option<String> {
        let spanned = self.zones();
        let missing: Vec<&str> = zones.difference(&spanned).map(String::as_str).collect();
        (!missing.is_empty()).then(|| format!("it does not span {}", missing.join(", ")))
    }

    /// How its health check differs.
    pub(super) fn health_deviations(&self) -> Vec<String> {
        let Some((group, _)) = &self.group else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if group.health_check_protocol != Some(ProtocolEnum::Https) {
            let is = group
                .health_check_protocol
                .as_ref()
                .map_or("none", ProtocolEnum::as_str);
            found.push(format!("its health check's protocol is {is}, not HTTPS"));
        }
        let path = group.health_check_path().unwrap_or_default();
        if path != HEALTH_PATH {
            found.push(format!("its health check asks for {path:?}, not {HEALTH_PATH:?}"));
        }
        for (what, is, wanted) in [
            ("interval", group.health_check_interval_seconds, INTERVAL),
            ("timeout", group.health_check_timeout_seconds, WAIT),
            ("healthy threshold", group.healthy_threshold_count, DECIDE),
            ("unhealthy threshold", group.unhealthy_threshold_count, DECIDE),
        ] {
            if is.is_some_and(|is| is != wanted) {
                let is = is.unwrap_or_default();
                found.push(format!("its health check's {what} is {is}, not {wanted}"));
            }
        }
        found
    }
}

/// Whether a listener passes TCP connections on to the target group.
pub(super) fn forwards(listener: &Listener, group: &str) -> bool {
    listener.protocol == Some(ProtocolEnum::Tcp)
        && matches!(listener.default_actions(), [only] if only.target_group_arn() == Some(group)
        || only.forward_config().is_some_and(|forward| {
            matches!(forward.target_groups(), [only] if only.target_group_arn() == Some(group))
        }))
}
