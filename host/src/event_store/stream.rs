//! Reads one stream, forwards or backwards.

use std::ops::{ControlFlow, RangeInclusive};

use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::append::newest_version;
use super::decode::{COLUMNS, Decoder};
use super::packed_index::Map;
use super::read::LogReader;
use super::repeat::place_of;
use super::sealed::newest_sealed_version;
use super::{Direction, EventStoreError, ReadLimit, StreamPage};
use crate::event::{EventBatch, RecordedEvent, StreamName, StreamVersion};

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
        let mut batch = EventBatch::default();
        let version =
            self.in_one_snapshot(|reader| reader.read_versions((stream, from), direction, limit, &mut batch))?;
        Ok(StreamPage { events: batch.iter().map(|event| event.to_recorded()).collect(), version })
    }

    /// See [`super::EventStore::read_versions`].
    pub(super) fn read_forwards(
        &mut self,
        stream: &StreamName,
        from: StreamVersion,
        limit: ReadLimit,
    ) -> Result<(EventBatch, StreamVersion), EventStoreError> {
        let mut batch = EventBatch::default();
        let part = (stream, Some(from));
        let read = |reader: &mut Self| reader.read_versions(part, Direction::Forwards, limit, &mut batch);
        let newest = self.in_one_snapshot(read)?;
        Ok((batch, newest))
    }

    /// See [`super::EventStore::find_event`].
    pub(super) fn find_event(&mut self, id: Uuid) -> Result<Option<RecordedEvent>, EventStoreError> {
        let place = self.in_one_snapshot(|reader| {
            let LogReader { connection, segments, decoder, .. } = reader;
            // Others have sealed since the last look.
            segments.grown();
            place_of(connection, Some(segments), id).map_err(|error| decoder.unreadable(error))
        })?;
        let mut batch = EventBatch::default();
        if let Some(place) = place {
            self.read_positions(&[place.position], &mut batch)?;
        }
        Ok(batch.iter().next().map(|event| event.to_recorded()))
    }

    /// Answers the stream's newest version.
    fn read_versions(
        &mut self,
        (stream, from): (&StreamName, Option<StreamVersion>),
        direction: Direction,
        limit: ReadLimit,
        batch: &mut EventBatch,
    ) -> Result<StreamVersion, EventStoreError> {
        let Some((id, newest)) = self.stream_head(stream)? else { return Ok(StreamVersion(0)) };
        self.head()?;
        self.refresh_kinds()?;
        self.decoder.begin(batch);
        let sealed = newest_sealed_version(&self.connection, id).map_err(|source| self.decoder.sqlite(source))?;
        let (first, last) = match direction {
            Direction::Forwards => (from.map_or(1, |from| from.0.max(1)), newest.0),
            Direction::Backwards => (1, from.map_or(newest.0, |from| from.0.min(newest.0))),
        };
        let part = |versions| Part { stream, id, versions, direction, limit };
        let in_segments = part(first..=last.min(sealed));
        let in_rows = part(first.max(sealed + 1)..=last);
        let _went_on = match direction {
            Direction::Forwards if self.read_sealed_versions(&in_segments, batch)?.is_continue() => {
                self.read_rows(&in_rows, batch)?
            }
            Direction::Backwards if self.read_rows(&in_rows, batch)?.is_continue() => {
                self.read_sealed_versions(&in_segments, batch)?
            }
            _ => ControlFlow::Break(()),
        };
        Ok(newest)
    }

    /// Breaks when the batch is full.
    fn read_rows(&mut self, part: &Part<'_>, batch: &mut EventBatch) -> Result<ControlFlow<()>, EventStoreError> {
        if part.versions.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let order = match part.direction {
            Direction::Forwards => "",
            Direction::Backwards => "DESC",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE stream_id = ? AND version BETWEEN ? AND ? ORDER BY version {order}"
        );
        let Self { connection, decoder, .. } = self;
        let mut statement = connection.prepare_cached(&sql).map_err(|source| decoder.sqlite(source))?;
        let bounds = [part.id, *part.versions.start() as i64, *part.versions.end() as i64];
        let mut rows = statement.query(bounds).map_err(|source| decoder.sqlite(source))?;
        for version in part.expected() {
            if batch.len() >= part.limit.events {
                return Ok(ControlFlow::Break(()));
            }
            let row = rows.next().map_err(|source| decoder.sqlite(source))?;
            let row = row.filter(|row| row.get(2) == Ok(version as i64));
            let row = row.ok_or_else(|| part.missing(decoder, version, batch))?;
            if decoder.push(connection, row, batch, part.limit.bytes)?.is_none() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// As [`LogReader::read_rows`], of versions that are sealed.
    fn read_sealed_versions(
        &mut self,
        part: &Part<'_>,
        batch: &mut EventBatch,
    ) -> Result<ControlFlow<()>, EventStoreError> {
        let Self { connection, decoder, segments, .. } = self;
        let (stream_id, mut first_version, mut indices) = (part.id as u64, u64::MAX, Vec::new());
        let mut first_position = 0;
        for version in part.expected() {
            let mut place = version.checked_sub(first_version).and_then(|nth| indices.get(nth as usize).copied());
            if place.is_none() {
                // The segments of a stream are found by their last version of it.
                let found = Map::Streams.find(connection, (stream_id, version), (stream_id, i64::MAX as u64), 1);
                let found = found.map_err(|source| decoder.sqlite(source))?;
                let (_, first) = found.first().ok_or_else(|| part.missing(decoder, version, batch))?;
                let segment = segments.at(connection, *first).map_err(|error| decoder.unreadable(error))?;
                indices = segment.of_stream(part.stream.as_str()).collect();
                first_position = *first;
                first_version = indices.first().map_or(u64::MAX, |index| segment.versions[*index]);
                place = version.checked_sub(first_version).and_then(|nth| indices.get(nth as usize).copied());
            }
            let index = place.ok_or_else(|| part.missing(decoder, version, batch))?;
            let segment = segments.at(connection, first_position).map_err(|error| decoder.unreadable(error))?;
            if segment.versions[index] != version {
                return Err(part.missing(decoder, version, batch));
            }
            let is_full = batch.len() >= part.limit.events;
            if is_full || decoder.push_sealed(segment, index..index + 1, batch, part.limit.bytes)? == 0 {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Some versions of a stream that are wanted in one direction.
struct Part<'a> {
    stream: &'a StreamName,
    id: i64,
    versions: RangeInclusive<u64>,
    direction: Direction,
    limit: ReadLimit,
}

impl Part<'_> {
    fn expected(&self) -> Box<dyn Iterator<Item = u64>> {
        match self.direction {
            Direction::Forwards => Box::new(self.versions.clone()),
            Direction::Backwards => Box::new(self.versions.clone().rev()),
        }
    }

    fn missing(&self, decoder: &Decoder, version: u64, read: &EventBatch) -> EventStoreError {
        let last = read.positions.last().copied().unwrap_or(0);
        decoder.corrupt(last, &format!("after it, version {version} of stream {} is missing", self.stream))
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
    fn an_event_is_found_by_its_id_in_a_row_and_in_a_segment() {
        let fixture = Fixture::in_segments_of(2);
        let find = |n: u128| fixture.store.find_event(event(n).id).unwrap();
        for n in 1..=9 {
            fixture.append("order-1", n, "Placed");
            let found = find(n).expect("it was appended");
            assert_eq!((found.id, found.version), (event(n).id, StreamVersion(n as u64)));
        }
        assert!(find(10).is_none());
        assert_eq!(fixture.seal(), 8);
        let found: Vec<_> = (1..=9).map(|n| find(n).expect("it was appended").position.0).collect();
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(find(10).is_none());
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
