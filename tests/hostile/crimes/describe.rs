//! Plugins that misbehave while they are asked to describe themselves, or say what may not be said.

use super::{Crime, FOR_EVER, Stage, crime};
use crate::guest::{ColumnType, Guest, Table};

pub fn crimes() -> Vec<Crime> {
    [loops(), bombs(), lies(), descriptions()].into_iter().flatten().collect()
}

fn does(name: &'static str, describe: &'static str, said: &'static str) -> Crime {
    crime(Stage::Describe, name, |name| Guest::describing(name, describe), said)
}

fn has(name: &'static str, functions: &'static str, said: &'static str) -> Crime {
    crime(Stage::Describe, name, |name| Guest::typed(name, "").with(functions), said)
}

fn loops() -> Vec<Crime> {
    vec![
        has(
            "endless-start",
            "(func $start (loop $for_ever (br $for_ever)))
          (start $start)",
            "took longer than 1 s",
        ),
        does("endless-describe", FOR_EVER, "took longer than 1 s"),
        does(
            "endless-fill",
            "(call $pages (i32.const 200))
             (loop $more (memory.fill (i32.const 65536) (i32.const 0) (i32.const 13041664)) (br $more))",
            "took longer than 1 s",
        ),
        crime(
            Stage::Describe,
            "endless-chain-of-calls",
            |name| {
                let chain = "(func $a (call $b) (call $b)) (func $b (call $c) (call $c)) (func $c
                  (call $d) (call $d)) (func $d)";
                Guest::describing(name, "(loop $more (call $a) (br $more))").with(chain)
            },
            "took longer than 1 s",
        ),
        does(
            "endless-log",
            "(loop $more (call $log (i32.const 0) (i32.const 0) (i32.const 4000)) (br $more))",
            "took longer than 1 s",
        ),
        has("recursion-in-start", "(func $start (call $start)) (start $start)", "call stack exhausted"),
        has("trap-in-start", "(func $start unreachable) (start $start)", "unreachable"),
        crime(
            Stage::Describe,
            "mutual-recursion",
            |name| {
                Guest::describing(name, "(call $even)").with(
                    "(func $even (call $odd)) (func $odd
              (call $even))",
                )
            },
            "call stack exhausted",
        ),
        crime(
            Stage::Describe,
            "huge-frames",
            |name| Guest::describing(name, "(call $frame)").with(&huge_frame()),
            "call stack exhausted",
        ),
    ]
}

/// A function whose frame is larger than the stack.
fn huge_frame() -> String {
    let locals = 40_000;
    let each = |line: fn(usize) -> String| (0..locals).map(line).collect::<String>();
    let set = each(|n| format!("(local.set {n} (v128.load (i32.const {})))", n % 4096));
    let used = each(|n| format!("(v128.store (i32.const 8192) (local.get {n}))"));
    format!("(func $frame (local {}) {set} (call $frame) {used})", "v128 ".repeat(locals))
}

fn bombs() -> Vec<Crime> {
    let memory = |name, memory: &'static str, said| {
        crime(Stage::Describe, name, |name| Guest::typed(name, "").with_memory(memory), said)
    };
    let more_memories = format!("(memory (export \"memory\") 2) {}", "(memory 1)".repeat(80));
    vec![
        memory("declared-memory", "(memory (export \"memory\") 65536)", "the limit memory_mib is 16"),
        crime(
            Stage::Describe,
            "many-memories",
            |name| Guest::typed(name, "").with_memory(&more_memories),
            "the limit max_tables is 64",
        ),
        does("grown-memory", "(call $pages (i32.const 65536))", "the limit memory_mib is 16"),
        has("data-behind-the-memory", "(data (i32.const 100000000) \"x\")", "out of bounds"),
        has("declared-table", "(table 4000000000 funcref)", "the limit max_table_elements is 1000000"),
        has(
            "grown-table",
            "(table $t 1 funcref) (func $start (loop $more
               (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 100000))
                 (i32.const -1)))) unreachable)
             (start $start)",
            "the limit max_table_elements is 1000000",
        ),
        crime(
            Stage::Describe,
            "many-tables",
            |name| Guest::typed(name, "").with(&"(table 1 funcref)".repeat(80)),
            "the limit max_tables is 64",
        ),
        has(
            "filled-table",
            "(table $t 900000 funcref) (func $start (loop $more
               (table.fill $t (i32.const 0) (ref.null func) (i32.const 900000)) (br $more))) (start $start)",
            "took longer than 1 s",
        ),
    ]
}

fn lies() -> Vec<Crime> {
    let answers = |name, answer: &'static str, said| {
        crime(Stage::Describe, name, |name| Guest::typed(name, "").answering(answer), said)
    };
    let words = |text: &[i64]| {
        let stores = text
            .iter()
            .enumerate()
            .map(|(n, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", 800 + 4 * n));
        stores.collect::<String>()
    };
    let answers_words = |name, text: &[i64], said| {
        let answer = format!("{} (i32.const 800)", words(text));
        crime(Stage::Describe, name, |name| Guest::typed(name, "").answering(&answer), said)
    };
    vec![
        answers("description-behind-the-memory", "(i32.const -8)", "`describe` failed"),
        answers("description-at-an-odd-place", "(i32.const 4097)", "`describe` failed"),
        answers_words("name-of-four-gigabytes", &[0, -1, 1, 0, 0, 0, 0], "`describe` failed"),
        answers_words("name-that-is-not-utf8", &[828, 4, 1, 0, 0, 0, 0, -1], "`describe` failed"),
        answers_words("thousands-of-interests", &[0, 1, 1, 8192, 6_000, 0, 0], "its description is not allowed"),
        answers_words("billion-tables", &[0, 0, 1, 0, 0, 0, 1 << 30], "`describe` failed"),
        does("row-in-describe", "(call $row (i32.const 1)) (call $put_row)", "outside of apply"),
        does(
            "flood-of-reads-in-describe",
            "(call $get_many (global.get $rows) (i32.const 4) (i32.const 8192) (i32.const 8000)
              (i32.const 544))",
            "outside of apply",
        ),
    ]
}

fn descriptions() -> Vec<Crime> {
    let named = |name, plugin: &'static str, said| crime(Stage::Describe, name, |_| Guest::typed(plugin, ""), said);
    let table =
        |name, table: Table, said| crime(Stage::Describe, name, |name| Guest::declaring(name, vec![table]), said);
    let tables = |name, count: usize, said| {
        let tables = (0..count).map(|n| Table::named(&format!("t{n}"))).collect();
        crime(Stage::Describe, name, |name| Guest::declaring(name, tables), said)
    };
    let column = |name, column: &'static str, said| {
        crime(
            Stage::Describe,
            name,
            |name| Guest::declaring(name, vec![Table::with_column(column, ColumnType::Text)]),
            said,
        )
    };
    let mut wide = Table::rows();
    wide.columns.extend((0..10_000).map(|n| (format!("c{n}"), ColumnType::Text)));
    let long = "a".repeat(500_000);
    vec![
        named("path-as-a-name", "../../etc/passwd", "its description is not allowed"),
        named("quote-as-a-name", "a\"; DROP TABLE x; --", "its description is not allowed"),
        named("nul-in-a-name", "a\0b", "its description is not allowed"),
        named("name-that-reads-backwards", "a\u{202e}b", "its description is not allowed"),
        crime(Stage::Describe, "endless-name", |_| Guest::typed(&long, ""), "its description is not allowed"),
        named("name-of-another-plugin", "neighbour", "neighbour.wasm"),
        table("table-of-sqlite", Table::named("sqlite_master"), "reserved"),
        table("table-of-lantern", Table::named("lantern_checkpoint"), "reserved"),
        table("table-with-sql", Table::named("rows; DROP TABLE rows"), "is not allowed"),
        table("table-with-a-quote", Table::named("rows\""), "is not allowed"),
        table("table-with-a-nul", Table::named("rows\0"), "is not allowed"),
        table("table-without-a-key", Table { key: vec![], ..Table::rows() }, "0 primary-key columns"),
        table("key-of-no-column", Table { key: vec!["nothing".into()], ..Table::rows() }, "does not have"),
        table("index-of-no-column", Table { index: vec!["nothing".into()], ..Table::rows() }, "does not have"),
        table("ten-thousand-columns", wide, "10002 columns"),
        tables("thousand-tables", 1_000, "1000 tables"),
        tables("no-tables", 0, "0 tables"),
        crime(
            Stage::Describe,
            "two-tables-of-a-name",
            |name| Guest::declaring(name, vec![Table::rows(); 2]),
            "declared twice",
        ),
        column("column-of-a-reserved-word", "select", "reserves this word"),
        column("column-in-another-script", "n\u{e4}me", "is not allowed"),
        column("column-twice", "id", "declared twice"),
    ]
}
