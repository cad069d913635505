//! The data sources, and what a data source is.

pub mod cluster_status;
pub mod zones;

use async_trait::async_trait;
use multizone_schema::{Diagnostics, Model};

use crate::configuration::Configured;
use crate::resources::PlannedOf;
use crate::stop::Stop;

/// One data source type: asks the world, changes nothing.
#[async_trait]
pub trait DataSource<P: Send + Sync + 'static = Configured>: Send + Sync + 'static {
    /// The arguments and what is found.
    type Model: Model;

    /// The type's name in configuration, e.g. `multizone_zones`.
    fn type_name(&self) -> &'static str;

    /// Checks between arguments that the schema's validators cannot make. Pure; must tolerate unknown values.
    fn validate(&self, config: &PlannedOf<Self::Model>) -> Diagnostics {
        let _ = config;
        Diagnostics::default()
    }

    /// Reads. Terraform calls this only once every argument is known; defaults are filled in, and what is computed is
    /// unknown.
    async fn read(&self, provider: &P, config: PlannedOf<Self::Model>, stop: &Stop)
    -> Result<Self::Model, Diagnostics>;
}
