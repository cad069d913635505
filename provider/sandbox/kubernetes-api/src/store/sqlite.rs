//! Objects in one `SQLite` file.

use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::Value;

use super::{Backend, BackendError, Change, Key};

/// The cluster's objects in `cluster.sqlite`.
#[derive(Debug)]
pub(crate) struct SqliteBackend {
    connection: Connection,
}

impl SqliteBackend {
    /// Opens the file in `directory`, which must exist, and makes its tables when they are missing.
    pub(crate) fn open(directory: &Path) -> Result<Self, BackendError> {
        let connection = Connection::open(directory.join("cluster.sqlite"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS objects (
                 resource TEXT NOT NULL,
                 namespace TEXT NOT NULL,
                 name TEXT NOT NULL,
                 object TEXT NOT NULL,
                 PRIMARY KEY (resource, namespace, name)
             ) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS revision (only INTEGER PRIMARY KEY CHECK (only = 0), value INTEGER NOT NULL);
             INSERT OR IGNORE INTO revision VALUES (0, 1);",
        )?;
        Ok(Self { connection })
    }
}

#[async_trait::async_trait]
impl Backend for SqliteBackend {
    async fn load(&mut self) -> Result<(u64, Vec<(Key, Value)>), BackendError> {
        let revision: i64 = self
            .connection
            .query_row("SELECT value FROM revision", [], |row| row.get(0))?;
        let mut statement = self
            .connection
            .prepare("SELECT resource, namespace, name, object FROM objects")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let key = Key {
                resource: row.get(0)?,
                namespace: row.get(1)?,
                name: row.get(2)?,
            };
            let text: String = row.get(3)?;
            let object = serde_json::from_str(&text)
                .map_err(|error| BackendError(format!("{} {} is not JSON: {error}", key.resource, key.name)))?;
            found.push((key, object));
        }
        Ok((u64::try_from(revision).unwrap_or(1), found))
    }

    async fn commit(&mut self, change: Change<'_>) -> Result<(), BackendError> {
        let Change { key, object, revision } = change;
        let transaction = self.connection.transaction()?;
        match object {
            Some(object) => transaction
                .prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key.resource, key.namespace, key.name, object.to_string()])?,
            None => transaction
                .prepare_cached("DELETE FROM objects WHERE resource = ?1 AND namespace = ?2 AND name = ?3")?
                .execute(params![key.resource, key.namespace, key.name])?,
        };
        transaction
            .prepare_cached("UPDATE revision SET value = ?1")?
            .execute(params![i64::try_from(revision).unwrap_or(i64::MAX)])?;
        transaction.commit()?;
        Ok(())
    }
}

impl From<rusqlite::Error> for BackendError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}
