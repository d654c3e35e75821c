//! How soon a plugin is stopped: the time that calls take over their limit.
//!
//! `cargo test --release --workspace --lib -- plugin::tests::stopping --nocapture` prints the figures.

use std::time::{Duration, Instant};

use super::guests::{Guest, described_with_wasi};
use super::*;
use crate::cpu_time::thread_cpu_time;
use crate::read_model::Commit;

/// A call may take so much longer than its limit.
const BOUND: Duration = Duration::from_millis(100);

/// What a busy machine may add to one call.
const HARD_BOUND: Duration = Duration::from_secs(5);

const LIMIT: Duration = Duration::from_secs(1);

const FOR_EVER: &str = "(loop $for_ever (br $for_ever))";

/// Bodies of `apply` that do not end by themselves.
fn endless() -> Vec<(&'static str, Guest)> {
    let page = "(drop (memory.grow (i32.const 1900)))";
    let large = |text: &str| Guest::typed(&format!("{page} {text}"));
    let row = "(i32.store8 (i32.const 608) (i32.const 3)) (i32.store8 (i32.const 624) (i32.const 1))
        (i32.store8 (i32.const 576) (i32.const 3))";
    let many = "(call $get_many (global.get $rows) (i32.const 4) (i32.const 104857600) (i32.const 10000)
      (i32.const 544))";
    let get_many = "(import \"lantern:plugin/read-model@0.1.0\" \"get-many\" (func $get_many
          (param i32 i32 i32 i32 i32)))";
    // Ten thousand keys, each the one at 576.
    let keys = "(local.set $n (i64.const 104857600))
        (loop $more (i64.store (i32.wrap_i64 (local.get $n)) (i64.const 0x0000000100000240))
          (local.set $n (i64.add (local.get $n) (i64.const 8)))
          (br_if $more (i64.lt_u (local.get $n) (i64.const 104937600))))";
    vec![
        ("a loop", Guest::typed(FOR_EVER)),
        (
            "a chain of calls",
            Guest::typed("(loop $more (call $a) (br $more))").with("(func $a (call $b) (call $b)) (func $b)"),
        ),
        (
            "fills of 100 MiB",
            large(
                "(loop $more (memory.fill (i32.const 65536) (i32.const 7) (i32.const 104857600))
              (br $more))",
            ),
        ),
        (
            "copies of 100 MiB",
            large(
                "(loop $more (memory.copy (i32.const 65536) (i32.const 65544) (i32.const 104857600))
              (br $more))",
            ),
        ),
        ("growing by a page", Guest::typed("(loop $more (drop (memory.grow (i32.const 1))) (br $more))")),
        (
            "gets",
            Guest::typed(&format!(
                "{row} (loop $more (call $get (global.get $rows) (i32.const 4) (i32.const 576)
                  (i32.const 1) (i32.const 544)) (br $more))"
            )),
        ),
        ("gets of ten thousand", large(&format!("{row} {keys} (loop $more {many} (br $more))")).importing(get_many)),
        (
            "log lines of 20 MiB",
            large(
                "(memory.fill (i32.const 65536) (i32.const 10) (i32.const 20971520))
            (loop $more (call $log (i32.const 0) (i32.const 65536) (i32.const 20971520)) (br $more))",
            ),
        ),
        ("a flush", Guest::columnar().with_flush(FOR_EVER)),
    ]
}

/// How much longer a call took than its limit, on the clock and of the processor.
fn over_limit(fixture: &Fixture, guest: &Guest) -> [Duration; 2] {
    let code = fixture.code(&guest.build());
    let mut draft = fixture.draft(&*code);
    let mut instance = code.instantiate().expect("starts");
    // Only the call that does not end is measured.
    let batch = events(&["order-1"]);
    let started = (Instant::now(), thread_cpu_time());
    let failure = instance.apply(&batch, &mut draft).and_then(|_| instance.flush(&mut draft)).expect_err("ends");
    let taken = [started.0.elapsed(), thread_cpu_time() - started.1];
    assert!(
        matches!(&failure, ApplyFailure::Call(CallFailure::Interrupted(reason)) if reason.contains("longer than 1 s")),
        "{failure}"
    );
    taken.map(|time| time.saturating_sub(LIMIT))
}

#[test]
fn every_endless_call_is_stopped_soon_after_its_limit() {
    let fixture = Fixture::with(|options| options.call_seconds = LIMIT.as_secs());
    let mut overs = Vec::new();
    for (what, guest) in endless() {
        let [clock, processor] = over_limit(&fixture, &guest);
        println!("{what}: {clock:?} over the limit, {processor:?} of the processor");
        assert!(clock < HARD_BOUND && processor < 5 * BOUND, "{what}: {clock:?}, {processor:?} of the processor");
        overs.push(processor);
    }
    // Where other work takes the processor, the clock tells of that and not of this.
    overs.sort();
    let median = overs[overs.len() / 2];
    println!("median of {}: {median:?} of the processor", overs.len());
    assert!(median <= BOUND, "{overs:?}");
}

#[test]
fn reads_of_a_large_table_are_stopped_by_the_clock_and_by_fuel() {
    let fixture = Fixture::with(|options| {
        options.call_seconds = LIMIT.as_secs();
        options.fuel_per_event = 50_000_000;
    });
    // Looks for a value that no row has, without an index yet: each find reads all rows.
    let find = "(import \"lantern:plugin/read-model@0.1.0\" \"find\" (func $find
          (param i32 i32 i32 i32 i32 i32 i32 i32)))";
    let finds = "(i32.store8 (i32.const 576) (i32.const 1)) (i64.store (i32.const 584) (i64.const -1))
        (loop $more
          (call $find (global.get $rows) (i32.const 4) (i32.const 900) (i32.const 4) (i32.const 576)
            (i32.const 1)
            (i32.const 10000) (i32.const 544))
          (br $more))";
    let guest = Guest::typed(finds).importing(find).with("(data (i32.const 900) \"by_n\")");
    let code = fixture.code(&guest.build());
    let mut writer = fixture.writer(&*code);
    let mut draft = writer.draft(64 << 20).expect("a draft");
    for n in 0..200_000 {
        draft.put("rows", vec![Value::Text(format!("{n:08}")), Value::Integer(n)]).expect("fits");
    }
    writer.commit(&mut draft, &Commit { checkpoint: Some(Position(1)), ..Commit::default() }).expect("written");
    let started = Instant::now();
    let failure = code.instantiate().expect("starts").apply(&events(&["order-1"]), &mut draft).expect_err("ends");
    println!("by the clock: {:?} after {:?}", failure, started.elapsed());
    assert!(matches!(failure, ApplyFailure::Call(CallFailure::Interrupted(_))), "{failure}");
    let started = thread_cpu_time();
    let failure =
        code.instantiate_metered().expect("starts").apply(&events(&["order-1"]), &mut draft).expect_err("ends");
    println!("by fuel: {:?} after {:?}", failure, thread_cpu_time() - started);
    assert!(matches!(failure, ApplyFailure::Call(CallFailure::OutOfFuel(_))), "{failure}");
    assert!(thread_cpu_time() - started < HARD_BOUND);
}

#[test]
fn a_flood_of_handles_ends_at_their_limit() {
    let fixture = Fixture::new();
    let import = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64)
          (result i32)))"#;
    let guest = Guest::typed("(loop $more (drop (call $timer (i64.const 1))) (br $more))").importing(import);
    let code = fixture.code(&described_with_wasi(guest.build()));
    let failure = applied(&mut *code.instantiate().expect("starts")).expect_err("ends");
    assert!(failure.to_string().contains("resource table has no free keys"), "{failure}");
}

#[test]
fn numbers_that_differ_between_machines_are_made_the_same() {
    let fixture = Fixture::new();
    // The bits of a NaN that was computed are those of the one NaN, whatever went in.
    let guest = Guest::typed(
        "(i32.store8 (i32.const 608) (i32.const 3))
         (i64.store (i32.const 616) (i64.load offset=8 (local.get $events)))
         (i32.store8 (i32.const 624) (i32.const 1))
         (i64.store (i32.const 632) (i64.reinterpret_f64 (f64.add
           (f64.reinterpret_i64 (i64.const 0xfff4deadbeef0001)) (f64.convert_i32_u (local.get $count)))))
         (call $put (global.get $rows) (i32.const 4) (i32.const 608) (i32.const 2))",
    );
    let code = fixture.code(&guest.build());
    for mut instance in [code.instantiate().expect("starts"), code.instantiate_metered().expect("starts")] {
        let mut draft = fixture.draft(&*code);
        instance.apply(&events(&["order-1"]), &mut draft).expect("applies");
        assert_eq!(row(&draft, "order-1"), Some(0x7ff8_0000_0000_0000));
    }
}
