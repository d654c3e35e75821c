//! Commits that go on while the plugin works.

use super::*;

/// As many commits as there can be, each while the next batch is applied.
fn many_commits() -> RunnerOptions {
    RunnerOptions { batch_events: 2, flush_rows: 1, ..RunnerOptions::default() }
}

fn thirty_events() -> Log {
    let log = Log::new();
    (0..30).for_each(|n| log.append(&format!("order-{}", n % 4), "Placed"));
    log
}

#[test]
fn rows_do_not_depend_on_how_often_they_are_committed() {
    let log = thirty_events();
    run(&mut log.runner("one.db", &Counting::new("a", fine), RunnerOptions::default()));
    let mut runner = log.runner("many.db", &Counting::new("a", fine), many_commits());
    run(&mut runner);
    assert_eq!(runner.visible_to(), Position(30));
    assert_eq!(rows(&log.path("many.db")), rows(&log.path("one.db")));
}

#[test]
fn a_runner_that_is_dropped_leaves_no_commit_under_way() {
    let log = thirty_events();
    for _ in 0..14 {
        let mut runner = log.runner("m.db", &Counting::new("a", fine), many_commits());
        runner.step().expect("applies");
        let read_to = runner.read_to();
        drop(runner);
        assert_eq!(log.runner("m.db", &Counting::new("a", fine), many_commits()).read_to(), read_to);
    }
}

#[test]
fn after_a_failed_commit_the_events_since_the_checkpoint_are_applied_again() {
    let log = thirty_events();
    let mut runner = log.runner("m.db", &Counting::new("a", fine), many_commits());
    let saboteur = rusqlite::Connection::open(log.path("m.db")).expect("opens");
    let full = "CREATE TRIGGER full BEFORE UPDATE ON lantern_checkpoint WHEN new.position > 8
                BEGIN SELECT raise(ABORT, 'no room'); END";
    saboteur.execute_batch(full).expect("sabotages");
    let halt = run_to_halt(&mut runner);
    assert_eq!(halt.disposition, Disposition::Retry);
    assert!(halt.reason.contains("no room"), "{}", halt.reason);
    assert_eq!((runner.read_to(), runner.visible_to()), (Position(8), Position(8)));
    saboteur.execute_batch("DROP TRIGGER full").expect("mends");
    run(&mut runner);
    assert_eq!(rows(&log.path("m.db")), expected(&[("order-0", 8), ("order-1", 8), ("order-2", 7), ("order-3", 7)]));
}

#[test]
fn a_replayed_read_model_has_its_indexes_when_it_has_caught_up_and_not_before() {
    let log = thirty_events();
    let mut code = Counting::new("a", fine);
    let mut tables = code.description.schema.tables().to_vec();
    tables[0].indexes.push(Index { name: "by_events".into(), columns: vec!["events".into()] });
    code.description.schema = Schema::new(tables).expect("sound");
    let mut runner = log.runner("m.db", &code, many_commits());
    let indexes = || {
        let connection = crate::sqlite::open_read_only(&log.path("m.db")).expect("opens");
        let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'by_events'";
        connection.query_row(count, [], |row| row.get::<_, i64>(0)).expect("counts")
    };
    for _ in 0..15 {
        assert_eq!(runner.step().expect("applies"), Step::Applied);
        assert_eq!(indexes(), 0);
    }
    assert_eq!(runner.step().expect("is at the end"), Step::CaughtUp);
    assert_eq!(indexes(), 1);
}

#[test]
fn an_event_that_could_not_be_parked_is_parked_as_failed_the_next_time() {
    let log = Log::new();
    ["Placed", "Poison", "Placed"].iter().for_each(|event_type| log.append("order-1", event_type));
    let mut runner = log.runner("m.db", &Counting::new("a", traps_on_poison), RunnerOptions::default());
    let saboteur = rusqlite::Connection::open(log.path("m.db")).expect("opens");
    let full = "CREATE TRIGGER full BEFORE INSERT ON lantern_dead_letters BEGIN SELECT raise(ABORT, 'no room'); END";
    saboteur.execute_batch(full).expect("sabotages");
    assert_eq!(run_to_halt(&mut runner).disposition, Disposition::Retry);
    saboteur.execute_batch("DROP TRIGGER full").expect("mends");
    run(&mut runner);
    assert_eq!(letters(&log, "m.db"), [(2, DeadLetterKind::Failed), (3, DeadLetterKind::Waiting)]);
}
