//! Whole plugins: from the bytes of a file to rows in a read model, and everything that hostile or
//! broken ones try.

use std::path::PathBuf;

use tempfile::TempDir;
use uuid::Uuid;

use super::log::tests::logged;
use super::*;
use crate::code::CallFailure;
use crate::event::{EventBatch, EventKind, EventRef, JSON, Position, StreamVersion, Timestamp};
use crate::projection::{ApplyFailure, Pending, Projection};
use crate::read_model::{Identity, ReadModelDraft, ReadModelWriter, Value};

mod compiling;
mod guests;
mod stopping;
use guests::{Guest, described_with_wasi};

struct Fixture {
    dir: TempDir,
    host: PluginHost,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut PluginOptions)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut options = PluginOptions::new(dir.path().join("cache"));
        options.compiler = CompilerProcess::InProcess;
        change(&mut options);
        let host = PluginHost::new(options).expect("starts");
        Self { dir, host }
    }

    fn code(&self, bytes: &[u8]) -> Arc<dyn ProjectionCode> {
        self.host.load("a.wasm", bytes).expect("loads").into_projection().expect("a projection")
    }

    fn instance(&self, guest: &Guest) -> Box<dyn Projection> {
        self.code(&guest.build()).instantiate().expect("starts")
    }

    fn draft(&self, code: &dyn ProjectionCode) -> ReadModelDraft {
        self.writer(code).draft(64 << 20).expect("a draft")
    }

    fn writer(&self, code: &dyn ProjectionCode) -> ReadModelWriter {
        let description = code.description();
        let identity = Identity { projection: "any".into(), read_model_version: 1, ..Identity::default() };
        let schema = Arc::new(description.schema.clone());
        let path = self.dir.path().join("rows.db");
        ReadModelWriter::open(&path, &identity, schema).expect("opens")
    }

    /// What is wrong with these bytes.
    fn problem(&self, bytes: &[u8]) -> String {
        let error = self.host.load("a.wasm", bytes).err().expect("was taken");
        assert!(error.to_string().starts_with("plugin a.wasm: "), "{error}");
        assert_eq!(error.file(), Some("a.wasm"));
        assert!(!error.hint().is_empty());
        error.to_string()
    }

    fn artefact(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.dir.path().join("cache")).expect("a folder");
        let artefact = files.next().expect("a file").expect("a file").path();
        assert!(files.next().is_none(), "one file only");
        artefact
    }
}

/// One event for each stream, at positions from 1 on.
fn events(streams: &[&str]) -> EventBatch {
    let mut batch = EventBatch::default();
    let kind = EventKind { category: "order".into(), event_type: "Placed".into(), content_type: JSON.into() };
    let index = batch.kind_index(&kind);
    for (place, stream) in streams.iter().enumerate() {
        let event = EventRef {
            id: Uuid::from_u128(place as u128),
            stream,
            version: StreamVersion(1),
            position: Position(place as u64 + 1),
            kind: &kind,
            schema_version: 1,
            time: Timestamp(0),
            data: b"{}",
            metadata: "{}",
        };
        batch.push(event, index);
    }
    batch
}

/// What happens to a call of `apply` without a read model.
fn applied(instance: &mut dyn Projection) -> Result<Pending, ApplyFailure> {
    instance.apply(&events(&["order-1"]), &mut ReadModelDraft::default())
}

fn row(draft: &ReadModelDraft, id: &str) -> Option<i64> {
    let row = draft.get("rows", &[Value::Text(id.into())]).expect("reads")?;
    match row[1] {
        Value::Integer(n) => Some(n),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_typed_module_without_metadata_reads_and_writes_rows() {
    let fixture = Fixture::new();
    let bytes = Guest::counting().build();
    let loaded = fixture.host.load("a.wasm", &bytes).expect("loads");
    assert_eq!(loaded.world, "projection");
    let code = loaded.into_projection().expect("a projection");
    let description = code.description();
    assert_eq!((description.name.as_str(), description.read_model_version), ("counts", 7));
    assert_eq!(*description.interests, [crate::event::Interest::everything()]);
    assert_eq!(description.schema.tables()[0].indexes[0].name, "by_n");
    assert_eq!(*code.digest(), digest(&bytes));

    let mut draft = fixture.draft(&*code);
    for mut instance in [code.instantiate().expect("starts"), code.instantiate_metered().expect("starts")] {
        for _ in 0..3 {
            let pending = instance.apply(&events(&["order-1", "order-2", "order-1"]), &mut draft).expect("applies");
            assert_eq!(pending, Pending::default());
        }
        instance.flush(&mut draft).expect("nothing to do");
    }
    assert_eq!(row(&draft, "order-1"), Some(12));
    assert_eq!(row(&draft, "order-2"), Some(6));
    assert_eq!(row(&draft, "order-3"), None);
}

#[test]
fn a_columnar_module_hands_its_rows_over_when_asked() {
    let fixture = Fixture::new();
    let loaded = fixture.host.load("a.wasm", &Guest::columnar().build()).expect("loads");
    assert_eq!(loaded.world, "columnar-projection");
    let code = loaded.into_projection().expect("a projection");
    let mut draft = fixture.draft(&*code);
    for mut instance in [code.instantiate().expect("starts"), code.instantiate_metered().expect("starts")] {
        let pending = instance.apply(&events(&["order-1", "order-2", "order-3"]), &mut draft).expect("applies");
        assert_eq!(pending, Pending { rows: 1, bytes: 20 });
        instance.apply(&events(&["order-1"]), &mut draft).expect("applies");
        instance.flush(&mut draft).expect("flushes");
        assert_eq!(row(&draft, "sum"), Some(7));
        draft.clear();
    }
}

#[test]
fn a_wrong_file_is_refused_by_name_with_a_reason_and_a_hint() {
    let fixture = Fixture::with(|options| options.max_file_bytes = 10_000);
    let whole = Guest::counting().build();
    assert!(fixture.problem(&whole[..whole.len() / 2]).contains("cut off"));
    assert!(fixture.problem(b"hello").contains("not WebAssembly"));
    assert!(fixture.problem(&[0; 10_001]).contains("10001 bytes"));
    let command = wat::parse_str("(module (func (export \"_start\")))").expect("valid");
    assert!(fixture.problem(&command).contains("command line"));
    let forbidden = Guest::counting().importing("(import \"wasi:http/types@0.2.0\" \"f\" (func))").build();
    assert!(fixture.problem(&forbidden).contains("wasi:http/types@0.2.0::f"));
    let misfit = Guest::columnar().with("(func (export \"x\"))").build();
    assert!(fixture.host.load("a.wasm", &misfit).is_ok(), "more exports do no harm");
    let misfit = wat::parse_str("(module (func (export \"describe\")) (func (export \"apply\")))").expect("valid");
    assert!(fixture.problem(&misfit).contains("does not fit the world projection"), "{}", fixture.problem(&misfit));
}

#[test]
fn an_endless_describe_is_stopped() {
    let fixture = Fixture::with(|options| options.describe_seconds = 0);
    let problem = fixture.problem(&Guest::counting().build_describing("(loop $for_ever (br $for_ever))"));
    assert!(problem.contains("`describe` failed") && problem.contains("took longer"), "{problem}");
}

#[test]
fn a_describe_that_asks_for_rows_or_gives_a_bad_name_is_refused() {
    let fixture = Fixture::new();
    let reads = Guest::counting().build_describing("(drop (call $apply (i32.const 0) (i32.const 1)))");
    assert!(fixture.problem(&reads).contains("`describe` failed"));
    let problem = fixture.problem(&Guest::counting().named("No Name").build());
    assert!(problem.contains("its description is not allowed") && problem.contains("\"No Name\""), "{problem}");
}

#[test]
fn an_endless_apply_is_interrupted_by_the_clock() {
    let fixture = Fixture::with(|options| options.call_seconds = 1);
    let mut instance = fixture.instance(&Guest::typed("(loop $for_ever (br $for_ever))"));
    let failure = applied(&mut *instance).expect_err("ends");
    assert!(
        matches!(&failure, ApplyFailure::Call(CallFailure::Interrupted(reason)) if reason.contains("`apply`")),
        "{failure:?}"
    );
}

#[test]
fn fuel_runs_out_at_the_same_place_every_time() {
    let fixture = Fixture::with(|options| options.fuel_per_event = 1_000_000);
    let writing_for_ever = "
        (i32.store8 (i32.const 608) (i32.const 3))
        (i32.store8 (i32.const 624) (i32.const 1))
        (loop $for_ever
          (call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2))
          (br $for_ever))";
    let code = fixture.code(&Guest::typed(writing_for_ever).build());
    let run = |streams: &[&str]| {
        let mut draft = fixture.draft(&*code);
        let failure = code.instantiate_metered().expect("starts").apply(&events(streams), &mut draft);
        assert!(matches!(failure, Err(ApplyFailure::Call(CallFailure::OutOfFuel(_)))), "{failure:?}");
        draft.size().0
    };
    let first = run(&["order-1"]);
    assert!(first > 100, "{first}");
    assert_eq!(run(&["order-1"]), first);
    assert!(run(&["order-1", "order-2"]) > first, "each event brings its own fuel");
}

#[test]
fn a_memory_bomb_traps_and_the_limit_is_named() {
    let fixture = Fixture::with(|options| options.memory_mib = 4);
    let bomb = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let mut instance = fixture.instance(&Guest::typed(bomb));
    let failure = applied(&mut *instance).expect_err("ends").to_string();
    assert!(failure.contains("the limit memory_mib is 4"), "{failure}");
    let problem = fixture.problem(&Guest::counting().memory_pages(65_536).build());
    assert!(problem.contains("it asked for 4096 MiB of memory and the limit memory_mib is 4"), "{problem}");
}

#[test]
fn a_table_bomb_and_endless_recursion_trap() {
    let fixture = Fixture::new();
    let table = fixture.problem(&Guest::counting().with("(table 4000000000 funcref)").build());
    assert!(table.contains("max_table_elements is 1000000"), "{table}");
    let recursive = Guest::typed("(call $deeper)").with("(func $deeper (call $deeper))");
    let code = fixture.code(&recursive.build());
    let failure = applied(&mut *code.instantiate().expect("starts")).expect_err("ends");
    assert!(
        matches!(failure, ApplyFailure::Call(CallFailure::Interrupted(_))),
        "no verdict: code that is not optimised needs more stack"
    );
    let failure = applied(&mut *code.instantiate_metered().expect("starts")).expect_err("ends");
    assert!(matches!(failure, ApplyFailure::Call(CallFailure::Trapped(_))), "{failure:?}");
    assert!(failure.to_string().contains("call stack exhausted in `deeper`"), "{failure}");
}

#[test]
fn a_trap_tells_where_it_was_and_the_last_words() {
    let fixture = Fixture::new();
    let guest = Guest::typed("(call $log (i32.const 3) (i32.const 900) (i32.const 9)) (call $inner)")
        .with("(func $inner unreachable) (data (i32.const 900) \"no amount\")");
    let failure = applied(&mut *fixture.instance(&guest)).expect_err("ends");
    let ApplyFailure::Call(CallFailure::Trapped(reason)) = failure else { panic!("{failure:?}") };
    let expected = "wasm `unreachable` instruction executed in `inner`, called by `apply`; its last words: no amount";
    assert_eq!(reason, expected);
}

#[test]
fn a_row_that_does_not_fit_traps_with_the_reason() {
    let fixture = Fixture::new();
    // The row is two nulls, and the key column is not nullable.
    let code = fixture
        .code(&Guest::typed("(call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2))").build());
    let mut draft = fixture.draft(&*code);
    let failure = code.instantiate().expect("starts").apply(&events(&["order-1"]), &mut draft).expect_err("traps");
    let ApplyFailure::Call(CallFailure::Trapped(reason)) = failure else { panic!("{failure:?}") };
    assert!(reason.contains("not nullable") && reason.ends_with("in `apply`"), "{reason}");
}

#[test]
fn an_error_that_the_guest_answers_is_a_rejection() {
    let fixture = Fixture::new();
    let guest = Guest::typed(
        "(i32.store8 (i32.const 512) (i32.const 1))
         (i32.store (i32.const 516) (i32.const 900)) (i32.store (i32.const 520) (i32.const 9))",
    );
    let mut instance = fixture.instance(&guest.with("(data (i32.const 900) \"no amount\")"));
    let failure = applied(&mut *instance).expect_err("rejects");
    assert!(
        matches!(&failure, ApplyFailure::Call(CallFailure::Rejected(reason)) if reason == "no amount"),
        "{failure:?}"
    );
}

#[test]
fn log_lines_and_output_carry_the_name_of_the_projection() {
    let fixture = Fixture::new();
    let preview1 =
        "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))";
    let guest = Guest::typed(
        "(call $log (i32.const 0) (i32.const 900) (i32.const 6))
         (i32.store (i32.const 800) (i32.const 900)) (i32.store (i32.const 804) (i32.const 4))
         (i32.store (i32.const 808) (i32.const 904)) (i32.store (i32.const 812) (i32.const 9))
         (if (call $fd_write (i32.const 2) (i32.const 800) (i32.const 2) (i32.const 816)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 816)) (i32.const 13)) (then unreachable))
         (if (i32.ne (call $fd_write (i32.const 3) (i32.const 800) (i32.const 2) (i32.const 816)) (i32.const 8))
           (then unreachable))",
    );
    let guest = guest.importing(preview1).with("(data (i32.const 900) \"hello \\ff world\\0a\")");
    let mut instance = fixture.instance(&guest);
    let lines = logged(|| {
        applied(&mut *instance).expect("applies");
    });
    assert_eq!(lines, ["DEBUG counts: hello ", "WARN counts: hello \u{fffd} world"]);
}

#[test]
fn a_core_module_sees_the_same_time_and_randomness_in_every_instance() {
    let fixture = Fixture::new();
    let preview1 = "
        (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))
        (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))";
    // Random bytes xor the sum of both clocks.
    let guest = Guest::typed(
        "(drop (call $random (i32.const 800) (i32.const 8)))
         (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 808)))
         (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 816)))
         (i32.store8 (i32.const 608) (i32.const 3))
         (i64.store (i32.const 616) (i64.load offset=8 (local.get $events)))
         (i32.store8 (i32.const 624) (i32.const 1))
         (i64.store (i32.const 632) (i64.xor (i64.load (i32.const 800))
           (i64.add (i64.load (i32.const 808)) (i64.load (i32.const 816)))))
         (call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2))",
    );
    let code = fixture.code(&guest.importing(preview1).build());
    let run = || {
        let mut draft = fixture.draft(&*code);
        let mut instance = code.instantiate().expect("starts");
        let read = |draft: &ReadModelDraft| row(draft, "order-1").expect("is there");
        instance.apply(&events(&["order-1"]), &mut draft).expect("applies");
        let first = read(&draft);
        instance.apply(&events(&["order-1"]), &mut draft).expect("applies");
        (first, read(&draft))
    };
    let (first, second) = run();
    assert_ne!(first, second, "random numbers differ within an instance");
    assert_eq!(run(), (first, second));
}

#[test]
fn wasi_components_cannot_wait_and_their_output_is_logged() {
    let fixture = Fixture::with(|options| options.call_seconds = 5);
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:clocks/wall-clock@0.2.0" "now" (func $now (param i32)))
        (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
          (func $write (param i32 i32 i32 i32)))"#;
    // Waits for an hour, wants the wall clock to stand at 0, and writes to standard error.
    let guest = Guest::typed(
        "(call $block (call $timer (i64.const 3600000000000)))
         (i64.store (i32.const 800) (i64.const -1))
         (call $now (i32.const 800))
         (if (i64.ne (i64.load (i32.const 800)) (i64.const 0)) (then unreachable))
         (call $write (call $stderr) (i32.const 900) (i32.const 6) (i32.const 800))",
    );
    let guest = guest.importing(imports).with("(data (i32.const 900) \"waited\")");
    let code = fixture.code(&described_with_wasi(guest.build()));
    let mut instance = code.instantiate().expect("starts");
    let lines = logged(|| {
        applied(&mut *instance).expect("applies");
    });
    assert_eq!(lines, ["WARN counts: waited"]);
}
