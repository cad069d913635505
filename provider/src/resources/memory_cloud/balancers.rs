//! Balancers and who holds an address, as strictly as a cloud has it: an address has one holder, a target's zone is
//! spanned, what is in use stays.

use std::net::Ipv4Addr;

use multizone_cloud::{
    AddressHolder, Balancer, BalancerSpec, BalancerTarget, CloudError, Host, MachineState, Result, TargetHealth,
};

use super::{State, in_use, missing};

/// The address that a machine has for reaching the outside when it holds no stable one.
const EPHEMERAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

impl State {
    pub(super) fn ensure_balancer(&mut self, spec: &BalancerSpec) -> Result<Balancer> {
        let BalancerSpec {
            name, zones, labels, ..
        } = spec;
        let Some(known) = self.balancer(name) else {
            let made = Balancer {
                name: name.clone(),
                zones: zones.clone(),
                targets: Vec::new(),
                address: None,
                dns_name: None,
                labels: labels.clone(),
                unexpected: None,
            };
            self.inventory.balancers.push(made.clone());
            self.inventory.balancers.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(made);
        };
        if let Some(target) = known.targets.iter().find(|target| !zones.contains(&target.zone)) {
            let reason = format!("{} in {} is its target", target.machine, target.zone);
            return Err(in_use(&format!("balancer {name}"), reason));
        }
        known.zones.clone_from(zones);
        known.labels.clone_from(labels);
        known.unexpected = None;
        Ok(known.clone())
    }

    pub(super) fn delete_balancer(&mut self, name: &str) -> Result<()> {
        let Some(known) = self.balancer(name) else {
            return Ok(());
        };
        let object = format!("balancer {name}");
        if let Some(address) = known.address {
            return Err(in_use(&object, format!("it listens at {address}")));
        }
        if let Some(target) = known.targets.first() {
            return Err(in_use(&object, format!("{} is its target", target.machine)));
        }
        self.inventory.balancers.retain(|known| known.name != name);
        Ok(())
    }

    pub(super) fn register(&mut self, balancer: &str, zone: &str, machine: &str) -> Result<()> {
        let found = self.inventory.machine(zone, machine);
        let running = found.ok_or_else(|| missing("machine", machine))?.state == MachineState::Running;
        let known = self.balancer(balancer).ok_or_else(|| missing("balancer", balancer))?;
        if !known.zones.contains(zone) {
            return Err(CloudError::Refused {
                object: format!("balancer {balancer}"),
                code: "zone".to_owned(),
                reason: format!("it does not span {zone}"),
            });
        }
        if known.target(zone, machine).is_none() {
            known.targets.push(BalancerTarget {
                zone: zone.to_owned(),
                machine: machine.to_owned(),
                health: if running {
                    TargetHealth::Serving
                } else {
                    TargetHealth::Unhealthy
                },
            });
            known.targets.sort();
        }
        Ok(())
    }

    pub(super) fn deregister(&mut self, balancer: &str, zone: &str, machine: &str) {
        if let Some(known) = self.balancer(balancer) {
            known
                .targets
                .retain(|target| target.zone != zone || target.machine != machine);
        }
    }

    pub(super) fn attach(&mut self, address: &str, to: &AddressHolder) -> Result<()> {
        let known = self.inventory.addresses.iter_mut().find(|known| known.name == address);
        let known = known.ok_or_else(|| missing("address", address))?;
        match &known.holder {
            Some(holder) if holder == to => return Ok(()),
            Some(holder) => return Err(in_use(&format!("address {address}"), format!("{holder} holds it"))),
            None => {}
        }
        let Host::Address(value) = known.address else {
            return Err(missing("address", address));
        };
        match to {
            AddressHolder::Machine { zone, name } => {
                let machines = &mut self.inventory.machines;
                let machine = machines
                    .iter_mut()
                    .find(|machine| machine.zone == *zone && machine.name == *name);
                machine.ok_or_else(|| missing("machine", name))?.external_address = Some(value);
            }
            AddressHolder::Balancer { name } => {
                let balancer = self
                    .inventory
                    .balancers
                    .iter_mut()
                    .find(|balancer| balancer.name == *name);
                balancer.ok_or_else(|| missing("balancer", name))?.address = Some(value);
            }
        }
        let known = self.inventory.addresses.iter_mut().find(|known| known.name == address);
        known.ok_or_else(|| missing("address", address))?.holder = Some(to.clone());
        Ok(())
    }

    pub(super) fn detach(&mut self, address: &str) -> Result<()> {
        let known = self.inventory.addresses.iter_mut().find(|known| known.name == address);
        match known.ok_or_else(|| missing("address", address))?.holder.take() {
            Some(AddressHolder::Machine { zone, name }) => {
                let machines = &mut self.inventory.machines;
                let machine = machines
                    .iter_mut()
                    .find(|machine| machine.zone == zone && machine.name == name);
                machine.ok_or_else(|| missing("machine", &name))?.external_address = Some(EPHEMERAL);
            }
            Some(AddressHolder::Balancer { name }) => {
                self.balancer(&name).ok_or_else(|| missing("balancer", &name))?.address = None;
            }
            None => {}
        }
        Ok(())
    }

    /// What a machine's end takes along.
    pub(super) fn lose_machine(&mut self, zone: &str, name: &str) {
        for balancer in &mut self.inventory.balancers {
            balancer
                .targets
                .retain(|target| target.zone != zone || target.machine != name);
        }
        let gone = AddressHolder::Machine {
            zone: zone.to_owned(),
            name: name.to_owned(),
        };
        for address in &mut self.inventory.addresses {
            if address.holder.as_ref() == Some(&gone) {
                address.holder = None;
            }
        }
    }

    fn balancer(&mut self, name: &str) -> Option<&mut Balancer> {
        self.inventory.balancers.iter_mut().find(|known| known.name == name)
    }
}
