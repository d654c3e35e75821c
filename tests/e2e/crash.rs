//! kill -9 in the middle of an import, of a replay and of the sealing of old events, at moments that look random and are the same in every run.
//! However often it happens, the end is that of an undisturbed run.
//!
//! `LANTERN_TEST_KILLS=N` kills N times instead of [`KILLS`] times.

use std::path::Path;
use std::sync::OnceLock;

use lantern_tests::{Rows, Seeded, TestHost, eventually, is_dense, log_of, plugin, rows_of};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, folded_plainly, history, import};

const KILLS: u64 = 5;
const EVENTS: u64 = 40_000;

/// A step and a commit for each event: at most moments something is half done.
const SETTINGS: &str = "[projections]\nbatch_events = 1\nflush_events = 1\nunfinished_runs = 1000000\n";

/// Everything old is sealed, in segments so small that most kills come in the middle of one.
const SEALING: &str =
    "[events]\nseal_after_events = 1000\nsegment_events = 20\nrare_percent = 20\nsealing_percent = 50\n";
const SEALED: u64 = EVENTS - 1000;

/// How a run ends that nobody disturbs.
struct Undisturbed {
    log: Vec<Value>,
    rows: Rows,
}

fn undisturbed() -> &'static Undisturbed {
    static RUN: OnceLock<Undisturbed> = OnceLock::new();
    RUN.get_or_init(|| {
        let host = TestHost::start();
        assert_eq!(import(&host, &history(EVENTS)), EVENTS);
        host.drop_in(FILE, &plugin("accounts-first"));
        host.wait_until_live(ACCOUNTS);
        let (log, rows) = (log_of(&host.api()), rows_of(&host, ACCOUNTS));
        assert_eq!(rows, folded_plainly(&log));
        Undisturbed { log, rows }
    })
}

fn kills() -> u64 {
    std::env::var("LANTERN_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("LANTERN_TEST_KILLS is a number"))
}

/// A place for each kill: somewhere in its own slice of the log.
fn places(seed: u64) -> Vec<u64> {
    let slice = EVENTS / (kills() + 1);
    let mut random = Seeded::new(seed);
    (0..kills()).map(|kill| kill * slice + random.below(slice)).collect()
}

#[track_caller]
fn assert_undisturbed(host: &TestHost) {
    let log = log_of(&host.api());
    assert!(is_dense(&log), "the log has a hole or a double");
    assert!(log == undisturbed().log, "the log is not that of an undisturbed run");
    let rows = rows_of(host, ACCOUNTS);
    assert!(rows == undisturbed().rows, "the rows are not those of an undisturbed run: {}", first_difference(&rows));
}

fn first_difference(rows: &Rows) -> String {
    let expected = &undisturbed().rows;
    let differs = |table: &String| {
        let pairs = rows[table].iter().zip(&expected[table]).find(|(found, expected)| found != expected);
        pairs.map(|(found, expected)| format!("{table}: {found:?} instead of {expected:?}"))
    };
    rows.keys().find_map(differs).unwrap_or_else(|| "another number of rows".into())
}

#[test]
fn an_import_that_is_killed_again_and_again_ends_like_one_that_is_not() {
    let mut host = TestHost::with_settings(SETTINGS);
    host.drop_in(FILE, &plugin("accounts-first"));
    let file = host.folder().join("import.jsonl");
    std::fs::write(&file, history(EVENTS)).expect("a file can be written");
    let arguments = ["events", "import", file.to_str().expect("a readable path")];
    let mut in_the_middle = 0;
    for place in places(1) {
        let mut import = host.cli().start(&arguments);
        eventually(&format!("the import is at {place}"), || (host.head() > place).then_some(()));
        host.kill();
        let ended = import.wait().expect("the import ends");
        in_the_middle += u64::from(ended.code() == Some(1));
        host.start_again();
    }
    assert!(2 * in_the_middle >= kills(), "only {in_the_middle} kills hit the import");
    let total = host.cli().json(&arguments);
    let (appended, skipped) = (total["appended"].as_u64(), total["skipped"].as_u64());
    assert_eq!(appended.zip(skipped).map(|(new, old)| new + old), Some(EVENTS));
    assert!(skipped > Some(0), "{total}");
    host.wait_until_live(ACCOUNTS);
    assert_undisturbed(&host);
    assert_eq!(host.api().projection(ACCOUNTS)["dead_letters"], json!(0));
}

#[test]
fn a_replay_that_is_killed_again_and_again_ends_like_one_that_is_not() {
    let mut host = TestHost::with_settings(SETTINGS);
    import(&host, &history(EVENTS));
    host.drop_in(FILE, &plugin("accounts-first"));
    host.wait_until_live(ACCOUNTS);
    for place in places(2) {
        let build = kill_in_a_replay(&mut host, place);
        let old = host.api().get("/projections/accounts/tables/accounts?limit=1&count=exact");
        let range = format!("0-0/{}", undisturbed().rows["accounts"].len());
        assert_eq!(old.header("content-range"), Some(range.as_str()), "the old read model serves");
        host.wait_until(ACCOUNTS, "goes on with the same replay", |now| {
            now["replay"]["build"] == build || now["build"] == build
        });
    }
    let after =
        host.wait_until(ACCOUNTS, "serves the replay", |now| now["replay"] == Value::Null && now["state"] == "live");
    assert!(after["build"].as_u64() > Some(1), "{after}");
    assert_eq!(after["position"], json!(EVENTS));
    assert_undisturbed(&host);
    eventually("the old read model is gone", || (read_models(&host.data_folder()) == 1).then_some(()));
}

/// Kills and starts the daemon while a replay is somewhere behind this place, and answers the number of its build.
fn kill_in_a_replay(host: &mut TestHost, place: u64) -> Value {
    loop {
        let api = host.api();
        let build = eventually(&format!("a replay is at {place}"), || {
            let replay = api.projection(ACCOUNTS)["replay"].take();
            if replay == Value::Null {
                api.post("/projections/accounts/replay", &json!({})).expect(200);
            }
            (replay["position"].as_u64() > Some(place)).then(|| replay["build"].clone())
        });
        host.kill();
        let has_old_and_new = read_models(&host.data_folder()) == 2;
        host.start_again();
        // Otherwise the replay was over before the kill came.
        if has_old_and_new {
            return build;
        }
    }
}

fn read_models(data: &Path) -> usize {
    let files = std::fs::read_dir(data.join("read-models")).expect("the folder is there");
    files.filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "db"))).count()
}

#[test]
fn kills_while_the_first_read_model_is_filled_lose_and_double_nothing() {
    let mut host = TestHost::with_settings(SETTINGS);
    import(&host, &history(EVENTS));
    host.drop_in(FILE, &plugin("accounts-first"));
    let mut in_the_middle = 0;
    for place in places(3) {
        let then = host.wait_until(ACCOUNTS, &format!("is at {place}"), |now| now["position"].as_u64() > Some(place));
        host.kill();
        in_the_middle += u64::from(then["position"].as_u64() < Some(EVENTS));
        host.start_again();
    }
    assert!(2 * in_the_middle >= kills(), "only {in_the_middle} kills came in time");
    host.wait_until_live(ACCOUNTS);
    assert_undisturbed(&host);
}

#[test]
fn kills_while_old_events_are_sealed_leave_each_event_in_a_row_or_in_a_segment() {
    let mut host = TestHost::start();
    import(&host, &history(EVENTS));
    host.stop();
    std::fs::write(host.folder().join("lantern.toml"), SEALING).expect("the settings can be written");
    let mut in_the_middle = 0;
    for place in places(4) {
        host.start_again();
        eventually(&format!("the log is sealed to {place}"), || (sealed(&host) > place).then_some(()));
        host.kill();
        let (rows, in_segments) = stored(&host);
        assert_eq!(rows + in_segments, EVENTS);
        in_the_middle += u64::from(in_segments < SEALED);
    }
    assert!(2 * in_the_middle >= kills(), "only {in_the_middle} kills came in time");
    host.start_again();
    host.drop_in(FILE, &plugin("accounts-first"));
    eventually("all old events are sealed", || (sealed(&host) == SEALED).then_some(()));
    host.wait_until_live(ACCOUNTS);
    assert_undisturbed(&host);
    let again = host.cli().json(&["events", "import", &host.folder().join("import.jsonl").to_string_lossy()]);
    assert_eq!((&again["appended"], &again["skipped"]), (&json!(0), &json!(EVENTS)), "every id is known");
    host.stop();
    assert_eq!(stored(&host), (1000, SEALED));
}

fn sealed(host: &TestHost) -> u64 {
    let metrics = host.api().get("/metrics").text();
    let sealed = metrics.lines().find_map(|line| line.strip_prefix("lantern_log_sealed_events "));
    sealed.and_then(|count| count.parse().ok()).expect("there is a metric for it")
}

/// How many events the file has in rows, and how many in segments, as far as they are not in both.
fn stored(host: &TestHost) -> (u64, u64) {
    let count = |sql| {
        let file = Connection::open(host.data_folder().join("events.db")).expect("the log can be opened");
        file.query_row(sql, [], |row| row.get(0)).expect("the log can be read")
    };
    let in_both = "SELECT count(*) FROM events WHERE position <= (SELECT sealed FROM log)";
    assert_eq!(count(in_both), 0);
    (count("SELECT count(*) FROM events"), count("SELECT coalesce(sum(events), 0) FROM segments"))
}
