//! Reads one stream, forwards or backwards.

use rusqlite::OptionalExtension;

use super::append::newest_version;
use super::decode::COLUMNS;
use super::read::LogReader;
use super::{Direction, EventStoreError, ReadLimit, StreamPage};
use crate::event::{EventBatch, StreamName, StreamVersion};

impl LogReader {
    /// The stream's row and its newest version; `None` when it has no event.
    pub(super) fn stream_head(&self, stream: &StreamName) -> Result<Option<(i64, StreamVersion)>, EventStoreError> {
        let find = || -> rusqlite::Result<Option<(i64, StreamVersion)>> {
            let id: Option<i64> = self
                .connection
                .prepare_cached("SELECT id FROM streams WHERE name = ?")?
                .query_row([stream.as_str()], |row| row.get(0))
                .optional()?;
            id.map(|id| Ok((id, newest_version(&self.connection, id)?))).transpose()
        };
        find().map_err(|source| self.decoder.sqlite(source))
    }

    /// See [`super::EventStore::read_stream`].
    pub(super) fn read_stream(
        &mut self,
        stream: &StreamName,
        from: Option<StreamVersion>,
        direction: Direction,
        limit: ReadLimit,
    ) -> Result<StreamPage, EventStoreError> {
        let Some((id, newest)) = self.stream_head(stream)? else { return Ok(StreamPage::default()) };
        let mut batch = EventBatch::default();
        self.decoder.begin(&mut batch);
        let versions = match direction {
            Direction::Forwards => from.map_or(1, |from| from.0.max(1))..=newest.0,
            Direction::Backwards => 1..=from.map_or(newest.0, |from| from.0.min(newest.0)),
        };
        let order = match direction {
            Direction::Forwards => "",
            Direction::Backwards => "DESC",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE stream_id = ? AND version BETWEEN ? AND ? ORDER BY version {order}"
        );
        let Self { connection, decoder, .. } = self;
        let mut statement = connection.prepare_cached(&sql).map_err(|source| decoder.sqlite(source))?;
        let bounds = [id, i64::try_from(*versions.start()).unwrap_or(i64::MAX), *versions.end() as i64];
        let mut rows = statement.query(bounds).map_err(|source| decoder.sqlite(source))?;
        let expected: Box<dyn Iterator<Item = u64>> = match direction {
            Direction::Forwards => Box::new(versions),
            Direction::Backwards => Box::new(versions.rev()),
        };
        for version in expected.take(limit.events) {
            let row = rows.next().map_err(|source| decoder.sqlite(source))?;
            let found = row.filter(|row| row.get(2) == Ok(version as i64));
            let last = batch.positions.last().copied().unwrap_or(0);
            let missing =
                || decoder.corrupt(last, &format!("after it, version {version} of stream {stream} is missing"));
            let row = found.ok_or_else(missing)?;
            if decoder.push(connection, row, &mut batch, limit.bytes)?.is_none() {
                break;
            }
        }
        Ok(StreamPage { events: batch.iter().map(|event| event.to_recorded()).collect(), version: newest })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{Fixture, event, request, stream};
    use super::super::{AppendRequest, EventStoreError};
    use super::*;
    use crate::event::{NewEvent, Position};

    fn versions(fixture: &Fixture, from: Option<u64>, direction: Direction, max: usize) -> Vec<u64> {
        let page = fixture.store.read_stream(&stream("order-1"), from.map(StreamVersion), direction, max).unwrap();
        assert_eq!(page.version, StreamVersion(5));
        page.events.iter().map(|event| event.version.0).collect()
    }

    fn five_events_among_others() -> Fixture {
        let fixture = Fixture::new();
        for n in 1..=5 {
            fixture.append("order-1", n, "Placed");
            fixture.append("order-10", 10 + n, "Placed");
        }
        fixture
    }

    #[test]
    fn a_stream_is_read_forwards_and_backwards_from_any_version() {
        let fixture = five_events_among_others();
        assert_eq!(versions(&fixture, None, Direction::Forwards, 2), [1, 2]);
        assert_eq!(versions(&fixture, Some(4), Direction::Forwards, 9), [4, 5]);
        assert_eq!(versions(&fixture, Some(6), Direction::Forwards, 9), [0; 0]);
        assert_eq!(versions(&fixture, Some(u64::MAX), Direction::Forwards, 9), [0; 0]);
        assert_eq!(versions(&fixture, None, Direction::Backwards, 2), [5, 4]);
        assert_eq!(versions(&fixture, Some(2), Direction::Backwards, 9), [2, 1]);
        assert_eq!(versions(&fixture, Some(u64::MAX), Direction::Backwards, 1), [5]);
        assert_eq!(versions(&fixture, Some(0), Direction::Backwards, 9), [0; 0]);
    }

    #[test]
    fn a_stream_without_events_is_empty_and_at_version_0() {
        let page = Fixture::new().store.read_stream(&stream("order-1"), None, Direction::Backwards, 9).unwrap();
        assert_eq!(page, StreamPage::default());
    }

    #[test]
    fn a_page_of_large_events_ends_early_but_never_empty() {
        let fixture = Fixture::new();
        for n in 0..40 {
            let large = NewEvent { data: vec![b'1'; 1 << 19], ..event(n) };
            fixture.store.append(AppendRequest { events: vec![large], ..request("order-1", []) }).unwrap();
        }
        let page = fixture.store.read_stream(&stream("order-1"), None, Direction::Forwards, 99).unwrap();
        assert!((20..40).contains(&page.events.len()), "{}", page.events.len());
    }

    #[test]
    fn a_missing_event_of_a_stream_is_noticed() {
        let fixture = five_events_among_others().reopened_after(|connection| {
            connection.execute("DELETE FROM events WHERE stream_id = 1 AND version = 3", []).unwrap();
        });
        let read =
            |from, direction| fixture.store.read_stream(&stream("order-1"), Some(StreamVersion(from)), direction, 9);
        for (from, direction) in [(1, Direction::Forwards), (5, Direction::Backwards)] {
            let error = read(from, direction).unwrap_err();
            assert!(matches!(error, EventStoreError::Corrupt { .. }), "{error}");
        }
        assert_eq!(read(4, Direction::Forwards).unwrap().events[0].position, Position(7));
    }
}
