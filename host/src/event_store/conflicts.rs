//! The conflicts that were decided: what was proposed, what became of it, and who said so. Kept beside the events,
//! and added together with those that they caused. Knows nothing of those who decide.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::append::{Failure, Outcome, Work};
use super::conflict_row::{CHECKSUM, COLUMNS, damage, decision, not_as_written, values_of};
use super::decode::Decoder;
use super::read::LogReader;
use super::{AppendError, Appended, EventStore, EventStoreError};
use crate::event::{NewEvent, Position, StreamName, StreamVersion, Timestamp};

/// The key in the metadata of an event that tells the conflict by which it was appended.
pub const CONFLICT_KEY: &str = "lantern.conflict";

/// What is decided on a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Append the proposed events as they are.
    Accept,
    /// Append these instead.
    Rewrite(Vec<NewEvent>),
    /// Append nothing, for this reason.
    Reject(String),
}

impl Resolution {
    /// One word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Rewrite(_) => "rewrite",
            Self::Reject(_) => "reject",
        }
    }
}

/// A decision on a conflict. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictDecision {
    pub id: Uuid,
    pub stream: StreamName,
    /// What the writer had seen; 0 when it expected no stream.
    pub expected: StreamVersion,
    /// The newest version that was seen by who decided.
    pub actual: StreamVersion,
    /// Empty when they were too large to be kept; the resolution is then a rejection.
    pub proposed: Vec<NewEvent>,
    pub resolution: Resolution,
    /// The name of what decided.
    pub resolver: String,
    /// Which code it was.
    pub digest: String,
    /// How often it was asked about this append, because the stream went on moving.
    pub attempt: u32,
    pub time: Timestamp,
    /// What was appended; `None` for a rejection, and before.
    pub appended: Option<Appended>,
}

impl ConflictDecision {
    /// Why nothing was appended; `None` when something was.
    pub fn reason(&self) -> Option<&str> {
        match &self.resolution {
            Resolution::Reject(reason) => Some(reason),
            _ => None,
        }
    }

    /// What is to be appended, marked with the conflict; nothing for a rejection.
    pub(super) fn events(&self) -> Vec<NewEvent> {
        let events = match &self.resolution {
            Resolution::Accept => &self.proposed,
            Resolution::Rewrite(events) => events,
            Resolution::Reject(_) => return Vec::new(),
        };
        let marked = |event: &NewEvent| NewEvent { metadata: self.marked(&event.metadata), ..event.clone() };
        events.iter().map(marked).collect()
    }

    fn marked(&self, metadata: &str) -> String {
        let Ok(mut keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(metadata) else {
            // It is refused as it is.
            return metadata.to_owned();
        };
        let id = serde_json::value::to_raw_value(&self.id).expect("a UUID is JSON");
        keys.insert(CONFLICT_KEY.to_owned(), &id);
        serde_json::to_string(&keys).expect("JSON stays JSON")
    }
}

/// Which decisions are wanted, the newest first.
#[derive(Clone, Debug, Default)]
pub struct ConflictQuery {
    pub stream: Option<StreamName>,
    pub category: Option<String>,
    /// The name of a [`Resolution`].
    pub resolution: Option<String>,
    /// Only those that were made before this one.
    pub before: Option<Uuid>,
    /// At most so many. A page ends early when its events are large, but is never empty while there are more.
    pub limit: usize,
}

impl EventStore {
    /// Stores a decision, and appends its events in the same transaction if the stream is at version `actual`. Answers
    /// nothing for a rejection. Blocks until all is on disk.
    ///
    /// When the proposed events are in the log already, as an earlier append or by an earlier decision, that result is
    /// answered and nothing is stored, whatever the decision.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing is stored then. An event that cannot be appended is [`AppendError::Invalid`].
    pub fn resolve(&self, decision: &ConflictDecision) -> Result<Option<Appended>, AppendError> {
        let events = decision.events();
        if decision.reason().is_none() {
            self.check_new(&events)?;
        }
        let outcome = self.perform(Work::Resolve(Box::new((decision.clone(), events))))?;
        Ok((outcome.last_version > StreamVersion(0)).then(|| outcome.into()))
    }

    /// The decision with this id. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn conflict(&self, id: Uuid) -> Result<Option<ConflictDecision>, EventStoreError> {
        self.find_conflict("id = ?", id)
    }

    /// The decision by which other events were appended in the place of one with this id. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rewriting_of(&self, proposed: Uuid) -> Result<Option<ConflictDecision>, EventStoreError> {
        self.find_conflict("number = (SELECT number FROM rewritten_ids WHERE id = ?)", proposed)
    }

    fn find_conflict(&self, condition: &str, id: Uuid) -> Result<Option<ConflictDecision>, EventStoreError> {
        self.with_reader(|reader| {
            let found = reader
                .connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM conflicts WHERE {condition}"))
                .and_then(|mut find| find.query_row([id.as_bytes()], decision).optional());
            found.map_err(|source| failed(&reader.decoder, source))
        })
    }

    /// The decisions that are wanted. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn conflicts(&self, query: &ConflictQuery) -> Result<Vec<ConflictDecision>, EventStoreError> {
        let max_bytes = self.inner.shared.options.max_page_bytes;
        self.with_reader(|reader| {
            list(&reader.connection, query, max_bytes).map_err(|source| failed(&reader.decoder, source))
        })
    }
}

impl LogReader {
    /// Verifies every decision, and that the proposals that were rewritten lead to theirs. Answers no when it was ended.
    pub(super) fn verify_conflicts(&mut self, go_on: impl FnMut() -> bool) -> Result<bool, EventStoreError> {
        verify(&self.connection, go_on).map_err(|source| failed(&self.decoder, source))
    }
}

fn failed(decoder: &Decoder, source: rusqlite::Error) -> EventStoreError {
    match damage(&source) {
        Some(what) => EventStoreError::DamagedFile { path: decoder.path.clone(), what },
        None => decoder.sqlite(source),
    }
}

fn verify(connection: &Connection, mut go_on: impl FnMut() -> bool) -> rusqlite::Result<bool> {
    // One moment of the file: decisions may be made meanwhile.
    let moment = connection.unchecked_transaction()?;
    let mut all = moment.prepare(&format!("SELECT {COLUMNS}, number FROM conflicts ORDER BY number"))?;
    let mut place = moment.prepare("SELECT 1 FROM rewritten_ids WHERE id = ? AND number = ? AND place = ?")?;
    let (mut rows, mut places) = (all.query([])?, 0);
    while let Some(row) = rows.next()? {
        let (decided, number) = (decision(row)?, row.get::<_, i64>(CHECKSUM + 1)?);
        if matches!(decided.resolution, Resolution::Rewrite(_)) {
            for (event, at) in decided.proposed.iter().zip(0_i64..) {
                if !place.exists(params![event.id.as_bytes(), number, at])? {
                    return Err(not_as_written(format!("the event {} that it rewrote does not lead to it", event.id)));
                }
                places += 1;
            }
        }
        if !go_on() {
            return Ok(false);
        }
    }
    let found: i64 = moment.query_row("SELECT count(*) FROM rewritten_ids", [], |row| row.get(0))?;
    if found == places { Ok(true) } else { Err(not_as_written("there are rewritten events of none".to_owned())) }
}

fn list(connection: &Connection, query: &ConflictQuery, max_bytes: usize) -> rusqlite::Result<Vec<ConflictDecision>> {
    // A category is the stream of its name, and those from `category-` up to the next character, which is '.'.
    let sql = format!(
        "SELECT {COLUMNS} FROM conflicts
         WHERE (?1 IS NULL OR stream = ?1)
           AND (?2 IS NULL OR stream = ?2 OR (stream >= ?2 || '-' AND stream < ?2 || '.'))
           AND (?3 IS NULL OR resolution = ?3)
           AND (?4 IS NULL OR number < (SELECT number FROM conflicts WHERE id = ?4))
         ORDER BY number DESC LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        query.stream.as_ref().map(StreamName::as_str),
        query.category,
        query.resolution,
        query.before.as_ref().map(Uuid::as_bytes),
        i64::try_from(query.limit).unwrap_or(i64::MAX),
    ])?;
    let (mut decisions, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(4)?.as_str()?.len() + row.get_ref(6)?.as_str_or_null()?.map_or(0, str::len);
        if bytes > max_bytes && !decisions.is_empty() {
            break;
        }
        decisions.push(decision(row)?);
    }
    Ok(decisions)
}

/// Adds a decision and what it appended.
pub(super) fn insert(
    connection: &Connection,
    decision: &ConflictDecision,
    outcome: Option<&Outcome>,
) -> rusqlite::Result<()> {
    let values = values_of(decision, outcome);
    let sql = format!("INSERT INTO conflicts ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    if matches!(decision.resolution, Resolution::Rewrite(_)) {
        let number = connection.last_insert_rowid();
        let mut add = connection.prepare_cached("INSERT INTO rewritten_ids (id, number, place) VALUES (?, ?, ?)")?;
        for (place, event) in decision.proposed.iter().enumerate() {
            add.execute(params![event.id.as_bytes(), number, place as i64])?;
        }
    }
    Ok(())
}

/// Whether any proposal was ever rewritten.
pub(super) fn any_rewritten(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM rewritten_ids)", [], |row| row.get(0))
}

/// Whether an event with this id was proposed, and others were appended instead.
pub(super) fn is_rewritten(connection: &Connection, id: Uuid) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM rewritten_ids WHERE id = ?")?.exists([id.as_bytes()])
}

/// What was appended in the place of these events, if they are a proposal that was rewritten.
pub(super) fn rewritten_outcome(
    connection: &Connection,
    stream: &StreamName,
    proposed: &[NewEvent],
) -> Result<Option<Outcome>, Failure> {
    let mut find = connection.prepare_cached("SELECT number, place FROM rewritten_ids WHERE id = ?")?;
    let mut places: Vec<(Uuid, i64, i64)> = Vec::new();
    for event in proposed {
        let place = |row: &Row<'_>| Ok((event.id, row.get(0)?, row.get(1)?));
        places.extend(find.query_row([event.id.as_bytes()], place).optional()?);
    }
    let Some((id, number, _)) = places.first().copied() else { return Ok(None) };
    let decided = decision_of(connection, number)?;
    let ConflictDecision { id: conflict, stream: of, appended, .. } = &decided;
    let repeats = of == stream
        && places.len() == proposed.len()
        && places.len() == decided.proposed.len()
        && places.iter().zip(0..).all(|((_, of, place), expected)| (*of, *place) == (number, expected));
    if let Some(Appended { first_position, last_position, last_version, .. }) = *appended
        && repeats
    {
        return Ok(Some(Outcome { first_position, last_position, last_version, appended: 0, skipped: 0 }));
    }
    let found = format!(
        "its id was proposed already, to stream {of}, where conflict {conflict} was resolved, and the request does not repeat that append"
    );
    Err(Failure::Refused(AppendError::IdReused { stream: stream.clone(), id, found }))
}

/// The position of the last event that was appended where one with this id was proposed and rewritten.
pub(super) fn rewritten_up_to(connection: &Connection, id: Uuid) -> Result<Option<Position>, Failure> {
    let mut find = connection.prepare_cached("SELECT number FROM rewritten_ids WHERE id = ?")?;
    let Some(number) = find.query_row([id.as_bytes()], |row| row.get(0)).optional()? else { return Ok(None) };
    Ok(decision_of(connection, number)?.appended.map(|appended| appended.last_position))
}

fn decision_of(connection: &Connection, number: i64) -> Result<ConflictDecision, Failure> {
    let mut find = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM conflicts WHERE number = ?"))?;
    find.query_row([number], decision).map_err(|error| match damage(&error) {
        Some(what) => Failure::Refused(AppendError::Failed { reason: format!("the event log is damaged: {what}") }),
        None => Failure::Sqlite(error),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, event, request, stream};
    use super::*;
    use crate::event_store::Direction;

    /// A decision on the events that are made of these numbers, proposed to the stream `order-1` behind version 1.
    fn decision(id: u128, actual: u64, proposed: &[u128], resolution: Resolution) -> ConflictDecision {
        ConflictDecision {
            id: Uuid::from_u128(id),
            stream: stream("order-1"),
            expected: StreamVersion(1),
            actual: StreamVersion(actual),
            proposed: proposed.iter().map(|n| event(*n)).collect(),
            resolution,
            resolver: "orders".into(),
            digest: "d1".into(),
            attempt: 1,
            time: Timestamp(7),
            appended: None,
        }
    }

    fn rewrite(ids: &[u128]) -> Resolution {
        Resolution::Rewrite(ids.iter().map(|n| event(*n)).collect())
    }

    #[test]
    fn a_decision_is_stored_with_what_it_appended_and_reads_back_as_it_was() {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1, 2])).unwrap();
        let image = NewEvent { content_type: "image/png".into(), data: vec![0xff, 0], ..event(5) };
        let decided = ConflictDecision { proposed: vec![image], ..decision(100, 2, &[], rewrite(&[6, 7])) };
        let appended = fixture.store.resolve(&decided).unwrap().unwrap();
        assert_eq!((appended.first_position, appended.last_version), (Position(3), StreamVersion(4)));
        let rejected = decision(101, 4, &[8], Resolution::Reject("no".into()));
        assert_eq!(fixture.store.resolve(&rejected), Ok(None));
        let fixture = fixture.reopened_after(|_| ());
        let decided = ConflictDecision { appended: Some(appended), ..decided };
        assert_eq!(fixture.store.conflict(decided.id).unwrap(), Some(decided.clone()));
        let all = ConflictQuery { limit: 9, ..ConflictQuery::default() };
        assert_eq!(fixture.store.conflicts(&all).unwrap(), [rejected, decided]);
        let events = fixture.store.read_stream(&stream("order-1"), None, Direction::Forwards, 9).unwrap().events;
        assert_eq!(events.len(), 4);
        assert!(events[3].metadata.contains(&Uuid::from_u128(100).to_string()), "{}", events[3].metadata);
    }

    #[test]
    fn a_decision_on_a_stream_that_moved_stores_and_appends_nothing() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2, 3])).unwrap();
        let late = store.resolve(&decision(100, 2, &[5], Resolution::Accept));
        assert!(matches!(late, Err(AppendError::WrongExpectedVersion { actual: StreamVersion(3), .. })), "{late:?}");
        assert_eq!((store.head(), store.conflict(Uuid::from_u128(100)).unwrap()), (Position(3), None));
    }

    #[test]
    fn a_proposal_that_was_appended_gives_its_first_result_whatever_is_decided_on_it_later() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2])).unwrap();
        let accepted = store.resolve(&decision(100, 2, &[5], Resolution::Accept)).unwrap().unwrap();
        let rewritten = store.resolve(&decision(101, 3, &[6], rewrite(&[7]))).unwrap().unwrap();
        let reject = || Resolution::Reject("no".into());
        for (proposed, first) in [(5, accepted), (6, rewritten)] {
            for later in [Resolution::Accept, rewrite(&[9]), reject()] {
                let again = store.resolve(&decision(102, 4, &[proposed], later)).unwrap();
                assert_eq!(again, Some(Appended { appended: false, ..first }));
            }
            let again = store.append(request("order-1", [proposed])).unwrap();
            assert_eq!(again, Appended { appended: false, ..first });
        }
        assert_eq!((store.head(), store.conflict(Uuid::from_u128(102)).unwrap()), (Position(4), None));
    }

    #[test]
    fn a_rewritten_id_is_taken_for_everything_but_the_same_proposal() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2])).unwrap();
        store.resolve(&decision(100, 2, &[5, 6], rewrite(&[7]))).unwrap();
        for (name, ids) in
            [("order-1", vec![5]), ("order-1", vec![6, 5]), ("order-1", vec![5, 6, 8]), ("order-2", vec![5, 6])]
        {
            let refusal = store.append(request(name, ids.clone()));
            assert!(matches!(refusal, Err(AppendError::IdReused { .. })), "{name} {ids:?} gave {refusal:?}");
        }
        let lie = store.resolve(&decision(101, 3, &[8], rewrite(&[6])));
        assert!(matches!(lie, Err(AppendError::Invalid { event: Some(0), .. })), "{lie:?}");
        assert_eq!(store.append(request("order-1", [5, 6])).unwrap().last_version, StreamVersion(3));
    }

    #[test]
    fn an_import_skips_what_was_rewritten_as_it_skips_what_is_there() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2])).unwrap();
        store.resolve(&decision(100, 2, &[5, 6], rewrite(&[7]))).unwrap();
        let import = |ids: &[u128]| store.import(ids.iter().map(|n| (stream("order-1"), event(*n))).collect()).unwrap();
        let again = import(&[5, 6]);
        assert_eq!((again.appended, again.skipped, again.last_position), (0, 2, Position(3)));
        let more = import(&[6, 8, 1]);
        assert_eq!((more.appended, more.skipped, more.last_position), (1, 2, Position(4)));
    }

    /// A log with a decision by which event 7 was appended in the place of event 5, and its file after a change by hand.
    fn changed(sql: &str) -> Fixture {
        let fixture = Fixture::new();
        fixture.store.append(request("order-1", [1, 2])).unwrap();
        fixture.store.resolve(&decision(100, 2, &[5], rewrite(&[7]))).unwrap();
        fixture.reopened_after(|connection| assert_eq!(connection.execute(sql, []).unwrap(), 1))
    }

    #[test]
    fn a_decision_that_is_not_what_was_written_is_noticed_when_it_is_listed_repeated_or_verified() {
        let columns: Vec<&str> = COLUMNS.split(',').map(str::trim).collect();
        assert_eq!(columns[CHECKSUM], "checksum");
        for column in columns {
            let value = match column {
                "id" => "randomblob(16)".to_owned(),
                "resolution" => "'accept'".to_owned(),
                "reason" => "'none'".to_owned(),
                "stream" | "proposed" | "rewritten" | "resolver" | "digest" => format!("{column} || ' '"),
                _ => format!("{column} + 1"),
            };
            let Fixture { store, .. } = &changed(&format!("UPDATE conflicts SET {column} = {value}"));
            let listed = store.conflicts(&ConflictQuery { limit: 9, ..ConflictQuery::default() });
            assert!(matches!(listed, Err(EventStoreError::DamagedFile { .. })), "{column}: {listed:?}");
            let verified = store.verify(|_| true);
            assert!(matches!(verified, Err(EventStoreError::DamagedFile { .. })), "{column}: {verified:?}");
            let again = store.append(request("order-1", [5]));
            assert!(matches!(again, Err(AppendError::Failed { .. })), "{column}: {again:?}");
            assert_eq!(store.append(request("order-1", [8])).unwrap().last_position, Position(4));
        }
    }

    #[test]
    fn a_rewritten_event_that_does_not_lead_to_its_decision_is_noticed_by_verifying() {
        for sql in
            ["DELETE FROM rewritten_ids", "UPDATE rewritten_ids SET place = 1", "UPDATE rewritten_ids SET number = 2"]
        {
            let verified = changed(sql).store.verify(|_| true).unwrap_err().to_string();
            assert!(verified.contains("does not lead to it"), "{verified}");
        }
        let lonely = changed("INSERT INTO rewritten_ids SELECT randomblob(16), number, 1 FROM conflicts");
        assert!(matches!(lonely.store.verify(|_| true), Err(EventStoreError::DamagedFile { .. })));
    }

    #[test]
    fn decisions_of_earlier_versions_have_no_checksum_and_are_taken_as_they_are() {
        let Fixture { store, .. } = &changed("UPDATE conflicts SET checksum = NULL");
        assert!(store.conflict(Uuid::from_u128(100)).unwrap().is_some());
        assert_eq!(store.verify(|_| true).unwrap(), Some(Position(3)));
        assert_eq!(store.append(request("order-1", [5])).unwrap().last_version, StreamVersion(3));
    }

    #[test]
    fn a_page_of_decisions_ends_early_when_their_events_are_large_but_is_never_empty() {
        let Fixture { store, .. } = &Fixture::new();
        store.append(request("order-1", [1, 2])).unwrap();
        for n in 0..5 {
            store.resolve(&decision(100 + n, 2, &[50 + n], Resolution::Reject("no".into()))).unwrap();
        }
        let query = ConflictQuery { limit: 9, ..ConflictQuery::default() };
        let page = |bytes| {
            let found = store.with_reader(|reader| Ok(list(&reader.connection, &query, bytes).unwrap())).unwrap();
            found.iter().map(|decision| decision.id.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(page(1), [104]);
        assert_eq!(page(500), [104, 103]);
        assert_eq!(page(1 << 20), [104, 103, 102, 101, 100]);
    }
}
