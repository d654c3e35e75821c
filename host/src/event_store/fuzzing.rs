//! Segments and rows of the log for `crate::fuzzing`.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use zstd::bulk::Decompressor;

use super::checksum::of_kind;
use super::decode::Decoder;
use super::segment::{PackedRef, Segment};
use crate::event::{EventBatch, JSON, StreamName};

/// Takes the first `N` bytes off, or zeros.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let Some((first, rest)) = bytes.split_first_chunk() else { return [0; N] };
    *bytes = rest;
    *first
}

/// Three bytes say how many events there are and how long the numbers are; the rest is numbers and text. They are
/// refused, both as they would lie in the file and as if their checksum were right, or every event can be read.
pub fn segment(mut bytes: &[u8]) {
    let count = usize::from(take::<1>(&mut bytes)[0]);
    let length = usize::from(u16::from_le_bytes(take(&mut bytes)));
    let (numbers, text) = bytes.split_at(length.min(bytes.len()));
    let packed = PackedRef { row: [1, count as u64, 0, 0], checksum: 0, numbers, text };
    let unpacked = Segment::default().unpack(&packed, &mut Decompressor::default());
    assert!(unpacked.is_err(), "its checksum is wrong");
    let Some(segment) = Segment::unverified(numbers, text, count) else { return };
    let mut batch = EventBatch::default();
    segment.copy(0..segment.len(), &mut batch);
    for index in 0..segment.len() {
        let [name, data, metadata] = segment.parts(index);
        assert!(name.len() + data.len() + metadata.len() <= text.len());
        if let Ok(name) = std::str::from_utf8(name) {
            assert!(segment.of_stream(name).all(|found| segment.parts(found)[0] == name.as_bytes()));
        }
    }
    assert_eq!((batch.positions.len(), batch.ids.len()), (count, 16 * count));
}

/// A row of the table `events`: each of its columns is a kind of value and what is in it, and the name of its stream is
/// what is left. It is refused, or is an event whose checksum is right.
pub fn row(mut bytes: &[u8]) {
    let mut value = || match take::<1>(&mut bytes)[0] {
        tag @ 0..64 => Value::Integer(i64::from(tag)),
        64..128 => Value::Integer(i64::from_le_bytes(take(&mut bytes))),
        128..144 => Value::Null,
        144..160 => Value::Real(f64::from_le_bytes(take(&mut bytes))),
        160..176 => Value::Blob(take::<16>(&mut bytes).to_vec()),
        tag => {
            let (text, rest) = bytes.split_at(usize::from(tag - 176).min(bytes.len()));
            bytes = rest;
            Value::Text(String::from_utf8_lossy(text).into_owned())
        }
    };
    let columns: Vec<_> = (0..11).map(|_| value()).collect();
    let name = String::from_utf8_lossy(bytes);
    let _ = name.parse::<StreamName>();
    thread_local! {
        static LOG: Connection = {
            let connection = Connection::open_in_memory().expect("opens");
            connection.execute_batch(include_str!("schema.sql")).expect("sound");
            let kind = ["order", "Placed", JSON];
            let made = "INSERT INTO kinds VALUES (1, ?1, ?2, ?3, ?4)";
            connection.execute(made, (kind[0], kind[1], kind[2], of_kind(kind) as i64)).expect("sound");
            connection
        };
    }
    LOG.with(|connection| {
        connection.execute("INSERT OR REPLACE INTO streams VALUES (1, ?)", [&name]).expect("any text is a name");
        let mut batch = EventBatch::default();
        let mut decoder = Decoder::new("log".into());
        let mut statement = connection.prepare_cached("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?").expect("sound");
        let mut rows = statement.query(params_from_iter(&columns)).expect("runs");
        let row = rows.next().expect("runs").expect("one row");
        if decoder.push(connection, row, &mut batch, usize::MAX).is_ok_and(|link| link.is_some()) {
            assert_eq!(batch.get(0).stream, name);
        }
    });
}
