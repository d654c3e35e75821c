//! Checksums over events and the chain through them, because SQLite does not notice a flipped bit
//! or a missing row. They find damage; they do not stop someone who can write to the file.

use rusqlite::types::ValueRef;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Everything of an event that its checksum covers.
pub(super) struct Content<'a> {
    pub position: u64,
    pub version: u64,
    pub time: i64,
    pub schema_version: u32,
    pub id: &'a [u8; 16],
    /// See [`of_kind`].
    pub kind: u64,
    /// Stream name, data and metadata, one after the other.
    pub text: &'a [u8],
    pub stream_bytes: usize,
    pub data_bytes: usize,
}

impl Content<'_> {
    pub fn checksum(&self) -> u64 {
        let parts: [[u8; 8]; 8] = [
            self.position.to_le_bytes(),
            self.version.to_le_bytes(),
            self.time.to_le_bytes(),
            u64::from(self.schema_version).to_le_bytes(),
            self.kind.to_le_bytes(),
            xxh3_64(self.text).to_le_bytes(),
            (self.stream_bytes as u64).to_le_bytes(),
            (self.data_bytes as u64).to_le_bytes(),
        ];
        let mut bytes = [0; 80];
        bytes[..64].copy_from_slice(parts.as_flattened());
        bytes[64..].copy_from_slice(self.id);
        xxh3_64(&bytes)
    }
}

/// The hash that stands for the names of a kind: category, event type, content type. A line feed
/// cannot be part of a name.
pub(super) fn of_kind(names: [&str; 3]) -> u64 {
    xxh3_64(names.join("\n").as_bytes())
}

/// The chain of position 0: events of another log do not fit to it.
pub(super) fn chain_start(log_id: Uuid) -> u64 {
    xxh3_64(log_id.as_bytes())
}

/// The chain of an event from the chain of the event before it.
pub(super) fn chain_on(chain: u64, checksum: u64) -> u64 {
    xxh3_64([chain.to_le_bytes(), checksum.to_le_bytes()].as_flattened())
}

/// The checksum of a segment: over these numbers of its row and over its unpacked columns.
pub(super) fn of_segment(row: [u64; 4], numbers: &[u8], text: &[u8]) -> u64 {
    let [first_position, events, chain_before, chain] = row;
    let parts = [first_position, events, chain_before, chain, xxh3_64(numbers), xxh3_64(text)];
    xxh3_64(parts.map(u64::to_le_bytes).as_flattened())
}

/// The checksum of a segment's columns as they are stored.
pub(super) fn of_packed(numbers: &[u8], text: &[u8]) -> u64 {
    xxh3_64([xxh3_64(numbers), xxh3_64(text)].map(u64::to_le_bytes).as_flattened())
}

/// The checksum of a leaf of the index of segments.
pub(super) fn of_leaf(map: u64, (a, b): (u64, u64), entries: &[u8]) -> u64 {
    xxh3_64([map, a, b, xxh3_64(entries)].map(u64::to_le_bytes).as_flattened())
}

/// The checksum of a row: over its values in their order.
pub(super) fn of_values<'a>(values: impl IntoIterator<Item = ValueRef<'a>>) -> u64 {
    let parts = values.into_iter().map(|value| match value {
        ValueRef::Null => [0, 0],
        ValueRef::Integer(number) => [1, number as u64],
        ValueRef::Real(number) => [2, number.to_bits()],
        ValueRef::Text(text) => [3, xxh3_64(text)],
        ValueRef::Blob(bytes) => [4, xxh3_64(bytes)],
    });
    let parts: Vec<[u8; 8]> = parts.flatten().map(u64::to_le_bytes).collect();
    xxh3_64(parts.as_flattened())
}

/// Stands for the id of an event, in an index.
pub(super) fn of_id(id: Uuid) -> u64 {
    xxh3_64(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(stream_bytes: usize, data_bytes: usize) -> u64 {
        let (id, text) = (&[7; 16], b"order-1{}{}");
        Content { position: 1, version: 1, time: 0, schema_version: 1, id, kind: 0, text, stream_bytes, data_bytes }
            .checksum()
    }

    #[test]
    fn bytes_that_move_from_one_field_to_the_next_change_the_checksum() {
        assert_ne!(checksum(7, 2), checksum(6, 3));
        assert_ne!(checksum(7, 2), checksum(7, 3));
    }

    /// The file format depends on these numbers.
    #[test]
    fn checksums_stay_what_they_are() {
        assert_eq!(of_kind(["a", "b", "c"]), 14_632_118_043_024_967_831);
        assert_eq!(chain_on(chain_start(Uuid::nil()), 1), 6_994_895_642_910_994_219);
        assert_eq!(checksum(7, 2), 3_389_120_918_639_589_005);
        assert_eq!(of_segment([1, 2, 3, 4], b"numbers", b"text"), 1_608_195_110_489_649_682);
        assert_eq!(of_leaf(1, (2, 3), b"entries"), 1_452_898_441_452_716_671);
        let values =
            [ValueRef::Null, ValueRef::Integer(1), ValueRef::Real(0.5), ValueRef::Text(b"a"), ValueRef::Blob(b"")];
        assert_eq!(of_values(values), 2_734_386_343_090_009_204);
        assert_eq!(of_id(Uuid::nil()), 15_034_821_391_391_295_848);
    }
}
