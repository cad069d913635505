//! `multizone_zones`: the zones on offer.

use async_trait::async_trait;
use multizone_cloud::Zone;
use multizone_schema::{Diagnostic, Diagnostics, Model, PlannedOf};

use super::DataSource;
use crate::{configuration::Configured, stop::Stop};

/// The zones of the provider's region.
///
/// It has no arguments, so Terraform reads it at plan: `for_each` over its names works. An outage does not change
/// `names`, so a configuration that spans them does not plan to leave a zone because it is down.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Zones {
    /// The region.
    #[attribute(computed)]
    pub region: String,
    /// Names of all zones, sorted.
    #[attribute(computed)]
    pub names: Vec<String>,
    /// Names of the zones that are up, sorted.
    #[attribute(computed)]
    pub up: Vec<String>,
    /// Names of the zones that the cloud says are down, sorted.
    #[attribute(computed)]
    pub down: Vec<String>,
}

/// Serves `multizone_zones`.
#[derive(Debug)]
pub struct ZonesSource;

#[async_trait]
impl DataSource for ZonesSource {
    type Model = Zones;

    fn type_name(&self) -> &'static str {
        "multizone_zones"
    }

    async fn read(&self, provider: &Configured, _config: PlannedOf<Zones>, _stop: &Stop) -> Result<Zones, Diagnostics> {
        let region = provider.cloud().region().to_owned();
        let zones = provider.zones().await.map_err(|error| {
            Diagnostic::error(
                "Cannot read the zones",
                format!("{error}.\nNothing was changed.\n{}", error.advice()),
            )
        })?;
        Ok(described(region, &zones))
    }
}

fn described(region: String, zones: &[Zone]) -> Zones {
    let named = |wanted: &dyn Fn(&Zone) -> bool| {
        let wanted = zones.iter().filter(|zone| wanted(zone));
        let mut names: Vec<String> = wanted.map(|zone| zone.name.clone()).collect();
        names.sort();
        names
    };
    Zones {
        region,
        names: named(&|_| true),
        up: named(&|zone| zone.up),
        down: named(&|zone| !zone.up),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_takes_no_zone_from_the_names() {
        let zone = |name: &str, up| Zone { name: name.into(), up };
        let zones = described("r".into(), &[zone("r-b", false), zone("r-a", true)]);
        assert_eq!(zones.names, ["r-a", "r-b"]);
        assert_eq!((zones.up, zones.down), (vec!["r-a".into()], vec!["r-b".into()]));
    }
}
