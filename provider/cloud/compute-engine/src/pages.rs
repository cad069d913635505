//! Lists: read to their last page, each page let go of before the next is asked for.

use std::future::Future;

use google_cloud_compute_v1::model;
use google_cloud_gax::error::Error as GoogleError;

use crate::{
    ComputeEngine,
    failure::{Failure, Kind},
    names::{last_segment, region_of},
};

/// How much is asked for at once: the most that Compute Engine gives.
pub(crate) const PAGE: u32 = 500;

/// A page of a list.
pub(crate) trait Page {
    /// What is listed.
    type Item;

    /// Where the next page begins, if there is one.
    fn take_token(&mut self) -> Option<String>;

    /// Zones that could not be read, where the list is over all of them, and what is listed there.
    fn unreachable(&self) -> (&[String], &'static str) {
        (&[], "objects")
    }

    /// What is on the page; where the list is over all zones, what is in those that `within` has.
    fn into_items(self, within: impl Fn(&str) -> bool) -> impl Iterator<Item = Self::Item>;
}

macro_rules! lists {
    ($($list:ident: $item:ident,)*) => {$(
        impl Page for model::$list {
            type Item = model::$item;

            fn take_token(&mut self) -> Option<String> {
                self.next_page_token.take()
            }

            fn into_items(self, _: impl Fn(&str) -> bool) -> impl Iterator<Item = Self::Item> {
                self.items.into_iter()
            }
        }
    )*};
}

macro_rules! lists_over_all_zones {
    ($($list:ident: $item:ident in $field:ident, $words:literal;)*) => {$(
        impl Page for model::$list {
            type Item = model::$item;

            fn take_token(&mut self) -> Option<String> {
                self.next_page_token.take()
            }

            fn unreachable(&self) -> (&[String], &'static str) {
                (&self.unreachables, $words)
            }

            fn into_items(self, within: impl Fn(&str) -> bool) -> impl Iterator<Item = Self::Item> {
                let scopes = self.items.into_iter().filter(move |(scope, _)| within(scope));
                scopes.flat_map(|(_, list)| list.$field)
            }
        }
    )*};
}

lists! {
    AddressList: Address,
    BackendServiceList: BackendService,
    FirewallList: Firewall,
    ForwardingRuleList: ForwardingRule,
    HealthCheckList: HealthCheck,
    InstanceGroupsListInstances: InstanceWithNamedPorts,
    SnapshotList: Snapshot,
    ZoneList: Zone,
}

lists_over_all_zones! {
    InstanceAggregatedList: Instance in instances, "machines";
    InstanceGroupAggregatedList: InstanceGroup in instance_groups, "instance groups";
}

impl ComputeEngine {
    /// What `keep` keeps of a whole list.  `request` is given the token of the page to ask for.
    pub(crate) async fn pages<P, T, F>(
        &self,
        what: &str,
        request: impl Fn(Option<String>) -> F,
        mut keep: impl FnMut(P::Item) -> Result<Option<T>, Failure>,
    ) -> Result<Vec<T>, Failure>
    where
        P: Page,
        F: Future<Output = Result<P, GoogleError>>,
    {
        let (mut kept, mut token) = (Vec::new(), None);
        loop {
            let mut page = self.sender().send(what, || request(token.clone())).await?;
            token = page.take_token().filter(|token| !token.is_empty());
            let (unreachable, objects) = page.unreachable();
            self.check_reached(objects, unreachable)?;
            for item in page.into_items(|scope| self.in_region(scope)) {
                kept.extend(keep(item)?);
            }
            if token.is_none() {
                return Ok(kept);
            }
        }
    }

    /// A zone that could not be reached is not an empty zone.
    fn check_reached(&self, objects: &str, unreachable: &[String]) -> Result<(), Failure> {
        let own = unreachable.iter().filter(|scope| self.in_region(scope));
        let own: Vec<_> = own.map(|scope| last_segment(scope)).collect();
        if own.is_empty() {
            return Ok(());
        }
        let message = format!("it could not read the {objects} of {}", own.join(", "));
        Err(Failure::new(Kind::Http(500), "", message))
    }

    /// Whether `zones/us-central1-a`, or a URL that ends so, is about a zone of the region.
    fn in_region(&self, scope: &str) -> bool {
        region_of(last_segment(scope)) == self.settings().region
    }
}
