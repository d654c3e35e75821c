//! Columnar plugins whose `flush` misbehaves or hands over a buffer that lies.

use super::{Crime, FOR_EVER, Stage, crime};
use crate::guest::{ColumnType, Guest, Table};

/// A put of the row `a`, 1.
const ROW: [u8; 18] = [1, 0, 0, 3, 1, 0, 0, 0, b'a', 1, 1, 0, 0, 0, 0, 0, 0, 0];

pub fn crimes() -> Vec<Crime> {
    let does = |name, flush: &'static str, said| crime(Stage::Flush, name, |name| Guest::columnar(name, flush), said);
    let hands_over = |name, buffer: &[u8], said| crime(Stage::Flush, name, |name| Guest::flushing(name, buffer), said);
    // The row with some of its bytes replaced.
    let lies = |name, at: usize, bytes: &[u8], said| {
        let mut buffer = ROW;
        buffer[at..at + bytes.len()].copy_from_slice(bytes);
        crime(Stage::Flush, name, |name| Guest::flushing(name, &buffer), said)
    };
    let mut nan = ROW;
    nan[9] = 2;
    nan[10..].copy_from_slice(&f64::from_bits(0x7ff4_dead_beef_0001).to_le_bytes());
    let real = Table::with_column("r", ColumnType::Real);
    let buffer = |name, at: i64, length: i64, said| {
        let flush = format!(
            "(i32.store (i32.const 480) (i32.const {at})) (i32.store (i32.const 484)
              (i32.const {length}))"
        );
        crime(Stage::Flush, name, |name| Guest::columnar(name, &flush), said)
    };
    vec![
        does("endless-flush", FOR_EVER, "units of fuel"),
        does("trap-in-flush", "unreachable", "unreachable"),
        does("recursion-in-flush", "(drop (call $flush))", "call stack exhausted"),
        buffer("buffer-of-four-gigabytes", 1024, -1, "out of bounds"),
        buffer("buffer-behind-the-memory", -16, 64, "out of bounds"),
        buffer("buffer-of-the-whole-memory", 0, 131_072, "has the unknown operation 0"),
        hands_over("row-that-is-cut-off", &ROW[..12], "ends inside a change"),
        hands_over("row-and-a-half", &[&ROW[..], &ROW[..7]].concat(), "ends inside a change"),
        lies("unknown-operation", 0, &[9], "has the unknown operation 9"),
        lies("unknown-table", 1, &[7, 0], "names table 7, but only 1 are declared"),
        lies("unknown-tag", 3, &[99], "has a value with the unknown tag 99"),
        lies("text-longer-than-the-buffer", 4, &[255, 255, 255, 255], "ends inside a value"),
        lies("text-longer-by-one", 4, &[2], "ends inside a change"),
        lies("flushed-text-that-is-not-utf8", 8, &[0xff], "has text that is not UTF-8"),
        lies("flushed-null-key", 3, &[0], "is not nullable and got null"),
        lies("flushed-text-for-a-number", 9, &[3, 4, 0, 0, 0], "holds integer and got text"),
        lies("boolean-of-two", 9, &[5, 2], "has the boolean 2"),
        crime(Stage::Flush, "flushed-nan", |name| Guest::flushing(name, &nan).with_table(real), "got NaN"),
        crime(
            Stage::Flush,
            "pending-of-no-kind",
            |name| Guest::columnar(name, "").with("(data (i32.const 512) \"\\07\")"),
            "discriminant",
        ),
    ]
}
