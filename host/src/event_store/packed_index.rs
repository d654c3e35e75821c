//! A sorted index of small numbers in few bytes: in which segment something is. Each row of its table
//! is a leaf with many entries, of which only the differences are stored. Rows of their own would take
//! three times the space.

use rusqlite::{Connection, OptionalExtension, Row, ffi, params};

use super::checksum;

/// What an index leads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    /// From a stream and the version of its last event in a segment to that segment.
    Streams = 1,
    /// From two numbers that stand for an id to a segment that may hold it.
    Ids = 2,
}

/// What is looked up: two numbers, ordered by the first.
pub(super) type Key = (u64, u64);

/// A key, and the first position of a segment.
pub(super) type Entry = (Key, u64);

/// Bytes of a leaf. SQLite keeps larger rows of such a table in pages of their own.
const LEAF_BYTES: usize = 900;

const AT_OR_BEFORE: &str = "SELECT a, b, entries, checksum FROM segment_index WHERE map = ? AND (a, b) <= (?, ?)
    ORDER BY a DESC, b DESC LIMIT 1";

const AFTER: &str = "SELECT a, b FROM segment_index WHERE map = ? AND (a, b) > (?, ?) ORDER BY a, b LIMIT 1";

impl Map {
    /// Adds entries, which are sorted, none of them there already.
    pub fn add(self, connection: &Connection, mut entries: &[Entry]) -> rusqlite::Result<()> {
        while let Some((first, _)) = entries.first() {
            let (start, known) = self.leaf(connection, *first)?.unwrap_or((*first, Vec::new()));
            let next = self.next_start(connection, *first)?;
            let here = next.map_or(entries.len(), |next| entries.partition_point(|(key, _)| *key < next));
            let (added, rest) = entries.split_at(here);
            // Numbers that only grow leave full leaves behind, others leaves that have room.
            let grows = known.last() < added.first();
            let mut all = known;
            all.extend_from_slice(added);
            all.sort_unstable();
            self.replace(connection, start, &cut(&all, grows))?;
            entries = rest;
        }
        Ok(())
    }

    /// The entries from one key to another, both included; at most `max` of them.
    pub fn find(self, connection: &Connection, from: Key, to: Key, max: usize) -> rusqlite::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut start = from;
        loop {
            let (_, entries) = self.leaf(connection, start)?.unwrap_or_default();
            let wanted = entries.iter().filter(|(key, _)| (from..=to).contains(key));
            found.extend(wanted.take(max - found.len()));
            let is_past = entries.last().is_some_and(|(key, _)| *key > to);
            if is_past || start == to || found.len() >= max {
                return Ok(found);
            }
            match self.next_start(connection, start)? {
                Some(next) if next <= to => start = next,
                _ => return Ok(found),
            }
        }
    }

    /// The last entry before or at a key.
    pub fn last(self, connection: &Connection, at: Key) -> rusqlite::Result<Option<Entry>> {
        let leaf = self.leaf(connection, at)?;
        Ok(leaf.and_then(|(_, entries)| entries.into_iter().rfind(|(key, _)| *key <= at)))
    }

    /// The leaf that a key belongs to: where it starts, and its entries. `None` before the first leaf.
    fn leaf(self, connection: &Connection, key: Key) -> rusqlite::Result<Option<(Key, Vec<Entry>)>> {
        connection
            .prepare_cached(AT_OR_BEFORE)?
            .query_row(params![self as i64, key.0 as i64, key.1 as i64], |row| self.read_leaf(row))
            .optional()
    }

    fn read_leaf(self, row: &Row<'_>) -> rusqlite::Result<(Key, Vec<Entry>)> {
        let (start, entries) = (start(row)?, row.get_ref(2)?.as_blob()?);
        let expected = row.get::<_, Option<i64>>(3)?;
        if expected.is_some_and(|expected| expected as u64 != checksum::of_leaf(self as u64, start, entries)) {
            let reason = "a leaf of the index of sealed events does not match its checksum".to_owned();
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(reason)));
        }
        Ok((start, decode(entries)))
    }

    /// How many entries there are.
    pub fn count(self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut leaves = connection.prepare("SELECT a, b, entries, checksum FROM segment_index WHERE map = ?")?;
        let counts = leaves.query_map([self as i64], |row| Ok(self.read_leaf(row)?.1.len() as u64))?;
        counts.sum()
    }

    /// Where the leaf after a key starts.
    fn next_start(self, connection: &Connection, key: Key) -> rusqlite::Result<Option<Key>> {
        connection.prepare_cached(AFTER)?.query_row(params![self as i64, key.0 as i64, key.1 as i64], start).optional()
    }

    fn replace(self, connection: &Connection, start: Key, leaves: &[&[Entry]]) -> rusqlite::Result<()> {
        connection.prepare_cached("DELETE FROM segment_index WHERE map = ? AND a = ? AND b = ?")?.execute(params![
            self as i64,
            start.0 as i64,
            start.1 as i64
        ])?;
        let mut insert = connection
            .prepare_cached("INSERT INTO segment_index (map, a, b, entries, checksum) VALUES (?, ?, ?, ?, ?)")?;
        for leaf in leaves {
            let ((a, b), entries) = (leaf[0].0, encode(leaf));
            let checksum = checksum::of_leaf(self as u64, (a, b), &entries);
            insert.execute(params![self as i64, a as i64, b as i64, entries, checksum as i64])?;
        }
        Ok(())
    }
}

fn start(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
}

/// Cuts sorted entries into leaves, never between entries of one key: full ones, or about equal ones.
fn cut(entries: &[Entry], full: bool) -> Vec<&[Entry]> {
    let bytes = encode(entries).len();
    let most = if full { LEAF_BYTES } else { bytes.div_ceil(bytes.div_ceil(LEAF_BYTES)) };
    let mut leaves = Vec::new();
    let (mut start, mut before) = (0, Writer::default());
    for (index, entry) in entries.iter().enumerate() {
        let is_new_key = index > start && entries[index - 1].0 != entry.0;
        if is_new_key && before.bytes.len() >= most {
            leaves.push(&entries[start..index]);
            (start, before) = (index, Writer::default());
        }
        before.put(*entry);
    }
    leaves.push(&entries[start..]);
    leaves
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::default();
    entries.iter().for_each(|entry| writer.put(*entry));
    writer.bytes
}

/// The entries of a leaf as differences: of the first number; of the second where the first is that of
/// the entry before, otherwise the number itself; and of the position, which may fall.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    last: Entry,
}

impl Writer {
    fn put(&mut self, entry: Entry) {
        let ((a, b), position) = entry;
        let ((last_a, last_b), last_position) = self.last;
        self.number(a - last_a);
        self.number(if a == last_a { b - last_b } else { b });
        let step = position.wrapping_sub(last_position) as i64;
        self.number(((step << 1) ^ (step >> 63)) as u64);
        self.last = entry;
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }
}

/// What [`encode`] made. Of a damaged leaf without a checksum it makes entries that lead nowhere.
fn decode(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut last: Entry = Default::default();
    while let (Some(a), Some(b), Some(step)) = (number(&mut bytes), number(&mut bytes), number(&mut bytes)) {
        let key = (last.0.0.wrapping_add(a), if a == 0 { last.0.1.wrapping_add(b) } else { b });
        let step = (step >> 1) as i64 ^ -((step & 1) as i64);
        last = (key, last.1.wrapping_add_signed(step));
        entries.push(last);
    }
    entries
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        connection.execute_batch(include_str!("sealing.sql")).unwrap();
        connection.execute_batch(include_str!("checksums.sql")).unwrap();
        connection
    }

    /// Numbers that look random and are the same in every run.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        (seed..).map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()))
    }

    fn leaves(connection: &Connection) -> (usize, usize) {
        let sql = "SELECT count(*), max(length(entries)) FROM segment_index";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    #[test]
    fn what_was_added_in_any_order_is_found_and_nothing_else() {
        let connection = table();
        let mut all = BTreeSet::new();
        for round in 0..40 {
            let mut random = numbers(round * 1000);
            let mut next = |most| random.next().unwrap() % most;
            let mut entries: Vec<Entry> = (0..200).map(|_| ((next(50), next(1 << 40)), 1000 * round + 1)).collect();
            entries.sort_unstable();
            Map::Ids.add(&connection, &entries).unwrap();
            all.extend(entries);
        }
        Map::Streams.add(&connection, &[((7, 7), 7)]).unwrap();
        assert!(leaves(&connection).0 > 50 && leaves(&connection).1 < 1000, "{:?}", leaves(&connection));
        let found = Map::Ids.find(&connection, (0, 0), (99, 0), usize::MAX).unwrap();
        assert!(found.iter().eq(&all));
        for from in numbers(7).take(200).map(|n| (n % 51, n % (1 << 40))) {
            let to = (from.0 + 1, 0);
            let expected: Vec<_> = all.range((from, 0)..=(to, u64::MAX)).copied().collect();
            assert_eq!(Map::Ids.find(&connection, from, to, usize::MAX).unwrap(), expected);
            assert_eq!(Map::Ids.find(&connection, from, to, 3).unwrap(), expected[..expected.len().min(3)]);
            assert_eq!(Map::Ids.last(&connection, from).unwrap(), all.range(..=(from, u64::MAX)).next_back().copied());
        }
    }

    #[test]
    fn entries_of_one_key_stay_together_and_are_all_found() {
        let connection = table();
        for position in 0..2000 {
            Map::Ids.add(&connection, &[((5, 5), position)]).unwrap();
        }
        Map::Ids.add(&connection, &[((5, 4), 1), ((5, 6), 1)]).unwrap();
        assert_eq!(Map::Ids.find(&connection, (5, 5), (5, 5), usize::MAX).unwrap().len(), 2000);
    }

    #[test]
    fn growing_keys_fill_their_leaves() {
        let connection = table();
        for n in 0..1000 {
            Map::Streams.add(&connection, &[((n, 1), n), ((n, 2), n)]).unwrap();
        }
        let bytes: usize =
            connection.query_row("SELECT sum(length(entries)) FROM segment_index", [], |row| row.get(0)).unwrap();
        assert!(leaves(&connection).0 <= bytes / LEAF_BYTES + 1);
    }

    #[test]
    fn leaves_are_found_through_the_primary_key() {
        let connection = table();
        for (sql, expected) in [(AT_OR_BEFORE, "(a,b)<"), (AFTER, "(a,b)>")] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: String = plan.query_row([1, 1, 1], |row| row.get("detail")).unwrap();
            assert!(plan.starts_with("SEARCH") && plan.contains(expected), "{plan}");
        }
    }

    #[test]
    fn damaged_leaves_lead_nowhere_and_do_no_harm() {
        let whole = encode(&[((1, u64::MAX), 5), ((1 << 40, 3), 1)]);
        for end in 0..whole.len() {
            let _ = decode(&whole[..end]);
        }
        assert_eq!(decode(&[0xff; 40]), []);
        assert_eq!(decode(&whole).len(), 2);
    }
}
