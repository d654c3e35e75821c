//! Judges what a daemon has after it was killed: its log against what the clients were told, its read model against a fold
//! of its own, its files against what has to be there.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use lantern_tests::{Rows, TestHost, eventually_ok, log_after, rows_of};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::PROJECTION;
use crate::clients::{Place, Told};
use crate::editions::Edition;
use crate::fold::{Fold, deposited};

/// What is known to be right, up to the last time that it looked.
pub struct Oracle {
    /// Every event, as it was when it was first seen.
    pub log: Vec<Value>,
    ids: HashSet<String>,
    versions: BTreeMap<String, u64>,
    model: Model,
}

/// The read model that answers queries.
struct Model {
    build: u64,
    edition: Edition,
    /// Its rows after so many events of the log.
    fold: Fold,
    events: usize,
    /// Whether the edition applied every event of it.
    is_of_one_edition: bool,
}

impl Oracle {
    /// Before the first event.
    pub fn new(edition: Edition) -> Self {
        let model = Model { build: 1, edition, fold: Fold::default(), events: 0, is_of_one_edition: true };
        Self { log: Vec::new(), ids: HashSet::new(), versions: BTreeMap::new(), model }
    }

    /// Waits until the daemon has nothing left to do, and judges everything that is new. `edition` is the plugin in the
    /// folder.
    #[track_caller]
    pub fn judge(&mut self, host: &TestHost, told: &Told, edition: Edition) {
        let status = settled(host, edition);
        self.judge_log(host, told);
        judge_file(host, self.log.len() as u64, &self.versions).unwrap_or_else(|error| panic!("events.db: {error}"));
        let build = status["build"].as_u64().expect("a build has a number");
        self.judge_rows(&rows_of(host, PROJECTION), build, edition);
        judge_read_model_files(host, &status);
    }

    /// Whether the rows are those of a clean replay.
    pub fn expects_rows_of_a_clean_replay(&self) -> bool {
        self.model.is_of_one_edition
    }

    /// The events since the last look: dense, sent by a client, and where the client was told they are.
    #[track_caller]
    fn judge_log(&mut self, host: &TestHost, told: &Told) {
        for event in log_after(&host.api(), self.log.len() as u64) {
            let (id, stream) = (text(&event, "id").to_owned(), text(&event, "stream").to_owned());
            let version = self.versions.entry(stream.clone()).or_default();
            *version += 1;
            assert_eq!(event["position"], self.log.len() as u64 + 1, "the log has a hole or a double: {event}");
            assert_eq!(event["version"], *version, "the stream has a hole or a double: {event}");
            assert!(!told.refused.contains(&id), "it was refused and is there: {event}");
            let sent = told.sent.get(&id).unwrap_or_else(|| panic!("nobody sent it: {event}"));
            assert!(is_same(&event, sent), "{event} was sent as {sent:?}");
            assert!(self.ids.insert(id), "it is there twice: {event}");
            self.log.push(event);
        }
        for (id, Place { position, version }) in &told.places {
            let event = self.log.get(*position as usize - 1);
            let event = event.unwrap_or_else(|| panic!("{id} was acknowledged at {position} and is lost"));
            assert!(text(event, "id") == id && event["version"] == *version, "{id} at {position} became {event}");
        }
    }

    /// The rows are those of one fold: the events up to some position applied by the edition of before, the others by the
    /// present one, and no row is of another mix.
    #[track_caller]
    fn judge_rows(&mut self, rows: &Rows, build: u64, edition: Edition) {
        let known = &self.model;
        let before = known.edition;
        let is_same_build = known.build == build;
        assert!(build >= known.build, "build {} served, and now {build} does", known.build);
        let has_changed = before != edition && before.read_model_version() == edition.read_model_version();
        assert!(!is_same_build || has_changed || before == edition, "{before:?} became {edition:?} in build {build}");
        let (mut fold, new) = match is_same_build {
            true => (known.fold.clone(), &self.log[known.events..]),
            false => (Fold::default(), &self.log[..]),
        };
        let taken_over = if has_changed { taken_over_at(&fold, new, (before, edition), deposited(rows)) } else { 0 };
        fold.apply_all(&new[..taken_over], before);
        let has_rows_of_before = fold != Fold::default();
        fold.apply_all(&new[taken_over..], edition);
        assert!(*rows == fold.rows(), "build {build} of {edition:?}: {}", first_difference(rows, &fold.rows()));
        let is_of_one_edition = !has_rows_of_before || (before == edition && known.is_of_one_edition);
        self.model = Model { build, edition, fold, events: self.log.len(), is_of_one_edition };
    }
}

/// Waits until the projection runs this edition, has applied everything and fills nothing new.
#[track_caller]
pub fn settled(host: &TestHost, edition: Edition) -> Value {
    let (head, digest) = (host.head(), edition.digest());
    host.wait_until(PROJECTION, &format!("is live at {head} with {edition:?}"), |status| {
        is_settled(status, head, &digest)
    })
}

/// Whether the projection stands like this: live at the head, with the code of this digest, and no replay under way.
pub fn is_settled(status: &Value, head: u64, digest: &str) -> bool {
    let is_live = status["state"] == "live" && status["position"].as_u64() >= Some(head);
    is_live && status["replay"] == Value::Null && status["component_digest"] == digest
}

/// How many of the events were applied by the edition before, told from what all deposits together added.
fn taken_over_at(fold: &Fold, events: &[Value], (before, after): (Edition, Edition), deposited: i64) -> usize {
    let credit = |event: &Value, edition| {
        let mut alone = Fold::default();
        alone.apply_all(std::slice::from_ref(event), edition);
        alone.deposited()
    };
    let mut sum = fold.deposited() + events.iter().map(|event| credit(event, after)).sum::<i64>();
    let is_at = |event: &Value| {
        let is_here = sum == deposited;
        sum += credit(event, before) - credit(event, after);
        is_here
    };
    events.iter().position(is_at).unwrap_or(events.len())
}

/// The log's file, read as any tool for SQLite can: events dense in rows and segments, and versions dense in the rows.
fn judge_file(host: &TestHost, head: u64, versions: &BTreeMap<String, u64>) -> rusqlite::Result<()> {
    let file = read_only(&host.data_folder().join("events.db"))?;
    // One snapshot: the daemon seals meanwhile.
    file.execute_batch("BEGIN")?;
    let (position, sealed): (u64, u64) =
        file.query_row("SELECT position, sealed FROM log", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    assert_eq!(position, head, "where the log says that it ends");
    let mut end = 0;
    let mut segments = file.prepare("SELECT first_position, events FROM segments ORDER BY first_position")?;
    for segment in segments.query_map([], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?)))? {
        let (first, events) = segment?;
        assert_eq!(first, end + 1, "a segment begins where the one before ends");
        end += events;
    }
    assert_eq!(end, sealed, "what the log says is sealed");
    let copies =
        "SELECT (SELECT coalesce(sum(copies), 0) FROM segment_kinds), count(*), count(nullif(position <= ?, 0))
                  FROM rare_events";
    let copies: (u64, u64, u64) =
        file.query_row(copies, [sealed], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    assert!(copies.0 == copies.1 && copies.1 == copies.2, "copies of sealed events: said, there, sealed: {copies:?}");
    let rows = "SELECT count(*), coalesce(min(position), 0), coalesce(max(position), 0) FROM events";
    let rows: (u64, u64, u64) = file.query_row(rows, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let expected = if sealed == head { (0, 0, 0) } else { (head - sealed, sealed + 1, head) };
    assert_eq!(rows, expected, "the rows that are not sealed: count, first and last");
    let of_streams = "SELECT name, count(*), min(version), max(version)
                      FROM events JOIN streams ON streams.id = stream_id GROUP BY name";
    let mut of_streams = file.prepare(of_streams)?;
    let mut rows = of_streams.query([])?;
    while let Some(row) = rows.next()? {
        let (name, count, first, last): (String, u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        assert_eq!((last + 1 - first, Some(&last)), (count, versions.get(&name)), "the versions of {name}");
    }
    Ok(())
}

/// Only the read model that serves is left, and SQLite finds nothing wrong with it.
#[track_caller]
fn judge_read_model_files(host: &TestHost, status: &Value) {
    let path = Path::new(text(status, "read_model_path"));
    let serving = path.file_name().expect("a file").to_string_lossy().into_owned();
    eventually_ok("only the read model that serves is left", || {
        let files = std::fs::read_dir(host.data_folder().join("read-models")).expect("the folder is there");
        let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
        let strange: Vec<_> = names.filter(|name| !name.starts_with(&serving)).collect();
        if strange.is_empty() { Ok(()) } else { Err(format!("{strange:?} beside {serving}")) }
    });
    assert_eq!(integrity(path).unwrap_or_else(|error| error.to_string()), "ok", "{}", path.display());
}

/// What SQLite's own check says of a file.
///
/// # Errors
/// When the file cannot be read.
pub fn integrity(path: &Path) -> rusqlite::Result<String> {
    read_only(path)?.query_row("PRAGMA integrity_check", [], |row| row.get(0))
}

fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Whether a recorded event is what a client sent to a stream.
fn is_same(event: &Value, (stream, sent): &(String, Value)) -> bool {
    let same = |field: &str| event[field] == sent[field];
    // The daemon may write more digits of the same second.
    let same_time = text(event, "time").get(..19) == text(sent, "time").get(..19);
    text(event, "stream") == stream && same("event_type") && same("data") && same_time
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn first_difference(found: &Rows, expected: &Rows) -> String {
    let of_table = |(name, rows): (&String, &Vec<_>)| {
        let others = found.get(name)?;
        let pair = others.iter().zip(rows).find(|(found, expected)| found != expected)?;
        Some(format!("{name}: {:?} instead of {:?}", pair.0, pair.1))
    };
    expected.iter().find_map(of_table).unwrap_or_else(|| "another number of rows".into())
}
