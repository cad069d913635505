//! The balancer in front of the masters, as its own resource sees it.
//!
//! It may be changed or destroyed before the control plane hears of it: Terraform destroys what was removed before it
//! updates what depended on it.  So its destroy hands the address back itself, and its update leaves a zone at once
//! where others serve, or leaves that to the last one in the zone.

use super::{
    facts::{Endpoint, Holder, Power, Target, World},
    gates::{Gate, Gates},
    intent::BalancerIntent,
    step::{Blocked, Next, Step, Violation},
    zones,
};

/// The next step towards the balancer as it is to be.
pub(super) fn apply(world: &World, desired: &BalancerIntent, gates: Gates) -> Next {
    let Some(balancer) = &world.balancer else {
        return Next::Step(Step::CreateBalancer);
    };
    for zone in &desired.zones {
        if world.stands(zone) && !balancer.zones.contains(zone) {
            return Next::Step(Step::Span(zone.clone()));
        }
    }
    if world.has_an_address() && world.address.holder == Holder::Nobody && world.machines.is_empty() {
        return Next::Step(Step::HandOver(Holder::Nobody, Holder::Balancer));
    }
    for zone in balancer.zones.difference(&desired.zones) {
        match leave(world, zone) {
            Some(step) => return Next::Step(step),
            // The control plane is about to leave the zone too, and takes the balancer out of it then.
            None if world.zones.get(zone).is_none_or(|facts| facts.leaving) => {}
            None => return Next::Blocked(Blocked::OnlyServingTarget(zone.clone())),
        }
    }
    zones::last_out(world, gates).map_or(Next::Done, Next::Step)
}

/// Takes a zone from the balancer: its targets first, while others serve.
fn leave(world: &World, zone: &str) -> Option<Step> {
    let balancer = world.balancer.as_ref()?;
    let here = |name: &String| world.machines.get(name).is_some_and(|machine| machine.zone == *zone);
    let serving = |name: &String, target: Target| target == Target::Serving && world.serves(name);
    let elsewhere = balancer
        .targets
        .iter()
        .any(|(name, target)| !here(name) && serving(name, *target));
    let mut targets = balancer.targets.iter().filter(|(name, _)| here(name));
    match targets.next() {
        Some((name, target)) if elsewhere || !serving(name, *target) => Some(Step::Deregister(name.clone())),
        None if balancer.zones.len() > 1 => Some(Step::Unspan(zone.to_owned())),
        _ => None,
    }
}

/// The next step towards no balancer.
pub(super) fn remove(world: &World, _: &BalancerIntent, gates: Gates) -> Next {
    let Some(balancer) = &world.balancer else {
        return zones::last_out(world, gates).map_or(Next::Done, Next::Step);
    };
    if world.cloud.endpoint == Endpoint::DnsName && !world.machines.is_empty() {
        return Next::Refused(Violation::CutsOffTheApi);
    }
    if world.has_an_address() && !gates.holds(Gate::BalancerUnusedBeforeDeletion, false) {
        match world.address.holder {
            Holder::Balancer => return hand_back(world),
            // A handover was interrupted between taking the address and giving it.
            Holder::Nobody => {
                if let Some(name) = world.serving().next() {
                    let to = Holder::Machine(name.to_owned());
                    return Next::Step(Step::HandOver(Holder::Nobody, to));
                }
            }
            Holder::Machine(_) => {}
        }
    }
    if let Some(name) = balancer.targets.keys().next()
        && !gates.holds(Gate::BalancerUnusedBeforeDeletion, false)
    {
        return Next::Step(Step::Deregister(name.clone()));
    }
    Next::Step(Step::DeleteBalancer)
}

/// The address goes back to a master: one that serves; where none does, to one that runs, or to any that can be
/// reached, since nothing is cut off by it and no later operation could lift a refusal.
fn hand_back(world: &World) -> Next {
    let failed = |name: &str| world.address.failed == Some(Holder::Machine(name.to_owned()));
    let mut able: Vec<(bool, bool, bool, &str)> = world
        .machines
        .iter()
        .filter(|(_, machine)| world.zone_is_up(&machine.zone))
        .map(|(name, machine)| {
            (
                !world.serves(name),
                machine.power != Power::On,
                failed(name),
                name.as_str(),
            )
        })
        .collect();
    able.sort_unstable();
    match (able.first(), world.machines.iter().next()) {
        (Some((false, _, true, name)), _) => {
            Next::Blocked(Blocked::HandoverFailed(Holder::Machine((*name).to_owned())))
        }
        (Some((.., name)), _) => Next::Step(Step::HandOver(Holder::Balancer, Holder::Machine((*name).to_owned()))),
        (None, Some((name, machine))) => Next::Blocked(Blocked::ZoneOut {
            zone: machine.zone.clone(),
            what: format!("master {name}, to which the API's address goes back"),
            writes: world.quorum().is_there(),
        }),
        (None, None) => Next::Step(Step::Release(Holder::Balancer)),
    }
}
