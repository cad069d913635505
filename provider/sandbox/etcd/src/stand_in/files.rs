//! A member's copy on its machine's disk: one `SQLite` file in the data directory.

use std::path::{Path, PathBuf};

use multizone_etcd_api::{KeyValue, Member};
use prost::Message as _;
use rusqlite::{Connection, Transaction, params};

use super::command::Change;
use super::state::{Lease, State};
use super::store::{Store, Version};

/// Who the member is: decided once, when its directory is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: u64,
    pub(super) member: u64,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Files {
    connection: Connection,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS versions (
        main INTEGER NOT NULL, sub INTEGER NOT NULL, pair BLOB NOT NULL, PRIMARY KEY (main, sub)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS members (id INTEGER PRIMARY KEY, member BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS removed (id INTEGER PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS alarms (member INTEGER, alarm INTEGER, PRIMARY KEY (member, alarm)) WITHOUT ROWID;";

impl Files {
    /// Opens the file in a data directory, which exists. A killed process loses nothing that was written; a power cut of
    /// the whole computer may.
    pub(super) fn open(data_directory: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(data_directory.join("stand-in.sqlite"))?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        connection.execute_batch(TABLES)?;
        Ok(Self { connection })
    }

    /// Who the member is and what it knows; `None` when the directory is new.
    pub(super) fn load(&self) -> rusqlite::Result<Option<(Identity, State)>> {
        let number = |name: &str| -> rusqlite::Result<Option<i64>> {
            let mut statement = self.connection.prepare("SELECT value FROM numbers WHERE name = ?1")?;
            statement.query_map([name], |row| row.get(0))?.next().transpose()
        };
        let (Some(cluster), Some(member)) = (number("cluster")?, number("member")?) else {
            return Ok(None);
        };
        let identity = Identity {
            cluster: cluster.cast_unsigned(),
            member: member.cast_unsigned(),
        };
        let mut state = State {
            term: number("term")?.unwrap_or_default().cast_unsigned(),
            index: number("index")?.unwrap_or_default().cast_unsigned(),
            ..State::default()
        };
        let versions = self.rows("SELECT sub, pair FROM versions ORDER BY main, sub", |row| {
            Ok(Version {
                sub: row.get(0)?,
                pair: decode(row, 1)?,
            })
        })?;
        for (id, ttl) in self.rows("SELECT id, ttl FROM leases", |row| Ok((row.get(0)?, row.get(1)?)))? {
            let lease = Lease {
                ttl,
                ..Lease::default()
            };
            state.leases.insert(id, lease);
        }
        let revision = number("revision")?.unwrap_or(1);
        state.store = Store::load(revision, number("compacted")?.unwrap_or_default(), versions);
        for version in state.store.all_at(&[], &[0], i64::MAX) {
            if let Some(lease) = state.leases.get_mut(&version.pair.lease) {
                lease.keys.insert(version.pair.key.clone());
            }
        }
        for member in self.rows("SELECT member FROM members", |row| decode::<Member>(row, 0))? {
            state.members.insert(member.id, member);
        }
        let removed = self.rows("SELECT id FROM removed", |row| row.get::<_, i64>(0))?;
        state.removed = removed.into_iter().map(i64::cast_unsigned).collect();
        let alarms = self.rows("SELECT member, alarm FROM alarms", |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        })?;
        state.alarms = alarms.into_iter().collect();
        Ok(Some((identity, state)))
    }

    fn rows<T>(
        &self,
        query: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.connection.prepare(query)?.query_map([], read)?.collect()
    }

    /// Writes who the member is, and everything it knows, in place of what is there.
    pub(super) fn replace(&mut self, identity: Identity, state: &State) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "DELETE FROM numbers; DELETE FROM versions; DELETE FROM leases; DELETE FROM members; DELETE FROM removed;
             DELETE FROM alarms;",
        )?;
        set(&transaction, "cluster", identity.cluster.cast_signed())?;
        set(&transaction, "member", identity.member.cast_signed())?;
        for version in state.store.versions() {
            write(&transaction, &Change::Version(std::sync::Arc::clone(version)))?;
        }
        for (id, lease) in &state.leases {
            write(&transaction, &Change::Lease(*id, Some(lease.ttl)))?;
        }
        for member in state.members.values() {
            write(&transaction, &Change::Member(member.clone()))?;
        }
        for id in &state.removed {
            write(&transaction, &Change::MemberRemoved(*id))?;
        }
        for (member, alarm) in &state.alarms {
            let (member, alarm, active) = (*member, *alarm, true);
            write(&transaction, &Change::Alarm { member, alarm, active })?;
        }
        progress(&transaction, state)?;
        transaction.commit()
    }

    /// Writes what a command changed.
    pub(super) fn write(&mut self, changes: &[Change], state: &State) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            write(&transaction, change)?;
        }
        progress(&transaction, state)?;
        transaction.commit()
    }

    /// How large the file is, in bytes.
    pub(super) fn size(&self) -> rusqlite::Result<i64> {
        let query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        self.connection.query_row(query, [], |row| row.get(0))
    }

    /// Gives the space of what was deleted back.
    pub(super) fn defragment(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("VACUUM")
    }

    /// Writes a copy of everything into a file that does not exist.
    pub(super) fn copy_to(&self, file: &Path) -> rusqlite::Result<()> {
        let name: PathBuf = file.to_owned();
        self.connection.execute("VACUUM INTO ?1", [name.to_string_lossy()])?;
        Ok(())
    }
}

fn decode<M: prost::Message + Default>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<M> {
    let bytes: Vec<u8> = row.get(column)?;
    M::decode(bytes.as_slice()).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, Box::new(error))
    })
}

fn set(transaction: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO numbers VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

fn progress(transaction: &Transaction<'_>, state: &State) -> rusqlite::Result<()> {
    set(transaction, "term", state.term.cast_signed())?;
    set(transaction, "index", state.index.cast_signed())?;
    set(transaction, "revision", state.store.revision())?;
    set(transaction, "compacted", state.store.compacted())
}

fn write(transaction: &Transaction<'_>, change: &Change) -> rusqlite::Result<()> {
    let run = |statement: &str, values: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<()> {
        transaction.prepare_cached(statement)?.execute(values)?;
        Ok(())
    };
    match change {
        Change::Version(version) => {
            let (main, sub) = version.place();
            let pair = KeyValue::encode_to_vec(&version.pair);
            run("INSERT INTO versions VALUES (?1, ?2, ?3)", &[&main, &sub, &pair])
        }
        Change::Forgotten(main, sub) => run("DELETE FROM versions WHERE main = ?1 AND sub = ?2", &[main, sub]),
        Change::Lease(id, Some(ttl)) => run("INSERT OR REPLACE INTO leases VALUES (?1, ?2)", &[id, ttl]),
        Change::Lease(id, None) => run("DELETE FROM leases WHERE id = ?1", &[id]),
        Change::Member(member) => {
            let bytes = member.encode_to_vec();
            run(
                "INSERT OR REPLACE INTO members VALUES (?1, ?2)",
                &[&member.id.cast_signed(), &bytes],
            )
        }
        Change::MemberRemoved(id) => {
            run("DELETE FROM members WHERE id = ?1", &[&id.cast_signed()])?;
            run("INSERT OR REPLACE INTO removed VALUES (?1)", &[&id.cast_signed()])
        }
        Change::Alarm { member, alarm, active } => {
            let statement = if *active {
                "INSERT OR REPLACE INTO alarms VALUES (?1, ?2)"
            } else {
                "DELETE FROM alarms WHERE member = ?1 AND alarm = ?2"
            };
            run(statement, &[&member.cast_signed(), alarm])
        }
    }
}
