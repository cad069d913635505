//! The region's memory on disk: one `SQLite` file, one transaction for each change.

use super::state::{Record, State};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The layout of the file; a file with another number is refused.
const FORMAT: i64 = 1;

/// Something that happened in the region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, ... without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `api`, `operator`, `region` (an operation's end) or `machine:ZONE/NAME`.
    pub actor: String,
    /// What: `instances.insert`, `operation.done`, `zone.outage`, ...
    pub verb: String,
    /// Path of the object, `projects/...`, `zones/...`.
    pub object: String,
    /// The operation that carries it out, if any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// What else is worth knowing, for example why an operation failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` failed.
    #[error("the region's state cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored object does not have the expected shape.
    #[error("the stored {table} {key} is damaged: {source}")]
    Damaged {
        /// Table.
        table: &'static str,
        /// Key of the row.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file was made by another version.
    #[error(
        "the region's state has format {found}, this version reads format {FORMAT}: delete the region's directory, or use the version that made it"
    )]
    Format {
        /// The format found.
        found: i64,
    },
}

/// A row to write (`Some`) or delete (`None`).
pub(super) struct Write {
    pub(super) table: &'static str,
    pub(super) key: String,
    pub(super) row: Option<String>,
}

/// The open file.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens or makes the file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::prepare(Connection::open(path)?)
    }

    /// A store that forgets, for tests.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> Result<Self, StoreError> {
        // A killed process loses nothing that was committed; only a power cut of the host could lose the last change.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS objects (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
                 PRIMARY KEY (kind, key)) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY, body TEXT NOT NULL);",
        )?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => connection.pragma_update(None, "user_version", FORMAT)?,
            FORMAT => {}
            _ => return Err(StoreError::Format { found }),
        }
        Ok(Self { connection })
    }

    /// A setting of the region, such as its name or its block of addresses.
    pub fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let value = self
            .connection
            .query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        Ok(value)
    }

    /// Remembers a setting.
    pub fn set_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT INTO settings VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [name, value],
        )?;
        Ok(())
    }

    pub(super) fn load(&self) -> Result<State, StoreError> {
        let mut state = State::default();
        self.load_table::<super::records::Network>(&mut state)?;
        self.load_table::<super::records::Subnetwork>(&mut state)?;
        self.load_table::<super::records::Firewall>(&mut state)?;
        self.load_table::<super::records::Address>(&mut state)?;
        self.load_table::<super::records::Instance>(&mut state)?;
        self.load_table::<super::records::Disk>(&mut state)?;
        self.load_table::<super::records::Snapshot>(&mut state)?;
        self.load_table::<super::balancers::records::HealthCheck>(&mut state)?;
        self.load_table::<super::balancers::records::InstanceGroup>(&mut state)?;
        self.load_table::<super::balancers::records::BackendService>(&mut state)?;
        self.load_table::<super::balancers::records::ForwardingRule>(&mut state)?;
        self.load_table::<super::balancers::records::Target>(&mut state)?;
        self.load_table::<super::records::Secret>(&mut state)?;
        self.load_table::<super::records::ServiceAccount>(&mut state)?;
        self.load_table::<super::operations::Operation>(&mut state)?;
        self.load_table::<super::records::Outage>(&mut state)?;
        self.load_table::<super::records::AnsweredRequest>(&mut state)?;
        self.load_table::<super::state::Counters>(&mut state)?;
        state.due = state
            .operations
            .values()
            .filter_map(|operation| Some((operation.due()?, operation.name.clone())))
            .collect();
        Ok(state)
    }

    fn load_table<R: Record>(&self, state: &mut State) -> Result<(), StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT key, body FROM objects WHERE kind = ?1")?;
        let mut rows = statement.query([R::TABLE])?;
        while let Some(row) = rows.next()? {
            let (key, body): (String, String) = (row.get(0)?, row.get(1)?);
            let record: R = serde_json::from_str(&body).map_err(|source| StoreError::Damaged {
                table: R::TABLE,
                key: key.clone(),
                source,
            })?;
            R::table_mut(state).insert(key, record);
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, writes: &[Write], events: &[Event]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO objects VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM objects WHERE kind = ?1 AND key = ?2")?;
            for write in writes {
                match &write.row {
                    Some(body) => put.execute(params![write.table, write.key, body])?,
                    None => delete.execute(params![write.table, write.key])?,
                };
            }
            let mut record = transaction.prepare_cached("INSERT INTO events VALUES (?1, ?2)")?;
            for event in events {
                let body = serde_json::to_string(event).unwrap_or_default();
                record.execute(params![i64::try_from(event.sequence).unwrap_or(i64::MAX), body])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Events after the one numbered `after`, oldest first, at most `limit`.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT body FROM events WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")?;
        let rows = statement.query_map(
            params![
                i64::try_from(after).unwrap_or(i64::MAX),
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
            |row| row.get::<_, String>(0),
        )?;
        let mut events = Vec::new();
        for body in rows {
            let body = body?;
            events.push(serde_json::from_str(&body).map_err(|source| StoreError::Damaged {
                table: "event",
                key: body.chars().take(40).collect(),
                source,
            })?);
        }
        Ok(events)
    }
}
