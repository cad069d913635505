//! Machines behind backend services: who is one, and how health checks find them.

use super::records::{BackendService, HealthCheck, Target};
use crate::core::operations::Effect;
use crate::core::state::State;
use crate::core::transaction::Transaction;
use std::collections::BTreeMap;

/// A machine that is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// Key of the backend service.
    pub service: String,
    /// Key of the machine.
    pub instance: String,
    /// How it is asked.
    pub check: HealthCheck,
}

impl State {
    /// Every machine that health checks ask.
    pub fn probed(&self) -> Vec<Probed> {
        let probed = |target: &Target| {
            let service = self.backend_services.get(&target.service)?;
            Some(Probed {
                service: target.service.clone(),
                instance: target.instance.clone(),
                check: self.health_checks.get(&service.health_check)?.clone(),
            })
        };
        self.targets
            .values()
            .filter(|it| it.drains_until.is_none())
            .filter_map(probed)
            .collect()
    }

    /// The machine `instance` as a target of `service`.
    pub fn target(&self, service: &str, instance: &str) -> Option<&Target> {
        self.targets.get(&target_key(service, instance))
    }

    /// The targets of a backend service.
    pub fn targets_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.values().filter(move |it| it.service == service)
    }
}

impl Transaction<'_> {
    /// Makes the targets those that groups and services say: who is new begins unhealthy, who is none any more and does
    /// not drain is forgotten.
    pub(in crate::core) fn settle_targets(&mut self) {
        let mut wanted: BTreeMap<(String, String), String> = BTreeMap::new();
        for (service, it) in &self.state.backend_services {
            for backend in &it.backends {
                let members = self.state.instance_groups.get(&backend.group);
                for member in members.into_iter().flat_map(|group| &group.members) {
                    wanted.insert((service.clone(), member.clone()), backend.group.clone());
                }
            }
        }
        let known: Vec<(String, Target)> = self
            .state
            .targets
            .iter()
            .map(|(key, it)| (key.clone(), it.clone()))
            .collect();
        for (key, target) in known {
            let service = self.state.backend_services.get(&target.service);
            let behind = service.is_some_and(|it| has(it, &target.group));
            match wanted.remove(&(target.service, target.instance)) {
                Some(_) if target.drains_until.is_some() => self.alter::<Target>(&key, |it| it.drains_until = None),
                Some(_) => {}
                None if target.drains_until.is_some() && behind => {}
                None => self.remove::<Target>(&key),
            }
        }
        for ((service, instance), group) in wanted {
            self.put(Target {
                service,
                instance,
                group,
                healthy: false,
                drains_until: None,
            });
        }
    }

    /// Lets machines that leave a group drain, and says when each is done: seconds from now.
    pub(super) fn drain(&mut self, group: &str, leaving: &[String]) -> Vec<(f64, Effect)> {
        let now = self.now;
        let mut steps = Vec::new();
        let services: Vec<(String, u32)> = self
            .state
            .backend_services
            .iter()
            .filter(|(_, it)| it.draining_timeout_sec > 0 && has(it, group))
            .map(|(key, it)| (key.clone(), it.draining_timeout_sec))
            .collect();
        for (service, seconds) in services {
            for instance in leaving {
                let after = 3.0 + f64::from(seconds);
                let until = self.settings.after(now, after);
                self.alter::<Target>(&target_key(&service, instance), |it| it.drains_until = Some(until));
                let (service, instance) = (service.clone(), instance.clone());
                steps.push((after, Effect::DrainingEnds { service, instance }));
            }
        }
        steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        steps
    }

    /// The time of a machine that drains is over, unless it has come back since.
    pub(in crate::core) fn end_draining(&mut self, service: &str, instance: &str) {
        let key = target_key(service, instance);
        let target = self.state.targets.get(&key);
        if target
            .and_then(|it| it.drains_until)
            .is_some_and(|until| until <= self.now)
        {
            self.remove::<Target>(&key);
            self.note_target("target.drained", service, instance);
        }
    }

    /// A machine that is gone is nobody's target.
    pub(super) fn forget_target(&mut self, instance: &str) {
        let known = self.state.targets.iter().filter(|(_, it)| it.instance == instance);
        let keys: Vec<String> = known.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove::<Target>(&key);
        }
    }

    /// What health checks found: `instance` can serve from now on, or cannot any more.
    pub fn find_health(&mut self, service: &str, instance: &str, healthy: bool) {
        let key = target_key(service, instance);
        if self.state.targets.get(&key).is_some_and(|it| it.healthy != healthy) {
            self.alter::<Target>(&key, |it| it.healthy = healthy);
            let verb = if healthy { "target.healthy" } else { "target.unhealthy" };
            self.note_target(verb, service, instance);
        }
    }

    fn note_target(&mut self, verb: &str, service: &str, instance: &str) {
        let path = self.settings.regional_object("backendServices", service);
        let machine = self.settings.instance_path(instance);
        self.note(verb, &path, None, Some(machine));
    }
}

fn has(service: &BackendService, group: &str) -> bool {
    service.backends.iter().any(|backend| backend.group == group)
}

/// The key of a target.
pub(in crate::core) fn target_key(service: &str, instance: &str) -> String {
    format!("{service} {instance}")
}
