//! The format of a segment: events at neighbouring positions, by column and compressed. Knows no
//! file: which rows hold segments is known to `sealed.rs`.
//!
//! Two zstd frames. `numbers` has a column for each field with all its lowest bytes first, then all
//! its second bytes and so on: bytes that hardly change then lie side by side. `text` has the names of
//! the streams that occur, each once, then all data, then all metadata.

use zstd::bulk::{Decompressor, compress};
use zstd::zstd_safe::get_frame_content_size;

use super::checksum;
use crate::event::EventBatch;
use std::ops::Range;

/// Higher levels take longer and gain next to nothing.
const LEVEL: i32 = 1;

/// Bytes of one event in `numbers`: the number of its stream name, version, time, kind, schema version,
/// id, and how long its data and metadata are.
const EVENT_BYTES: usize = 4 + 8 + 8 + 4 + 4 + 16 + 4 + 4;

/// Bytes in `numbers` for each stream name: how long it is.
const NAME_BYTES: usize = 2;

/// No segment has more events than this, nor more bytes of text.
pub(super) const MAX_EVENTS: usize = 1 << 20;
const MAX_TEXT_BYTES: usize = 1 << 30;

/// A segment as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub first_position: u64,
    pub events: u64,
    /// The chain of the event before the first.
    pub chain_before: u64,
    /// The chain of the last event.
    pub chain: u64,
    pub checksum: u64,
    pub numbers: Vec<u8>,
    pub text: Vec<u8>,
}

/// A segment that is unpacked and verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub first_position: u64,
    pub chain_before: u64,
    pub chain: u64,
    pub versions: Vec<u64>,
    pub times: Vec<i64>,
    pub schema_versions: Vec<u32>,
    /// Rows of the table `kinds`.
    pub kinds: Vec<u32>,
    pub ids: Vec<u8>,
    /// For each event the place of its stream's name among the names.
    streams: Vec<u32>,
    /// Where each name, data and metadata ends in `text`. Each list begins with where its first one starts.
    name_ends: Vec<u32>,
    data_ends: Vec<u32>,
    metadata_ends: Vec<u32>,
    text: Vec<u8>,
    /// Kept for its memory only.
    numbers: Vec<u8>,
}

/// Packs a batch of events at neighbouring positions. `kinds` are their rows in the table `kinds`;
/// `chains` are those of the event before the first and of the last.
pub(super) fn pack(batch: &EventBatch, kinds: &[u32], chains: [u64; 2]) -> std::io::Result<Packed> {
    let mut names: Vec<&str> = batch.iter().map(|event| event.stream).collect();
    names.sort_unstable();
    names.dedup();
    let mut text: Vec<u8> = names.iter().flat_map(|name| name.bytes()).collect();
    batch.iter().for_each(|event| text.extend_from_slice(event.data));
    batch.iter().for_each(|event| text.extend_from_slice(event.metadata.as_bytes()));
    let id_halves = || batch.iter().map(|event| event.id.as_u64_pair());
    let place = |name: &str| names.binary_search(&name).unwrap_or_default() as u64;
    let mut numbers = Vec::with_capacity(batch.len() * (EVENT_BYTES + NAME_BYTES));
    put(&mut numbers, 4, batch.iter().map(|event| place(event.stream)).collect());
    put(&mut numbers, 8, batch.versions.clone());
    put(&mut numbers, 8, differences(&batch.times));
    put(&mut numbers, 4, kinds.iter().map(|kind| u64::from(*kind)).collect());
    put(&mut numbers, 4, batch.schema_versions.iter().map(|version| u64::from(*version)).collect());
    put(&mut numbers, 8, id_halves().map(|(high, _)| high).collect());
    put(&mut numbers, 8, id_halves().map(|(_, low)| low).collect());
    put(&mut numbers, 4, batch.iter().map(|event| event.data.len() as u64).collect());
    put(&mut numbers, 4, batch.iter().map(|event| event.metadata.len() as u64).collect());
    put(&mut numbers, NAME_BYTES, names.iter().map(|name| name.len() as u64).collect());
    let (first_position, events) = (batch.positions.first().copied().unwrap_or(0), batch.len() as u64);
    let [chain_before, chain] = chains;
    let checksum = checksum::of_segment([first_position, events, chain_before, chain], &numbers, &text);
    let (numbers, text) = (compress(&numbers, LEVEL)?, compress(&text, LEVEL)?);
    Ok(Packed { first_position, events, chain_before, chain, checksum, numbers, text })
}

impl Segment {
    /// Becomes what was packed. An error says why that is not what was written; the segment is then
    /// of no use.
    pub fn unpack(&mut self, packed: &PackedRef<'_>, zstd: &mut Decompressor<'_>) -> Result<(), &'static str> {
        let [first_position, events, chain_before, chain] = packed.row;
        let count = usize::try_from(events).ok().filter(|count| (1..=MAX_EVENTS).contains(count));
        let count = count.ok_or("its number of events makes no sense")?;
        decompress(packed.numbers, count * (EVENT_BYTES + NAME_BYTES), &mut self.numbers, zstd)?;
        decompress(packed.text, MAX_TEXT_BYTES, &mut self.text, zstd)?;
        if checksum::of_segment(packed.row, &self.numbers, &self.text) != packed.checksum {
            return Err("its checksum does not match what is stored");
        }
        (self.first_position, self.chain_before, self.chain) = (first_position, chain_before, chain);
        self.take_numbers(count).ok_or("its columns do not fit together")
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub fn unverified(numbers: &[u8], text: &[u8], count: usize) -> Option<Self> {
        let mut segment = Self { numbers: numbers.to_vec(), text: text.to_vec(), ..Self::default() };
        segment.take_numbers(count).map(|()| segment)
    }

    /// Fills the columns from `numbers`. `None` when they say more than there is.
    fn take_numbers(&mut self, count: usize) -> Option<()> {
        let names = self.numbers.len().checked_sub(count * EVENT_BYTES)? / NAME_BYTES;
        let mut rest = &self.numbers[..];
        let as_u32 = |column: Vec<u64>| column.into_iter().map(|number| number as u32).collect();
        self.streams = as_u32(take(&mut rest, 4, count)?);
        self.versions = take(&mut rest, 8, count)?;
        let steps = take(&mut rest, 8, count)?;
        self.times = sums(&steps);
        self.kinds = as_u32(take(&mut rest, 4, count)?);
        self.schema_versions = as_u32(take(&mut rest, 4, count)?);
        let (high, low) = (take(&mut rest, 8, count)?, take(&mut rest, 8, count)?);
        self.ids.clear();
        for (high, low) in high.iter().zip(&low) {
            self.ids.extend_from_slice(&high.to_be_bytes());
            self.ids.extend_from_slice(&low.to_be_bytes());
        }
        let (data, metadata) = (take(&mut rest, 4, count)?, take(&mut rest, 4, count)?);
        let names = take(&mut rest, NAME_BYTES, names)?;
        let mut end = 0;
        for (ends, lengths) in
            [(&mut self.name_ends, &names), (&mut self.data_ends, &data), (&mut self.metadata_ends, &metadata)]
        {
            ends.clear();
            ends.push(end as u32);
            for length in lengths {
                end += *length;
                ends.push(end as u32);
            }
        }
        let fits = rest.is_empty() && end == self.text.len() as u64;
        let known = self.streams.iter().all(|stream| (*stream as usize) < names.len());
        (fits && known).then_some(())
    }

    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// The position of the last event.
    pub fn last_position(&self) -> u64 {
        self.first_position + self.len() as u64 - 1
    }

    /// Which of the events come after a position of the log.
    pub fn after(&self, position: u64) -> Range<usize> {
        let passed = (position + 1).saturating_sub(self.first_position).min(self.len() as u64);
        passed as usize..self.len()
    }

    /// Stream name, data and metadata of an event.
    pub fn parts(&self, index: usize) -> [&[u8]; 3] {
        let part = |ends: &[u32], place: usize| &self.text[ends[place] as usize..ends[place + 1] as usize];
        let name = part(&self.name_ends, self.streams[index] as usize);
        [name, part(&self.data_ends, index), part(&self.metadata_ends, index)]
    }

    /// Which of the events are of this stream, in the order of their positions.
    pub fn of_stream<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = usize> {
        let name = |place: usize| &self.text[self.name_ends[place] as usize..self.name_ends[place + 1] as usize];
        let place = (0..self.name_ends.len() - 1).find(|place| name(*place) == stream.as_bytes());
        (0..self.len()).filter(move |index| Some(self.streams[*index] as usize) == place)
    }

    /// Adds these events to the columns of a batch, all but `kinds`, which mean something else there.
    pub fn copy(&self, range: Range<usize>, batch: &mut EventBatch) {
        let positions = range.clone().map(|index| self.first_position + index as u64);
        batch.positions.extend(positions);
        batch.versions.extend_from_slice(&self.versions[range.clone()]);
        batch.times.extend_from_slice(&self.times[range.clone()]);
        batch.schema_versions.extend_from_slice(&self.schema_versions[range.clone()]);
        batch.ids.extend_from_slice(&self.ids[16 * range.start..16 * range.end]);
        for index in range {
            for part in self.parts(index) {
                batch.text.extend_from_slice(part);
                batch.ends.push(batch.text.len() as u32);
            }
        }
    }
}

/// A segment as it is stored, borrowed from there.
pub(super) struct PackedRef<'a> {
    /// First position, number of events, chain before, chain.
    pub row: [u64; 4],
    pub checksum: u64,
    pub numbers: &'a [u8],
    pub text: &'a [u8],
}

impl Packed {
    pub fn borrowed(&self) -> PackedRef<'_> {
        PackedRef {
            row: [self.first_position, self.events, self.chain_before, self.chain],
            checksum: self.checksum,
            numbers: &self.numbers,
            text: &self.text,
        }
    }
}

/// Takes the memory for what the frame says that it holds, at most for `max` bytes.
fn decompress(frame: &[u8], max: usize, into: &mut Vec<u8>, zstd: &mut Decompressor<'_>) -> Result<(), &'static str> {
    let size = get_frame_content_size(frame).ok().flatten().and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| *size <= max).ok_or("it is not compressed as it should be")?;
    into.clear();
    into.reserve(size);
    let done = zstd.decompress_to_buffer(frame, into);
    if done.is_ok_and(|done| done == size) { Ok(()) } else { Err("it cannot be decompressed") }
}

/// Adds a column: all lowest bytes, then all second bytes, and so on.
fn put(numbers: &mut Vec<u8>, width: usize, column: Vec<u64>) {
    for byte in 0..width {
        numbers.extend(column.iter().map(|number| (number >> (8 * byte)) as u8));
    }
}

/// Takes a column that was added by [`put`].
fn take(numbers: &mut &[u8], width: usize, count: usize) -> Option<Vec<u64>> {
    let (bytes, rest) = numbers.split_at_checked(width * count).filter(|_| count > 0)?;
    *numbers = rest;
    let mut column = vec![0; count];
    for (place, bytes) in bytes.chunks_exact(count).enumerate() {
        for (number, byte) in column.iter_mut().zip(bytes) {
            *number |= u64::from(*byte) << (8 * place);
        }
    }
    Some(column)
}

/// From each number what has to be added to the one before.
fn differences(numbers: &[i64]) -> Vec<u64> {
    let before = std::iter::once(&0).chain(numbers);
    numbers.iter().zip(before).map(|(number, before)| number.wrapping_sub(*before) as u64).collect()
}

fn sums(differences: &[u64]) -> Vec<i64> {
    let mut sum = 0i64;
    let added = differences.iter().map(|difference| {
        sum = sum.wrapping_add(*difference as i64);
        sum
    });
    added.collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::{EventKind, EventRef, JSON, Position, StreamVersion, Timestamp};

    /// Events with every kind of extreme value, at positions from 7 on.
    fn batch() -> EventBatch {
        let kind = EventKind { category: "order".into(), event_type: "Placed".into(), content_type: JSON.into() };
        let mut batch = EventBatch { kind_table: vec![kind.clone()], ..EventBatch::default() };
        for n in 0..300u64 {
            let (stream, data) = (format!("order-{}", n % 40), format!("{{\"n\":{}}}", "1".repeat(n as usize)));
            let event = EventRef {
                id: [Uuid::nil(), Uuid::max(), Uuid::from_u64_pair(n, !n)][n as usize % 3],
                stream: if n == 100 { "\u{e9}t\u{e9}" } else { &stream },
                version: StreamVersion([n, u64::MAX, 0][n as usize % 3]),
                position: Position(n + 7),
                kind: &kind,
                schema_version: [1, u32::MAX, 0][n as usize % 3],
                time: Timestamp([n as i64, i64::MIN, i64::MAX][n as usize % 3]),
                data: if n % 7 == 0 { b"" } else { data.as_bytes() },
                metadata: if n % 5 == 0 { "{}" } else { "{\"user\":\"\u{e9}\"}" },
            };
            batch.push(event, 0);
        }
        batch
    }

    fn packed() -> Packed {
        let kinds: Vec<u32> = (1..=300).map(|n| if n % 2 == 0 { u32::MAX } else { n }).collect();
        pack(&batch(), &kinds, [11, 12]).unwrap()
    }

    fn unpack(packed: &Packed) -> Result<Segment, &'static str> {
        let mut segment = Segment::default();
        segment.unpack(&packed.borrowed(), &mut Decompressor::default()).map(|()| segment)
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let segment = unpack(&packed()).unwrap();
        let mut unpacked = EventBatch { kind_table: batch().kind_table, ..EventBatch::default() };
        segment.copy(0..300, &mut unpacked);
        unpacked.kinds = vec![0; 300];
        assert_eq!(unpacked, batch());
        assert_eq!((segment.first_position, segment.last_position(), segment.len()), (7, 306, 300));
        assert_eq!((segment.chain_before, segment.chain), (11, 12));
        assert_eq!(segment.kinds[..3], [1, u32::MAX, 3]);
        assert!(packed().text.len() + packed().numbers.len() < batch().text.len() / 3);
    }

    #[test]
    fn a_part_is_copied_behind_what_is_there() {
        let segment = unpack(&packed()).unwrap();
        let mut part = EventBatch::default();
        segment.copy(100..102, &mut part);
        segment.copy(299..300, &mut part);
        part.kinds = vec![0; 3];
        part.kind_table = batch().kind_table;
        let expected = batch().filtered(|event| [107, 108, 306].contains(&event.position.0));
        assert_eq!(part, expected);
    }

    #[test]
    fn the_events_of_a_stream_and_those_after_a_position_are_found() {
        let segment = unpack(&packed()).unwrap();
        assert!(segment.of_stream("order-3").eq([3, 43, 83, 123, 163, 203, 243, 283]));
        assert!(segment.of_stream("\u{e9}t\u{e9}").eq([100]));
        assert_eq!(segment.of_stream("order").count(), 0);
        assert_eq!(
            [segment.after(0), segment.after(7), segment.after(305), segment.after(999)],
            [0..300, 1..300, 299..300, 300..300]
        );
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let packed = packed();
        for field in 0..4 {
            let mut damaged = packed.clone();
            *[&mut damaged.first_position, &mut damaged.events, &mut damaged.chain_before, &mut damaged.chain]
                [field] ^= 1;
            assert!(unpack(&damaged).is_err(), "number {field}");
        }
        let sound = unpack(&packed).unwrap();
        for column in 0..2 {
            let length = if column == 0 { packed.numbers.len() } else { packed.text.len() };
            for bit in 0..8 * length {
                let mut damaged = packed.clone();
                let bytes = if column == 0 { &mut damaged.numbers } else { &mut damaged.text };
                bytes[bit / 8] ^= 1 << (bit % 8);
                // Some bits of a zstd frame mean nothing.
                assert!(unpack(&damaged).is_err() || unpack(&damaged).unwrap() == sound, "bit {bit} of {column}");
            }
        }
    }

    #[test]
    fn a_segment_of_another_making_takes_no_more_memory_than_allowed_and_never_panics() {
        let with = |numbers: &[u8], text: &[u8], events| {
            let checksum = checksum::of_segment([1, events, 0, 0], numbers, text);
            let [numbers, text] = [numbers, text].map(|bytes| compress(bytes, LEVEL).unwrap());
            Packed { first_position: 1, events, chain_before: 0, chain: 0, checksum, numbers, text }
        };
        for (numbers, events) in [
            (vec![0; EVENT_BYTES], 1),
            (vec![0; EVENT_BYTES + 1], 1),
            (vec![0xff; EVENT_BYTES + 2], 1),
            (vec![0; EVENT_BYTES + 4], 1),
            (vec![0; 10], 1),
            (Vec::new(), 0),
            (vec![0; EVENT_BYTES + 2], u64::MAX),
            (vec![0; EVENT_BYTES + 2], 1 << 21),
        ] {
            assert!(unpack(&with(&numbers, b"x", events)).is_err(), "{} bytes, {events} events", numbers.len());
        }
        assert!(unpack(&with(&[0; EVENT_BYTES + 2], b"", 1)).is_ok());
        let bomb = compress(&vec![0; 60 << 20], LEVEL).unwrap();
        assert!(unpack(&Packed { numbers: bomb, ..packed() }).is_err());
    }
}
