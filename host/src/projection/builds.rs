//! The durable part of control: which build of which read model is active, paused or being filled.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params};

use super::ProjectionError;
use crate::code::ComponentDigest;
use crate::sqlite::{self, MigrateError, Synchronous};

/// "LtCt".
const APPLICATION_ID: i32 = 0x4c74_4374;

/// Where the read models are, in the data folder.
pub(super) const READ_MODELS: &str = "read-models";

const MIGRATIONS: &[&str] = &["
    CREATE TABLE projections (
        name TEXT PRIMARY KEY,
        plugin_file TEXT NOT NULL,
        paused INTEGER NOT NULL,
        next_build INTEGER NOT NULL,
        active_build INTEGER NOT NULL,
        active_version INTEGER NOT NULL,
        active_digest TEXT NOT NULL,
        candidate_build INTEGER,
        candidate_version INTEGER,
        candidate_digest TEXT
    ) WITHOUT ROWID;
"];

/// One filling of a read model, from position 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// Counts up with every replay of the projection.
    pub number: u64,
    pub read_model_version: u32,
    /// The code that runs it.
    pub digest: ComponentDigest,
}

/// What is known of a projection across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub plugin_file: String,
    pub paused: bool,
    pub next_build: u64,
    /// The build that answers queries.
    pub active: Build,
    /// The build that a replay is filling.
    pub candidate: Option<Build>,
}

/// The catalog file.
#[derive(Debug)]
pub(super) struct Builds {
    connection: Connection,
}

impl Entry {
    pub fn file_of(&self, folder: &Path, build: &Build) -> PathBuf {
        folder.join(format!("{}.{}.{}.db", self.name, build.read_model_version, build.number))
    }
}

impl Builds {
    /// Opens the catalog, which is made when there is none.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer Lantern.
    pub fn open(path: &Path) -> Result<Self, MigrateError> {
        let mut connection = sqlite::open(path, APPLICATION_ID, Synchronous::Full)?;
        sqlite::migrate(&mut connection, APPLICATION_ID, MIGRATIONS)?;
        Ok(Self { connection })
    }

    pub fn load(&self) -> rusqlite::Result<Vec<Entry>> {
        self.connection.prepare("SELECT * FROM projections ORDER BY name")?.query_map([], read)?.collect()
    }

    /// Writes the entry; it is on disk when this returns.
    pub fn save(&self, entry: &Entry) -> rusqlite::Result<()> {
        let candidate = entry.candidate.as_ref();
        self.connection.execute(
            "INSERT OR REPLACE INTO projections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                entry.name,
                entry.plugin_file,
                entry.paused,
                entry.next_build,
                entry.active.number,
                entry.active.read_model_version,
                entry.active.digest.0,
                candidate.map(|build| build.number),
                candidate.map(|build| build.read_model_version),
                candidate.map(|build| &build.digest.0),
            ],
        )?;
        Ok(())
    }
}

/// The build of a projection that answers queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveBuild {
    /// Its file.
    pub read_model: PathBuf,
    /// The code that runs it.
    pub digest: ComponentDigest,
    /// The name that the code had in the plugin folder.
    pub plugin_file: String,
}

impl ActiveBuild {
    /// Looks into the catalog of a data folder, which a daemon may be using.
    ///
    /// # Errors
    /// When there is no such projection, or the catalog cannot be read.
    pub fn find(data: &Path, name: &str) -> Result<Self, ProjectionError> {
        let connection = sqlite::open_read_only(&data.join("catalog.db"))?;
        sqlite::check_format(&connection, APPLICATION_ID, MIGRATIONS.len())?;
        let entries = Builds { connection }.load()?;
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
            let known = entries.into_iter().map(|entry| entry.name).collect();
            return Err(ProjectionError::NotFound { name: name.to_owned(), known });
        };
        Ok(Self {
            read_model: entry.file_of(&data.join(READ_MODELS), &entry.active),
            digest: entry.active.digest.clone(),
            plugin_file: entry.plugin_file.clone(),
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let candidate = match row.get(7)? {
        Some(number) => Some(Build { number, read_model_version: row.get(8)?, digest: ComponentDigest(row.get(9)?) }),
        None => None,
    };
    Ok(Entry {
        name: row.get(0)?,
        plugin_file: row.get(1)?,
        paused: row.get(2)?,
        next_build: row.get(3)?,
        active: Build { number: row.get(4)?, read_model_version: row.get(5)?, digest: ComponentDigest(row.get(6)?) },
        candidate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_after_a_restart_with_and_without_candidate() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalog.db");
        let build = |number| Build { number, read_model_version: 3, digest: ComponentDigest("d".into()) };
        let mut entry = Entry {
            name: "orders".into(),
            plugin_file: "orders.wasm".into(),
            paused: true,
            next_build: 3,
            active: build(1),
            candidate: Some(build(2)),
        };
        Builds::open(&path).expect("opens").save(&entry).expect("saves");
        assert_eq!(Builds::open(&path).expect("opens").load().expect("loads"), [entry.clone()]);
        entry.candidate = None;
        Builds::open(&path).expect("opens").save(&entry).expect("saves");
        assert_eq!(Builds::open(&path).expect("opens").load().expect("loads"), [entry]);
    }
}
