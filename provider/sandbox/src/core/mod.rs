//! The strict core of the region: what exists, what may change, what is refused.  It knows nothing of HTTP.
//!
//! Every change is one [`Transaction`]: it checks, changes the objects in memory, and is written to the store with its
//! events before anybody sees it.  A refusal or a failed write undoes all of it.  Time comes in as an argument; what
//! takes time is an [`operations::Operation`] whose steps [`Core::advance`] carries out when their moment has come.

pub mod addresses;
pub mod balancers;
pub mod catalogue;
pub mod disks;
mod effects;
pub mod error;
pub mod firewalls;
pub mod instance_changes;
pub mod instances;
mod interfaces;
pub mod names;
pub mod networks;
pub mod operations;
pub mod operator;
pub mod records;
pub mod secrets;
pub mod service_accounts;
pub mod settings;
pub mod snapshots;
pub mod state;
pub mod store;
mod transaction;
pub mod view;

#[cfg(test)]
mod tests;

pub use error::Refusal;
pub use settings::{Block, Settings};
pub use state::State;
pub use store::{Event, Store, StoreError};
pub use transaction::Transaction;

use jiff::Timestamp;

/// The region.
pub struct Core {
    settings: Settings,
    state: State,
    store: Store,
}

impl Core {
    /// Loads the region from its store; makes the default network in an empty one.
    pub fn open(settings: Settings, store: Store, now: Timestamp) -> Result<Self, StoreError> {
        let state = store.load()?;
        let mut core = Self { settings, state, store };
        let prepared = core.transact("region", now, |transaction| {
            if transaction.state().counters.is_empty() {
                transaction.make_default_network();
            }
            transaction.forget_old_operations();
            Ok(())
        });
        if let Err(refusal) = prepared {
            tracing::error!(%refusal, "the region could not be prepared");
        }
        Ok(core)
    }

    /// What exists.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the region is.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The file behind the region.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Events after the one numbered `after`, at most `limit`.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.store.events(after, limit)
    }

    /// Does `work` wholly or not at all.
    pub fn transact<T>(
        &mut self,
        actor: &str,
        now: Timestamp,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut transaction = Transaction::new(&mut self.state, &self.settings, actor, now);
        match work(&mut transaction) {
            Ok(answer) => {
                transaction.commit(&mut self.store)?;
                Ok(answer)
            }
            Err(refusal) => {
                transaction.undo();
                Err(refusal)
            }
        }
    }

    /// Carries out every step whose moment has come.  Returns whether there was any.
    pub fn advance(&mut self, now: Timestamp) -> Result<bool, Refusal> {
        let mut any = false;
        while let Some((at, name)) = self.state.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.transact("region", at, |transaction| {
                transaction.step(&name);
                Ok(())
            })?;
            any = true;
        }
        Ok(any)
    }
}
