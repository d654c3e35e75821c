//! The durable part of control: which build of which read model is active, paused or being filled.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row, params};

use super::{ProjectionCode, ProjectionError};
use crate::code::{CodeIdentity, ComponentDigest};
use crate::event::Invalid;
use crate::sqlite::{self, MigrateError, Synchronous};

/// "LtCt".
const APPLICATION_ID: i32 = 0x4c74_4374;

/// Where the read models are, in the data folder.
pub(super) const READ_MODELS: &str = "read-models";

const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    ALTER TABLE projections ADD COLUMN active_upcasters TEXT NOT NULL DEFAULT '';
    ALTER TABLE projections ADD COLUMN candidate_upcasters TEXT;
",
];

/// One filling of a read model, from position 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// Counts up with every replay of the projection.
    pub number: u64,
    pub read_model_version: u32,
    /// The code that runs it.
    pub digest: ComponentDigest,
    /// The upcasters before it, by name.
    pub upcasters: Vec<CodeIdentity>,
}

impl Build {
    /// A build that this code is to fill.
    pub fn of(number: u64, code: &dyn ProjectionCode) -> Self {
        Self {
            number,
            read_model_version: code.description().read_model_version,
            digest: code.digest().clone(),
            upcasters: code.upcasters().identity(),
        }
    }

    /// Whether this code with the upcasters before it makes the same rows, but for what changed in the code itself.
    pub fn fits(&self, code: &dyn ProjectionCode) -> bool {
        self.read_model_version == code.description().read_model_version
            && self.upcasters == code.upcasters().identity()
    }

    /// From the columns of its number, version and digest, and of its upcasters.
    fn read(row: &Row<'_>, number: u64, first: usize, upcasters: usize) -> rusqlite::Result<Self> {
        let lines: String = row.get(upcasters)?;
        let upcasters = lines.lines().map(str::parse).collect::<Result<_, Invalid>>();
        Ok(Self {
            number,
            read_model_version: row.get(first + 1)?,
            digest: ComponentDigest(row.get(first + 2)?),
            // Of a name that is none, nothing is known: then no upcaster is the same.
            upcasters: upcasters.unwrap_or_default(),
        })
    }
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
            "INSERT OR REPLACE INTO projections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                lines(&entry.active.upcasters),
                candidate.map(|build| lines(&build.upcasters)),
            ],
        )?;
        Ok(())
    }
}

/// How files keep which upcasters there were.
pub(super) fn lines(upcasters: &[CodeIdentity]) -> String {
    upcasters.iter().map(|code| format!("{code}\n")).collect()
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
    /// The upcasters through which it reads, by name.
    pub upcasters: Vec<CodeIdentity>,
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
            upcasters: entry.active.upcasters.clone(),
        })
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let candidate = match row.get(7)? {
        Some(number) => Some(Build::read(row, number, 7, 11)?),
        None => None,
    };
    Ok(Entry {
        name: row.get(0)?,
        plugin_file: row.get(1)?,
        paused: row.get(2)?,
        next_build: row.get(3)?,
        active: Build::read(row, row.get(4)?, 4, 10)?,
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
        let build = |number| Build {
            number,
            read_model_version: 3,
            digest: ComponentDigest("d".into()),
            upcasters: ["a 1", "b 2"].iter().take(number as usize).map(|code| code.parse().expect("a name")).collect(),
        };
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
