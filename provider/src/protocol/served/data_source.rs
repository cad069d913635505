//! Data sources on values.

use async_trait::async_trait;
use multizone_schema::{Diagnostics, Model, PlannedModel as _, PlannedOf, Schema, Value};

use super::{check_config, not_configured, with_defaults};
use crate::configuration::Configured;
use crate::data_sources::DataSource;
use crate::stop::Stop;

/// A data source whose model is out of sight.
#[async_trait]
pub trait AnyDataSource<P: Send + Sync + 'static = Configured>: Send + Sync {
    /// The type's name.
    fn name(&self) -> &'static str;

    /// The schema of the type.
    fn schema(&self) -> Schema;

    /// Checks a configuration. Tolerates unknown values.
    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics;

    /// Reads what the configuration asks for.
    async fn read_data(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        config: Value,
        stop: &Stop,
    ) -> Result<Value, Diagnostics>;
}

#[async_trait]
impl<P: Send + Sync + 'static, D: DataSource<P>> AnyDataSource<P> for D {
    fn name(&self) -> &'static str {
        self.type_name()
    }

    fn schema(&self) -> Schema {
        D::Model::schema()
    }

    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics {
        check_config::<D::Model>(schema, config, |config| self.validate(config))
    }

    async fn read_data(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        config: Value,
        stop: &Stop,
    ) -> Result<Value, Diagnostics> {
        let provider = provider.ok_or_else(|| not_configured("read the data source"))?;
        let config = with_defaults(schema, &config);
        let config = PlannedOf::<D::Model>::from_value(&config)?;
        Ok(self.read(provider, config, stop).await?.to_value())
    }
}
