//! States, and snapshots that never change one.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::*;
use crate::event::StreamVersion;
use crate::event_store::ReadLimit;

/// Options that take a snapshot at every chance, with pages so small that most streams have several.
fn eager() -> AggregateOptions {
    let snapshots = SnapshotOptions { every_events: 1, max_per_stream: 3, ..SnapshotOptions::default() };
    AggregateOptions { page: ReadLimit { events: 4, bytes: 1 << 20 }, snapshots, ..AggregateOptions::default() }
}

fn lazy() -> AggregateOptions {
    let snapshots = SnapshotOptions {
        every_events: u64::MAX,
        slower_than: Duration::MAX,
        older_than: Duration::MAX,
        ..SnapshotOptions::default()
    };
    AggregateOptions { snapshots, ..AggregateOptions::default() }
}

/// What a plain fold of the first events gives.
fn expected(data: &[u64]) -> String {
    match data.len() {
        0 => "none".into(),
        count => format!("[{count},{}]", data.iter().fold(0, |chain, data| chained(chain, *data))),
    }
}

#[test]
fn with_and_without_snapshots_every_version_and_every_time_has_the_state_of_a_plain_fold() {
    for seed in 0..12_u64 {
        let mut random = chained(seed, 1);
        let mut below = |limit: u64| {
            random = chained(random, seed);
            (random >> 32) % limit
        };
        let mut fixture = Fixture::with(eager());
        let (mut data, mut times) = (Vec::new(), Vec::new());
        for _ in 0..below(8) + 2 {
            let more: Vec<_> = (0..below(9)).map(|_| (below(1000), 1_000 + below(20) as i64)).collect();
            fixture.append("tally-1", more.iter().map(|(data, time)| event(*data, *time)));
            fixture.append("tally-10", [event(5, 0)]);
            data.extend(more.iter().map(|(data, _)| *data));
            times.extend(more.iter().map(|(_, time)| *time));
            let version = StreamVersion(below(data.len() as u64 + 1).max(1));
            assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data), "seed {seed}");
            if !data.is_empty() {
                assert_eq!(fixture.state("tally-1", AsOf::Version(version)), expected(&data[..version.0 as usize]));
            }
            if below(3) == 0 {
                fixture.written();
            }
        }
        fixture.written();
        assert!(fixture.aggregates.stats().snapshots.kept > 0, "seed {seed} tests nothing");
        let check = |fixture: &Fixture| {
            for version in 1..=data.len() {
                let as_of = AsOf::Version(StreamVersion(version as u64));
                assert_eq!(fixture.state("tally-1", as_of), expected(&data[..version]), "seed {seed} at {version}");
            }
            for time in 998..=1_021 {
                let until = times.iter().take_while(|it| **it <= time).count();
                assert_eq!(fixture.state("tally-1", AsOf::Time(Timestamp(time))), expected(&data[..until]), "{seed}");
            }
            assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data), "seed {seed}");
        };
        check(&fixture);
        assert!(fixture.aggregates.inner.snapshots.delete_all().unwrap() > 0);
        fixture.reopened(lazy(), "first");
        check(&fixture);
    }
}

#[test]
fn a_long_stream_with_a_snapshot_costs_its_tail() {
    const LONG: u64 = 100_000;
    let mut fixture = Fixture::with(lazy());
    fixture.append("tally-1", (0..LONG).map(|n| event(n, 0)));
    let started = Instant::now();
    assert_eq!(fixture.evolved_by(|fixture| drop(fixture.state("tally-1", AsOf::Now))), LONG);
    let whole = started.elapsed();
    fixture.reopened(AggregateOptions::default(), "first");
    assert_eq!(fixture.evolved_by(|fixture| drop(fixture.state("tally-1", AsOf::Now))), LONG);
    fixture.written();
    assert_eq!(fixture.aggregates.stats().snapshots.kept, 1);
    fixture.append("tally-1", (0..7).map(|n| event(n, 0)));
    let started = Instant::now();
    assert_eq!(fixture.evolved_by(|fixture| drop(fixture.state("tally-1", AsOf::Now))), 7);
    let tail = started.elapsed();
    println!("100,000 events: {whole:?} without a snapshot, {tail:?} with one and a tail of 7");
    let data: Vec<u64> = (0..LONG).chain(0..7).collect();
    assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data));
    assert_eq!(fixture.evolved_by(|fixture| drop(fixture.load("tally-1", AsOf::Version(StreamVersion(LONG))))), 0);
}

#[test]
fn a_snapshot_is_taken_after_so_many_events_or_a_slow_load_or_on_top_of_an_old_one_and_else_not() {
    let options = SnapshotOptions::default();
    let (fast, slow) = (Duration::from_millis(1), Duration::from_millis(51));
    let (young, old) = (Timestamp::now(), Timestamp(Timestamp::now().0 - 86_401_000_000));
    assert!(!options.is_due(99, fast, None) && !options.is_due(99, fast, Some(young)));
    assert!(options.is_due(100, fast, None) && options.is_due(1, slow, None) && options.is_due(1, fast, Some(old)));
    let mut fixture = Fixture::new();
    fixture.append("tally-1", (0..99).map(|n| event(n, 0)));
    fixture.state("tally-1", AsOf::Now);
    fixture.written();
    let kept = fixture.aggregates.stats().snapshots.kept;
    fixture.append("tally-1", [event(0, 0)]);
    fixture.state("tally-1", AsOf::Now);
    fixture.written();
    assert_eq!(fixture.aggregates.stats().snapshots.kept, kept + 1);
    assert_eq!(fixture.evolved_by(|fixture| drop(fixture.state("tally-1", AsOf::Now))), 0);
}

/// A stream of ten events with a snapshot of all, after something was done to the file of snapshots.
fn after(change: impl FnOnce(&Connection)) -> Fixture {
    let mut fixture = Fixture::with(eager());
    fixture.append("tally-1", (0..10).map(|n| event(n, 0)));
    fixture.state("tally-1", AsOf::Now);
    fixture.written();
    let file = Connection::open(fixture.folder.path().join("snapshots.db")).unwrap();
    assert_eq!(file.query_row("SELECT version FROM snapshots", [], |row| row.get(0)), Ok(10));
    change(&file);
    fixture
}

#[test]
fn a_snapshot_that_does_not_match_is_passed_over_and_the_state_is_that_of_the_events() {
    let changes: [(&str, &str); 6] = [
        ("another state", "UPDATE snapshots SET state = CAST('[10,1]' AS BLOB)"),
        ("no JSON", "UPDATE snapshots SET state = x'ff'"),
        ("another version", "UPDATE snapshots SET version = 9"),
        ("another stream", "UPDATE snapshots SET stream = 'tally-2'"),
        ("another schema", "UPDATE snapshots SET identity = replace(identity, ' 1', ' 2')"),
        ("another event", "UPDATE snapshots SET event_id = zeroblob(16)"),
    ];
    let data: Vec<u64> = (0..10).collect();
    for (what, change) in changes {
        let fixture = after(|file| assert_eq!(file.execute(change, []), Ok(1)));
        fixture.append("tally-2", (0..10).map(|n| event(n + 1, 0)));
        assert_eq!(
            fixture.evolved_by(|fixture| assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data))),
            10,
            "{what}"
        );
        let other: Vec<u64> = (1..=10).collect();
        assert_eq!(fixture.state("tally-2", AsOf::Now), expected(&other), "{what}");
    }
    let mut fixture = after(|_| ());
    fixture.reopened(eager(), "second");
    assert_eq!(fixture.evolved_by(|fixture| assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data))), 10);
}

#[test]
fn a_snapshot_of_a_log_that_was_restored_from_an_older_copy_is_not_used() {
    for again in [9, 10, 12] {
        let mut fixture = after(|_| ());
        fixture.aggregates.close();
        let Fixture { folder, others, .. } = &fixture;
        let events = EventStore::open(&folder.path().join("restored.db"), EventStoreOptions::default()).unwrap();
        append(&events, "tally-1", (0..again).map(|n| event(n + 50, 0)));
        (fixture.aggregates, fixture.code) = opened(folder, (&events, others), eager(), "first");
        fixture.events = events;
        let data: Vec<u64> = (50..50 + again).collect();
        assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&data), "{again}");
        assert_eq!(fixture.aggregates.stats().snapshots.ignored, 1);
    }
}

#[test]
fn a_file_of_snapshots_that_is_none_is_made_anew() {
    for content in [&[b'x'; 5000][..], b"SQLite format 3\0", b""] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("snapshots.db"), content).unwrap();
        let mut fixture = Fixture::inside(folder, eager());
        fixture.append("tally-1", (0..10).map(|n| event(n, 0)));
        fixture.state("tally-1", AsOf::Now);
        fixture.written();
        assert_eq!(fixture.aggregates.stats().snapshots.kept, 1);
    }
}

#[test]
fn few_snapshots_are_kept_of_a_stream_and_few_bytes_of_all() {
    let snapshots =
        SnapshotOptions { every_events: 1, max_per_stream: 2, max_bytes: 150, ..SnapshotOptions::default() };
    let mut fixture = Fixture::with(AggregateOptions { snapshots, ..AggregateOptions::default() });
    for stream in ["tally-1", "tally-2", "tally-3", "tally-4"] {
        for n in 0..4 {
            fixture.append(stream, [event(n, 0)]);
            fixture.state(stream, AsOf::Now);
        }
    }
    fixture.written();
    let stats = fixture.aggregates.stats().snapshots;
    assert!((5..=7).contains(&stats.kept) && (100..=150).contains(&stats.bytes), "{stats:?}");
    let file = Connection::open(fixture.folder.path().join("snapshots.db")).unwrap();
    let most = "SELECT max(kept) FROM (SELECT count(*) AS kept FROM snapshots GROUP BY stream)";
    assert_eq!(file.query_row(most, [], |row| row.get(0)), Ok(2));
}

#[test]
fn what_was_folded_when_the_time_was_over_is_where_the_next_request_goes_on() {
    let options = AggregateOptions { load_time: Duration::ZERO, ..eager() };
    let mut fixture = Fixture::with(options);
    fixture.append("tally-1", (0..10).map(|n| event(n, 0)));
    for version in [4, 8] {
        let slow = fixture.load("tally-1", AsOf::Now);
        assert!(matches!(slow, Err(AggregateError::TooSlow { version: at, .. }) if at.0 == version), "{slow:?}");
        fixture.written();
    }
    assert_eq!(fixture.state("tally-1", AsOf::Now), expected(&(0..10).collect::<Vec<_>>()));
}

#[test]
fn a_version_that_is_not_there_yet_and_code_that_fails_are_told() {
    let fixture = Fixture::new();
    assert_eq!(fixture.state("tally-1", AsOf::Now), "none");
    fixture.append("tally-1", [event(0, 0), event(0, 0)]);
    let beyond = fixture.load("tally-1", AsOf::Version(StreamVersion(3))).unwrap_err();
    assert_eq!(beyond.to_string(), "stream tally-1 is at version 2; version 3 is not there yet");
    for (event_type, words) in [("Poison", "it is poison"), ("Torn", "not JSON"), ("Huge", "at most 1048576")] {
        let stream = format!("tally-{event_type}");
        fixture.append(&stream, [event(0, 0), NewEvent { event_type: event_type.into(), ..event(0, 0) }]);
        let error = fixture.load(&stream, AsOf::Now).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("tally (first) could not fold the versions 1 to 2"), "{error}");
        assert_eq!(fixture.state(&stream, AsOf::Version(StreamVersion(1))), expected(&[0]));
    }
}
