//! Projections that see events through upcasters.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::upcasting::Upcasted;
use super::control::settled;
use super::*;
use crate::code::CallFailure;
use crate::upcast::plain::{Answer, Plain, as_shape};
use crate::upcast::{UpcastLimits, Upcasters};

/// `Old` becomes `New` and `Extra`.
fn splits(event: &EventRef<'_>) -> Result<Vec<crate::upcast::UpcastEvent>, CallFailure> {
    Ok(vec![as_shape(event, "New", 2), as_shape(event, "Extra", 1)])
}

/// As [`splits`], but for the events of one position.
fn traps_at_5(event: &EventRef<'_>) -> Result<Vec<crate::upcast::UpcastEvent>, CallFailure> {
    if event.position == Position(5) { Err(CallFailure::Trapped("five".into())) } else { splits(event) }
}

fn upcaster(digest: &str, answer: Answer) -> Upcasters {
    let code = Plain::new("splitter", &["Old 1 > New 2, Extra 1"], answer).digest(digest).code();
    Upcasters::new(vec![code], UpcastLimits::default()).expect("no circle")
}

impl Counting {
    fn wanting(mut self, event_types: &[&str]) -> Self {
        let event_types = event_types.iter().map(|event_type| (*event_type).to_owned()).collect();
        self.description.interests = [Interest { category: Some("order".into()), event_types }].into();
        self
    }

    fn named(mut self, name: &str) -> Self {
        self.description.name = name.parse().expect("a name");
        self
    }
}

/// Rows and dead letters after a run over the log, in batches of this many events.
fn outcome(
    log: &Log,
    code: &Counting,
    upcasters: &Upcasters,
    batch_events: usize,
) -> (BTreeMap<String, i64>, Vec<u64>) {
    let name = format!("{}.{batch_events}.db", code.digest.0);
    let options = RunnerOptions { batch_events, ..RunnerOptions::default() };
    let code = Upcasted::of(&code.code(), upcasters);
    let mut runner = Runner::open(&log.events, code, &log.path(&name), options).expect("opens");
    run(&mut runner);
    assert_eq!(runner.visible_to(), log.events.head());
    (rows(&log.path(&name)), letters(log, &name).into_iter().map(|(position, _)| position).collect())
}

#[test]
fn whoever_wants_only_new_events_gets_the_old_ones_too_whatever_the_batches() {
    let log = Log::new();
    for n in 0..60 {
        log.append(&format!("order-{}", n % 4), ["Old", "New", "Other", "Old", "Extra", "Other", "Other"][n % 7]);
    }
    let upcasters = upcaster("a", splits);
    let types = |position: u64| ["Old", "New", "Other", "Old", "Extra", "Other", "Other"][position as usize % 7];
    for wanted in [&["New"][..], &["Extra"], &["New", "Extra"], &["Old"], &["Other", "Extra"], &[]] {
        let mut plainly = BTreeMap::<String, i64>::new();
        for n in 0..60 {
            let seen = if types(n) == "Old" { vec!["New", "Extra"] } else { vec![types(n)] };
            let events = seen.iter().filter(|seen| wanted.is_empty() || wanted.contains(seen)).count() as i64;
            if events > 0 {
                *plainly.entry(format!("order-{}", n % 4)).or_default() += events;
            }
        }
        for batch_events in [1, 2, 3, 7, 1000] {
            let code = Counting::new(&format!("c{}", wanted.join("-")), fine).wanting(wanted);
            let found = outcome(&log, &code, &upcasters, batch_events);
            assert_eq!(found, (plainly.clone(), vec![]), "{wanted:?} in batches of {batch_events}");
        }
    }
}

#[test]
fn what_cannot_be_upcast_is_parked_where_it_matters_with_its_stream_and_nowhere_else() {
    let log = Log::new();
    for n in 0..20 {
        log.append(&format!("order-{}", n % 3), if n % 2 == 0 { "Old" } else { "Other" });
    }
    let upcasters = upcaster("a", traps_at_5);
    for batch_events in [1, 3, 1000] {
        let touched = Counting::new("touched", fine).wanting(&["New", "Other"]);
        let (found, parked) = outcome(&log, &touched, &upcasters, batch_events);
        // Position 5 is of order-1, whose positions are 2, 5, 8, ...
        assert_eq!(found, expected(&[("order-0", 7), ("order-1", 1), ("order-2", 6)]));
        assert_eq!(parked, [5, 8, 11, 14, 17, 20]);
        let other = Counting::new("other", fine).wanting(&["Other"]);
        let (found, parked) = outcome(&log, &other, &upcasters, batch_events);
        assert_eq!((found, parked), (expected(&[("order-0", 3), ("order-1", 4), ("order-2", 3)]), vec![]));
    }
    let file = ReadModelFile::open(&log.path("touched.1000.db")).expect("opens");
    let letters = file.dead_letters(Position(0), 2).expect("reads");
    let reason = letters[0].reason.clone().expect("a reason");
    assert!(reason.contains("splitter (a)") && reason.contains("position 5") && reason.contains("five"), "{reason}");
    assert_eq!((letters[0].event_type.as_str(), letters[1].event_type.as_str()), ("Old", "Other"));
}

#[test]
fn when_one_of_the_events_of_a_position_fails_the_stored_event_is_parked_once_and_applied_whole_later() {
    let log = Log::new();
    for n in 0..6 {
        log.append(&format!("order-{}", n % 2), "Old");
    }
    let fails: Verdict = |event| {
        let poison = event.position == Position(3) && event.kind.event_type == "Extra";
        if poison { Err(ApplyFailure::Call(CallFailure::Rejected("no extra".into()))) } else { Ok(()) }
    };
    let upcasters = upcaster("a", splits);
    let code = Counting::new("c", fails);
    let name = format!("{}.1000.db", code.digest.0);
    assert_eq!(outcome(&log, &code, &upcasters, 1000), (expected(&[("order-0", 2), ("order-1", 6)]), vec![3, 5]));
    let file = ReadModelFile::open(&log.path(&name)).expect("opens");
    let letters = file.dead_letters(Position(0), 9).expect("reads");
    assert!(letters.iter().all(|letter| letter.event_type == "Old"), "{letters:?}");
    assert_eq!(file.standing().expect("reads").1, (1, 1));
    let fixed = Upcasted::of(&Counting::new("fixed", fine).code(), &upcasters);
    let mut runner = Runner::open(&log.events, fixed, &log.path(&name), RunnerOptions::default()).expect("opens");
    assert_eq!(runner.streams_to_redrive().expect("reads"), ["order-0"]);
    assert!(runner.redrive("order-0").expect("applies"));
    assert_eq!(rows(&log.path(&name)), expected(&[("order-0", 6), ("order-1", 6)]));
    assert_eq!(runner.dead_letter_count().expect("reads"), (0, 0));
}

#[test]
fn an_upcaster_that_comes_changes_or_goes_replays_whom_it_touches_and_nobody_else() {
    let log = Log::new();
    for n in 0..10 {
        log.append("order-1", if n < 4 { "Old" } else { "Other" });
    }
    let other = Counting::new("o", fine).named("other").wanting(&["Other"]);
    let touched = Counting::new("t", fine).wanting(&["New"]);
    let projections = log.projections(&[&touched, &other]);
    projections.install("touched.wasm", touched.code()).expect("installs");
    projections.install("other.wasm", other.code()).expect("installs");
    assert_eq!(rows(&settled(&projections).active.read_model_path), expected(&[]));
    let stands = |projections: &Projections, build, events| {
        let status = settled(projections);
        assert_eq!(status.active.build, build);
        let row = [("order-1", events)];
        assert_eq!(rows(&status.active.read_model_path), expected(if events == 0 { &[] } else { &row }));
        assert_eq!(projections.status("other").expect("known").active.build, 1);
        status.active.upcasters.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(projections.set_upcasters(upcaster("a", splits)), ["counting"]);
    assert_eq!(stands(&projections, 2, 4), ["splitter a"]);
    assert_eq!(projections.set_upcasters(upcaster("a", splits)), [""; 0], "the same again");
    assert_eq!(projections.set_upcasters(upcaster("b", traps_at_5)), ["counting"]);
    assert_eq!(stands(&projections, 3, 4), ["splitter b"]);
    projections.shut_down();
    // A restart with the same upcasters, with which the file was filled.
    let projections = log.projections(&[&touched, &other]);
    projections.set_upcasters(upcaster("b", traps_at_5));
    assert_eq!(projections.install("touched.wasm", touched.code()).expect("installs"), Installed::Resumed);
    projections.install("other.wasm", other.code()).expect("installs");
    stands(&projections, 3, 4);
    assert_eq!(projections.set_upcasters(Upcasters::default()), ["counting"]);
    assert_eq!(stands(&projections, 4, 0), [""; 0]);
    projections.shut_down();
    // A restart with an upcaster that came meanwhile.
    let projections = log.projections(&[&touched, &other]);
    projections.set_upcasters(upcaster("a", splits));
    assert_eq!(projections.install("touched.wasm", touched.code()).expect("installs"), Installed::Replaying);
    projections.install("other.wasm", other.code()).expect("installs");
    stands(&projections, 5, 4);
    projections.shut_down();
}

#[test]
fn an_upcaster_works_once_for_all_who_read_the_same_events() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let log = Log::new();
    for n in 0..400 {
        log.append(&format!("order-{}", n % 4), "Old");
    }
    let counted: Answer = |event| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        splits(event)
    };
    let upcasters = upcaster("a", counted);
    let options = RunnerOptions { batch_events: 10, ..RunnerOptions::default() };
    let mut runners = ["New", "Extra", "Extra"].map(|wanted| {
        let code = Counting::new(wanted, fine).wanting(&[wanted]);
        let path = log.path(&format!("{wanted}{}.db", Uuid::now_v7()));
        let code = Upcasted::of(&code.code(), &upcasters);
        Runner::open(&log.events, code, &path, options.clone()).expect("opens")
    });
    while runners.iter().any(|runner| runner.visible_to() < log.events.head()) {
        for runner in &mut runners {
            runner.step().expect("goes on");
        }
    }
    let asked = ASKED.load(Ordering::Relaxed);
    // Alone, before the others come, the first reader has nobody to keep its batches for.
    assert!((400..500).contains(&asked), "asked about {asked} events for three projections");
}
