//! Decides which events are kept once more as rows when they are sealed: those of the rarest kinds in their segment.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::{Connection, params};

use crate::event::EventBatch;

/// The copies, with what a decoder takes: in the place of the stream's row its name, and no chain.
pub(super) const COPIES: &str =
    "SELECT position, stream, version, kind_id, schema_version, id, time, data, metadata, checksum, 0 FROM rare_events";

const COPY: &str =
    "INSERT INTO rare_events (position, stream, version, kind_id, schema_version, id, time, data, metadata, checksum)
    SELECT position, name, version, kind_id, schema_version, events.id, time, data, metadata, checksum
    FROM events JOIN streams ON streams.id = stream_id WHERE kind_id = ? AND position >= ? AND position < ?";

/// A kind of event in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KindInSegment {
    /// The row of the table `kinds`.
    pub id: u32,
    /// How many of its events are kept as rows: all, or 0.
    pub copies: u64,
}

/// The kinds that occur in the batch. The rarest are copied, as many as have together at most this part of its bytes.
/// `kinds` are those of the events.
pub(super) fn choose(batch: &EventBatch, kinds: &[u32], percent: u32) -> Vec<KindInSegment> {
    let mut found: BTreeMap<u32, (u64, usize)> = BTreeMap::new();
    for (event, kind) in batch.iter().zip(kinds) {
        let (events, bytes) = found.entry(*kind).or_default();
        *events += 1;
        *bytes += EventBatch::EVENT_BYTES + event.stream.len() + event.data.len() + event.metadata.len();
    }
    let mut found: Vec<_> = found.into_iter().collect();
    // Of kinds that are equally rare the same ones are chosen in every segment.
    found.sort_by_key(|(_, (events, _))| *events);
    let room = batch.bytes() * percent.min(100) as usize / 100;
    let mut used = 0;
    let copies = found.into_iter().map(|(id, (events, bytes))| {
        let fits = used + bytes <= room;
        used += if fits { bytes } else { 0 };
        KindInSegment { id, copies: if fits { events } else { 0 } }
    });
    copies.collect()
}

/// Copies rows of a segment that is being sealed, while they are there, and says in the index of kinds which it has.
pub(super) fn keep(connection: &Connection, segment: Range<i64>, kinds: &[KindInSegment]) -> rusqlite::Result<()> {
    let mut index =
        connection.prepare_cached("INSERT INTO segment_kinds (kind_id, first_position, copies) VALUES (?, ?, ?)")?;
    let mut copy = connection.prepare_cached(COPY)?;
    for KindInSegment { id, copies } in kinds {
        index.execute(params![id, segment.start, *copies as i64])?;
        if *copies > 0 {
            let copied = copy.execute(params![id, segment.start, segment.end])?;
            if copied as u64 != *copies {
                return Err(rusqlite::Error::StatementChangedRows(copied));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventKind, EventRef, JSON, Position, StreamVersion, Timestamp};

    /// Of events of these kinds and with so much data: how many copies of each kind are kept.
    fn copies(events: &[(u32, usize)], percent: u32) -> Vec<(u32, u64)> {
        let kind = EventKind { category: "order".into(), event_type: "Placed".into(), content_type: JSON.into() };
        let mut batch = EventBatch::default();
        let place = batch.kind_index(&kind);
        for (_, bytes) in events {
            let event = EventRef {
                id: uuid::Uuid::nil(),
                stream: "order-1",
                version: StreamVersion(1),
                position: Position(1),
                kind: &kind,
                schema_version: 1,
                time: Timestamp(0),
                data: &vec![b'1'; *bytes],
                metadata: "{}",
            };
            batch.push(event, place);
        }
        let kinds: Vec<u32> = events.iter().map(|(kind, _)| *kind).collect();
        choose(&batch, &kinds, percent).into_iter().map(|kind| (kind.id, kind.copies)).collect()
    }

    #[test]
    fn the_rarest_kinds_are_copied_as_far_as_there_is_room() {
        let events: Vec<_> = [[1; 40].as_slice(), &[2; 50], &[3; 3], &[4; 4], &[5; 3]].concat();
        let events: Vec<_> = events.into_iter().map(|kind| (kind, 100)).collect();
        for (percent, expected) in [
            (0, [0; 5]),
            (2, [0; 5]),
            (3, [3, 0, 0, 0, 0]),
            (9, [3, 3, 0, 0, 0]),
            (10, [3, 3, 4, 0, 0]),
            (99, [3, 3, 4, 40, 0]),
        ] {
            let expected: Vec<_> = [3, 5, 4, 1, 2].into_iter().zip(expected).collect();
            assert_eq!(copies(&events, percent), expected, "{percent} %");
        }
        assert_eq!(copies(&events, 100), copies(&events, 999));
        assert_eq!(copies(&[(7, 0)], 100), [(7, 1)]);
    }

    #[test]
    fn a_rare_event_that_is_large_is_not_copied_and_takes_no_room() {
        let events: Vec<_> = (0..99).map(|_| (1, 100)).chain([(2, 100_000), (3, 100), (3, 100)]).collect();
        assert_eq!(copies(&events, 5), [(2, 0), (3, 2), (1, 0)]);
    }
}
