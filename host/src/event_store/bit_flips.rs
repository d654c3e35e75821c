//! Single flipped bits in the file of a log: each in an event's row, a segment or an index is noticed by whoever
//! reads the log and by a verification, and no reader is given an event that was never written.
#![expect(clippy::unwrap_used)]

use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, params};

use super::fixture::{Fixture, event, interest, request};
use super::packed_index::Map;
use super::{AppendRequest, EventStore, EventStoreError, EventStoreOptions, ReadLimit};
use crate::event::{EventBatch, Interest, NewEvent, Position};

const FLIPS: usize = 1000;
const PAGE: usize = 4096;

/// 60 events, some of them larger than a page and some without JSON, which are refunds.
fn fill(fixture: &Fixture) {
    for n in 0..60 {
        let data = match n % 10 {
            0 => format!("{{\"text\":\"{}\"}}", "lantern ".repeat(700 + n as usize)).into_bytes(),
            _ => format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(n as usize)).into_bytes(),
        };
        let content_type = if n % 7 == 3 { "application/octet-stream" } else { crate::event::JSON };
        let event_type = if n % 7 == 3 { "Refunded" } else { "Placed" };
        let event = NewEvent { data, event_type: event_type.into(), content_type: content_type.into(), ..event(n) };
        let name = ["order-1", "order-2", "order-4"][n as usize % 3];
        fixture.store.append(AppendRequest { events: vec![event], ..request(name, []) }).unwrap();
    }
}

/// All events of an interest, in small pages; also those that come before an error.
fn read(path: &Path, interest: &Interest) -> (Vec<EventBatch>, Result<(), EventStoreError>) {
    let mut pages = Vec::new();
    let read = EventStore::open_read_only(path, EventStoreOptions::default()).and_then(|store| {
        let (mut reader, mut after) = (store.reader()?, Position(0));
        let limit = ReadLimit { events: 7, bytes: 1 << 20 };
        loop {
            let mut page = EventBatch::default();
            let to = reader.read_after(after, std::slice::from_ref(interest), limit, &mut page)?;
            if to == after {
                return Ok(());
            }
            pages.push(page);
            after = to;
        }
    });
    (pages, read)
}

fn verify(path: &Path) -> Result<Option<Position>, EventStoreError> {
    EventStore::open_read_only(path, EventStoreOptions::default())?.verify(|_| true)
}

/// Flips [`FLIPS`] bits, one at a time, each somewhere in these ranges of the file. Answers how many were noticed by a
/// reader of this interest, and how many by a verification.
fn flip(fixture: &Fixture, interest: &Interest, ranges: &[Range<usize>]) -> (usize, usize) {
    let sound = std::fs::read(fixture.path()).unwrap();
    let (pages, read_all) = read(&fixture.path(), interest);
    read_all.unwrap();
    assert_eq!(verify(&fixture.path()).unwrap(), Some(Position(60)));
    let bytes: Vec<usize> = ranges.iter().cloned().flatten().collect();
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("events.db");
    let (mut by_reader, mut by_verification) = (0, 0);
    for n in 0..FLIPS as u64 {
        let random = xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()) as usize;
        let (byte, bit) = (bytes[random / 8 % bytes.len()], random % 8);
        let mut file = sound.clone();
        file[byte] ^= 1 << bit;
        std::fs::write(&damaged, &file).unwrap();
        let (read_pages, outcome) = read(&damaged, interest);
        assert!(read_pages.iter().zip(&pages).all(|(read, written)| read == written), "a wrong event was read");
        by_reader += usize::from(outcome.is_err());
        let verified = verify(&damaged);
        by_verification += usize::from(verified.is_err());
        if outcome.is_ok() || verified.is_ok() {
            println!("byte {byte}, bit {bit}: {outcome:?}, {verified:?}");
        }
    }
    (by_reader, by_verification)
}

/// Where the rows of a table are in the file: cells of its B-tree with the pages that they overflow to.
fn rows(file: &[u8], table: &str, path: &Path) -> Vec<Range<usize>> {
    let root = Connection::open(path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table], |row| row.get::<_, usize>(0))
        .unwrap();
    let (mut pages, mut found) = (vec![root], Vec::new());
    while let Some(page) = pages.pop() {
        let start = (page - 1) * PAGE;
        let number =
            |at: usize, bytes: usize| file[at..at + bytes].iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        // A table without rowid is an index, whose inner pages have rows, too.
        let (is_leaf, is_index) = match file[start] {
            0x0d => (true, false),
            0x05 => (false, false),
            0x0a => (true, true),
            0x02 => (false, true),
            other => panic!("page {page} of {table} has type {other}"),
        };
        let header = if is_leaf { 8 } else { 12 };
        for cell in 0..number(start + 3, 2) {
            let at = start + number(start + header + 2 * cell, 2);
            if is_index {
                found.extend(row_without_rowid(file, at + if is_leaf { 0 } else { 4 }));
            } else if is_leaf {
                found.extend(row(file, at));
            }
            if !is_leaf {
                pages.push(number(at, 4));
            }
        }
        if !is_leaf {
            pages.push(number(start + 8, 4));
        }
    }
    found
}

/// Reads a number of one to nine bytes, and goes on behind it.
fn varint(file: &[u8], at: &mut usize) -> usize {
    let mut number = 0;
    loop {
        let byte = file[*at];
        *at += 1;
        number = number << 7 | usize::from(byte & 0x7f);
        if byte < 0x80 {
            return number;
        }
    }
}

/// The row that starts here and what of it lies on other pages.
fn row(file: &[u8], start: usize) -> Vec<Range<usize>> {
    let mut at = start;
    let payload = varint(file, &mut at);
    varint(file, &mut at);
    let mut ranges = payload_ranges(file, at, (payload, PAGE - 35));
    // The byte before and the one behind it stand for the position, which is the key of the row: SQLite does not look at it.
    ranges[0].start = at + 2;
    ranges.push(start..at + 1);
    ranges
}

/// As [`row`], of a table without rowid.
fn row_without_rowid(file: &[u8], start: usize) -> Vec<Range<usize>> {
    let mut at = start;
    let payload = varint(file, &mut at);
    let mut ranges = payload_ranges(file, at, (payload, (PAGE - 12) * 64 / 255 - 23));
    ranges.push(start..at);
    ranges
}

/// Where so many bytes are that start here, of which at most so many are on this page.
fn payload_ranges(file: &[u8], start: usize, (payload, most): (usize, usize)) -> Vec<Range<usize>> {
    let least = (PAGE - 12) * 32 / 255 - 23;
    let fitting = least + payload.saturating_sub(least) % (PAGE - 4);
    let local = if payload <= most {
        payload
    } else if fitting <= most {
        fitting
    } else {
        least
    };
    let mut ranges: Vec<_> = std::iter::once(start..start + local).collect();
    let (mut left, mut pointer) = (payload - local, start + local);
    while left > 0 {
        let page = u32::from_be_bytes(file[pointer..pointer + 4].try_into().unwrap()) as usize;
        ranges.push(pointer..pointer + 4);
        pointer = (page - 1) * PAGE;
        let here = left.min(PAGE - 4);
        ranges.push(pointer + 4..pointer + 4 + here);
        left -= here;
    }
    ranges
}

fn closed(fixture: Fixture) -> Fixture {
    fixture.store.clone().close();
    assert!(!fixture.path().with_extension("db-wal").exists(), "everything is in the file");
    fixture
}

#[test]
fn every_flipped_bit_in_the_row_of_an_event_is_noticed() {
    let fixture = Fixture::new();
    fill(&fixture);
    let fixture = closed(fixture);
    let ranges = rows(&std::fs::read(fixture.path()).unwrap(), "events", &fixture.path());
    assert!(ranges.len() > 60 && ranges.iter().map(Range::len).sum::<usize>() > 40_000, "{ranges:?}");
    assert_eq!(flip(&fixture, &Interest::everything(), &ranges), (FLIPS, FLIPS));
}

#[test]
fn every_flipped_bit_in_a_segment_is_noticed() {
    let fixture = Fixture::in_segments_of(15);
    fill(&fixture);
    assert_eq!(fixture.seal(), 60);
    let fixture = closed(fixture);
    let ranges = rows(&std::fs::read(fixture.path()).unwrap(), "segments", &fixture.path());
    assert!(ranges.len() >= 4, "{ranges:?}");
    assert_eq!(flip(&fixture, &Interest::everything(), &ranges), (FLIPS, FLIPS));
}

/// 60 events in segments of 15, with copies of the refunds.
fn with_copies() -> Fixture {
    let options = EventStoreOptions { seal_after_events: 0, segment_events: 15, ..EventStoreOptions::default() };
    let fixture = Fixture::with(EventStoreOptions { rare_percent: 50, ..options });
    fill(&fixture);
    assert_eq!((fixture.seal(), fixture.count("rare_events")), (60, 9));
    closed(fixture)
}

#[test]
fn every_flipped_bit_in_the_copy_of_a_rare_event_is_noticed() {
    let fixture = with_copies();
    let ranges = rows(&std::fs::read(fixture.path()).unwrap(), "rare_events", &fixture.path());
    assert_eq!(flip(&fixture, &interest(None, &["Refunded"]), &ranges), (FLIPS, FLIPS));
}

#[test]
fn every_flipped_bit_in_an_index_of_sealed_events_is_noticed() {
    let fixture = with_copies();
    let connection = Connection::open(fixture.path()).unwrap();
    let mut leaves = connection.prepare("SELECT map, a, b, entries FROM segment_index").unwrap();
    let leaves = leaves.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let leaves: Vec<(i64, i64, i64, Vec<u8>)> = leaves.unwrap().collect::<Result<_, _>>().unwrap();
    let mut flips = 0;
    for (map, a, b, entries) in &leaves {
        for bit in 0..8 * entries.len() {
            let mut damaged = entries.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let update = "UPDATE segment_index SET entries = ? WHERE (map, a, b) = (?, ?, ?)";
            connection.execute(update, params![damaged, map, a, b]).unwrap();
            let which = if *map == Map::Ids as i64 { Map::Ids } else { Map::Streams };
            assert!(which.find(&connection, (*a as u64, *b as u64), (u64::MAX >> 1, 0), 1).is_err());
            connection.execute(update, params![entries, map, a, b]).unwrap();
            flips += 1;
        }
    }
    assert!(flips > 1000, "only {flips}");
    println!("{flips} bits flipped");
    for change in [
        "DELETE FROM segment_index WHERE map = 1 AND a = (SELECT max(a) FROM segment_index WHERE map = 1)",
        "DELETE FROM segment_kinds WHERE first_position = 16 AND kind_id = 1",
        "INSERT INTO segment_kinds VALUES (9, 16, 0)",
        "UPDATE segment_kinds SET kind_id = 9 WHERE first_position = 16 AND kind_id = 1",
        "UPDATE segment_kinds SET copies = 0 WHERE copies = 3",
        "DELETE FROM rare_events WHERE position = 18",
        "UPDATE rare_events SET data = x'00' WHERE position = 18",
        "UPDATE rare_events SET position = 19 WHERE position = 18",
        "INSERT INTO rare_events SELECT kind_id, position + 1, stream, version, schema_version, id, time, data, metadata, checksum
         FROM rare_events WHERE position = 18",
        "UPDATE streams SET name = 'order-3' WHERE name = 'order-2'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("events.db");
        connection.execute("VACUUM INTO ?", [copy.to_string_lossy()]).unwrap();
        assert_eq!(verify(&copy).unwrap(), Some(Position(60)));
        assert!(Connection::open(&copy).unwrap().execute(change, []).unwrap() > 0, "{change}");
        assert!(verify(&copy).is_err(), "{change}");
    }
}

#[test]
fn a_verification_names_the_first_event_that_is_damaged_or_missing() {
    for (change, position) in [
        ("UPDATE events SET data = '{}' WHERE position IN (17, 23)", 17),
        ("DELETE FROM events WHERE position = 9", 9),
        ("UPDATE events SET chain = chain + 1 WHERE position = 40", 40),
        ("UPDATE events SET version = 99 WHERE position = 60", 60),
    ] {
        let fixture = Fixture::new();
        fill(&fixture);
        let fixture = closed(fixture);
        Connection::open(fixture.path()).unwrap().execute(change, []).unwrap();
        let error = verify(&fixture.path()).unwrap_err();
        assert!(
            matches!(&error, EventStoreError::Corrupt { position: Position(found), .. } if *found == position),
            "{change}: {error}"
        );
    }
}
