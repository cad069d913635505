//! Ephemeral resources on values.

use async_trait::async_trait;
use jiff::Timestamp;
use multizone_schema::{Diagnostics, Model, PlannedModel as _, PlannedOf, Schema, Value};

use super::{check_config, not_configured, with_defaults, write_only};
use crate::configuration::Configured;
use crate::ephemeral::{EphemeralResource, Opened, Renewed};
use crate::stop::Stop;

/// An opened ephemeral resource.
#[derive(Debug, Clone, PartialEq)]
pub struct AnyOpened {
    /// Arguments and result.
    pub result: Value,
    /// When to renew it, if ever.
    pub renew_at: Option<Timestamp>,
    /// Bytes for renewing and closing it.
    pub private: Vec<u8>,
}

/// An ephemeral resource whose model is out of sight.
#[async_trait]
pub trait AnyEphemeral<P: Send + Sync + 'static = Configured>: Send + Sync {
    /// The type's name.
    fn name(&self) -> &'static str;

    /// The schema of the type.
    fn schema(&self) -> Schema;

    /// Checks a configuration. Tolerates unknown values.
    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics;

    /// Opens it.
    async fn open_any(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        config: Value,
        stop: &Stop,
    ) -> Result<AnyOpened, Diagnostics>;

    /// Extends its life.
    async fn renew_any(&self, provider: Option<&P>, private: Vec<u8>) -> Result<Renewed, Diagnostics>;

    /// Ends its life.
    async fn close_any(&self, provider: Option<&P>, private: Vec<u8>) -> Result<Diagnostics, Diagnostics>;
}

#[async_trait]
impl<P: Send + Sync + 'static, E: EphemeralResource<P>> AnyEphemeral<P> for E {
    fn name(&self) -> &'static str {
        self.type_name()
    }

    fn schema(&self) -> Schema {
        E::Model::schema()
    }

    fn check(&self, schema: &Schema, config: &Value) -> Diagnostics {
        check_config::<E::Model>(schema, config, |config| self.validate(config))
    }

    async fn open_any(
        &self,
        schema: &Schema,
        provider: Option<&P>,
        config: Value,
        stop: &Stop,
    ) -> Result<AnyOpened, Diagnostics> {
        let provider = provider.ok_or_else(|| not_configured("open the ephemeral resource"))?;
        let config = with_defaults(schema, &config);
        let config = PlannedOf::<E::Model>::from_value(&config)?;
        let Opened {
            result,
            renew_at,
            private,
        } = self.open(provider, config, stop).await?;
        let result = write_only::removed(&schema.attributes, result.to_value());
        Ok(AnyOpened {
            result,
            renew_at,
            private,
        })
    }

    async fn renew_any(&self, provider: Option<&P>, private: Vec<u8>) -> Result<Renewed, Diagnostics> {
        let provider = provider.ok_or_else(|| not_configured("renew the ephemeral resource"))?;
        self.renew(provider, private).await
    }

    async fn close_any(&self, provider: Option<&P>, private: Vec<u8>) -> Result<Diagnostics, Diagnostics> {
        let provider = provider.ok_or_else(|| not_configured("close the ephemeral resource"))?;
        self.close(provider, private).await
    }
}
