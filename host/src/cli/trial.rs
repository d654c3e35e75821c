//! A trial: a projection runs over a history in the real sandbox, with the real log and the real runner, in a folder
//! that is gone afterwards. Needs no daemon and touches none.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::client::Failure;
use super::records::{Batch, RecordError, Records};
use super::rows::TableRows;
use crate::code::ComponentDigest;
use crate::event::{EventBatch, EventRef, Interest, Invalid, NewEvent, Position, StreamName, Timestamp};
use crate::event_store::{AppendError, EventStore, EventStoreOptions, ReadLimit};
use crate::http::read_record;
use crate::projection::{ApplyFailure, Description, Pending, Projection, ProjectionCode, Runner, RunnerOptions, Step};
use crate::read_model::{
    DeadLetter, Query, QueryOptions, QueryPool, ReadModelDraft, ReadModelFile, Table, delete_files,
};

/// Rows of one table that are looked at.
const MAX_ROWS: usize = 100_000;
/// Dead letters that are looked at.
const MAX_DEAD_LETTERS: usize = 1000;
/// Fresh instances in one run.
const MAX_INSTANCES: u64 = 1000;
/// Events, and bytes of them, that are copied at a time.
const PAGE_EVENTS: usize = 1000;
const PAGE_BYTES: usize = 4 << 20;
/// The time of events that have none: always the same, so that rows are.
const NO_TIME: Timestamp = Timestamp(0);

/// Events to try projections with, in a log of their own.
pub struct History {
    events: EventStore,
    folder: TempDir,
}

/// How events reach the plugin. The rows must not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// As in a replay: large batches, one instance.
    Usual,
    /// Small batches, each to a fresh instance.
    FreshInstances,
}

/// What came of a run.
pub struct Outcome {
    pub tables: Vec<TableRows>,
    /// The events that are parked; at most 1,000 of them.
    pub dead_letters: Vec<DeadLetter>,
}

impl Outcome {
    /// All rows together.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows.len() as u64).sum()
    }

    pub fn table(&self, name: &str) -> Option<&TableRows> {
        self.tables.iter().find(|rows| rows.table.name == name)
    }

    pub fn parked_positions(&self) -> Vec<u64> {
        self.dead_letters.iter().map(|letter| letter.position.0).collect()
    }
}

/// For a log that is gone before it would be worth sealing.
fn rows_only() -> EventStoreOptions {
    EventStoreOptions { seal: false, ..EventStoreOptions::default() }
}

impl History {
    /// Reads JSON lines, in the form that `lantern events import` takes.
    ///
    /// # Errors
    /// Names the line that is no event.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let history = Self::empty()?;
        let input = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        for batch in Records::new(BufReader::new(input)) {
            let batch = batch.map_err(anyhow::Error::from);
            batch.and_then(|batch| history.import(&batch)).with_context(|| file.display().to_string())?;
        }
        Ok(history)
    }

    /// Copies the log of a data folder, up to this many events. A daemon may be using the folder.
    ///
    /// # Errors
    /// When there is no log, or it cannot be read.
    pub fn copy(data_dir: &Path, events: u64) -> anyhow::Result<Self> {
        let history = Self::empty()?;
        let (log, copy) = (data_dir.join("events.db"), history.folder.path().join("copy.db"));
        let source = Connection::open_with_flags(&log, OpenFlags::SQLITE_OPEN_READ_ONLY);
        // A snapshot, whatever a daemon does meanwhile.
        let copied = source.and_then(|source| source.execute("VACUUM INTO ?", [copy.to_string_lossy()]));
        copied.with_context(|| format!("cannot copy {}", log.display()))?;
        let copy = EventStore::open(&copy, rows_only())?;
        let mut reader = copy.reader()?;
        let mut batch = EventBatch::default();
        while history.len() < events.min(copy.head().0) {
            let limit = ReadLimit { events: PAGE_EVENTS.min((events - history.len()) as usize), bytes: PAGE_BYTES };
            reader.read_after(Position(history.len()), &[Interest::everything()], limit, &mut batch)?;
            history.events.import(batch.iter().map(|event| new_event(&event)).collect::<Result<_, _>>()?)?;
        }
        Ok(history)
    }

    fn empty() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("lantern-trial-").tempdir().context("no room for a trial")?;
        let events = EventStore::open(&folder.path().join("events.db"), rows_only())?;
        Ok(Self { events, folder })
    }

    fn import(&self, batch: &Batch) -> anyhow::Result<()> {
        let bad = |index: usize, reason: String| RecordError::Bad { line: batch.records[index].line, reason };
        let mut start = 0;
        let mut events: Vec<(StreamName, NewEvent)> = Vec::with_capacity(batch.records.len());
        for (index, record) in batch.records.iter().enumerate() {
            events.push(read_record(&batch.body[start..record.end], NO_TIME).map_err(|reason| bad(index, reason))?);
            start = record.end;
        }
        match self.events.import(events) {
            Err(AppendError::Invalid { event: Some(index), reason }) => Err(bad(index, reason.0).into()),
            answer => Ok(answer.map(drop)?),
        }
    }

    /// How many events there are.
    pub fn len(&self) -> u64 {
        self.events.head().0
    }

    /// Runs a projection to the end of the history.
    ///
    /// # Errors
    /// When it cannot go on, or has more rows than can be looked at.
    pub fn run(&self, code: &Arc<dyn ProjectionCode>, delivery: Delivery) -> anyhow::Result<Outcome> {
        let path = self.folder.path().join("read-model.db");
        delete_files(&path)?;
        let (code, options) = match delivery {
            Delivery::Usual => (Arc::clone(code), RunnerOptions::default()),
            Delivery::FreshInstances => {
                let batch_events = self.len().div_ceil(MAX_INSTANCES).max(1) as usize;
                let code: Arc<dyn ProjectionCode> = Arc::new(FreshInstances(Arc::clone(code)));
                (code, RunnerOptions { batch_events, ..RunnerOptions::default() })
            }
        };
        let mut runner = Runner::open(&self.events, Arc::clone(&code), &path, options)?;
        loop {
            match runner.step() {
                Ok(Step::CaughtUp) => break,
                Ok(_) => {}
                Err(halt) => bail!("the projection stops after position {}: {}", runner.read_to(), halt.reason),
            }
        }
        drop(runner);
        outcome(&path, code.description().schema.tables())
    }
}

fn new_event(event: &EventRef<'_>) -> Result<(StreamName, NewEvent), Invalid> {
    let new = NewEvent {
        id: event.id,
        event_type: event.kind.event_type.clone(),
        schema_version: event.schema_version,
        time: event.time,
        content_type: event.kind.content_type.clone(),
        data: event.data.to_vec(),
        metadata: event.metadata.to_owned(),
    };
    Ok((event.stream.parse()?, new))
}

fn outcome(path: &Path, tables: &[Table]) -> anyhow::Result<Outcome> {
    let options = QueryOptions { max_limit: MAX_ROWS + 1, max_answer_bytes: usize::MAX, ..QueryOptions::default() };
    let pool = QueryPool::new(options);
    let all = [("limit".to_owned(), (MAX_ROWS + 1).to_string())];
    let rows = tables.iter().map(|table| {
        let rows = pool.answer(path, &Query::parse(table, &all, pool.options())?)?.rows;
        if rows.len() > MAX_ROWS {
            let message = format!("the table {} has more than {MAX_ROWS} rows, too many to look at", table.name);
            return Err(Failure::new(message, "try it with a smaller history").into());
        }
        Ok(TableRows { table: table.clone(), rows })
    });
    let tables = rows.collect::<anyhow::Result<_>>()?;
    let dead_letters = ReadModelFile::open(path)?.dead_letters(Position(0), MAX_DEAD_LETTERS)?;
    Ok(Outcome { tables, dead_letters })
}

/// Code whose every call goes to an instance of its own, so that nothing lasts but rows.
struct FreshInstances(Arc<dyn ProjectionCode>);

struct FreshInstance(Arc<dyn ProjectionCode>, bool);

impl ProjectionCode for FreshInstances {
    fn description(&self) -> &Description {
        self.0.description()
    }

    fn digest(&self) -> &ComponentDigest {
        self.0.digest()
    }

    fn instantiate(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(Box::new(FreshInstance(Arc::clone(&self.0), false)))
    }

    fn instantiate_metered(&self) -> Result<Box<dyn Projection>, ApplyFailure> {
        Ok(Box::new(FreshInstance(Arc::clone(&self.0), true)))
    }
}

impl Projection for FreshInstance {
    fn apply(&mut self, batch: &EventBatch, draft: &mut ReadModelDraft) -> Result<Pending, ApplyFailure> {
        let Self(code, metered) = self;
        let mut instance = if *metered { code.instantiate_metered() } else { code.instantiate() }?;
        instance.apply(batch, draft)?;
        instance.flush(draft)?;
        Ok(Pending::default())
    }

    /// Its writes are in the draft already.
    fn flush(&mut self, _: &mut ReadModelDraft) -> Result<(), ApplyFailure> {
        Ok(())
    }
}

/// Where compiled plugins are kept between commands: `$XDG_CACHE_HOME/lantern/compiled`, or in `~/.cache`.
pub fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("lantern/compiled")
}
