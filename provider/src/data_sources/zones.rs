//! `multizone_zones`: the zones on offer.

use async_trait::async_trait;
use multizone_schema::{Diagnostic, Diagnostics, Model, PlannedOf};

use super::DataSource;
use crate::{configuration::Configured, stop::Stop};

/// The zones of the provider's region that are up.
///
/// It has no arguments, so Terraform reads it at plan: `for_each` over its names works.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct Zones {
    /// The region.
    #[attribute(computed)]
    pub region: String,
    /// Names of the zones that are up, sorted.
    #[attribute(computed)]
    pub names: Vec<String>,
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
                format!(
                    "The zones of region {region}: {error}.\nNothing was changed. {}",
                    error.advice()
                ),
            )
        })?;
        let named = |up: bool| {
            let mut names: Vec<String> = zones
                .iter()
                .filter(|zone| zone.up == up)
                .map(|zone| zone.name.clone())
                .collect();
            names.sort();
            names
        };
        Ok(Zones {
            region,
            names: named(true),
            down: named(false),
        })
    }
}
