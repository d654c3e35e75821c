//! Events by column: how they leave the log and how they enter a guest, with no copy in between.

use std::ops::Range;

use uuid::Uuid;

use super::{Position, RecordedEvent, StreamName, StreamVersion, Timestamp};

/// The content type of an event that no upcaster could bring into a newer shape. Its data say why; all else is as it
/// is stored. No stored event has it: names have no control characters.
pub const UNREADABLE: &str = "\0unreadable";

/// A category and an event type that occur in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventKind {
    pub category: String,
    pub event_type: String,
    pub content_type: String,
}

/// Recorded events in the order of their positions, stored by column in the layout of the WIT
/// record `event-batch`, where every column is described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBatch {
    pub positions: Vec<u64>,
    pub versions: Vec<u64>,
    pub times: Vec<i64>,
    pub schema_versions: Vec<u32>,
    pub kinds: Vec<u32>,
    pub ids: Vec<u8>,
    pub ends: Vec<u32>,
    pub text: Vec<u8>,
    pub kind_table: Vec<EventKind>,
}

/// One event of an [`EventBatch`], borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    pub id: Uuid,
    pub stream: &'a str,
    pub version: StreamVersion,
    pub position: Position,
    pub kind: &'a EventKind,
    pub schema_version: u32,
    pub time: Timestamp,
    pub data: &'a [u8],
    pub metadata: &'a str,
}

impl EventBatch {
    /// The bytes that an event takes besides its text.
    pub const EVENT_BYTES: usize = 8 + 8 + 8 + 4 + 4 + 16 + 12;

    pub fn len(&self) -> usize {
        self.positions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.positions.clear();
        self.versions.clear();
        self.times.clear();
        self.schema_versions.clear();
        self.kinds.clear();
        self.ids.clear();
        self.ends.clear();
        self.text.clear();
        self.kind_table.clear();
    }

    /// The place in `kind_table` of this kind, which is added if it is new.
    pub fn kind_index(&mut self, kind: &EventKind) -> u32 {
        let index = self.kind_table.iter().position(|known| known == kind).unwrap_or_else(|| {
            self.kind_table.push(kind.clone());
            self.kind_table.len() - 1
        });
        index as u32
    }

    /// Adds an event behind the others. `kind` is its place in `kind_table`.
    ///
    /// The caller keeps the batch's text below 4 GiB, the reach of `ends`.
    pub fn push(&mut self, event: EventRef<'_>, kind: u32) {
        self.positions.push(event.position.0);
        self.versions.push(event.version.0);
        self.times.push(event.time.0);
        self.schema_versions.push(event.schema_version);
        self.kinds.push(kind);
        self.ids.extend_from_slice(event.id.as_bytes());
        for part in [event.stream.as_bytes(), event.data, event.metadata.as_bytes()] {
            self.text.extend_from_slice(part);
            self.ends.push(self.text.len() as u32);
        }
    }

    /// The event at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`EventBatch::len`].
    pub fn get(&self, index: usize) -> EventRef<'_> {
        let ends = &self.ends[3 * index..3 * index + 3];
        EventRef {
            id: Uuid::from_slice(&self.ids[16 * index..16 * index + 16]).expect("an id has 16 bytes"),
            stream: self.utf8(self.text_start(index)..ends[0]),
            version: StreamVersion(self.versions[index]),
            position: Position(self.positions[index]),
            kind: &self.kind_table[self.kinds[index] as usize],
            schema_version: self.schema_versions[index],
            time: Timestamp(self.times[index]),
            data: &self.text[ends[0] as usize..ends[1] as usize],
            metadata: self.utf8(ends[1]..ends[2]),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = EventRef<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The events for which `keep` answers true, as a batch of their own.
    pub fn filtered(&self, mut keep: impl FnMut(&EventRef<'_>) -> bool) -> Self {
        let mut kept = Self { kind_table: self.kind_table.clone(), ..Self::default() };
        for (index, event) in self.iter().enumerate() {
            if keep(&event) {
                kept.push(event, self.kinds[index]);
            }
        }
        kept
    }

    /// Fills `selected`, which is emptied first, with the events of some kinds and with these kinds. `wanted` has an
    /// answer for each of the kind table.
    pub fn select_kinds(&self, wanted: &[bool], selected: &mut Self) {
        selected.clear();
        let mut places = Vec::with_capacity(wanted.len());
        for (kind, wanted) in self.kind_table.iter().zip(wanted) {
            places.push(selected.kind_table.len() as u32);
            selected.kind_table.extend(wanted.then(|| kind.clone()));
        }
        let mut end = 0;
        for run in self.kinds.chunk_by(|a, b| wanted[*a as usize] == wanted[*b as usize]) {
            let start = end;
            end += run.len();
            if wanted[run[0] as usize] {
                selected.kinds.extend(run.iter().map(|kind| places[*kind as usize]));
                selected.push_all_but_kinds(self, start..end);
            }
        }
    }

    /// Adds some of the events of a batch with the same kinds at the same places.
    pub fn push_range(&mut self, from: &Self, events: Range<usize>) {
        self.kinds.extend_from_slice(&from.kinds[events.clone()]);
        self.push_all_but_kinds(from, events);
    }

    fn push_all_but_kinds(&mut self, from: &Self, events: Range<usize>) {
        self.positions.extend_from_slice(&from.positions[events.clone()]);
        self.versions.extend_from_slice(&from.versions[events.clone()]);
        self.times.extend_from_slice(&from.times[events.clone()]);
        self.schema_versions.extend_from_slice(&from.schema_versions[events.clone()]);
        self.ids.extend_from_slice(&from.ids[16 * events.start..16 * events.end]);
        let (start, end) = (from.text_start(events.start), from.text_start(events.end));
        // Backwards or forwards.
        let shift = (self.text.len() as u32).wrapping_sub(start);
        self.ends.extend(from.ends[3 * events.start..3 * events.end].iter().map(|end| end.wrapping_add(shift)));
        self.text.extend_from_slice(&from.text[start as usize..end as usize]);
    }

    /// Where the text of the event at `index` begins.
    fn text_start(&self, index: usize) -> u32 {
        if index == 0 { 0 } else { self.ends[3 * index - 1] }
    }

    /// The bytes that the columns of the batch take.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.len() * Self::EVENT_BYTES
    }

    fn utf8(&self, range: Range<u32>) -> &str {
        // The log checks names and metadata when they are appended.
        std::str::from_utf8(&self.text[range.start as usize..range.end as usize]).unwrap_or("\u{fffd}")
    }
}

impl EventRef<'_> {
    /// See [`UNREADABLE`].
    pub fn is_unreadable(&self) -> bool {
        self.kind.content_type == UNREADABLE
    }

    pub fn to_recorded(&self) -> RecordedEvent {
        RecordedEvent {
            id: self.id,
            stream: StreamName(self.stream.to_owned()),
            version: self.version,
            position: self.position,
            event_type: self.kind.event_type.clone(),
            schema_version: self.schema_version,
            time: self.time,
            content_type: self.kind.content_type.clone(),
            data: self.data.to_vec(),
            metadata: self.metadata.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> EventBatch {
        let mut batch = EventBatch::default();
        let kind = EventKind {
            category: "order".into(),
            event_type: "Placed".into(),
            content_type: super::super::JSON.into(),
        };
        let index = batch.kind_index(&kind);
        for n in 1..=3u64 {
            let stream = format!("order-{n}");
            let event = EventRef {
                id: Uuid::from_u128(n.into()),
                stream: &stream,
                version: StreamVersion(1),
                position: Position(n),
                kind: &kind,
                schema_version: 1,
                time: Timestamp(7),
                data: b"{\"n\":1}",
                metadata: "{}",
            };
            batch.push(event, index);
        }
        batch
    }

    #[test]
    fn an_event_comes_back_as_it_was_pushed() {
        let batch = batch();
        let event = batch.get(1);
        assert_eq!((event.stream, event.position, event.data), ("order-2", Position(2), &b"{\"n\":1}"[..]));
        assert_eq!((event.metadata, event.id), ("{}", Uuid::from_u128(2)));
        assert_eq!(event.to_recorded().event_type, "Placed");
    }

    #[test]
    fn events_of_some_kinds_come_out_as_if_they_had_been_pushed_alone() {
        let kinds = ["Placed", "Paid", "Shipped"].map(|event_type| EventKind {
            category: "order".into(),
            event_type: event_type.into(),
            content_type: super::super::JSON.into(),
        });
        let template = batch();
        let filled = |wanted: [bool; 3]| {
            let mut batch = EventBatch::default();
            for (n, place) in (1..).zip([0, 0, 1, 2, 2, 1, 0, 2, 1, 1]).filter(|(_, place)| wanted[*place]) {
                let stream = format!("order-{}", n * n);
                let kind = batch.kind_index(&kinds[place]);
                let event = EventRef { stream: &stream, position: Position(n), kind: &kinds[place], ..template.get(0) };
                batch.push(event, kind);
            }
            batch
        };
        let mut selected = batch();
        for wanted in (0..8).map(|bits| [bits & 1 > 0, bits & 2 > 0, bits & 4 > 0]) {
            filled([true; 3]).select_kinds(&wanted, &mut selected);
            assert_eq!(selected, filled(wanted), "{wanted:?}");
        }
    }

    #[test]
    fn filtering_keeps_the_order_and_the_kinds() {
        let kept = batch().filtered(|event| event.stream != "order-2");
        assert_eq!(kept.positions, [1, 3]);
        assert_eq!(kept.get(1).stream, "order-3");
        assert_eq!(kept.get(1).kind.category, "order");
    }
}
