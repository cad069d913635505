//! The ephemeral resources, and what an ephemeral resource is.

pub mod kubeconfig;

use async_trait::async_trait;
use jiff::Timestamp;
use multizone_schema::{Diagnostics, Model};

use crate::configuration::Configured;
use crate::resources::PlannedOf;
use crate::stop::Stop;

/// One ephemeral resource type: something that lives as long as one run of Terraform and is never written to plan or
/// state.
#[async_trait]
pub trait EphemeralResource<P: Send + Sync + 'static = Configured>: Send + Sync + 'static {
    /// The arguments and the result.
    type Model: Model;

    /// The type's name in configuration, e.g. `multizone_kubeconfig`.
    fn type_name(&self) -> &'static str;

    /// Checks between arguments that the schema's validators cannot make. Pure; must tolerate unknown values.
    fn validate(&self, config: &PlannedOf<Self::Model>) -> Diagnostics {
        let _ = config;
        Diagnostics::default()
    }

    /// Opens it. Terraform calls this only once every argument is known, in plan as well as in apply; defaults are
    /// filled in, and what is computed is unknown.
    async fn open(
        &self,
        provider: &P,
        config: PlannedOf<Self::Model>,
        stop: &Stop,
    ) -> Result<Opened<Self::Model>, Diagnostics>;

    /// Extends its life; called at the time that `open` or the last `renew` asked for.
    async fn renew(&self, provider: &P, private: Vec<u8>) -> Result<Renewed, Diagnostics> {
        let _ = provider;
        Ok(Renewed {
            renew_at: None,
            private,
        })
    }

    /// Ends its life. The value is warnings.
    async fn close(&self, provider: &P, private: Vec<u8>) -> Result<Diagnostics, Diagnostics> {
        let _ = (provider, private);
        Ok(Diagnostics::default())
    }
}

/// An opened ephemeral resource.
#[derive(Debug, Clone)]
pub struct Opened<M> {
    /// The arguments as configured, and the result.
    pub result: M,
    /// When to call `renew`, if ever.
    pub renew_at: Option<Timestamp>,
    /// Bytes handed to `renew` and `close`.
    pub private: Vec<u8>,
}

/// A renewed ephemeral resource.
#[derive(Debug, Clone)]
pub struct Renewed {
    /// When to call `renew` again, if ever.
    pub renew_at: Option<Timestamp>,
    /// Bytes handed to the next `renew` or `close`.
    pub private: Vec<u8>,
}
