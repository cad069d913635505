//! The resources, and what a resource is.
//!
//! A resource works on its model, a plain struct that has no place for an unknown value; only configuration and plans
//! (`PlannedOf<Model>`) do. Everything Terraform asks of every resource alike (schema, codec, defaults, computed
//! values, upgrades, the null and unknown rules) is done for it by [`crate::protocol::served`].

pub mod api_load_balancer;
pub mod checks;
pub mod cluster;
pub mod control_plane;
pub mod disk;
pub mod identity;
pub mod marks;
#[cfg(test)]
#[allow(dead_code)] // the tests of what users read use more of it
pub(crate) mod memory_cloud;
pub mod node_group;
pub mod offers;
pub mod protection;
pub(crate) mod rollout;
pub mod settled;
pub mod strays;
pub mod timeouts;
pub mod trouble;
mod turn;
pub(crate) mod world;

use async_trait::async_trait;
use multizone_schema::upgrade::Upgrade;
use multizone_schema::{Diagnostics, Model, Path};

pub use multizone_schema::PlannedOf;

use self::identity::Identity;

use crate::configuration::Configured;
use crate::stop::Stop;

/// One resource type.
///
/// `P` is what the provider's configuration turns into; tests serve resources with a smaller one.
///
/// Expected flow: `validate` (no provider) -> `read` -> `plan` -> `plan` again with more values known -> `create`,
/// `update` or `delete`. Planning and applying happen in two processes: nothing in memory survives in between.
#[async_trait]
pub trait Resource<P: Send + Sync + 'static = Configured>: Send + Sync + 'static {
    /// What state holds of one object.
    type Model: Model;
    /// What names an object: its computed attribute `id`, in parts.
    type Identity: Identity;

    /// The type's name in configuration, e.g. `multizone_disk`.
    fn type_name(&self) -> &'static str;

    /// How state of earlier schema versions is brought to this one: entry `n` lifts version `n` to `n + 1`.
    fn upgraders(&self) -> &'static [Upgrade] {
        &[]
    }

    /// Checks between attributes that the schema's validators cannot make. Pure; must tolerate unknown values.
    fn validate(&self, config: &PlannedOf<Self::Model>) -> Diagnostics {
        let _ = config;
        Diagnostics::default()
    }

    /// Adjusts the plan of a create, an update or a replacement.
    ///
    /// `request.planned` already holds defaults, prior values and unknowns as the schema says. The implementation may
    /// change computed attributes, add paths that require replacement, and refuse by an error. It depends on nothing but
    /// the request, except that it may ask the cloud in order to refuse: Terraform plans again during apply and rejects
    /// any known value that differs. Not called while the provider's configuration is unknown.
    async fn plan(&self, provider: &P, request: PlanRequest<'_, Self::Model>) -> Planning<Self::Model> {
        let _ = provider;
        Planning::of(request)
    }

    /// Looks at a planned destroy. Sees only what state holds; warnings are shown, an error refuses the plan.
    async fn plan_destroy(&self, provider: &P, prior: &Self::Model, private: &[u8]) -> Diagnostics {
        let _ = (provider, prior, private);
        Diagnostics::default()
    }

    /// Looks at the world. `None`: the object is gone. What is merely written differently keeps the state's value.
    ///
    /// The private bytes returned replace the ones passed in: return those to keep them.
    async fn read(
        &self,
        provider: &P,
        state: Self::Model,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Option<(Self::Model, Vec<u8>)>, Diagnostics>;

    /// Creates the object, or adopts and completes what an earlier, failed create left.
    ///
    /// `planned` holds the write-only values of the configuration as well. An error returns no state: Terraform would
    /// otherwise destroy and create the object on the next apply.
    async fn create(
        &self,
        provider: &P,
        planned: PlannedOf<Self::Model>,
        stop: &Stop,
    ) -> Result<Created<Self::Model>, Diagnostics>;

    /// Brings the object from `prior` to `planned`. A failure carries the state that was reached.
    async fn update(
        &self,
        provider: &P,
        prior: Self::Model,
        planned: PlannedOf<Self::Model>,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Updated<Self::Model>, Failed<Self::Model>>;

    /// Deletes the object; one that is already gone is a success. The value is warnings. After an error the object
    /// stays in state.
    async fn delete(
        &self,
        provider: &P,
        prior: Self::Model,
        private: Vec<u8>,
        stop: &Stop,
    ) -> Result<Diagnostics, Diagnostics>;

    /// Finds the object that `terraform import` names by its ID, or an import block by its identity, of which this is
    /// the ID. Terraform reads it right afterwards.
    async fn import(&self, provider: &P, id: &str) -> Result<Self::Model, Diagnostics>;
}

/// What is planned from.
#[derive(Debug)]
pub struct PlanRequest<'a, M: Model> {
    /// The configuration as written: null where nothing is written.
    pub config: &'a PlannedOf<M>,
    /// The object as last read; `None` when it is to be created (or replaced).
    pub prior: Option<&'a M>,
    /// The plan so far.
    pub planned: PlannedOf<M>,
    /// The object's private bytes; empty when it is to be created.
    pub prior_private: &'a [u8],
}

/// A plan.
#[derive(Debug)]
pub struct Planning<M: Model> {
    /// The object as it will be, unknown where only apply can tell.
    pub planned: PlannedOf<M>,
    /// Paths whose change cannot be made in place, besides those the schema marks.
    pub requires_replace: Vec<Path>,
    /// Private bytes for apply.
    pub private: Vec<u8>,
    /// An error refuses the plan; warnings are shown with it.
    pub diagnostics: Diagnostics,
}

impl<M: Model> Planning<M> {
    /// The plan that the schema alone makes of a request.
    pub fn of(request: PlanRequest<'_, M>) -> Self {
        Self {
            planned: request.planned,
            requires_replace: Vec::new(),
            private: request.prior_private.to_vec(),
            diagnostics: Diagnostics::default(),
        }
    }
}

/// An object that was created.
#[derive(Debug, Clone)]
pub struct Created<M> {
    /// The object, with every planned value as it was planned.
    pub state: M,
    /// Private bytes to keep with it.
    pub private: Vec<u8>,
    /// Warnings to show.
    pub warnings: Diagnostics,
}

impl<M> Created<M> {
    /// A created object without private bytes or warnings.
    pub fn new(state: M) -> Self {
        Self {
            state,
            private: Vec::new(),
            warnings: Diagnostics::default(),
        }
    }
}

/// An object that was updated.
#[derive(Debug, Clone)]
pub struct Updated<M> {
    /// The object, with every planned value as it was planned.
    pub state: M,
    /// Private bytes to keep with it.
    pub private: Vec<u8>,
    /// Warnings to show.
    pub warnings: Diagnostics,
}

impl<M> Updated<M> {
    /// An updated object without warnings.
    pub fn new(state: M, private: Vec<u8>) -> Self {
        Self {
            state,
            private,
            warnings: Diagnostics::default(),
        }
    }
}

/// An update that did not reach its plan.
#[derive(Debug, Clone)]
pub struct Failed<M> {
    /// The state that was reached: the next plan starts from it.
    pub state: M,
    /// Private bytes to keep with it.
    pub private: Vec<u8>,
    /// What went wrong.
    pub diagnostics: Diagnostics,
}
