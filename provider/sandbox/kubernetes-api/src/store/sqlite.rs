//! Objects in one `SQLite` file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde_json::Value;

use super::Key;
use super::cache::Change;

/// The file failed; the change is not made.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's storage failed: {0}")]
pub(crate) struct FileError(String);

/// The cluster's objects in `cluster.sqlite`.
#[derive(Debug)]
pub(super) struct SqliteFile {
    connection: Connection,
}

impl SqliteFile {
    /// Opens the file in `directory`, which must exist, and makes its tables when they are missing.
    pub(super) fn open(directory: &Path) -> Result<Self, FileError> {
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

    /// Everything kept, and the revision of the last change.
    pub(super) fn load(&self) -> Result<(u64, BTreeMap<Key, Arc<Value>>), FileError> {
        let revision: i64 = self
            .connection
            .query_row("SELECT value FROM revision", [], |row| row.get(0))?;
        let mut statement = self
            .connection
            .prepare("SELECT resource, namespace, name, object FROM objects")?;
        let mut rows = statement.query([])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let key = Key {
                resource: row.get(0)?,
                namespace: row.get(1)?,
                name: row.get(2)?,
            };
            let text: String = row.get(3)?;
            let object: Value = serde_json::from_str(&text)
                .map_err(|error| FileError(format!("{} {} is not JSON: {error}", key.resource, key.name)))?;
            found.insert(key, Arc::new(object));
        }
        Ok((u64::try_from(revision).unwrap_or(1), found))
    }

    /// Makes one change durable: it is there after a restart.
    pub(super) fn commit(&mut self, change: &Change, revision: u64) -> Result<(), FileError> {
        let Change { key, object, deleted } = change;
        let transaction = self.connection.transaction()?;
        if *deleted {
            transaction
                .prepare_cached("DELETE FROM objects WHERE resource = ?1 AND namespace = ?2 AND name = ?3")?
                .execute(params![key.resource, key.namespace, key.name])?;
        } else {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![key.resource, key.namespace, key.name, object.to_string()])?;
        }
        transaction
            .prepare_cached("UPDATE revision SET value = ?1")?
            .execute(params![i64::try_from(revision).unwrap_or(i64::MAX)])?;
        transaction.commit()?;
        Ok(())
    }
}

impl From<rusqlite::Error> for FileError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}
