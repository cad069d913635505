//! What the operator of the sandbox does from outside the API: zones out and back, machines halted and booted.

use super::effects::stop;
use super::error::Refusal;
use super::operations::Operation;
use super::records::{Instance, InstanceStatus, Outage};
use super::transaction::Transaction;

impl Transaction<'_> {
    /// Takes a zone out: nobody reaches it, and what was starting there fails.
    pub fn take_zone_out(&mut self, zone: &str) -> Result<(), Refusal> {
        self.require_zone(zone)?;
        if self.state.outages.contains_key(zone) {
            return Err(Refusal::bad_request(format!("the zone {zone} is out already")));
        }
        self.put(Outage {
            zone: zone.to_owned(),
            since: self.now,
        });
        self.note("zone.outage", &format!("zones/{zone}"), None, None);
        let prefix = format!("{}/zones/{zone}/instances/", self.settings.project_path());
        let starting: Vec<Operation> = self
            .state
            .due
            .iter()
            .filter_map(|(_, name)| self.state.operations.get(name))
            .filter(|it| it.target.starts_with(&prefix) && matches!(it.verb.as_str(), "insert" | "start"))
            .cloned()
            .collect();
        for operation in starting {
            self.exhaust(zone, &operation);
        }
        Ok(())
    }

    /// Brings a zone back.
    pub fn restore_zone(&mut self, zone: &str) -> Result<(), Refusal> {
        self.require_zone(zone)?;
        if !self.state.outages.contains_key(zone) {
            return Err(Refusal::bad_request(format!("the zone {zone} is not out")));
        }
        self.remove::<Outage>(zone);
        self.note("zone.restore", &format!("zones/{zone}"), None, None);
        Ok(())
    }

    /// Cuts a machine's power, at once and unseen by the API's operations.  `machine` is `ZONE/NAME`, or the name alone
    /// where it is unique.
    pub fn halt(&mut self, machine: &str) -> Result<String, Refusal> {
        let (key, instance) = self.find_machine(machine)?;
        let path = self.settings.instance_path(&key);
        if instance.status == InstanceStatus::Terminated {
            return Err(Refusal::bad_request(format!("the machine {key} is halted already")));
        }
        self.require_ready(&path)?;
        let now = self.now;
        self.alter::<Instance>(&key, |it| stop(it, now));
        self.note("machine.halt", &path, None, None);
        Ok(key)
    }

    /// Gives a halted machine power again.
    pub fn boot(&mut self, machine: &str) -> Result<String, Refusal> {
        let (key, instance) = self.find_machine(machine)?;
        let path = self.settings.instance_path(&key);
        if instance.status != InstanceStatus::Terminated {
            return Err(Refusal::bad_request(format!(
                "the machine {key} is {}, not halted",
                instance.status.word()
            )));
        }
        self.require_ready(&path)?;
        if self.state.outages.contains_key(&instance.zone) {
            return Err(Refusal::unavailable(format!(
                "the zone {} is out: restore it first",
                instance.zone
            )));
        }
        self.give_ephemeral_address(&instance)?;
        let now = self.now;
        self.alter::<Instance>(&key, |it| {
            it.status = InstanceStatus::Running;
            it.powered = true;
            it.last_start = Some(now);
        });
        self.note("machine.boot", &path, None, None);
        Ok(key)
    }

    fn find_machine(&self, machine: &str) -> Result<(String, Instance), Refusal> {
        if let Some(instance) = self.state.instances.get(machine) {
            return Ok((machine.to_owned(), instance.clone()));
        }
        let found: Vec<_> = self
            .state
            .instances
            .iter()
            .filter(|(_, it)| it.identity.name == machine)
            .collect();
        match found.as_slice() {
            [(key, instance)] => Ok(((*key).clone(), (*instance).clone())),
            [] => Err(Refusal {
                status: 404,
                reason: "notFound",
                message: format!("there is no machine called {machine}"),
            }),
            many => {
                let keys: Vec<&str> = many.iter().map(|(key, _)| key.as_str()).collect();
                Err(Refusal::bad_request(format!(
                    "several machines are called {machine}: say which of {}",
                    keys.join(", ")
                )))
            }
        }
    }
}
