//! Plugins that misbehave when they are given events: each event is parked, with the reason.

use super::{Crime, FOR_EVER, Stage, crime};
use crate::guest::{ColumnType, Guest, Table};

pub fn crimes() -> Vec<Crime> {
    [loops(), bombs(), floods(), large_calls(), rows(), calls(), answers(), surroundings()]
        .into_iter()
        .flatten()
        .collect()
}

fn does(name: &'static str, apply: &'static str, said: &'static str) -> Crime {
    crime(Stage::Apply, name, |name| Guest::typed(name, apply), said)
}

/// A crime that needs more functions.
fn does_with(name: &'static str, apply: &'static str, functions: &'static str, said: &'static str) -> Crime {
    crime(Stage::Apply, name, |name| Guest::typed(name, apply).with(functions), said)
}

fn loops() -> Vec<Crime> {
    vec![
        does("endless-apply", FOR_EVER, "units of fuel"),
        does(
            "endless-apply-on-the-third",
            "(call $row (local.get $count)) (call $put_row) (loop $for_ever (br $for_ever))",
            "units of fuel",
        ),
        does(
            "endless-copies",
            "(call $pages (i32.const 200))
             (loop $more (memory.copy (i32.const 65536) (i32.const 65537) (i32.const 13041663)) (br $more))",
            "units of fuel",
        ),
        does_with(
            "endless-recursion",
            "(call $deeper)",
            "(func $deeper
          (call $deeper))",
            "call stack exhausted",
        ),
        does_with(
            "endless-recursion-through-a-table",
            "(call_indirect (i32.const 0))",
            "(table 1 funcref) (elem (i32.const 0) $round) (func $round (call_indirect (i32.const 0)))",
            "call stack exhausted",
        ),
        crime(Stage::Apply, "endless-realloc", |name| Guest::typed(name, "").with_realloc(FOR_EVER), "units of fuel"),
    ]
}

fn bombs() -> Vec<Crime> {
    vec![
        does("memory-bomb", "(call $pages (i32.const 65536))", "the limit memory_mib is 16"),
        does(
            "memory-bomb-by-the-page",
            "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            "the limit memory_mib is 16",
        ),
        does_with(
            "table-bomb",
            "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100000))
              (i32.const -1)))) unreachable",
            "(table $t 1 funcref)",
            "the limit max_table_elements is 1000000",
        ),
    ]
}

/// Calls of the host, as many as fit into the fuel of one event.
fn floods() -> Vec<Crime> {
    vec![
        does(
            "flood-of-rows",
            "(loop $more (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (call $row (local.get $i)) (call $put_row) (br $more))",
            "in `put_row`, called by `apply`",
        ),
        does("flood-of-one-row", "(call $row (i32.const 1)) (loop $more (call $put_row) (br $more))", "units of fuel"),
        does(
            "flood-of-gets",
            "(call $row (i32.const 1)) (loop $more
            (call $get (global.get $rows) (i32.const 4) (i32.const 576) (i32.const 1) (i32.const 544)) (br $more))",
            "units of fuel",
        ),
        does(
            "flood-of-finds",
            "(call $integer (i32.const 576) (i64.const 1)) (loop $more
            (call $find (global.get $rows) (i32.const 4) (global.get $by_n) (i32.const 4) (i32.const 576)
              (i32.const 1)
              (i32.const 10000) (i32.const 544)) (br $more))",
            "units of fuel",
        ),
        does(
            "flood-of-deletes",
            "(call $row (i32.const 1)) (loop $more
            (call $delete (global.get $rows) (i32.const 4) (i32.const 576) (i32.const 1)) (br $more))",
            "units of fuel",
        ),
        does(
            "flood-of-log-lines",
            "(loop $more (call $log (i32.const 3) (i32.const 4096) (i32.const 2)) (br $more))",
            "units of fuel",
        ),
    ]
}

/// Calls of the host that bring too much, or ask for it.
fn large_calls() -> Vec<Crime> {
    vec![
        does(
            "log-lines-of-one-byte",
            "(call $pages (i32.const 200))
            (memory.fill (i32.const 131072) (i32.const 10) (i32.const 12000000))
            (loop $more (call $log (i32.const 0) (i32.const 131072) (i32.const 12000000)) (br $more))",
            "units of fuel",
        ),
        does(
            "two-hundred-thousand-keys",
            "(call $pages (i32.const 200))
            (call $get_many (global.get $rows) (i32.const 4) (i32.const 131072) (i32.const 200000) (i32.const 544))",
            "get-many of 200000 keys; at most 10000 are allowed",
        ),
        does(
            "million-values-in-a-key",
            "(call $pages (i32.const 200))
            (call $get (global.get $rows) (i32.const 4) (i32.const 131072) (i32.const 800000) (i32.const 544))",
            "the limit memory_mib is 16",
        ),
        does(
            "same-memory-a-million-times",
            "(call $pages (i32.const 200))
            (loop $more
              (i64.store (i32.add (i32.const 131072) (i32.shl (local.get $i) (i32.const 3)))
                (i64.const 0x000003e800002000))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $more (i32.lt_u (local.get $i) (i32.const 1000000))))
            (call $put_many (global.get $rows) (i32.const 4) (i32.const 131072) (i32.const 1000000))",
            "the limit memory_mib is 16",
        ),
        does(
            "long-texts",
            "(call $pages (i32.const 200))
            (loop $more (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (call $row (local.get $i))
              (call $text (i32.const 608) (i32.const 131072) (i32.add (i32.const 8000000) (local.get $i)))
              (call $put_row) (br $more))",
            "in `put_row`, called by `apply`",
        ),
        crime(Stage::Apply, "one-large-row-ten-thousand-times", one_large_row, "are too large; read fewer at once"),
    ]
}

/// Asks for a row of 4 MB by ten thousand equal keys.
fn one_large_row(name: &str) -> Guest {
    let apply = "(call $pages (i32.const 200))
        (call $row (i32.const 1))
        (call $text (i32.const 624) (i32.const 131072) (i32.const 4000000))
        (call $put_row)
        (loop $more
          (i64.store (i32.add (i32.const 8388608) (i32.shl (local.get $i) (i32.const 3)))
            (i64.const 0x0000000100000240))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 10000))))
        (call $get_many (global.get $rows) (i32.const 4) (i32.const 8388608) (i32.const 10000) (i32.const 544))";
    Guest::typed(name, apply).with_table(Table::with_column("body", ColumnType::Text))
}

/// Rows that are written.
fn rows() -> Vec<Crime> {
    let put = "(call $row (i32.const 1))";
    let puts = |name, change: &str, said| {
        crime(Stage::Apply, name, |name| Guest::typed(name, &format!("{put} {change} (call $put_row)")), said)
    };
    let into = |name, table: &str, said| {
        let length = table.len();
        let apply = format!("{put} (call $put (i32.const 1024) (i32.const {length}) (i32.const 608) (i32.const 2))");
        let text = format!("(data (i32.const 1024) \"{table}\")");
        crime(Stage::Apply, name, |name| Guest::typed(name, &apply).with(&text), said)
    };
    let real = |name, value: &str, said| {
        let apply = format!(
            "{put} (i32.store8 (i32.const 624) (i32.const 2)) (f64.store (i32.const 632)
              (f64.const {value})) (call $put_row)"
        );
        crime(
            Stage::Apply,
            name,
            |name| Guest::typed(name, &apply).with_table(Table::with_column("r", ColumnType::Real)),
            said,
        )
    };
    vec![
        into("row-for-another-plugin", "accounts", "the table \"accounts\" is not declared"),
        into("row-for-sqlite", "sqlite_master", "is not declared"),
        into("row-for-lantern", "lantern_checkpoint", "is not declared"),
        into("sql-in-a-table", "rows\\22; DROP TABLE rows; --", "is not declared"),
        into("path-in-a-table", "../neighbour/rows", "is not declared"),
        into("table-that-is-not-utf8", "\\ff\\fe", "utf-8"),
        puts("null-key", "(i32.store8 (i32.const 608) (i32.const 0))", "is not nullable and got null"),
        puts("number-for-a-text", "(call $integer (i32.const 608) (i64.const 1))", "holds text and got integer"),
        puts(
            "text-for-a-number",
            "(call $text (i32.const 624) (i32.const 648) (i32.const 8))",
            "holds integer and got text",
        ),
        puts("value-of-no-kind", "(i32.store8 (i32.const 624) (i32.const 77))", "discriminant"),
        puts("text-behind-the-memory", "(i32.store (i32.const 616) (i32.const -4))", "out of bounds"),
        puts("text-of-four-gigabytes", "(i32.store (i32.const 620) (i32.const -1))", "out of bounds"),
        puts("text-that-is-not-utf8", "(i32.store (i32.const 648) (i32.const -1))", "utf-8"),
        real("nan-in-a-row", "nan", "got NaN"),
        real("nan-with-a-message", "nan:0xdeadbeef", "got NaN"),
    ]
}

/// Calls with other arguments than they have.
fn calls() -> Vec<Crime> {
    vec![
        does(
            "row-of-one-value",
            "(call $row (i32.const 1)) (call $put (global.get $rows) (i32.const 4) (i32.const 608)
              (i32.const 1))",
            "has 1 values; the table has 2 columns",
        ),
        does(
            "row-of-a-billion-values",
            "(call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 1000000000))",
            "out of bounds",
        ),
        does(
            "row-at-an-odd-place",
            "(call $put (global.get $rows) (i32.const 4) (i32.const 609) (i32.const 2))",
            "aligned",
        ),
        does(
            "answer-behind-the-memory",
            "(call $row (i32.const 1)) (call $get (global.get $rows) (i32.const 4) (i32.const 576)
              (i32.const 1) (i32.const -16))",
            "out of bounds",
        ),
        does(
            "unknown-index",
            "(call $find (global.get $rows) (i32.const 4) (global.get $rows) (i32.const 4) (i32.const 576)
              (i32.const 0) (i32.const 1) (i32.const 544))",
            "names the unknown index \"rows\"",
        ),
        does(
            "more-values-than-the-index",
            "(call $find (global.get $rows) (i32.const 4) (global.get $by_n) (i32.const 4) (i32.const 608)
              (i32.const 2) (i32.const 1) (i32.const 544))",
            "the index has 1 columns",
        ),
        does("level-of-no-kind", "(call $log (i32.const 99) (i32.const 0) (i32.const 0))", "discriminant"),
    ]
}

/// What comes back from `apply`.
fn answers() -> Vec<Crime> {
    let answers = |name, tag: i64, text: [i64; 2], said| {
        let apply = format!(
            "(i32.store8 (i32.const 512) (i32.const {tag})) (i32.store (i32.const 516) (i32.const {}))
              (i32.store (i32.const 520) (i32.const {}))",
            text[0], text[1]
        );
        crime(Stage::Apply, name, |name| Guest::typed(name, &apply).with("(data (i32.const 700) \"\\ff\")"), said)
    };
    vec![
        answers("answer-of-no-kind", 9, [0, 0], "discriminant"),
        answers("reason-behind-the-memory", 1, [-4, 100], "out of bounds"),
        answers("reason-that-is-not-utf8", 1, [700, 1], "utf-8"),
        crime(
            Stage::Apply,
            "reason-that-clears-the-screen",
            |name| {
                let says = "(i32.store8 (i32.const 512) (i32.const 1))
                    (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 3000))";
                Guest::typed(name, says).with("(data (i32.const 1024) \"\\1b[2J\\1b[Hgone\")")
            },
            "[2J [Hgone",
        ),
        does_with(
            "function-that-clears-the-screen",
            "(call $\"\\1b[2J\\0a\")",
            "(func $\"\\1b[2J\\0a\" unreachable)",
            "executed in ` [2J `, called by `apply`",
        ),
    ]
}

/// What surrounds `apply`: the memory that the host asks for, and the system interface.
fn surroundings() -> Vec<Crime> {
    let realloc = |name, realloc: &'static str, said| {
        crime(Stage::Apply, name, |name| Guest::typed(name, "").with_realloc(realloc), said)
    };
    let preview1 = |name, import: &'static str, apply: &'static str, said| {
        crime(Stage::Apply, name, |name| Guest::typed(name, apply).importing(import), said)
    };
    vec![
        realloc("realloc-behind-the-memory", "(local.set $at (i32.const -64))", "beyond end of memory"),
        realloc("realloc-at-an-odd-place", "(local.set $at (i32.const 65537))", "aligned"),
        realloc("realloc-that-traps", "unreachable", "unreachable"),
        realloc("realloc-that-calls-the-host", "(call $log (i32.const 0) (i32.const 0) (i32.const 0))", "cannot leave"),
        preview1(
            "exit",
            r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#,
            "(call $exit (i32.const 0))",
            "in `proc_exit`, called by `apply`",
        ),
        preview1(
            "flood-of-random-numbers",
            r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#,
            "(loop $more (drop (call $random (i32.const 8192) (i32.const 50000))) (br $more))",
            "units of fuel",
        ),
        preview1(
            "flood-of-output",
            r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32)
              (result i32)))"#,
            "(call $pages (i32.const 200)) (memory.fill (i32.const 131072) (i32.const 10) (i32.const 12000000))
             (i32.store (i32.const 800) (i32.const 131072)) (i32.store (i32.const 804) (i32.const 12000000))
             (loop $more (drop (call $write (i32.const 1) (i32.const 800) (i32.const 1) (i32.const 816))) (br $more))",
            "units of fuel",
        ),
    ]
}
