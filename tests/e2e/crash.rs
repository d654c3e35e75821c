//! kill -9 in the middle of an import and of a replay, at moments that look random and are the same in every run.
//! However often it happens, the end is that of an undisturbed run.
//!
//! `LANTERN_TEST_KILLS=N` kills N times instead of [`KILLS`] times.

use std::path::Path;
use std::sync::OnceLock;

use lantern_tests::{Rows, Seeded, TestHost, eventually, is_dense, log_of, plugin, rows_of};
use serde_json::{Value, json};

use crate::accounts::{ACCOUNTS, FILE, folded_plainly, history, import};

const KILLS: u64 = 5;
const EVENTS: u64 = 40_000;

/// Small steps and commits: there are many moments in which something is half done.
const SETTINGS: &str = "[projections]\nbatch_events = 50\nflush_events = 200\nunfinished_runs = 1000000\n";

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
    for place in places(1) {
        let mut import = host.cli().start(&arguments);
        let api = host.api();
        eventually(&format!("the import is at {place}"), || {
            (api.get("/events?limit=1").expect(200)["head"].as_u64() > Some(place)).then_some(())
        });
        host.kill();
        let ended = import.wait().expect("the import ends");
        assert_eq!(ended.code(), Some(1), "an import without a daemon fails");
        host.start_again();
        assert!(host.head() < EVENTS, "the kill came too late to matter");
    }
    let total = host.cli().json(&arguments);
    assert_eq!(total["appended"].as_u64().zip(total["skipped"].as_u64()).map(|(new, old)| new + old), Some(EVENTS));
    assert!(total["skipped"].as_u64() > Some(0), "{total}");
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
    host.api().post("/projections/accounts/replay", &json!({})).expect(200);
    for place in places(2) {
        let api = host.api();
        eventually(&format!("the replay is at {place}"), || {
            let replay = api.projection(ACCOUNTS)["replay"].take();
            assert_ne!(replay, Value::Null, "the replay was over before its end could be prevented");
            (replay["position"].as_u64() > Some(place)).then_some(())
        });
        host.kill();
        assert_eq!(read_models(&host.data_folder()), 2, "the old read model and the one that is being filled");
        host.start_again();
        let old = host.api().get("/projections/accounts/tables/accounts?limit=1&count=exact");
        assert_eq!(old.header("lantern-position"), Some(EVENTS.to_string().as_str()), "the old read model serves");
        host.wait_until(ACCOUNTS, "goes on replaying", |now| now["replay"]["build"] == 2);
    }
    let after = host.wait_until(ACCOUNTS, "serves the replay", |now| now["build"] == 2 && now["replay"] == Value::Null);
    assert_eq!(after["position"], json!(EVENTS));
    assert_undisturbed(&host);
    eventually("the old read model is gone", || (read_models(&host.data_folder()) == 1).then_some(()));
}

fn read_models(data: &Path) -> usize {
    let files = std::fs::read_dir(data.join("read-models")).expect("the folder is there");
    files.filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|end| end == "db"))).count()
}

#[test]
fn a_kill_while_the_first_read_model_is_filled_loses_and_doubles_nothing() {
    let mut host = TestHost::with_settings(SETTINGS);
    import(&host, &history(EVENTS));
    host.drop_in(FILE, &plugin("accounts-first"));
    for place in places(3) {
        host.wait_until(ACCOUNTS, &format!("is at {place}"), |now| now["position"].as_u64() > Some(place));
        host.kill();
        host.start_again();
    }
    host.wait_until_live(ACCOUNTS);
    assert_undisturbed(&host);
}
