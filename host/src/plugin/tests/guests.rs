//! Guests for tests: core modules written by hand against the canonical ABI.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use crate::plugin::componentize::WIT;

/// Where static data starts. Below it are the places that calls use: 512 what a function returns,
/// 544 what a host function returns, 576 a key of one value, 608 a row of two values.
const DATA: u32 = 4096;

/// A guest in the making. Its projection has one table `rows` with the columns `id` (text, the
/// key) and `n` (integer, in the index `by_n`).
pub struct Guest {
    name: &'static str,
    imports: String,
    functions: String,
    memory_pages: u32,
}

/// Static data of a module.
#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    fn words(&mut self, words: &[u32]) -> u32 {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(0);
        }
        let at = DATA + self.0.len() as u32;
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        at
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        let at = DATA + self.0.len() as u32;
        self.0.extend(text.bytes());
        [at, text.len() as u32]
    }

    /// A `projection-description`, and where it lies.
    fn description(&mut self, name: &str) -> u32 {
        const INTEGER: u32 = 0;
        const TEXT: u32 = 2;
        let (id, n, rows, by_n) = (self.text("id"), self.text("n"), self.text("rows"), self.text("by_n"));
        let columns = self.words(&[id[0], id[1], TEXT, n[0], n[1], INTEGER]);
        let (key, indexed) = (self.words(&id), self.words(&n));
        let indexes = self.words(&[by_n[0], by_n[1], indexed, 1]);
        let table = self.words(&[rows[0], rows[1], columns, 2, key, 1, indexes, 1]);
        let everything = self.words(&[0, 0, 0, 0, 0]);
        let name = self.text(name);
        self.words(&[name[0], name[1], 7, everything, 1, table, 1])
    }
}

impl Guest {
    /// A guest of the world `projection` with this body of `apply`, where `$events` points at
    /// `$count` events of 80 bytes and 512 is a result that says all is well.
    pub fn typed(apply: &str) -> Self {
        let functions = format!(
            r#"(func $apply (export "apply") (param $events i32) (param $count i32) (result i32)
                 (local $n i64)
                 {apply}
                 (i32.const 512))"#
        );
        let imports = r#"
            (import "lantern:plugin/read-model@0.1.0" "get" (func $get (param i32 i32 i32 i32 i32)))
            (import "lantern:plugin/read-model-writes@0.1.0" "put" (func $put (param i32 i32 i32 i32)))
            (import "lantern:plugin/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;
        Self { name: "counts", imports: imports.into(), functions, memory_pages: 2 }
    }

    /// Counts the events of each stream in the column `n`.
    pub fn counting() -> Self {
        Self::typed(
            r#"(loop $next
                 (i32.store8 (i32.const 576) (i32.const 3))
                 (i64.store (i32.const 584) (i64.load offset=8 (local.get $events)))
                 (call $get (global.get $rows) (i32.const 4) (i32.const 576) (i32.const 1) (i32.const 544))
                 (local.set $n (i64.const 0))
                 (if (i32.load8_u (i32.const 544))
                   (then (local.set $n (i64.load offset=24 (i32.load (i32.const 548))))))
                 (i32.store8 (i32.const 608) (i32.const 3))
                 (i64.store (i32.const 616) (i64.load offset=8 (local.get $events)))
                 (i32.store8 (i32.const 624) (i32.const 1))
                 (i64.store (i32.const 632) (i64.add (local.get $n) (i64.const 1)))
                 (call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2))
                 (local.set $events (i32.add (local.get $events) (i32.const 80)))
                 (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                 (br_if $next (local.get $count)))"#,
        )
    }

    /// A guest of the world `columnar-projection` that adds the positions of all events and hands
    /// over the sum as the row `sum`.
    pub fn columnar() -> Self {
        let functions = r#"
            (global $sum (mut i64) (i64.const 0))
            (func (export "apply") (param $batch i32) (result i32)
              (local $at i32) (local $count i32)
              (local.set $at (i32.load (local.get $batch)))
              (local.set $count (i32.load offset=4 (local.get $batch)))
              (loop $next
                (global.set $sum (i64.add (global.get $sum) (i64.load (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $next (local.get $count)))
              (i32.store (i32.const 520) (i32.const 1))
              (i64.store (i32.const 528) (i64.const 20))
              (i32.const 512))
            (data (i32.const 704) "\01\00\00\03\03\00\00\00sum\01")
            (func (export "flush") (result i32)
              (i64.store (i32.const 716) (global.get $sum))
              (i32.store (i32.const 512) (i32.const 704))
              (i32.store (i32.const 516) (i32.const 20))
              (i32.const 512))"#;
        Self { name: "sums", imports: String::new(), functions: functions.into(), memory_pages: 2 }
    }

    /// A columnar guest whose `flush` does this first.
    pub fn with_flush(self, flush: &str) -> Self {
        let begin = "(func (export \"flush\") (result i32)";
        Self { functions: self.functions.replace(begin, &format!("{begin} {flush}")), ..self }
    }

    /// With another name of the projection.
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// With more imports, in text form.
    pub fn importing(mut self, imports: &str) -> Self {
        self.imports.push_str(imports);
        self
    }

    /// With more functions and data, in text form.
    pub fn with(mut self, functions: &str) -> Self {
        self.functions.push_str(functions);
        self
    }

    pub fn memory_pages(self, memory_pages: u32) -> Self {
        Self { memory_pages, ..self }
    }

    /// The module, without component metadata.
    pub fn build(&self) -> Vec<u8> {
        self.build_describing("")
    }

    /// The module; these instructions run when it is asked to describe itself.
    pub fn build_describing(&self, before: &str) -> Vec<u8> {
        let mut data = Data::default();
        let description = data.description(self.name);
        let [rows, _] = data.text("rows");
        let bytes: String = data.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let Self { imports, functions, memory_pages, .. } = self;
        let text = format!(
            r#"(module {imports}
              (memory (export "memory") {memory_pages})
              (global $heap (mut i32) (i32.const 65536))
              (global $rows i32 (i32.const {rows}))
              (data (i32.const {DATA}) "{bytes}")
              (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
                  (then (drop (memory.grow (i32.const 16)))))
                (local.get $at))
              (func (export "cabi_post_apply") (param i32) (global.set $heap (i32.const 65536)))
              (func (export "describe") (result i32) {before} (i32.const {description}))
              {functions})"#
        );
        wat::parse_str(text).expect("the fixture is valid")
    }
}

/// A world with as much of WASI as tests need.
const WASI: &str = "
    package test:wasi;

    world guest {
        include lantern:plugin/projection@0.1.0;
        import wasi:random/random@0.2.0;
        import wasi:clocks/wall-clock@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:cli/stderr@0.2.0;
    }

    package wasi:random@0.2.0 {
        interface random { get-random-u64: func() -> u64; }
    }
    package wasi:io@0.2.0 {
        interface poll { resource pollable { block: func(); } }
        interface error { resource error; }
        interface streams {
            use error.{error};
            variant stream-error { last-operation-failed(error), closed }
            resource output-stream {
                blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
            }
        }
    }
    package wasi:clocks@0.2.0 {
        interface wall-clock {
            record datetime { seconds: u64, nanoseconds: u32 }
            now: func() -> datetime;
        }
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            type instant = u64;
            type duration = u64;
            now: func() -> instant;
            subscribe-duration: func(when: duration) -> pollable;
        }
    }
    package wasi:cli@0.2.0 {
        interface stderr {
            use wasi:io/streams@0.2.0.{output-stream};
            get-stderr: func() -> output-stream;
        }
    }";

/// The module with metadata of its own that declares imports from WASI 0.2.
pub fn described_with_wasi(mut module: Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let mut contract = SourceMap::default();
    for (name, text) in WIT {
        contract.push_str(name, text);
    }
    resolve.push_group(contract.parse().map_err(|(_, error)| error).expect("sound")).expect("sound");
    let package = resolve.push_str("wasi.wit", WASI).expect("sound");
    let world = resolve.select_world(&[package], Some("guest")).expect("there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("fits");
    module
}
